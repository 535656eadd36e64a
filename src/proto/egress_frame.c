#include "proto/egress_wire.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

/* What may come with END, and what must. */
#define ENDS_NEVER  1
#define ENDS_ALWAYS 2
#define ENDS_EITHER 3

static unsigned ends(unsigned type)
{
	switch (type) {
	case EGRESS_TUNNEL:
	case EGRESS_OPEN:
		return ENDS_NEVER;
	case EGRESS_RESOLVE:
	case EGRESS_TRAILERS:
	case EGRESS_ANSWER:
	case EGRESS_FAILED:
	case EGRESS_DONE:
		return ENDS_ALWAYS;
	case EGRESS_REQUEST:
	case EGRESS_DATA:
	case EGRESS_RESPONSE:
		return ENDS_EITHER;
	default:
		return 0;
	}
}

enum frame_result egress_next_frame(
	const void *p, size_t len, size_t *ret_used, struct egress_frame *ret_f)
{
	struct wire_r r = wire_reader(p, len);
	uint32_t size;
	uint8_t type, flags;
	uint16_t zero;
	unsigned may;

	*ret_used = 0;
	if (len < EGRESS_FRAME_HEAD)
		return FRAME_MORE;
	size = wire_get_u32(&r);
	type = wire_get_u8(&r);
	flags = wire_get_u8(&r);
	zero = wire_get_u16(&r);
	may = ends(type);
	if (size > EGRESS_FRAME_MAX || flags > EGRESS_END || zero != 0 ||
		!(may & (flags ? ENDS_ALWAYS : ENDS_NEVER)) ||
		(type == EGRESS_DATA && size == 0 && !flags))
		return FRAME_BAD;
	if (len - EGRESS_FRAME_HEAD < size)
		return FRAME_MORE;
	*ret_used = EGRESS_FRAME_HEAD + size;
	*ret_f = (struct egress_frame){.type = (enum egress_type)type,
		.end = flags & EGRESS_END,
		.body = (const uint8_t *)p + EGRESS_FRAME_HEAD,
		.len = size};
	return FRAME_GOT;
}

enum frame_result egress_next_data(
	const void *p, size_t len, struct egress_frame *ret_f, size_t *ret_left, bool *ret_end)
{
	struct wire_r r = wire_reader(p, len);
	size_t size, here, used;

	switch (egress_next_frame(p, len, &used, ret_f)) {
	case FRAME_BAD:
		return FRAME_BAD;
	case FRAME_GOT:
		*ret_left = 0;
		*ret_end = ret_f->end;
		return ret_f->type == EGRESS_DATA ? FRAME_GOT : FRAME_MORE;
	case FRAME_MORE:
	default:
		break;
	}
	if (len <= EGRESS_FRAME_HEAD)
		return FRAME_MORE;
	/* The head is a good one: it was looked at above. */
	size = wire_get_u32(&r);
	if (wire_get_u8(&r) != EGRESS_DATA)
		return FRAME_MORE;
	here = len - EGRESS_FRAME_HEAD;
	*ret_f = (struct egress_frame){
		.type = EGRESS_DATA, .body = (const uint8_t *)p + EGRESS_FRAME_HEAD, .len = here};
	*ret_left = size - here;
	*ret_end = wire_get_u8(&r) & EGRESS_END;
	return FRAME_GOT;
}

void egress_frame_head(uint8_t dst[EGRESS_FRAME_HEAD], enum egress_type type, bool end, size_t len)
{
	struct wire_w w = wire_writer(dst, EGRESS_FRAME_HEAD);

	assert(len <= EGRESS_FRAME_MAX && (ends(type) & (end ? ENDS_ALWAYS : ENDS_NEVER)));
	wire_put_u32(&w, (uint32_t)len);
	wire_put_u8(&w, (uint8_t)type);
	wire_put_u8(&w, end ? EGRESS_END : 0);
	wire_put_u16(&w, 0);
	assert(!w.bad);
}

int egress_put_data(struct buf *out, const void *p, size_t len, bool end)
{
	struct egress_open o;
	int r;

	if (len > EGRESS_FRAME_MAX)
		return -EMSGSIZE;
	r = egress_begin(out, EGRESS_FRAME_HEAD, len, &o);
	if (r < 0)
		return r;
	if (len > 0)
		wire_put_bytes(&o.w, p, len);
	return o.w.bad ? -ENOBUFS : egress_end_frame(&o, EGRESS_DATA, end);
}

static enum proto_result fixed(const struct wire_r *r)
{
	return wire_done(r) ? PROTO_OK : PROTO_MALFORMED;
}

int egress_put_tunnel(struct buf *out, const struct egress_tunnel *t)
{
	struct egress_open o;
	int r = egress_begin(out, EGRESS_FRAME_HEAD, 64 + strlen(t->host), &o);

	if (r < 0)
		return r;
	wire_put_u8(&o.w, (uint8_t)t->kind);
	egress_put_text(&o.w, t->host);
	wire_put_u16(&o.w, t->port);
	egress_put_address(&o.w, &t->to);
	return egress_end_frame(&o, EGRESS_TUNNEL, false);
}

enum proto_result egress_get_tunnel(const struct egress_frame *f, struct egress_tunnel *ret_t)
{
	struct wire_r r = wire_reader(f->body, f->len);
	uint8_t kind = wire_get_u8(&r);
	struct egress_tunnel t = {.kind = (enum egress_tunnel_kind)kind};

	*ret_t = (struct egress_tunnel){0};
	t.host = egress_get_text(&r, NULL);
	t.port = wire_get_u16(&r);
	egress_get_address(&r, &t.to);
	if (!wire_done(&r) || (kind != EGRESS_RAW && kind != EGRESS_TLS) || t.port == 0 ||
		t.host[0] == '\0')
		return PROTO_MALFORMED;
	*ret_t = t;
	return PROTO_OK;
}

int egress_put_resolve(struct buf *out, uint16_t qtype, const char *name)
{
	struct egress_open o;
	int r = egress_begin(out, EGRESS_FRAME_HEAD, 512, &o);

	if (r < 0)
		return r;
	wire_put_u16(&o.w, qtype);
	egress_put_text(&o.w, name);
	return egress_end_frame(&o, EGRESS_RESOLVE, true);
}

enum proto_result egress_get_resolve(
	const struct egress_frame *f, uint16_t *ret_qtype, const char **ret_name)
{
	struct wire_r r = wire_reader(f->body, f->len);

	*ret_qtype = wire_get_u16(&r);
	*ret_name = egress_get_text(&r, NULL);
	return fixed(&r);
}

int egress_put_open(struct buf *out, const struct egress_addr *a, uint16_t port)
{
	struct egress_open o;
	int r = egress_begin(out, EGRESS_FRAME_HEAD, 32, &o);

	if (r < 0)
		return r;
	egress_put_address(&o.w, a);
	wire_put_u16(&o.w, port);
	return egress_end_frame(&o, EGRESS_OPEN, false);
}

enum proto_result egress_get_open(
	const struct egress_frame *f, struct egress_addr *ret_a, uint16_t *ret_port)
{
	struct wire_r r = wire_reader(f->body, f->len);

	egress_get_address(&r, ret_a);
	*ret_port = wire_get_u16(&r);
	return fixed(&r);
}

int egress_put_answer(struct buf *out, const struct egress_answer *a)
{
	struct egress_open o;
	int r = egress_begin(out, EGRESS_FRAME_HEAD, EGRESS_FRAME_MAX, &o);

	if (r < 0)
		return r;
	wire_put_u8(&o.w, a->rcode);
	wire_put_u32(&o.w, a->ttl_s);
	wire_put_u16(&o.w, a->n);
	if (a->n > EGRESS_RECORDS_MAX)
		return -EMSGSIZE;
	for (uint16_t i = 0; i < a->n; i++) {
		wire_put_u16(&o.w, a->v[i].type);
		egress_put_blob(&o.w, a->v[i].rdata, a->v[i].len);
	}
	return egress_end_frame(&o, EGRESS_ANSWER, true);
}

enum proto_result egress_get_answer(const struct egress_frame *f, struct egress_answer *ret_a)
{
	struct wire_r r = wire_reader(f->body, f->len);
	uint8_t rcode = wire_get_u8(&r);
	uint32_t ttl = wire_get_u32(&r);
	uint16_t n = wire_get_u16(&r);

	*ret_a = (struct egress_answer){0};
	if (r.bad || n > EGRESS_RECORDS_MAX || rcode > 15)
		return PROTO_MALFORMED;
	for (uint16_t i = 0; i < n; i++) {
		size_t len;

		ret_a->v[i].type = wire_get_u16(&r);
		ret_a->v[i].rdata = egress_get_blob(&r, &len);
		ret_a->v[i].len = (uint32_t)len;
	}
	if (!wire_done(&r)) {
		*ret_a = (struct egress_answer){0};
		return PROTO_MALFORMED;
	}
	ret_a->rcode = rcode;
	ret_a->ttl_s = ttl;
	ret_a->n = n;
	return PROTO_OK;
}

int egress_put_failed(struct buf *out, const struct egress_failed *x)
{
	struct egress_open o;
	int r = egress_begin(out, EGRESS_FRAME_HEAD, 16 + strlen(x->code) + strlen(x->text), &o);

	if (r < 0)
		return r;
	wire_put_u16(&o.w, x->status);
	egress_put_text(&o.w, x->code);
	egress_put_text(&o.w, x->text);
	return egress_end_frame(&o, EGRESS_FAILED, true);
}

enum proto_result egress_get_failed(const struct egress_frame *f, struct egress_failed *ret_x)
{
	struct wire_r r = wire_reader(f->body, f->len);
	struct egress_failed x;

	*ret_x = (struct egress_failed){.code = "", .text = ""};
	x.status = wire_get_u16(&r);
	x.code = egress_get_text(&r, NULL);
	x.text = egress_get_text(&r, NULL);
	if (!wire_done(&r) || x.status < 400 || x.status > 599)
		return PROTO_MALFORMED;
	*ret_x = x;
	return PROTO_OK;
}

int egress_put_done(struct buf *out, const struct egress_done *d)
{
	struct egress_open o;
	int r = egress_begin(out, EGRESS_FRAME_HEAD, 2048, &o);

	if (r < 0)
		return r;
	wire_put_u64(&o.w, d->bytes_up);
	wire_put_u64(&o.w, d->bytes_down);
	egress_put_text(&o.w, d->credential);
	egress_put_text(&o.w, d->note);
	return egress_end_frame(&o, EGRESS_DONE, true);
}

enum proto_result egress_get_done(const struct egress_frame *f, struct egress_done *ret_d)
{
	struct wire_r r = wire_reader(f->body, f->len);
	struct egress_done d;

	*ret_d = (struct egress_done){.credential = "", .note = ""};
	d.bytes_up = wire_get_u64(&r);
	d.bytes_down = wire_get_u64(&r);
	d.credential = egress_get_text(&r, NULL);
	d.note = egress_get_text(&r, NULL);
	if (!wire_done(&r))
		return PROTO_MALFORMED;
	*ret_d = d;
	return PROTO_OK;
}
