/* h2_pair.h - a client and a server of http/h2.h, joined in memory, noting what they are told */
#ifndef TEST_HTTP_H2_PAIR_H
#define TEST_HTTP_H2_PAIR_H
#include "http/h2.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PAIR_LOG 65536

struct h2_side {
	struct h2 *h;
	char log[PAIR_LOG]; /* one word for each event */
	size_t log_len;
	size_t data; /* bytes of bodies */
	const uint8_t *expect; /* what a body must be; NULL: anything */
	bool keep; /* do not consume */
	int32_t last; /* stream of the last head */
	unsigned drained, malformed;
};

struct h2_pair {
	struct h2_side client, server;
	int client_in, server_in; /* result of the last h2_input() */
};

static inline void pair_note(struct h2_side *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline void pair_note(struct h2_side *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(s->log + s->log_len, sizeof(s->log) - s->log_len, fmt, ap);
	va_end(ap);
	if (n > 0 && s->log_len + (size_t)n < sizeof(s->log))
		s->log_len += (size_t)n;
}

static inline void pair_head(
	void *ctx, int32_t stream, void *user, const struct h2_head *h, bool end)
{
	struct h2_side *s = ctx;

	(void)user;
	s->last = stream;
	if (h->why) {
		pair_note(s, "bad%d ", h->bad_status);
		return;
	}
	if (h->method)
		pair_note(s, "%s %s%s%s ", h->method, h->authority ? h->authority : "-",
			h->path ? h->path : "-", h->protocol ? h->protocol : "");
	else
		pair_note(s, "%d ", h->status);
	for (uint16_t i = 0; i < h->fields->n && i < 4; i++)
		pair_note(s, "%s=%.20s%s ", h->fields->v[i].name, h->fields->v[i].value,
			h->fields->v[i].never_index ? "!" : "");
	if (end)
		pair_note(s, "end ");
}

static inline void pair_data(void *ctx, int32_t stream, void *user, const uint8_t *p, size_t len)
{
	struct h2_side *s = ctx;

	(void)user;
	if (s->expect && memcmp(p, s->expect + s->data, len) != 0)
		pair_note(s, "altered ");
	s->data += len;
	if (!s->keep)
		h2_consume(s->h, stream, len);
}

static inline void pair_end(
	void *ctx, int32_t stream, void *user, const struct egress_fields *trailers)
{
	(void)stream;
	(void)user;
	pair_note(ctx, "end ");
	for (uint16_t i = 0; trailers && i < trailers->n; i++)
		pair_note(ctx, "%s=%s ", trailers->v[i].name, trailers->v[i].value);
}

static inline void pair_closed(void *ctx, int32_t stream, void *user, uint32_t code)
{
	(void)stream;
	(void)user;
	pair_note(ctx, "closed%u ", code);
}

static inline void pair_drained(void *ctx, int32_t stream, void *user)
{
	(void)stream;
	(void)user;
	((struct h2_side *)ctx)->drained++;
}

static inline void pair_malformed(void *ctx, int32_t stream, const char *why)
{
	(void)stream;
	(void)why;
	((struct h2_side *)ctx)->malformed++;
}

static const struct h2_ops pair_ops = {.head = pair_head,
	.data = pair_data,
	.end = pair_end,
	.closed = pair_closed,
	.drained = pair_drained,
	.malformed = pair_malformed};

static inline void pair_init(struct h2_pair *p)
{
	struct h2_options o = {.role = H2_CLIENT, .ops = &pair_ops, .ctx = &p->client};

	memset(p, 0, sizeof(*p));
	p->client.h = h2_new(&o);
	o.role = H2_SERVER;
	o.extended_connect = true;
	o.ctx = &p->server;
	p->server.h = h2_new(&o);
}

static inline void pair_fini(struct h2_pair *p)
{
	h2_free(p->client.h);
	h2_free(p->server.h);
}

static inline size_t pair_move(struct h2_side *from, struct h2_side *to, int *ret)
{
	struct buf b;
	size_t n;
	bool more;

	buf_init(&b, 4U << 20);
	if (h2_output(from->h, &b, 1U << 20, &more) < 0)
		*ret = -EIO;
	n = b.len;
	if (n > 0)
		*ret = h2_input(to->h, b.data, n, 1000);
	buf_fini(&b);
	return n;
}

/* pair_run() - until neither has anything to say */
static inline void pair_run(struct h2_pair *p)
{
	for (unsigned i = 0; i < 1000; i++)
		if (pair_move(&p->client, &p->server, &p->server_in) +
				pair_move(&p->server, &p->client, &p->client_in) ==
			0)
			return;
}
#endif
