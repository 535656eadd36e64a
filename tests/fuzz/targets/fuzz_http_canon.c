/* fuzz_http_canon.c - a guest's bytes to canonical requests, in HTTP/1 and as HTTP/2's fields
 *
 * First byte: bit 0 HTTP/2 (lines "name:value" instead), bit 1 TLS, bit 2 explicit proxy, bit 3 nobody has
 * named the server yet. Whole and byte by byte it must come out the same; what comes out must come out
 * the same again when it is written and read once more.
 */
#include "http/canon.h"
#include "http/write.h"
#include "policy/path.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
	unsigned requests, ends;
	uint64_t body, sum;
	int status;
};

static void sum(struct told *t, const char *s)
{
	for (; *s; s++)
		t->sum = t->sum * 31 + (unsigned char)*s;
	t->sum = t->sum * 31 + 7;
}

/* check() - what a canonical request promises */
static void check(const struct http_canon *c, const struct http_conn *conn, struct told *t)
{
	const struct egress_request *q = &c->q;
	struct policy_host again;
	char path[POLICY_PATH_MAX + 1];
	unsigned flags;
	size_t len;

	assert(q->port > 0 && (q->path[0] == '/' || strcmp(q->path, "*") == 0));
	assert(q->query[0] == '\0' || q->query[0] == '?');
	assert(!strpbrk(q->query, "# \r\n\t") && strcmp(q->method, "TRACE") != 0);
	assert(policy_host_parse(q->host, strlen(q->host), &again));
	assert(strcmp(again.name, q->host) == 0);
	if (conn->host)
		assert(strcmp(conn->host->name, q->host) == 0 && q->port == conn->port);
	if (strcmp(q->path, "*") != 0) {
		assert(policy_path_canon(q->path, strlen(q->path), path, sizeof(path), &len,
			       &flags) == POLICY_PATH_OK);
		assert(strcmp(path, q->path) == 0);
	}
	sum(t, q->method);
	sum(t, q->host);
	sum(t, q->path);
	sum(t, q->query);
	for (uint16_t i = 0; i < q->fields.n; i++) {
		const struct egress_field *f = &q->fields.v[i];

		assert(strlen(f->name) == f->name_len && strlen(f->value) == f->value_len);
		assert(!http_hop_field(f->name) && strpbrk(f->value, "\r\n") == NULL);
		for (const char *s = f->name; *s; s++)
			assert(*s < 'A' || *s > 'Z');
		sum(t, f->name);
		sum(t, f->value);
	}
	assert(q->kind != EGRESS_WEBSOCKET || strcmp(q->method, "GET") == 0);
}

/* again() - written as HTTP/1 and read once more it is the same */
static void again(const struct http_canon *c, const struct http_conn *conn)
{
	struct http_conn plain = *conn;
	struct http_parser *p = http_parser_new_limits(HTTP_REQUEST, &http_limits_proxy);
	struct http_canon *d = malloc(sizeof(*d));
	const struct egress_request *q = &c->q;
	char target[POLICY_PATH_MAX + 40000];
	const char *out;
	size_t used, n;
	struct buf b;
	int bad = 0;

	assert(p && d);
	plain.proxy = false;
	plain.host = &c->host;
	plain.port = q->port;
	http_canon_init(d);
	buf_init(&b, 300000);
	snprintf(target, sizeof(target), "%s%s", q->path, q->query);
	bad |= buf_addf(&b, "%s %s HTTP/1.1\r\n", q->method, target);
	bad |= buf_addf(&b, strchr(q->host, ':') ? "host: [%s]:%u\r\n" : "host: %s:%u\r\n", q->host,
		q->port);
	for (uint16_t i = 0; i < q->fields.n; i++)
		bad |= http_put_text(&b, q->fields.v[i].name, q->fields.v[i].name_len,
			q->fields.v[i].value, q->fields.v[i].value_len);
	bad |= http_put_end(&b);
	assert(!bad);
	if (b.len <= http_limits_proxy.head_max && q->fields.n < EGRESS_FIELDS_MAX &&
		strlen(target) < http_limits_proxy.target_max) {
		assert(http_parse(p, b.data, b.len, &used, &out, &n) == HTTP_HEAD);
		assert(http_canon_h1(d, &plain, http_head(p)));
		assert(strcmp(d->q.path, q->path) == 0 && strcmp(d->q.query, q->query) == 0);
		assert(strcmp(d->q.host, q->host) == 0 && d->q.port == q->port);
		assert(d->q.fields.n == q->fields.n);
	}
	buf_fini(&b);
	http_canon_fini(d);
	free(d);
	http_parser_free(p);
}

static struct told feed_h1(
	const struct http_conn *conn, const char *in, size_t len, size_t piece, bool twice)
{
	struct http_parser *p = http_parser_new_limits(HTTP_REQUEST, &http_limits_proxy);
	struct http_canon *c = malloc(sizeof(*c));
	struct told t = {0};
	size_t at = 0;
	bool more = true;

	assert(p && c);
	http_canon_init(c);
	while (more) {
		size_t n = len - at < piece ? len - at : piece, used, got = 0;
		const char *data;

		switch (http_parse(p, in + at, n, &used, &data, &got)) {
		case HTTP_HEAD:
			if (!http_canon_h1(c, conn, http_head(p))) {
				assert(c->status >= 400 && c->code[0] && c->why[0]);
				t.status = c->status;
				more = false;
				break;
			}
			t.requests++;
			check(c, conn, &t);
			if (twice)
				again(c, conn);
			break;
		case HTTP_DATA:
			t.body += got;
			break;
		case HTTP_END:
			for (size_t i = 0; i < http_head(p)->n_trailers; i++)
				sum(&t, http_head(p)->trailers[i].name);
			more = http_head(p)->keep_alive && ++t.ends < 5;
			if (more)
				http_parser_next(p);
			break;
		case HTTP_BAD:
			t.status = http_bad_status(p);
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
	return t;
}

/* feed_h2() - lines as fields; nghttp2 has seen to their grammar: token names in lower case, no control
 * bytes in values
 */
static void feed_h2(const struct http_conn *conn, char *text)
{
	static struct egress_fields f;
	struct http_canon *c = malloc(sizeof(*c));
	struct h2_head h = {.fields = &f};
	struct told t = {0};
	char *line, *save = NULL;

	assert(c);
	http_canon_init(c);
	f.n = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *colon = strchr(line + 1, ':');

		if (!line[0] || !colon || f.n == EGRESS_FIELDS_MAX || strlen(colon + 1) > 65535)
			continue;
		*colon++ = '\0';
		if (strspn(colon, " \t") || (*colon && strchr(" \t", colon[strlen(colon) - 1])))
			continue;
		if (strcmp(line, ":method") == 0)
			h.method = colon;
		else if (strcmp(line, ":scheme") == 0)
			h.scheme = colon;
		else if (strcmp(line, ":authority") == 0)
			h.authority = colon;
		else if (strcmp(line, ":path") == 0)
			h.path = colon;
		else if (strcmp(line, ":protocol") == 0)
			h.protocol = colon;
		else if (line[strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789-_")] == '\0' &&
			 strlen(line) < 200)
			f.v[f.n++] = (struct egress_field){.name = line,
				.value = colon,
				.name_len = (uint16_t)strlen(line),
				.value_len = (uint16_t)strlen(colon)};
	}
	if (h.method && h.method[0]) {
		if (http_canon_h2(c, conn, &h, false))
			check(c, conn, &t);
		else
			assert(c->status >= 400 && c->code[0] && c->why[0]);
		(void)!http_canon_no_overrides(c);
	}
	http_canon_fini(c);
	free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_conn conn = {.scheme = EGRESS_HTTP, .port = 80};
	struct policy_host host;
	char *text;

	if (size < 1 || !policy_host_parse("a.test", 6, &host))
		return 0;
	if (data[0] & 2) {
		conn.scheme = EGRESS_HTTPS;
		conn.port = 443;
	}
	if (!(data[0] & 8))
		conn.host = &host;
	if ((data[0] & 4) && !(data[0] & 1)) {
		conn.proxy = true;
		conn.port = 0;
		conn.host = NULL;
	}
	text = malloc(size);
	assert(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] & 1) {
		for (size_t i = 0; i + 1 < size; i++)
			if ((unsigned char)text[i] < 0x20 && text[i] != '\n' && text[i] != '\t')
				text[i] = 'x';
		feed_h2(&conn, text);
	} else {
		struct told whole = feed_h1(&conn, text, size - 1, SIZE_MAX, true);
		struct told bytes = feed_h1(&conn, text, size - 1, 1, false);

		assert(whole.requests == bytes.requests && whole.ends == bytes.ends);
		assert(whole.body == bytes.body && whole.sum == bytes.sum);
		assert(whole.status == bytes.status);
	}
	free(text);
	return 0;
}
