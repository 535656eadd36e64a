/* canon_drive.h - bytes of a connection to the requests that the front would pass on, as text */
#ifndef TEST_HTTP_CANON_DRIVE_H
#define TEST_HTTP_CANON_DRIVE_H
#include "http/canon.h"
#include <stdio.h>
#include <string.h>

struct canon_told {
	char text
		[8192]; /* one line for each request: method, host, port, path, query, kind, fields */
	size_t len;
	unsigned requests, whole; /* heads that were passed on; messages that came to their end */
	uint64_t body; /* bytes */
	int status; /* of the refusal that ended it; 0: none */
	const char *why;
};

static inline void canon_line(struct canon_told *t, const struct http_canon *c)
{
	int n = snprintf(t->text + t->len, sizeof(t->text) - t->len, "%s %s:%u%s%s%s", c->q.method,
		c->q.host, c->q.port, c->q.path, c->q.query,
		c->q.kind == EGRESS_GRPC	? " grpc"
		: c->q.kind == EGRESS_WEBSOCKET ? " websocket"
						: "");

	for (uint16_t i = 0; i < c->q.fields.n && n > 0; i++) {
		t->len += (size_t)n;
		if (t->len >= sizeof(t->text) - 1)
			return;
		n = snprintf(t->text + t->len, sizeof(t->text) - t->len, " %s=%s",
			c->q.fields.v[i].name, c->q.fields.v[i].value);
	}
	t->len += n > 0 ? (size_t)n : 0;
	if (t->len < sizeof(t->text) - 1)
		t->text[t->len++] = '\n';
}

/* canon_drive() - all that follows from @len bytes of one connection, given in pieces */
static inline void canon_drive(struct canon_told *t, const struct http_conn *conn, const void *in,
	size_t len, size_t piece)
{
	struct http_parser *p = http_parser_new_limits(HTTP_REQUEST, &http_limits_proxy);
	struct http_canon *c = malloc(sizeof(*c));
	const char *s = in;
	size_t at = 0;
	bool more = true;

	memset(t, 0, sizeof(*t));
	http_canon_init(c);
	while (more) {
		size_t n = len - at < piece ? len - at : piece, used, got = 0;
		const char *data;

		switch (http_parse(p, s + at, n, &used, &data, &got)) {
		case HTTP_HEAD:
			if (!http_canon_h1(c, conn, http_head(p))) {
				t->status = c->status;
				t->why = c->why;
				more = false;
				break;
			}
			t->requests++;
			canon_line(t, c);
			break;
		case HTTP_DATA:
			t->body += got;
			break;
		case HTTP_END:
			t->whole++;
			more = http_head(p)->keep_alive && t->whole < 100;
			if (more)
				http_parser_next(p);
			break;
		case HTTP_BAD:
			t->status = http_bad_status(p);
			t->why = http_why(p);
			more = false;
			break;
		case HTTP_MORE:
		default:
			more = at + used < len;
		}
		at += used;
	}
	http_canon_fini(c);
	free(c);
	http_parser_free(p);
}
#endif
