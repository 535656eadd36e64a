/* HTTP/1 of the guest: requests one after the other; the next is looked at when the last is answered. */
#include "egress/front.h"
#include "http/write.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define READS 4

void front_h1_begin(struct front_stream *s)
{
	s->h1 = http_parser_new_limits(HTTP_REQUEST, &http_limits_proxy);
	if (!s->h1) {
		front_stream_kill(s);
		return;
	}
	s->state = FRONT_H1;
	s->held = false;
	s->heard = false;
	front_stream_deadline(s, FRONT_HEAD_MS);
	s->again = true;
	front_stream_dirty(s);
}

static struct http_conn conn_of(const struct front_stream *s)
{
	bool named = s->host.kind != POLICY_HOST_NONE;

	return (struct http_conn){.scheme = s->scheme,
		.proxy = s->proxy && !s->connected,
		.host = named ? &s->host : NULL,
		.port = s->proxy && !s->connected ? 0 : s->port,
		.to = s->proxy ? (struct egress_addr){0} : s->to.to};
}

/* refuse() - a request that was not understood: answer, then the connection ends */
static void refuse(struct front_stream *s, int status, const char *code, const char *why)
{
	struct front_exchange *x = front_exchange_new(s, FRONT_HTTP);

	s->f->stats.faults++;
	if (!x) {
		front_stream_kill(s);
		return;
	}
	x->kind = POLICY_HTTP;
	x->closes = x->up_over = true;
	x->status = (uint16_t)status;
	x->host = s->f->canon.host.kind != POLICY_HOST_NONE ? s->f->canon.host : s->host;
	x->port = s->port;
	front_record(x, EGRESS_REFUSED, code, NULL);
	front_deny(x, status, code, why, NULL);
}

static void put_status(struct front_stream *s, const char *text)
{
	if (buf_add(&s->out, text, strlen(text)) < 0)
		front_stream_kill(s);
	front_stream_dirty(s);
}

/* on_connect() - the explicit proxy's tunnel: what comes through it is judged like any connection */
static void on_connect(struct front_stream *s, const struct http_head *h)
{
	struct front_exchange *x = front_exchange_new(s, FRONT_HTTP);
	struct policy_verdict v;

	if (!x) {
		front_stream_kill(s);
		return;
	}
	x->kind = POLICY_TCP;
	x->up_over = true;
	(void)snprintf(x->method, sizeof(x->method), "CONNECT");
	if (!http_authority(h->target, strlen(h->target), 0, &x->host, &x->port)) {
		x->closes = true;
		x->status = 400;
		front_record(x, EGRESS_REFUSED, "malformed", NULL);
		front_deny(x, 400, "malformed", "malformed authority", NULL);
		return;
	}
	x->address = x->host.address;
	s->f->stats.requests++;
	front_judge(x, &v);
	if (v.decision == POLICY_DENY) {
		x->closes = true;
		x->status = 403;
		front_record(x, EGRESS_DENY, policy_reason_name(v.reason), NULL);
		front_deny(x, 403, "denied", policy_reason_text(v.reason), v.rule);
		return;
	}
	s->host = x->host;
	s->port = x->port;
	s->connected = true;
	x->recorded = true; /* what comes through it has records of its own */
	x->down_over = true;
	put_status(s, "HTTP/1.1 200 Connection established\r\n\r\n");
	front_exchange_over(x);
}

/* after_connect() - the parser has done its part; the connection begins anew */
static void after_connect(struct front_stream *s)
{
	http_parser_free(s->h1);
	s->h1 = NULL;
	s->state = FRONT_SNIFF;
	s->held = false;
	s->again = true;
	front_stream_deadline(s, front_silent_ms(s->port));
	front_stream_dirty(s);
}

static void on_head(struct front_stream *s)
{
	const struct http_head *h = http_head(s->h1);
	const struct http_conn conn = conn_of(s);
	struct front_exchange *x;

	s->deadline = 0;
	if (h->form == HTTP_AUTHORITY && s->proxy && !s->connected) {
		on_connect(s, h);
		return;
	}
	if (!http_canon_h1(&s->f->canon, &conn, h)) {
		refuse(s, s->f->canon.status, s->f->canon.code, s->f->canon.why);
		return;
	}
	x = front_exchange_new(s, FRONT_HTTP);
	if (!x) {
		front_stream_kill(s);
		return;
	}
	x->closes = !h->keep_alive;
	x->old = h->minor == 0;
	front_exchange_request(x, !s->f->canon.has_body && s->f->canon.q.kind != EGRESS_WEBSOCKET);
}

static void on_end(struct front_stream *s)
{
	const struct http_head *h = http_head(s->h1);
	struct front_exchange *x = s->exchanges;
	struct egress_fields *f = &s->f->fields;
	char *names;

	if (!x || !x->has_body || x->up_over)
		return;
	f->n = 0;
	buf_clear(&s->f->text);
	for (size_t i = 0; i < h->n_trailers && f->n < EGRESS_FIELDS_MAX; i++) {
		const struct http_field *t = &h->trailers[i];

		/* all at once, so that they do not move; a trailer has 16 KiB at most */
		if (buf_room(&s->f->text, t->name_len + 1, &names) < 0)
			break;
		for (size_t k = 0; k <= t->name_len; k++)
			names[k] = (char)(t->name[k] >= 'A' && t->name[k] <= 'Z' ? t->name[k] | 0x20
										 : t->name[k]);
		buf_grew(&s->f->text, t->name_len + 1);
		if (http_hop_field(names))
			continue;
		f->v[f->n++] = (struct egress_field){.name = names,
			.value = t->value,
			.name_len = (uint16_t)t->name_len,
			.value_len = (uint16_t)t->value_len};
	}
	front_exchange_up_end(x, f);
}

static void message_over(struct front_stream *s)
{
	on_end(s);
	if (s->dead || s->state != FRONT_H1)
		return;
	http_parser_next(s->h1);
	s->heard = false;
}

/* head_over() - a message without body ends with its head; the parser says so at the next call, which may
 * be long from now. After a CONNECT the connection is another.
 */
static void head_over(struct front_stream *s)
{
	const char *data;
	size_t used, n;

	if (s->dead || s->state != FRONT_H1)
		return;
	if (s->connected && http_head(s->h1)->form == HTTP_AUTHORITY) {
		after_connect(s);
	} else if (http_head(s->h1)->body == HTTP_NO_BODY) {
		(void)!http_parse(s->h1, "", 0, &used, &data, &n);
		http_parser_next(s->h1);
		s->heard = false;
	}
}

/* ready() - may the parser have bytes now? A message after this one waits for the answer. */
static bool ready(const struct front_stream *s)
{
	const struct front_exchange *x = s->exchanges;

	if (s->dead || s->state != FRONT_H1)
		return false;
	if (!x)
		return true;
	if (x->kind == POLICY_WEBSOCKET)
		return x->ws && !x->up_over && front_exchange_room(x) > 0;
	return x->has_body && !x->up_over && front_exchange_room(x) > 0;
}

/* feed() - bytes to the parser, as long as there is somewhere for them to go; how many were used */
static size_t feed(struct front_stream *s, const char *p, size_t len)
{
	size_t at = 0;

	while (at < len && ready(s)) {
		const char *data;
		size_t used, n;

		if (s->exchanges && s->exchanges->ws) {
			front_exchange_up(s->exchanges, p + at, len - at);
			return len;
		}
		if (!s->heard) {
			s->heard = true;
			s->began = s->f->now;
			front_stream_deadline(s, FRONT_HEAD_MS);
		}
		switch (http_parse(s->h1, p + at, len - at, &used, &data, &n)) {
		case HTTP_HEAD:
			at += used;
			on_head(s);
			head_over(s);
			break;
		case HTTP_DATA:
			at += used;
			if (s->exchanges)
				front_exchange_up(s->exchanges, data, n);
			/* The last byte may be the end, which is told at the next call only. */
			if (!s->dead && s->state == FRONT_H1 &&
				http_parse(s->h1, "", 0, &used, &data, &n) == HTTP_END)
				message_over(s);
			break;
		case HTTP_END:
			at += used;
			message_over(s);
			break;
		case HTTP_BAD:
			if (s->exchanges) /* within a body: its request is given up */
				front_exchange_cut(s->exchanges, 400, "malformed", http_why(s->h1));
			else {
				s->f->canon.host.kind = POLICY_HOST_NONE;
				refuse(s, http_bad_status(s->h1), "malformed", http_why(s->h1));
			}
			if (!s->dead)
				front_stream_last(s);
			return len;
		case HTTP_MORE:
		default:
			return len;
		}
	}
	return at;
}

/* at_eof() - the guest sends nothing more: a whole request is still answered */
static void at_eof(struct front_stream *s)
{
	struct front_exchange *x = s->exchanges;

	if (x && x->ws && !x->up_over) {
		front_exchange_up_end(x, NULL);
		return;
	}
	if (x && x->up_over) {
		x->closes = true;
		return;
	}
	if (x || http_started(s->h1))
		front_stream_kill(s); /* cut within a message */
	else
		front_stream_last(s);
}

void front_h1_input(struct front_stream *s)
{
	if (s->in.len > 0) {
		size_t used = feed(s, s->in.data, s->in.len);

		if (s->dead || s->state == FRONT_LAST)
			return;
		buf_eat(&s->in, used);
		if (s->in.len > 0 || s->state != FRONT_H1) {
			s->held = s->state == FRONT_H1;
			return;
		}
	}
	for (unsigned i = 0; i < READS; i++) {
		size_t used;
		ssize_t n;

		/* While a request is answered the next bytes stay where they are. */
		if (!ready(s)) {
			s->held = s->state == FRONT_H1;
			return;
		}
		n = front_stream_read(s, s->f->scratch, sizeof(s->f->scratch));
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			if (n == 0)
				at_eof(s);
			else
				front_stream_kill(s);
			return;
		}
		used = feed(s, (const char *)s->f->scratch, (size_t)n);
		if (s->dead || s->state == FRONT_LAST)
			return;
		if (used < (size_t)n &&
			buf_add(&s->in, s->f->scratch + used, (size_t)n - used) < 0) {
			front_stream_kill(s);
			return;
		}
		if (s->state != FRONT_H1 ||
			(n < (ssize_t)sizeof(s->f->scratch) && !front_stream_ahead(s)))
			return;
	}
	s->again = true;
	front_stream_dirty(s);
}

/* ---- answers ---- */

static bool put(struct front_stream *s, const void *p, size_t len)
{
	if (s->dead)
		return false;
	if (buf_add(&s->out, p, len) == 0)
		return true;
	front_stream_kill(s);
	return false;
}

/* length_of() - of the body, when the vault knows it */
static uint64_t length_of(const struct egress_fields *f)
{
	const char *text = f ? egress_field(f, "content-length") : NULL;
	uint64_t v = 0;

	if (!text || !text[0] || strlen(text) > 18)
		return UINT64_MAX;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return UINT64_MAX;
		v = v * 10 + (uint64_t)(*text - '0');
	}
	return v;
}

static void put_fields(struct front_exchange *x, const struct egress_fields *f, bool with_length)
{
	for (uint16_t i = 0; f && i < f->n; i++) {
		const struct egress_field *v = &f->v[i];

		/* A length that is not understood is none: the body is then delimited in another way. */
		if (http_hop_field(v->name) && !(with_length && length_of(f) != UINT64_MAX &&
						       strcmp(v->name, "content-length") == 0))
			continue;
		if (x->ws && strcmp(v->name, "sec-websocket-accept") == 0)
			continue;
		if (http_put_text(&x->s->out, v->name, v->name_len, v->value, v->value_len) < 0) {
			/* what would split the answer in two */
			x->f->stats.faults++;
			front_stream_kill(x->s);
			return;
		}
	}
}

static void put_upgrade(struct front_exchange *x)
{
	char accept[WS_ACCEPT_CAP], line[96];
	int n;

	ws_accept(x->ws_key, accept);
	n = snprintf(line, sizeof(line),
		"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: %s\r\n",
		accept);
	(void)put(x->s, line, (size_t)n);
}

/* frame() - how the body is delimited; says so in the head */
static void frame(struct front_exchange *x, int status, const struct egress_fields *f, bool end)
{
	static const char zero[] = "content-length: 0\r\n",
			  chunked[] = "transfer-encoding: chunked\r\n",
			  closes[] = "connection: close\r\n";

	x->left = end || x->no_body ? UINT64_MAX : length_of(f);
	if (x->left == UINT64_MAX && !end && !x->no_body) {
		if (x->old)
			x->closes = true;
		else
			x->chunked = put(x->s, chunked, sizeof(chunked) - 1);
	}
	if (end && !x->no_body && status != 204 && status != 304 && length_of(f) != 0)
		(void)put(x->s, zero, sizeof(zero) - 1);
	if (x->closes)
		(void)put(x->s, closes, sizeof(closes) - 1);
}

void front_h1_head(struct front_exchange *x, int status, const struct egress_fields *f, bool end)
{
	struct front_stream *s = x->s;
	bool none = status < 200 || status == 204;
	char line[96];
	int n;

	if (x->old && status < 200)
		return;
	if (x->old)
		x->closes = true; /* nobody needs HTTP/1.0 to stay */
	n = snprintf(line, sizeof(line), "HTTP/1.1 %d %s\r\n", status, http_reason(status));
	if (!put(s, line, (size_t)n))
		return;
	put_fields(x, f, !none && !(end && !x->no_body && status != 304));
	if (status == 101)
		put_upgrade(x);
	else if (status >= 200)
		frame(x, status, f, end);
	(void)put(s, "\r\n", 2);
	front_stream_dirty(s);
	if (status == 101) {
		x->closes = true;
		front_stream_go_on(s);
	}
}

void front_h1_data(struct front_exchange *x, const void *p, size_t len, bool end)
{
	struct front_stream *s = x->s;
	char size[24];

	if (x->chunked && len > 0) {
		int n = snprintf(size, sizeof(size), "%zx\r\n", len);

		if (!put(s, size, (size_t)n))
			return;
	}
	if (len > 0 && (s->dead || front_stream_send(s, p, len) < 0))
		return;
	if (x->chunked && len > 0 && !put(s, "\r\n", 2))
		return;
	if (x->chunked && end && !put(s, "0\r\n\r\n", 5))
		return;
	front_stream_dirty(s);
}

void front_h1_trailers(struct front_exchange *x, const struct egress_fields *f)
{
	struct front_stream *s = x->s;

	if (x->chunked && put(s, "0\r\n", 3)) {
		put_fields(x, f, false);
		(void)put(s, "\r\n", 2);
	}
	front_stream_dirty(s);
}

void front_h1_done(struct front_stream *s, bool closes)
{
	if (closes || s->state != FRONT_H1) {
		if (s->state == FRONT_H1)
			front_stream_last(s);
		return;
	}
	front_stream_deadline(s, FRONT_KEEPALIVE_MS);
	front_stream_go_on(s);
}
