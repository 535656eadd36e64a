/* fuzz_http2.c - frames of a hostile peer, either role; what is told keeps to the header's promises
 *
 * First byte: bit 0 the peer is a server (else a guest), bit 1 nothing is consumed, bit 2 each request is
 * answered. The rest are frames, after the preface and SETTINGS.
 */
#include "http/h2.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STREAMS 4096

struct side {
	struct h2 *h;
	uint8_t mode;
	uint8_t seen[STREAMS]; /* 1: told of, 2: ended, 4: closed */
	size_t data;
};

static void on_head(void *ctx, int32_t id, void *user, const struct h2_head *h, bool end)
{
	struct side *s = ctx;

	assert(id > 0);
	assert(h->fields->n <= EGRESS_FIELDS_MAX);
	if (id < STREAMS) {
		assert(!(s->seen[id] & 6));
		s->seen[id] |= (uint8_t)(1 | (end ? 2 : 0));
	}
	(void)user;
	if (h->why) {
		assert(h->bad_status >= 400);
		return;
	}
	for (uint16_t i = 0; i < h->fields->n; i++) {
		const struct egress_field *f = &h->fields->v[i];

		assert(strlen(f->name) == f->name_len && strlen(f->value) == f->value_len);
		assert(f->name[0] != ':' && !strpbrk(f->value, "\r\n"));
	}
	if (!(s->mode & 1)) {
		assert(h->method && h->method[0]);
		if (s->mode & 4) {
			(void)!h2_respond(s->h, id, 200, NULL, false);
			(void)!h2_send(s->h, id, "body", 4);
			(void)!h2_end(s->h, id, NULL);
		}
	} else {
		assert(h->status >= 100 && h->status <= 999);
	}
}

static void on_data(void *ctx, int32_t id, void *user, const uint8_t *p, size_t len)
{
	struct side *s = ctx;

	(void)user;
	(void)p;
	assert(id >= STREAMS || (s->seen[id] & 7) == 1);
	s->data += len;
	if (!(s->mode & 2))
		h2_consume(s->h, id, len);
	else
		assert(s->data <= H2_SESSION_WINDOW);
}

static void on_end(void *ctx, int32_t id, void *user, const struct egress_fields *t)
{
	struct side *s = ctx;

	(void)user;
	assert(id >= STREAMS || (s->seen[id] & 7) == 1);
	assert(!t || t->n <= EGRESS_FIELDS_MAX);
	if (id < STREAMS)
		s->seen[id] |= 2;
}

static void on_closed(void *ctx, int32_t id, void *user, uint32_t code)
{
	struct side *s = ctx;

	(void)user;
	(void)code;
	assert(id >= STREAMS || !(s->seen[id] & 4));
	if (id < STREAMS)
		s->seen[id] |= 4;
}

static void on_malformed(void *ctx, int32_t id, const char *why)
{
	(void)ctx;
	(void)id;
	assert(why && why[0]);
}

static const struct h2_ops ops = {.head = on_head,
	.data = on_data,
	.end = on_end,
	.closed = on_closed,
	.malformed = on_malformed};

static void drain(struct h2 *h)
{
	struct buf b;
	bool more = true;

	for (unsigned i = 0; i < 64 && more; i++) {
		buf_init(&b, 4U << 20);
		if (h2_output(h, &b, 65536, &more) < 0)
			more = false;
		buf_fini(&b);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	static struct side s;
	const struct egress_fields none = {.n = 0};
	const struct h2_head q = {
		.method = "GET", .scheme = "https", .authority = "a", .path = "/", .fields = &none};
	struct h2_options o = {.ops = &ops, .ctx = &s, .extended_connect = true};
	size_t skip = 24;
	int r;

	if (size < 1)
		return 0;
	memset(&s, 0, sizeof(s));
	s.mode = data[0];
	o.role = s.mode & 1 ? H2_CLIENT : H2_SERVER;
	s.h = h2_new(&o);
	assert(s.h);
	if (s.mode & 1) {
		for (unsigned i = 0; i < 3; i++)
			(void)!h2_request(s.h, &q, i != 1, NULL);
		drain(s.h);
	} else {
		skip = 0;
	}
	r = h2_input(s.h, preface + skip, sizeof(preface) - 1 - skip, 0);
	assert(r == 0);
	for (size_t at = 1; at < size && r == 0;) {
		size_t n = size - at < 50 ? size - at : 50;

		r = h2_input(s.h, data + at, n, 0);
		at += n;
		drain(s.h);
	}
	assert(h2_streams(s.h) <= H2_STREAMS_MAX + 3);
	assert(h2_bytes(s.h) < (1U << 20));
	h2_free(s.h);
	return 0;
}
