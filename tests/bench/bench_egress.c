/* bench_egress.c - drives the way out and what one would use instead, side by side
 *
 * Reads jobs from stdin, a line each, and answers each with a line of JSON:
 *   run KEY=VALUE...   (see take()); idle KEY=VALUE...; end-idle; resolve NAME
 * bench_egress.py writes them. First line of the output: ports and processes.
 * usage: bench_egress CERT KEY CA DIR FRONT VAULT CPU (FRONT "-": no front and vault)
 */
#include "egress/egress.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

_Noreturn void bench_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fprintf(stderr, "bench_egress: ");
	(void)vfprintf(stderr, fmt, ap);
	(void)fprintf(stderr, "\n");
	va_end(ap);
	play_kill();
	_exit(1);
}

static void on_signal(int number)
{
	play_kill();
	_exit(128 + number);
}

int64_t bench_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* first_number() - of the file; 0 when there is none */
static int64_t first_number(const char *path)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return strtoll(text, NULL, 10);
}

int64_t bench_cpu_ns(pid_t pid)
{
	char path[80], children[512];
	FILE *f;
	int64_t sum;

	(void)snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	sum = first_number(path);
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "re");
	if (f && fgets(children, sizeof(children), f)) {
		char *at = children, *next;

		for (long child; (child = strtol(at, &next, 10)) > 0; at = next)
			sum += bench_cpu_ns((pid_t)child);
	}
	if (f)
		(void)fclose(f);
	return sum;
}

/* take() - one KEY=VALUE */
static void take(struct job *j, char *word)
{
	char *value = strchr(word, '=');

	if (!value)
		bench_die("'%s' is no KEY=VALUE", word);
	*value++ = '\0';
	if (strcmp(word, "way") == 0)
		j->way = strcmp(value, "tls") == 0	 ? WAY_TLS
			 : strcmp(value, "connect") == 0 ? WAY_CONNECT
							 : WAY_STREAM;
	else if (strcmp(word, "load") == 0)
		j->load = strcmp(value, "loop") == 0   ? LOAD_LOOP
			  : strcmp(value, "rate") == 0 ? LOAD_RATE
						       : LOAD_NEW;
	else if (strcmp(word, "port") == 0)
		j->port = (uint16_t)atoi(value);
	else if (strcmp(word, "h2") == 0)
		j->h2 = atoi(value);
	else if (strcmp(word, "upload") == 0)
		j->upload = atoi(value);
	else if (strcmp(word, "conns") == 0)
		j->conns = (unsigned)atoi(value);
	else if (strcmp(word, "streams") == 0)
		j->streams = (unsigned)atoi(value);
	else if (strcmp(word, "rate") == 0)
		j->rate = (unsigned)atoi(value);
	else if (strcmp(word, "names") == 0)
		j->names = (unsigned)atoi(value);
	else if (strcmp(word, "bytes") == 0)
		j->bytes = strtoull(value, NULL, 10);
	else if (strcmp(word, "seconds") == 0)
		j->seconds = strtod(value, NULL);
	else if (strcmp(word, "warm") == 0)
		j->warm = strtod(value, NULL);
	else if (strcmp(word, "pid") == 0 && j->n_pids < BENCH_PIDS_MAX)
		j->pid[j->n_pids++] = (pid_t)atoi(value);
	else
		bench_die("unknown key '%s'", word);
}

static void show(const struct result *r)
{
	printf("{\"requests\": %llu, \"connections\": %llu, \"bytes\": %llu, \"errors\": %llu, "
	       "\"seconds\": %.4f, \"cpu\": %.4f, \"client_cpu\": %.4f, \"p50\": %.1f, "
	       "\"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f, \"error\": \"%s\"}\n",
		(unsigned long long)r->requests, (unsigned long long)r->connections,
		(unsigned long long)r->bytes, (unsigned long long)r->errors, r->seconds,
		r->cpu_seconds, r->client_cpu_seconds, r->p50_us, r->p90_us, r->p99_us, r->max_us,
		r->first_error);
}

static void serve(char *line, struct play *play, uint16_t origin)
{
	struct job j = {.play = play, .origin = origin, .conns = 1, .streams = 1, .seconds = 1};
	struct result r;
	char *save = NULL, *verb = strtok_r(line, " \n", &save), *word;

	if (!verb)
		return;
	if (strcmp(verb, "end-idle") == 0) {
		load_idle_end();
		printf("{}\n");
		return;
	}
	while ((word = strtok_r(NULL, " \n", &save)))
		take(&j, word);
	if (j.way == WAY_STREAM && !play)
		bench_die("there is no front");
	if (j.load == LOAD_RATE && j.rate == 0)
		bench_die("no rate");
	if (j.way == WAY_STREAM && j.names == 0)
		play_resolve(play, BENCH_NAME);
	if (strcmp(verb, "idle") == 0) {
		printf("{\"connections\": %u}\n", load_idle(&j));
	} else {
		load_run(&j, &r);
		show(&r);
	}
}

int main(int argc, char **argv)
{
	struct play_config c;
	struct play *play = NULL;
	char line[2048];

	if (argc != 8)
		bench_die("usage: bench_egress CERT KEY CA DIR FRONT VAULT CPU");
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTERM, on_signal);
	(void)signal(SIGINT, on_signal);
	(void)prctl(PR_SET_TIMERSLACK, 1);
	(void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){8192, 8192});
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	c = (struct play_config){.dir = argv[4],
		.front = argv[5],
		.vault = argv[6],
		.ca = argv[3],
		.origin = origin_start(argv[1], argv[2]),
		.cpu = atoi(argv[7])};
	if (strcmp(c.front, "-") != 0)
		play = play_start(&c);
	printf("{\"origin\": %u, \"front\": %d, \"vault\": %d}\n", c.origin,
		play ? (int)play_front(play) : 0, play ? (int)play_vault(play) : 0);
	while (fgets(line, sizeof(line), stdin)) {
		serve(line, play, c.origin);
		(void)fflush(stdout);
	}
	if (play)
		play_stop(play);
	return 0;
}
