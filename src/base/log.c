#include "base/log.h"
#include "base/escape.h"
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static struct {
	pthread_mutex_t lock;
	const char *program;
	enum log_level level;
	int fd;
	time_t second;
	unsigned in_second;
	unsigned long dropped;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .program = "sbx", .level = LOG_INFO, .fd = 2};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(const char *program)
{
	const char *want = getenv("SBX_LOG_LEVEL");

	state.program = program;
	for (unsigned i = 0; want && i < ARRAY_LEN(level_names); i++)
		if (strcmp(want, level_names[i]) == 0)
			state.level = (enum log_level)i;
}

void log_set_level(enum log_level level)
{
	state.level = level;
}

void log_set_fd(int fd)
{
	state.fd = fd;
}

/* admit() - is there room in this second? Called with the lock held. */
static int admit(const struct timespec *now)
{
	if (now->tv_sec != state.second) {
		state.second = now->tv_sec;
		state.in_second = 0;
	}
	if (state.in_second >= LOG_PER_SECOND) {
		state.dropped++;
		return 0;
	}
	state.in_second++;
	return 1;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char text[1024], line[1400], when[32], lost[48] = "";
	int saved = errno, n;
	struct timespec now;
	struct tm tm;
	va_list ap;

	if (level > state.level)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);

	pthread_mutex_lock(&state.lock);
	if (admit(&now)) {
		if (state.dropped)
			(void)snprintf(lost, sizeof(lost), " (%lu lines dropped)", state.dropped);
		state.dropped = 0;
		n = snprintf(line, sizeof(line) - 1, "%s.%03ldZ %s %s: %s%s", when,
			now.tv_nsec / 1000000, state.program, level_names[level],
			escape_str((char[1200]){0}, 1200, text), lost);
		if (n >= (int)sizeof(line) - 1)
			n = (int)sizeof(line) - 2;
		line[n++] = '\n';
		if (write(state.fd, line, (size_t)n) < 0)
			errno = saved; /* a log that cannot be written has nobody to tell */
	}
	pthread_mutex_unlock(&state.lock);
	errno = saved;
}
