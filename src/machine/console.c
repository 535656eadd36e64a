#include "machine/console.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#define CHUNK 4096u

/* drop_older_half() - the file's second half becomes the whole file */
static void drop_older_half(struct console *c)
{
	uint64_t keep = c->max_bytes / 2, from = c->size_bytes - keep, at = 0;
	char chunk[CHUNK];

	while (at < keep) {
		size_t want = keep - at < CHUNK ? (size_t)(keep - at) : CHUNK;
		ssize_t n = pread(c->file_fd, chunk, want, (off_t)(from + at));

		if (n <= 0 || pwrite(c->file_fd, chunk, (size_t)n, (off_t)at) != n)
			break;
		at += (uint64_t)n;
	}
	if (ftruncate(c->file_fd, (off_t)at) == 0)
		c->size_bytes = at;
}

static void keep_tail(struct console *c, const char *p, size_t len)
{
	if (len >= CONSOLE_TAIL) {
		memcpy(c->tail, p + len - CONSOLE_TAIL, CONSOLE_TAIL);
		c->tail_len = CONSOLE_TAIL;
		return;
	}
	if (c->tail_len + len > CONSOLE_TAIL) {
		size_t drop = c->tail_len + len - CONSOLE_TAIL;

		memmove(c->tail, c->tail + drop, c->tail_len - drop);
		c->tail_len -= drop;
	}
	memcpy(c->tail + c->tail_len, p, len);
	c->tail_len += len;
}

/* store() - a full disk loses output, never the sandbox */
static void store(struct console *c, const char *p, size_t len)
{
	ssize_t n;

	keep_tail(c, p, len);
	if (c->max_bytes < 2 * CHUNK)
		return;
	if (c->size_bytes + len > c->max_bytes)
		drop_older_half(c);
	if (c->size_bytes + len > c->max_bytes)
		return;
	n = pwrite(c->file_fd, p, len, (off_t)c->size_bytes);
	if (n > 0)
		c->size_bytes += (uint64_t)n;
}

static ssize_t drain_once(struct console *c)
{
	char chunk[CHUNK];
	ssize_t n = read(c->from_fd, chunk, sizeof(chunk));

	if (n > 0)
		store(c, chunk, (size_t)n);
	return n;
}

static void on_output(void *ctx, uint32_t events)
{
	struct console *c = ctx;
	ssize_t n = drain_once(c);

	(void)events;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		loop_del_fd(c->src);
		c->src = NULL;
	}
}

int console_open(struct console *c, struct loop *l, int from_fd, int file_fd, uint64_t max_bytes)
{
	struct stat st;
	int flags, r;

	*c = (struct console){.from_fd = from_fd, .file_fd = file_fd, .max_bytes = max_bytes};
	if (fstat(file_fd, &st) < 0)
		return -errno;
	flags = fcntl(file_fd, F_GETFL);
	if (!S_ISREG(st.st_mode) || flags < 0)
		return -EINVAL;
	/* Writes go to their place; appending would ignore it. */
	if (fcntl(file_fd, F_SETFL, flags & ~O_APPEND) < 0)
		return -errno;
	c->size_bytes = (uint64_t)st.st_size;
	r = io_set_nonblock(from_fd, true);
	return r < 0 ? r : loop_add_fd(l, from_fd, EPOLLIN, on_output, c, &c->src);
}

void console_close(struct console *c)
{
	if (c->from_fd < 0)
		return;
	for (unsigned i = 0; c->src && i < 256; i++)
		if (drain_once(c) <= 0)
			break;
	loop_del_fd(c->src);
	c->src = NULL;
	own_close_fd(&c->from_fd);
}

/* copy_line() - from @at to the line's end, without controls at its end */
static void copy_line(const struct console *c, size_t at, char *dst, size_t cap)
{
	size_t n = 0;

	while (at + n < c->tail_len && c->tail[at + n] != '\n' && c->tail[at + n] != '\r' &&
		n < cap - 1)
		n++;
	memcpy(dst, c->tail + at, n);
	dst[n] = 0;
}

void console_last_line(const struct console *c, char *dst, size_t cap)
{
	size_t end = c->tail_len, at;

	while (end > 0 && (unsigned char)c->tail[end - 1] <= ' ')
		end--;
	for (at = end; at > 0 && c->tail[at - 1] != '\n'; at--)
		;
	copy_line(c, at, dst, cap);
}

const char *console_find(const struct console *c, const char *text, char *dst, size_t cap)
{
	const char *hit = memmem(c->tail, c->tail_len, text, strlen(text));

	if (!hit)
		return NULL;
	copy_line(c, (size_t)(hit - c->tail), dst, cap);
	return dst;
}
