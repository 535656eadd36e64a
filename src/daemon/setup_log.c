#include "daemon/setup_log.h"
#include "daemon/files.h"
#include "base/escape.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HEAD_BYTES (SETUP_LOG_MAX / 4)
#define TAIL_BYTES (SETUP_LOG_MAX / 4) /* what stays behind the head when the middle goes */
#define WORDS_MAX  2048
#define WORD_LINES 4

struct setup_log {
	pthread_mutex_t lock; /* of all below */
	unsigned refs;
	int fd;
	size_t len, mark;
	uint64_t dropped;
	bool fresh; /* at the beginning of a line */
	char line[SETUP_LINE_MAX],
		last[SETUP_LINE_MAX]; /* the one that is not ended; one that is */
	size_t n_line;
};

int setup_log_open(struct sandbox *s, bool anew, struct setup_log **ret, struct err *e)
{
	AUTO_FD dir = sandbox_dir(s, e);
	struct setup_log *l;
	AUTO_FD fd = -1;
	off_t end;

	if (dir < 0)
		return dir;
	fd = openat(dir, FILE_SETUP_LOG,
		O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (anew ? O_TRUNC : 0), 0600);
	end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	if (end < 0)
		return err_sys(e, -errno, "open '%s'", FILE_SETUP_LOG);
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_sys(e, -ENOMEM, "open '%s'", FILE_SETUP_LOG);
	(void)pthread_mutex_init(&l->lock, NULL);
	l->refs = 1;
	l->fd = TAKE_FD(fd);
	l->len = l->mark = (size_t)end;
	l->fresh = true;
	*ret = l;
	return 0;
}

struct setup_log *setup_log_get(struct setup_log *l)
{
	(void)pthread_mutex_lock(&l->lock);
	l->refs++;
	(void)pthread_mutex_unlock(&l->lock);
	return l;
}

void setup_log_put(struct setup_log *l)
{
	bool last;

	if (!l)
		return;
	(void)pthread_mutex_lock(&l->lock);
	last = --l->refs == 0;
	(void)pthread_mutex_unlock(&l->lock);
	if (!last)
		return;
	own_close_fd(&l->fd);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

void setup_log_putp(struct setup_log **l)
{
	setup_log_put(*l);
	*l = NULL;
}

/* drop_middle() - the head and the newest quarter stay, with a line between them */
static void drop_middle(struct setup_log *l)
{
	AUTO_FREE char *tail = malloc(TAIL_BYTES);
	size_t from = l->len - TAIL_BYTES, gone = from - HEAD_BYTES;
	char note[96];
	ssize_t n = tail ? pread(l->fd, tail, TAIL_BYTES, (off_t)from) : -1;
	int k;

	if (n < 0)
		n = 0;
	l->dropped += gone;
	k = snprintf(note, sizeof(note), "\n[%llu bytes were dropped here]\n",
		(unsigned long long)l->dropped);
	if (ftruncate(l->fd, HEAD_BYTES) < 0 || pwrite(l->fd, note, (size_t)k, HEAD_BYTES) != k ||
		pwrite(l->fd, tail, (size_t)n, (off_t)HEAD_BYTES + k) != n)
		n = 0; /* what is there then is all there is */
	l->len = HEAD_BYTES + (size_t)k + (size_t)n;
	l->mark = l->mark > from ? l->mark - from + HEAD_BYTES + (size_t)k : HEAD_BYTES + (size_t)k;
}

static void write_out(struct setup_log *l, const char *p, size_t len)
{
	while (len > 0) {
		size_t n = len < 32768 ? len : 32768;
		ssize_t done;

		if (l->len + n > SETUP_LOG_MAX)
			drop_middle(l);
		done = pwrite(l->fd, p, n, (off_t)l->len);
		if (done <= 0)
			return;
		l->len += (size_t)done;
		p += done;
		len -= (size_t)done;
	}
}

/* follow_lines() - bars that redraw themselves end their lines with a return */
static void follow_lines(struct setup_log *l, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] != '\n' && p[i] != '\r') {
			if (l->n_line + 1 < sizeof(l->line))
				l->line[l->n_line++] = p[i];
			continue;
		}
		l->line[l->n_line] = '\0';
		if (strspn(l->line, " \t") < l->n_line)
			memcpy(l->last, l->line, sizeof(l->last));
		l->n_line = 0;
	}
	l->fresh = len ? p[len - 1] == '\n' : l->fresh;
}

void setup_log_add(struct setup_log *l, const void *p, size_t len)
{
	(void)pthread_mutex_lock(&l->lock);
	write_out(l, p, len);
	follow_lines(l, p, len);
	(void)pthread_mutex_unlock(&l->lock);
}

void setup_log_say(struct setup_log *l, const char *fmt, ...)
{
	char text[600];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	n = (int)strlen(text);
	text[n++] = '\n';
	(void)pthread_mutex_lock(&l->lock);
	if (!l->fresh)
		write_out(l, "\n", 1);
	write_out(l, text, (size_t)n);
	l->fresh = true;
	l->n_line = 0;
	(void)pthread_mutex_unlock(&l->lock);
}

void setup_log_mark(struct setup_log *l)
{
	(void)pthread_mutex_lock(&l->lock);
	l->mark = l->len;
	l->last[0] = '\0';
	(void)pthread_mutex_unlock(&l->lock);
}

void setup_log_last(struct setup_log *l, char dst[SETUP_LINE_MAX])
{
	(void)pthread_mutex_lock(&l->lock);
	memcpy(dst, l->last, SETUP_LINE_MAX);
	if (l->n_line > 0) {
		memcpy(dst, l->line, l->n_line);
		dst[l->n_line] = '\0';
	}
	(void)pthread_mutex_unlock(&l->lock);
}

/* last_lines() - where the last lines of @p begin; empty ones at the end do not count */
static const char *last_lines(const char *p, size_t *len)
{
	const char *from;
	unsigned lines = 0;

	while (*len > 0 && strchr("\n\r\t ", p[*len - 1]))
		(*len)--;
	from = p + *len;
	while (from > p && !(from[-1] == '\n' && ++lines == WORD_LINES))
		from--;
	*len -= (size_t)(from - p);
	return from;
}

void setup_log_words(struct setup_log *l, char *dst, size_t cap)
{
	char raw[WORDS_MAX], line[WORDS_MAX * 4];
	const char *p;
	size_t n, at = 0;
	ssize_t got;

	dst[0] = '\0';
	(void)pthread_mutex_lock(&l->lock);
	n = l->len - l->mark < sizeof(raw) ? l->len - l->mark : sizeof(raw);
	got = pread(l->fd, raw, n, (off_t)(l->len - n));
	(void)pthread_mutex_unlock(&l->lock);
	if (got <= 0)
		return;
	n = (size_t)got;
	p = last_lines(raw, &n);
	while (n > 0) {
		const char *nl = memchr(p, '\n', n);
		size_t k = nl ? (size_t)(nl - p) : n;
		int put;

		put = snprintf(dst + at, cap - at, "%s%s", at ? " / " : "",
			escape_text(line, sizeof(line), p, k && p[k - 1] == '\r' ? k - 1 : k));
		at += put > 0 ? (size_t)put : 0;
		if (at >= cap)
			break;
		p += nl ? k + 1 : k;
		n -= nl ? k + 1 : k;
	}
}
