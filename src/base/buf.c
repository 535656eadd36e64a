#include "base/buf.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
	assert(max > 0 && max < SIZE_MAX / 2);
	*b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
	if (!b)
		return;
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

void buf_auto(struct buf *b)
{
	buf_fini(b);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

int buf_room(struct buf *b, size_t len, char **ret_room)
{
	size_t need, cap;
	char *p;

	assert(b->max > 0);
	if (__builtin_add_overflow(b->len, len, &need) || need > b->max)
		return -ENOBUFS;
	if (need + 1 > b->cap) {
		cap = b->cap ? b->cap : 256;
		while (cap < need + 1)
			cap *= 2;
		if (cap > b->max + 1)
			cap = b->max + 1;
		p = realloc(b->data, cap);
		if (!p)
			return -ENOMEM;
		b->data = p;
		b->cap = cap;
	}
	*ret_room = b->data + b->len;
	return 0;
}

void buf_grew(struct buf *b, size_t len)
{
	assert(b->cap > b->len && len < b->cap - b->len);
	b->len += len;
	b->data[b->len] = '\0';
}

int buf_add(struct buf *b, const void *bytes, size_t len)
{
	char *room;
	int r = buf_room(b, len, &room);

	if (r < 0)
		return r;
	if (len)
		memcpy(room, bytes, len);
	buf_grew(b, len);
	return 0;
}

int buf_addv(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	char *room;
	int n, r;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return -EINVAL;
	r = buf_room(b, (size_t)n, &room);
	if (r < 0)
		return r;
	(void)vsnprintf(room, (size_t)n + 1, fmt, ap);
	buf_grew(b, (size_t)n);
	return 0;
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = buf_addv(b, fmt, ap);
	va_end(ap);
	return r;
}

void buf_eat(struct buf *b, size_t len)
{
	assert(len <= b->len);
	if (len == 0)
		return;
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
	b->data[b->len] = '\0';
}

char *buf_take(struct buf *b)
{
	char *p = b->data;

	b->data = NULL;
	b->len = b->cap = 0;
	return p ? p : strdup("");
}

const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}
