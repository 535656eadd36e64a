#include "proto/egress_wire.h"
#include <errno.h>
#include <string.h>

const char *egress_field(const struct egress_fields *f, const char *name)
{
	size_t len = strlen(name);

	for (uint16_t i = 0; i < f->n; i++)
		if (f->v[i].name_len == len && memcmp(f->v[i].name, name, len) == 0)
			return f->v[i].value;
	return NULL;
}

/* Room is taken for what is there, not for the largest frame: many channels hold such a buffer. */
static size_t fields_size(const struct egress_fields *f)
{
	size_t n = 2;

	for (uint16_t i = 0; i < f->n && i < EGRESS_FIELDS_MAX; i++)
		n += 7u + f->v[i].name_len + f->v[i].value_len;
	return n;
}

static size_t at_most(size_t n)
{
	return n < EGRESS_FRAME_MAX ? n : EGRESS_FRAME_MAX;
}

int egress_put_request(struct buf *out, const struct egress_request *q, bool end)
{
	size_t size = 64 + strlen(q->method) + strlen(q->host) + strlen(q->path) +
		      strlen(q->query) + fields_size(&q->fields);
	struct egress_open o;
	int r = egress_begin(out, EGRESS_FRAME_HEAD, at_most(size), &o);

	if (r < 0)
		return r;
	wire_put_u8(&o.w, (uint8_t)q->scheme);
	wire_put_u8(&o.w, (uint8_t)q->kind);
	egress_put_text(&o.w, q->method);
	egress_put_text(&o.w, q->host);
	wire_put_u16(&o.w, q->port);
	egress_put_text(&o.w, q->path);
	egress_put_text(&o.w, q->query);
	wire_put_u64(&o.w, q->length);
	egress_put_address(&o.w, &q->to);
	egress_put_fields(&o.w, &q->fields);
	return egress_end_frame(&o, EGRESS_REQUEST, end);
}

/* The front is not trusted with bytes that could end a line of the request that is written from this. */
static bool plain(const char *s, bool may_be_empty)
{
	if (s[0] == '\0')
		return may_be_empty;
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
			return false;
	return true;
}

enum proto_result egress_get_request(const struct egress_frame *f, struct egress_request *ret_q)
{
	struct wire_r r = wire_reader(f->body, f->len);
	uint8_t scheme = wire_get_u8(&r), kind = wire_get_u8(&r);

	ret_q->scheme = (enum egress_scheme)scheme;
	ret_q->kind = (enum egress_kind)kind;
	ret_q->method = egress_get_text(&r, NULL);
	ret_q->host = egress_get_text(&r, NULL);
	ret_q->port = wire_get_u16(&r);
	ret_q->path = egress_get_text(&r, NULL);
	ret_q->query = egress_get_text(&r, NULL);
	ret_q->length = wire_get_u64(&r);
	egress_get_address(&r, &ret_q->to);
	egress_get_fields(&r, &ret_q->fields);
	if (wire_done(&r) && scheme >= EGRESS_HTTPS && scheme <= EGRESS_HTTP &&
		kind >= EGRESS_PLAIN && kind <= EGRESS_GRPC && ret_q->port != 0 &&
		plain(ret_q->method, false) && plain(ret_q->host, false) &&
		plain(ret_q->path, false) && plain(ret_q->query, true) &&
		(ret_q->path[0] == '/' || strcmp(ret_q->path, "*") == 0) &&
		(ret_q->query[0] == '?' || ret_q->query[0] == '\0') &&
		(!f->end || ret_q->length == 0 || ret_q->length == EGRESS_LENGTH_UNKNOWN))
		return PROTO_OK;
	ret_q->fields.n = 0;
	ret_q->method = ret_q->host = ret_q->path = ret_q->query = "";
	return PROTO_MALFORMED;
}

int egress_put_response(struct buf *out, const struct egress_response *s, bool end)
{
	struct egress_open o;
	int r = egress_begin(out, EGRESS_FRAME_HEAD, at_most(3 + fields_size(&s->fields)), &o);

	if (r < 0)
		return r;
	wire_put_u16(&o.w, s->status);
	wire_put_u8(&o.w, s->version);
	egress_put_fields(&o.w, &s->fields);
	return egress_end_frame(&o, EGRESS_RESPONSE, end);
}

enum proto_result egress_get_response(const struct egress_frame *f, struct egress_response *ret_s)
{
	struct wire_r r = wire_reader(f->body, f->len);

	ret_s->status = wire_get_u16(&r);
	ret_s->version = wire_get_u8(&r);
	egress_get_fields(&r, &ret_s->fields);
	if (wire_done(&r) && ret_s->status >= 100 && ret_s->status <= 599 &&
		(ret_s->version == 1 || ret_s->version == 2) && !(ret_s->status < 200 && f->end))
		return PROTO_OK;
	ret_s->status = 0;
	ret_s->fields.n = 0;
	return PROTO_MALFORMED;
}

int egress_put_trailers(struct buf *out, const struct egress_fields *f)
{
	struct egress_open o;
	int r = egress_begin(out, EGRESS_FRAME_HEAD, at_most(fields_size(f)), &o);

	if (r < 0)
		return r;
	egress_put_fields(&o.w, f);
	return egress_end_frame(&o, EGRESS_TRAILERS, true);
}

enum proto_result egress_get_trailers(const struct egress_frame *f, struct egress_fields *ret_f)
{
	struct wire_r r = wire_reader(f->body, f->len);

	egress_get_fields(&r, ret_f);
	if (wire_done(&r))
		return PROTO_OK;
	ret_f->n = 0;
	return PROTO_MALFORMED;
}
