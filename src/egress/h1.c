/* An exchange over HTTP/1.1: the canonical request is written out, the answer parsed strictly (http/http1.h) */
#include "egress/chan.h"
#include "base/clock.h"
#include "http/write.h"
#include "http/ws.h"
#include "tls/digest.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define H1_READ (4 * H2_FRAME_BODY) /* so that what becomes frames for the guest fills them */

static int put(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

static int put_field(
	struct buf *b, const char *name, size_t name_len, const char *value, size_t len)
{
	char *p;
	int r;

	if (memchr(value, '\r', len) || memchr(value, '\n', len) || memchr(value, '\0', len))
		return -EINVAL;
	r = buf_room(b, name_len + len + 4, &p);
	if (r < 0)
		return r;
	memcpy(p, name, name_len);
	memcpy(p + name_len, ": ", 2);
	memcpy(p + name_len + 2, value, len);
	memcpy(p + name_len + 2 + len, "\r\n", 2);
	buf_grew(b, name_len + len + 4);
	return 0;
}

/* ---- the request ---- */

static int put_host(const struct chan *c, struct buf *b)
{
	bool six = c->host.kind == POLICY_HOST_ADDRESS && c->host.address.family == 6;
	uint16_t usual = c->q.scheme == EGRESS_HTTPS ? 443 : 80;
	int r = put(b, six ? "[" : "");

	if (r == 0)
		r = buf_add(b, c->host.name, c->host.len);
	if (r == 0 && six)
		r = put(b, "]");
	if (r == 0 && c->q.port != usual)
		r = buf_addf(b, ":%u", (unsigned)c->q.port);
	return r;
}

static int put_line(const struct chan *c, const struct up *u, struct buf *b)
{
	int r = put(b, c->q.method);

	if (r == 0)
		r = put(b, " ");
	if (r == 0 && u->absolute) {
		r = put(b, "http://");
		if (r == 0)
			r = put_host(c, b);
	}
	if (r == 0)
		r = put(b, c->cred.path);
	if (r == 0)
		r = put(b, c->cred.query);
	if (r == 0)
		r = put(b, " HTTP/1.1\r\nhost: ");
	if (r == 0)
		r = put_host(c, b);
	if (r == 0)
		r = put(b, "\r\n");
	if (r == 0 && u->absolute)
		r = up_put_proxy_auth(u->proxy, b);
	return r;
}

/* put_cookies() - HTTP/2 may have cut them into crumbs (RFC 9113 8.2.3) */
static int put_cookies(const struct egress_fields *f, struct buf *b)
{
	bool any = false;
	int r = 0;

	for (uint16_t i = 0; i < f->n && r == 0; i++) {
		if (strcmp(f->v[i].name, "cookie") != 0)
			continue;
		r = put(b, any ? "; " : "cookie: ");
		if (r == 0)
			r = buf_add(b, f->v[i].value, f->v[i].value_len);
		any = true;
	}
	return r == 0 && any ? put(b, "\r\n") : r;
}

static bool is_ours(const char *name)
{
	static const char *const ours[] = {"host", "content-length", "transfer-encoding",
		"connection", "keep-alive", "upgrade", "te", "trailer", "expect",
		"proxy-connection", "proxy-authorization", "cookie", "http2-settings"};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (name[0] == ours[i][0] && strcmp(name, ours[i]) == 0)
			return true;
	return false;
}

/* put_websocket() - the key is the client's own when it came over HTTP/1, else one of ours */
static int put_websocket(struct chan *c, struct buf *b)
{
	uint8_t random[16];
	const char *key = egress_field(&c->cred.fields, "sec-websocket-key");
	int r = put(b, "connection: Upgrade\r\nupgrade: websocket\r\n");

	if (r < 0)
		return r;
	if (key) {
		(void)snprintf(c->key, sizeof(c->key), "%s", key);
		return 0;
	}
	if (tls_random(random, sizeof(random)) < 0)
		return -EIO;
	ws_key(random, c->key);
	c->own_key = true;
	r = put_field(b, "sec-websocket-key", 17, c->key, strlen(c->key));
	return r < 0 || egress_field(&c->cred.fields, "sec-websocket-version")
		       ? r
		       : put(b, "sec-websocket-version: 13\r\n");
}

static int put_framing(const struct chan *c, struct buf *b)
{
	bool may_have = strcmp(c->q.method, "GET") != 0 && strcmp(c->q.method, "HEAD") != 0 &&
			strcmp(c->q.method, "OPTIONS") != 0 && strcmp(c->q.method, "DELETE") != 0;

	if (c->front_end && (c->body.len > 0 || may_have))
		return buf_addf(b, "content-length: %zu\r\n", c->body.len);
	if (c->front_end)
		return 0;
	if (c->body_declared)
		return buf_addf(b, "content-length: %llu\r\n", (unsigned long long)c->q.length);
	return put(b, "transfer-encoding: chunked\r\n");
}

static int put_head(struct chan *c, struct up *u)
{
	const struct egress_fields *f = &c->cred.fields;
	struct buf *b = &u->out;
	int r = put_line(c, u, b);

	for (uint16_t i = 0; i < f->n && r == 0; i++)
		if (!is_ours(f->v[i].name))
			r = put_field(b, f->v[i].name, f->v[i].name_len, f->v[i].value,
				f->v[i].value_len);
	if (r == 0)
		r = put_cookies(f, b);
	if (r == 0)
		r = c->q.kind == EGRESS_WEBSOCKET ? put_websocket(c, b) : put_framing(c, b);
	if (r == 0)
		r = put(b, "\r\n");
	return r;
}

/* is_chunked() - the request's body is of unknown length */
static bool is_chunked(const struct chan *c)
{
	return !c->body_declared;
}

void h1_start(struct chan *c, struct up *u)
{
	size_t before = u->out.len;
	int r;

	u->chan = c;
	if (!u->parser)
		u->parser = http_parser_new_limits(HTTP_RESPONSE, &http_limits_proxy);
	if (!u->parser) {
		chan_fail(c, 503, "limit", "no memory");
		return;
	}
	http_parser_expect(u->parser, c->q.method, c->q.kind == EGRESS_WEBSOCKET);
	r = put_head(c, u);
	if (r == 0 && c->body.len > 0) {
		r = c->front_end || !is_chunked(c)
			    ? buf_add(&u->out, c->body.data, c->body.len)
			    : http_put_chunk(&u->out, c->body.data, c->body.len);
		c->bytes_up += c->body.len;
	}
	if (r < 0) {
		u->out.len = before;
		chan_fail(c, 400, "malformed", "the request cannot be written");
		return;
	}
	up_want(u, true);
	up_dirty(u);
}

bool h1_send(struct chan *c, const void *p, size_t len, bool end)
{
	struct up *u = c->up;
	int r = 0;

	if (is_chunked(c)) {
		r = http_put_chunk(&u->out, p, len);
		if (r == 0 && end)
			r = http_put_last_chunk(&u->out);
	} else if (len > 0) {
		r = up_send(u, p, len);
	}
	if (r < 0)
		chan_close(c);
	up_dirty(u);
	return true;
}

bool h1_trailers(struct chan *c, const struct egress_fields *f)
{
	struct buf *b = &c->up->out;
	int r = 0;

	if (is_chunked(c)) {
		r = put(b, "0\r\n");
		for (uint16_t i = 0; i < f->n && r == 0; i++)
			if (!is_ours(f->v[i].name) && strcmp(f->v[i].name, "authorization") != 0)
				r = put_field(b, f->v[i].name, f->v[i].name_len, f->v[i].value,
					f->v[i].value_len);
		if (r == 0)
			r = put(b, "\r\n");
	}
	if (r < 0)
		chan_close(c);
	up_dirty(c->up);
	return true;
}

/* ---- the answer ---- */

/* lower() - fields in the form of frames; names become lower case where they stand, in the parser */
static void convert(const struct http_field *from, size_t n, struct egress_fields *to)
{
	to->n = 0;
	for (size_t i = 0; i < n && to->n < EGRESS_FIELDS_MAX; i++) {
		char *name = (char *)(uintptr_t)from[i].name;

		if (from[i].name_len > UINT16_MAX || from[i].value_len > UINT16_MAX)
			continue;
		for (char *p = name; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p + 32);
		to->v[to->n++] = (struct egress_field){.name = name,
			.value = from[i].value,
			.name_len = (uint16_t)from[i].name_len,
			.value_len = (uint16_t)from[i].value_len};
	}
}

static void take_head(struct up *u)
{
	const struct http_head *h = http_head(u->parser);
	static struct egress_fields f; /* large */
	struct chan *c = u->chan;

	convert(h->fields, h->n_fields, &f);
	if (h->status == 101 && !ws_check_response(c->key, &c->cred.fields, &f)) {
		exchange_broken(c, false, "its answer to the WebSocket handshake is wrong");
		up_close(u);
		return;
	}
	if (h->status == 101) {
		exchange_head(c, 101, 1, &f, false);
		if (!c->dead && c->up == u)
			tunnel_upgraded(c, ws_deflates(&f));
		return;
	}
	exchange_head(c, h->status, 1, &f,
		h->status >= 200 &&
			(h->body == HTTP_NO_BODY || (h->body == HTTP_LENGTH && h->length == 0)));
}

/* finish() - the answer is whole */
static void finish(struct up *u)
{
	const struct http_head *h = http_head(u->parser);
	struct chan *c = u->chan;
	bool ended = h->body == HTTP_NO_BODY || (h->body == HTTP_LENGTH && h->length == 0);
	bool keep = h->keep_alive && c->front_end && up_queued(u) == 0 && !u->broken_write;
	static struct egress_fields trailers; /* large */

	convert(h->trailers, h->n_trailers, &trailers);
	c->up = NULL;
	u->chan = NULL;
	if (ended && !c->cred.oauth)
		chan_done(c);
	else
		exchange_end(c, trailers.n > 0 ? &trailers : NULL);
	if (!keep) {
		up_close(u);
		return;
	}
	http_parser_next(u->parser);
	up_idle(u);
}

/* feed() - what was read; false: nothing more is to be read for now */
static bool feed(struct up *u, const uint8_t *p, size_t len)
{
	while (u->chan && !u->dead) {
		struct chan *c = u->chan;
		const char *data;
		size_t used, data_len;

		if (c->state == CHAN_TUNNEL) {
			tunnel_data(c, p, len);
			return !u->dead;
		}
		switch (http_parse(u->parser, p, len, &used, &data, &data_len)) {
		case HTTP_MORE:
			if (!c->answered && !c->head_ms && http_started(u->parser))
				c->head_ms = clock_ms();
			return true;
		case HTTP_HEAD:
			take_head(u);
			break;
		case HTTP_DATA:
			exchange_data(c, data, data_len);
			break;
		case HTTP_END:
			if (used != len) {
				/* An answer nobody asked for: nothing of this connection is trusted. */
				u->v->faults++;
				u->broken_write = true;
			}
			finish(u);
			return false;
		case HTTP_BAD:
			u->v->faults++;
			exchange_broken(
				c, false, "its answer is malformed (%s)", http_why(u->parser));
			u->chan = NULL;
			up_close(u);
			return false;
		}
		p += used;
		len -= used;
	}
	return false;
}

static void ended(struct up *u, ssize_t n)
{
	struct chan *c = u->chan;
	bool untouched = u->uses > 1 && !http_started(u->parser);

	if (n == 0 || (n == -ECONNRESET && !u->tls)) {
		if (http_parse_eof(u->parser) == HTTP_END && http_started(u->parser)) {
			finish(u);
			return;
		}
	}
	u->chan = NULL;
	exchange_broken(c, untouched, "the connection was closed before the answer was whole");
	up_close(u);
}

void h1_io(struct up *u)
{
	struct vault *v = u->v;

	for (unsigned i = 0; i < 16 && !u->dead && u->chan; i++) {
		ssize_t n;

		if (!chan_room(u->chan)) {
			up_want(u, false);
			return;
		}
		n = up_read(u, v->scratch, H1_READ);
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			if (u->chan->state == CHAN_TUNNEL)
				tunnel_ended(u->chan, n);
			else
				ended(u, n);
			return;
		}
		if (!feed(u, v->scratch, (size_t)n))
			return;
	}
	/* More may wait inside of the session, where the descriptor does not tell. */
	if (!u->dead && u->chan) {
		u->kick = true;
		up_dirty(u);
	}
}
