#include "proto/egress_wire.h"
#include <errno.h>
#include <string.h>

#define MAGIC	0x45584253u /* "SBXE" */
#define VERSION 1

bool egress_op_takes_fd(enum egress_op op)
{
	return op == EGRESS_OP_CONFIG || op == EGRESS_OP_PEER || op == EGRESS_OP_STREAMS;
}

static void put_body(struct wire_w *w, const struct egress_msg *m)
{
	switch (m->op) {
	case EGRESS_OP_HELLO:
		wire_put_u8(w, (uint8_t)m->who);
		wire_put_u32(w, m->pid);
		egress_put_text(w, m->name);
		wire_put_u64(w, m->id);
		break;
	case EGRESS_OP_SECRET:
		egress_put_text(w, m->name);
		wire_put_u8(w, m->yes);
		egress_put_blob(w, m->blob, m->blob_len);
		break;
	case EGRESS_OP_ASK:
		wire_put_u64(w, m->id);
		egress_put_text(w, m->name);
		wire_put_u16(w, m->port);
		egress_put_text(w, m->method);
		egress_put_text(w, m->path);
		egress_put_text(w, m->rule);
		break;
	case EGRESS_OP_VERDICT:
		wire_put_u64(w, m->id);
		wire_put_u8(w, m->yes);
		break;
	case EGRESS_OP_AUDIT:
		egress_put_blob(w, m->blob, m->blob_len);
		break;
	case EGRESS_OP_CAUGHT:
		egress_put_text(w, m->name);
		egress_put_blob(w, m->blob, m->blob_len);
		break;
	case EGRESS_OP_REPLY:
		wire_put_u32(w, (uint32_t)m->result);
		egress_put_text(w, m->text);
		egress_put_blob(w, m->blob, m->blob_len);
		break;
	case EGRESS_OP_CONFIG:
	case EGRESS_OP_PEER:
	case EGRESS_OP_STREAMS:
	case EGRESS_OP_STATS:
	case EGRESS_OP_DRAIN:
		break;
	}
}

int egress_put_msg(struct buf *out, const struct egress_msg *m)
{
	struct egress_open o;
	int r = egress_begin(out, 0, EGRESS_CONTROL_MAX, &o);

	if (r < 0)
		return r;
	wire_put_u32(&o.w, MAGIC);
	wire_put_u16(&o.w, VERSION);
	wire_put_u16(&o.w, (uint16_t)m->op);
	wire_put_u32(&o.w, m->seq);
	wire_put_u32(&o.w, 0);
	put_body(&o.w, m);
	if (o.w.bad)
		return -EMSGSIZE;
	buf_grew(out, o.w.pos);
	return 0;
}

static bool flag(struct wire_r *r)
{
	uint8_t v = wire_get_u8(r);

	if (v > 1)
		r->bad = true;
	return v == 1;
}

static void get_hello(struct wire_r *r, struct egress_msg *m)
{
	uint8_t who = wire_get_u8(r);

	m->who = (enum egress_who)who;
	m->pid = wire_get_u32(r);
	m->name = egress_get_text(r, NULL);
	m->id = wire_get_u64(r);
	if (who != EGRESS_FRONT && who != EGRESS_VAULT)
		r->bad = true;
}

static void get_ask(struct wire_r *r, struct egress_msg *m)
{
	m->id = wire_get_u64(r);
	m->name = egress_get_text(r, NULL);
	m->port = wire_get_u16(r);
	m->method = egress_get_text(r, NULL);
	m->path = egress_get_text(r, NULL);
	m->rule = egress_get_text(r, NULL);
}

static void get_body(struct wire_r *r, struct egress_msg *m)
{
	switch (m->op) {
	case EGRESS_OP_HELLO:
		get_hello(r, m);
		break;
	case EGRESS_OP_SECRET:
		m->name = egress_get_text(r, NULL);
		m->yes = flag(r);
		m->blob = egress_get_blob(r, &m->blob_len);
		if (m->blob_len > EGRESS_SECRET_MAX || (!m->yes && m->blob_len > 0))
			r->bad = true;
		break;
	case EGRESS_OP_ASK:
		get_ask(r, m);
		break;
	case EGRESS_OP_VERDICT:
		m->id = wire_get_u64(r);
		m->yes = flag(r);
		break;
	case EGRESS_OP_AUDIT:
		m->blob = egress_get_blob(r, &m->blob_len);
		break;
	case EGRESS_OP_CAUGHT:
		m->name = egress_get_text(r, NULL);
		m->blob = egress_get_blob(r, &m->blob_len);
		if (m->blob_len > EGRESS_SECRET_MAX)
			r->bad = true;
		break;
	case EGRESS_OP_REPLY:
		m->result = (int32_t)wire_get_u32(r);
		m->text = egress_get_text(r, NULL);
		m->blob = egress_get_blob(r, &m->blob_len);
		if (m->result > 0)
			r->bad = true;
		break;
	case EGRESS_OP_CONFIG:
	case EGRESS_OP_PEER:
	case EGRESS_OP_STREAMS:
	case EGRESS_OP_STATS:
	case EGRESS_OP_DRAIN:
		break;
	}
}

static const struct egress_msg empty = {
	.name = "", .method = "", .path = "", .rule = "", .text = ""};

enum proto_result egress_get_msg(const void *p, size_t len, bool has_fd, struct egress_msg *ret_m)
{
	struct wire_r r = wire_reader(p, len);
	uint32_t magic = wire_get_u32(&r), zero;
	uint16_t version = wire_get_u16(&r), op = wire_get_u16(&r);

	*ret_m = empty;
	ret_m->seq = wire_get_u32(&r);
	zero = wire_get_u32(&r);
	if (r.bad || len > EGRESS_CONTROL_MAX || magic != MAGIC || version != VERSION ||
		zero != 0 || op < EGRESS_OP_HELLO || op > EGRESS_OP_DRAIN ||
		has_fd != egress_op_takes_fd((enum egress_op)op)) {
		*ret_m = empty;
		return PROTO_MALFORMED;
	}
	ret_m->op = (enum egress_op)op;
	get_body(&r, ret_m);
	if (wire_done(&r))
		return PROTO_OK;
	*ret_m = empty;
	return PROTO_MALFORMED;
}

int egress_put_stats(struct buf *out, const struct egress_stats *s)
{
	struct egress_open o;
	int r = egress_begin(out, 0, 64, &o);

	if (r < 0)
		return r;
	wire_put_u32(&o.w, s->streams);
	wire_put_u32(&o.w, s->channels);
	wire_put_u64(&o.w, s->requests);
	wire_put_u64(&o.w, s->denials);
	wire_put_u64(&o.w, s->faults);
	if (o.w.bad)
		return -EMSGSIZE;
	buf_grew(out, o.w.pos);
	return 0;
}

enum proto_result egress_get_stats(const void *p, size_t len, struct egress_stats *ret_s)
{
	struct wire_r r = wire_reader(p, len);
	struct egress_stats s;

	*ret_s = (struct egress_stats){0};
	s.streams = wire_get_u32(&r);
	s.channels = wire_get_u32(&r);
	s.requests = wire_get_u64(&r);
	s.denials = wire_get_u64(&r);
	s.faults = wire_get_u64(&r);
	if (!wire_done(&r))
		return PROTO_MALFORMED;
	*ret_s = s;
	return PROTO_OK;
}

/* ---- records: u16 length, then the record ---- */

#define RECORD_MAX 8192

int egress_put_record(struct buf *out, const struct egress_record *x)
{
	struct egress_open o;
	struct wire_w head;
	int r = egress_begin(out, 2, RECORD_MAX, &o);

	if (r < 0)
		return r;
	wire_put_u64(&o.w, x->time_ms);
	wire_put_u8(&o.w, (uint8_t)x->event);
	wire_put_u8(&o.w, (uint8_t)x->decision);
	wire_put_u8(&o.w, (uint8_t)x->way);
	egress_put_text(&o.w, x->host);
	wire_put_u16(&o.w, x->port);
	egress_put_text(&o.w, x->method);
	egress_put_text(&o.w, x->path);
	egress_put_text(&o.w, x->rule);
	egress_put_text(&o.w, x->reason);
	wire_put_u16(&o.w, x->status);
	wire_put_u64(&o.w, x->bytes_up);
	wire_put_u64(&o.w, x->bytes_down);
	egress_put_text(&o.w, x->credential);
	egress_put_text(&o.w, x->note);
	if (o.w.bad)
		return -EMSGSIZE;
	head = wire_writer(o.w.p - 2, 2);
	wire_put_u16(&head, (uint16_t)o.w.pos);
	buf_grew(out, 2 + o.w.pos);
	return 0;
}

static void get_record(struct wire_r *r, struct egress_record *x)
{
	uint8_t event, decision, way;

	x->time_ms = wire_get_u64(r);
	event = wire_get_u8(r);
	decision = wire_get_u8(r);
	way = wire_get_u8(r);
	x->host = egress_get_text(r, NULL);
	x->port = wire_get_u16(r);
	x->method = egress_get_text(r, NULL);
	x->path = egress_get_text(r, NULL);
	x->rule = egress_get_text(r, NULL);
	x->reason = egress_get_text(r, NULL);
	x->status = wire_get_u16(r);
	x->bytes_up = wire_get_u64(r);
	x->bytes_down = wire_get_u64(r);
	x->credential = egress_get_text(r, NULL);
	x->note = egress_get_text(r, NULL);
	x->event = (enum egress_event)event;
	x->decision = (enum egress_decision)decision;
	x->way = (enum egress_way)way;
	if (event < EGRESS_ON_DNS || event > EGRESS_ON_GRPC || decision < EGRESS_ALLOW ||
		decision > EGRESS_REFUSED || way > EGRESS_PROXY)
		r->bad = true;
}

enum proto_result egress_next_record(
	const uint8_t *p, size_t len, size_t *ret_used, struct egress_record *ret_r)
{
	struct wire_r r = wire_reader(p, len), body;
	uint16_t size = wire_get_u16(&r);
	const uint8_t *bytes = wire_get_bytes(&r, size);

	*ret_used = 0;
	*ret_r = (struct egress_record){.host = "",
		.method = "",
		.path = "",
		.rule = "",
		.reason = "",
		.credential = "",
		.note = ""};
	if (r.bad || size > RECORD_MAX)
		return PROTO_MALFORMED;
	body = wire_reader(bytes, size);
	get_record(&body, ret_r);
	if (!wire_done(&body))
		return PROTO_MALFORMED;
	*ret_used = r.pos;
	return PROTO_OK;
}
