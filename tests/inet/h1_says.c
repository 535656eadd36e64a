/* h1_says - what our HTTP/1 makes of messages: the parser's view, and the bytes that would be sent upstream
 *
 * For comparison with other parsers (differ.py). stdin: any number of inputs, each `u8` mode, `u8` index into
 * asked[], `u32` length, bytes. stdout: one line of JSON for each, its texts in hex. Modes: 0 a connection on
 * port 80, 1 the explicit proxy, 2 inside of TLS with a.test, 3 answers of an upstream, first asked for by
 * that method, then by GET. A request goes the whole way that has no I/O: parser and canonical request
 * of the front, the frame between front and vault, the head and body as the vault writes them.
 */
#include "egress/chan.h"
#include "http/canon.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX (1u << 20)
#define MESSAGES  16

static const char *const asked[] = {"GET", "HEAD", "POST", "CONNECT"};

static void hex(const char *key, const void *p, size_t len, const char *after)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = p;

	if (key)
		(void)printf("\"%s\":", key);
	(void)putchar('"');
	for (size_t i = 0; i < len; i++) {
		(void)putchar(digits[b[i] >> 4]);
		(void)putchar(digits[b[i] & 15]);
	}
	(void)printf("\"%s", after);
}

static void hex_text(const char *key, const char *s)
{
	hex(key, s ? s : "", s ? strlen(s) : 0, ",");
}

static void fields(const char *key, const struct http_field *f, size_t n)
{
	(void)printf("\"%s\":[", key);
	for (size_t i = 0; i < n; i++) {
		(void)printf("%s[", i > 0 ? "," : "");
		hex(NULL, f[i].name, f[i].name_len, ",");
		hex(NULL, f[i].value, f[i].value_len, "]");
	}
	(void)printf("],");
}

/* What stands in for the vault's side of one exchange. */
struct sending {
	struct vault *v;
	struct chan c;
	struct up u;
	struct buf frame;
	bool on;
};

static void sending_end(struct sending *s)
{
	if (!s->on)
		return;
	http_parser_free(s->u.parser);
	buf_fini(&s->u.out);
	buf_fini(&s->frame);
	s->on = false;
}

/* sending_begin() - the judged request through its frame into the vault's writer; false: it is not sent */
static bool sending_begin(struct sending *s, const struct http_canon *k)
{
	bool end = !k->has_body && k->q.kind != EGRESS_WEBSOCKET;
	struct egress_frame f;
	size_t used = 0;

	memset(&s->c, 0, sizeof(s->c));
	memset(&s->u, 0, sizeof(s->u));
	buf_init(&s->frame, INPUT_MAX);
	buf_init(&s->u.out, 8 * INPUT_MAX);
	s->on = true;
	s->u.v = s->c.v = s->v;
	s->u.fd = s->c.fd = -1;
	s->c.up = &s->u;
	s->u.dirty = s->c.dirty = true; /* there is no round that would write */
	if (egress_put_request(&s->frame, &k->q, end) < 0)
		return false;
	if (egress_next_frame(s->frame.data, s->frame.len, &used, &f) != FRAME_GOT ||
		used != s->frame.len || egress_get_request(&f, &s->c.q) != PROTO_OK)
		return false;
	if (!policy_host_parse(s->c.q.host, strlen(s->c.q.host), &s->c.host))
		return false;
	s->c.front_end = end;
	s->c.body_declared = s->c.q.length != EGRESS_LENGTH_UNKNOWN;
	s->c.cred.fields = s->c.q.fields;
	s->c.cred.path = s->c.q.path;
	s->c.cred.query = s->c.q.query;
	h1_start(&s->c, &s->u);
	return s->u.out.len > 0;
}

/* sending_trailers() - as the front passes them on */
static bool sending_trailers(struct sending *s, const struct http_head *h)
{
	static char names[1 << 15];
	struct egress_fields t = {0};
	size_t at = 0;

	for (size_t i = 0; i < h->n_trailers && t.n < EGRESS_FIELDS_MAX; i++) {
		const struct http_field *f = &h->trailers[i];
		char *name = names + at;

		for (size_t k = 0; k <= f->name_len; k++)
			name[k] = (char)(f->name[k] >= 'A' && f->name[k] <= 'Z' ? f->name[k] | 0x20
										: f->name[k]);
		at += f->name_len + 1;
		if (!http_hop_field(name))
			t.v[t.n++] = (struct egress_field){.name = name,
				.value = f->value,
				.name_len = (uint16_t)f->name_len,
				.value_len = (uint16_t)f->value_len};
	}
	return t.n > 0 ? h1_trailers(&s->c, &t) : h1_send(&s->c, NULL, 0, true);
}

struct told {
	struct http_parser *p;
	struct http_canon canon;
	struct http_conn conn;
	struct sending sending;
	struct buf body;
	unsigned mode, n;
	const char *end, *why;
};

/* message() - the one that has just ended */
static void message(struct told *t)
{
	const struct http_head *h = http_head(t->p);

	(void)printf("%s{", t->n++ > 0 ? "," : "");
	if (t->mode == 3) {
		(void)printf("\"status\":%d,", h->status);
	} else {
		hex_text("method", h->method);
		hex_text("target", h->target);
		hex_text("canon_host", t->canon.q.host);
		(void)printf("\"port\":%u,", (unsigned)t->canon.q.port);
		hex_text("path", t->canon.q.path);
		hex_text("query", t->canon.q.query);
		hex("sent", t->sending.u.out.data, t->sending.u.out.len, ",");
		(void)printf("\"websocket\":%s,",
			t->canon.q.kind == EGRESS_WEBSOCKET ? "true" : "false");
	}
	fields("fields", h->fields, h->n_fields);
	fields("trailers", h->trailers, h->n_trailers);
	hex("body", t->body.data, t->body.len, ",");
	(void)printf("\"keep\":%s,\"upgrade\":%s}", h->keep_alive ? "true" : "false",
		h->upgrade ? "true" : "false");
}

/* on_head() - false: it goes no further */
static bool on_head(struct told *t)
{
	const struct http_head *h = http_head(t->p);

	buf_clear(&t->body);
	if (t->mode == 3)
		return true;
	sending_end(&t->sending);
	if (h->form == HTTP_AUTHORITY && t->mode == 1) {
		t->end = "connect";
		return false;
	}
	if (!http_canon_h1(&t->canon, &t->conn, h)) {
		t->end = "refused";
		t->why = t->canon.why;
		return false;
	}
	if (!sending_begin(&t->sending, &t->canon)) {
		t->end = "unsent";
		return false;
	}
	return true;
}

static bool on_data(struct told *t, const char *data, size_t n)
{
	return buf_add(&t->body, data, n) == 0 &&
	       (t->mode == 3 || h1_send(&t->sending.c, data, n, false));
}

/* on_end() - false: nothing more is looked at on this connection */
static bool on_end(struct told *t)
{
	const struct http_head *h = http_head(t->p);

	if (t->mode != 3 && t->canon.has_body && !sending_trailers(&t->sending, h))
		t->end = "unsent";
	message(t);
	if (!h->keep_alive ||
		(h->upgrade && (t->mode == 3 || t->canon.q.kind == EGRESS_WEBSOCKET)) ||
		t->n == MESSAGES) {
		t->end = "closes";
		return false;
	}
	http_parser_next(t->p);
	if (t->mode == 3)
		http_parser_expect(t->p, "GET", false);
	return true;
}

static size_t feed(struct told *t, const char *in, size_t len)
{
	size_t at = 0;

	for (;;) {
		const char *data;
		size_t used, n;

		switch (http_parse(t->p, in + at, len - at, &used, &data, &n)) {
		case HTTP_HEAD:
			at += used;
			if (!on_head(t))
				return at;
			break;
		case HTTP_DATA:
			at += used;
			if (!on_data(t, data, n))
				return at;
			break;
		case HTTP_END:
			at += used;
			if (!on_end(t))
				return at;
			break;
		case HTTP_BAD:
			t->end = "bad";
			t->why = http_why(t->p);
			return at + used;
		case HTTP_MORE:
		default:
			at += used;
			if (at < len)
				break;
			t->end = http_started(t->p) ? "cut" : "clean";
			if (http_started(t->p) && http_parse_eof(t->p) == HTTP_END) {
				message(t);
				t->end = "closes";
			}
			return at;
		}
	}
}

static void one(struct vault *v, unsigned mode, unsigned ask, const char *in, size_t len)
{
	static struct told t;
	static struct policy_host tls_host;
	size_t used;

	memset(&t, 0, sizeof(t));
	t.sending.v = v;
	t.mode = mode;
	t.end = t.why = "";
	buf_init(&t.body, INPUT_MAX);
	http_canon_init(&t.canon);
	t.p = http_parser_new_limits(mode == 3 ? HTTP_RESPONSE : HTTP_REQUEST, &http_limits_proxy);
	if (!t.p || !policy_host_parse("a.test", 6, &tls_host))
		_exit(3);
	t.conn = (struct http_conn){.scheme = mode == 2 ? EGRESS_HTTPS : EGRESS_HTTP,
		.proxy = mode == 1,
		.host = mode == 2 ? &tls_host : NULL,
		.port = mode == 2   ? 443
			: mode == 1 ? 0
				    : 80};
	if (mode == 3)
		http_parser_expect(t.p, asked[ask % ARRAY_LEN(asked)], false);
	(void)printf("{\"messages\":[");
	used = feed(&t, in, len);
	(void)printf("],\"end\":\"%s\",\"why\":\"%s\",\"used\":%zu}\n", t.end, t.why, used);
	sending_end(&t.sending);
	http_canon_fini(&t.canon);
	buf_fini(&t.body);
	http_parser_free(t.p);
}

int main(void)
{
	static struct vault v;
	static char in[INPUT_MAX];
	uint8_t head[6];

	while (fread(head, 1, sizeof(head), stdin) == sizeof(head)) {
		size_t len = head[2] | (size_t)head[3] << 8 | (size_t)head[4] << 16 |
			     (size_t)head[5] << 24;

		if (head[0] > 3 || len > sizeof(in) || fread(in, 1, len, stdin) != len) {
			(void)fprintf(stderr, "h1_says: malformed input\n");
			return 2;
		}
		one(&v, head[0], head[1], in, len);
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
