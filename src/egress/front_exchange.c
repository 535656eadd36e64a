/* An exchange: one request (tunnel, name) judged, sent to the vault, and what comes back. */
#include "base/log.h"
#include "egress/front.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct front_exchange *front_exchange_new(struct front_stream *s, enum front_what what)
{
	struct front_exchange *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->f = s->f;
	x->s = s;
	x->what = what;
	x->left = UINT64_MAX;
	buf_init(&x->request, EGRESS_FRAME_HEAD + EGRESS_FRAME_MAX + 2 * H2_STREAM_WINDOW);
	x->next = s->exchanges;
	s->exchanges = x;
	s->n_exchanges++;
	return x;
}

static void copy_text(char *dst, size_t cap, const char *src)
{
	size_t n = strnlen(src, cap - 1);

	memcpy(dst, src, n);
	dst[n] = '\0';
}

void front_judge(struct front_exchange *x, struct policy_verdict *ret_v)
{
	const struct policy_request r = {.kind = x->kind,
		.host = x->host.kind == POLICY_HOST_NONE ? NULL : &x->host,
		.address = x->address,
		.port = x->port,
		.method = x->method,
		.path = x->path,
		.path_flags = x->path_flags};

	policy_decide(x->f->policy, &r, ret_v);
	copy_text(x->rule, sizeof(x->rule), ret_v->rule ? ret_v->rule->id : "");
}

bool front_belongs(
	const struct front_stream *s, const struct policy_host *h, struct policy_address *ret_a)
{
	*ret_a = (struct policy_address){0};
	if (s->proxy)
		return true;
	if (!policy_address_from(s->to.to.family, s->to.to.bytes, ret_a))
		return false;
	if (h->kind == POLICY_HOST_LOCAL)
		return policy_address_host(ret_a);
	if (h->kind == POLICY_HOST_ADDRESS)
		return policy_address_same(ret_a, &h->address);
	return front_pins_has(s->f->pins, h->name, ret_a);
}

static enum policy_kind kind_of(enum egress_kind k)
{
	return k == EGRESS_WEBSOCKET ? POLICY_WEBSOCKET
	       : k == EGRESS_GRPC    ? POLICY_GRPC
				     : POLICY_HTTP;
}

/* take_canon() - what is remembered of the request; false: no memory */
static bool take_canon(struct front_exchange *x, const struct http_canon *c)
{
	const char *accept = egress_field(&c->q.fields, "accept");

	x->kind = kind_of(c->q.kind);
	x->host = c->host;
	x->port = c->q.port;
	copy_text(x->method, sizeof(x->method), c->q.method);
	x->path = strdup(c->q.path);
	x->path_flags = c->path_flags;
	x->has_body = c->has_body;
	x->up_over = !c->has_body && c->q.kind != EGRESS_WEBSOCKET;
	x->continue_100 = c->continue_100;
	x->no_body = strcmp(c->q.method, "HEAD") == 0;
	x->plain_text = accept && !strstr(accept, "json") && !strstr(accept, "*/*") &&
			!strstr(accept, "application/*");
	copy_text(x->ws_key, sizeof(x->ws_key), c->ws_key);
	return x->path != NULL;
}

/* looked_into() - do rules look at methods or paths there? Then nothing may override them. */
static bool looked_into(const struct front_exchange *x)
{
	const struct policy_request r = {
		.kind = POLICY_TCP, .host = &x->host, .address = x->address, .port = x->port};
	struct policy_verdict v;

	policy_decide(x->f->policy, &r, &v);
	return v.inspect;
}

static void refuse(struct front_exchange *x, int status, const char *code, const char *why)
{
	x->status = (uint16_t)status;
	front_record(x, EGRESS_REFUSED, code, NULL);
	front_deny(x, status, code, why, NULL);
}

void front_exchange_request(struct front_exchange *x, bool end)
{
	struct front *f = x->f;
	struct policy_verdict v;

	f->stats.requests++;
	if (!take_canon(x, &f->canon)) {
		front_exchange_cut(x, 503, "memory", "no memory");
		return;
	}
	if (front_audit_full(f)) {
		refuse(x, 503, "audit", "records of requests cannot be written");
		return;
	}
	if (x->s->mismatch || !front_belongs(x->s, &x->host, &x->address)) {
		refuse(x, 421, "authority", "the server's name was not given for that address");
		return;
	}
	if (f->canon.overrides && looked_into(x) && !http_canon_no_overrides(&f->canon)) {
		refuse(x, f->canon.status, f->canon.code, f->canon.why);
		return;
	}
	front_judge(x, &v);
	if (v.decision == POLICY_DENY) {
		x->status = 403;
		front_record(x, EGRESS_DENY, policy_reason_name(v.reason), NULL);
		front_deny(x, 403, "denied", policy_reason_text(v.reason), v.rule);
		return;
	}
	if (egress_put_request(&x->request, &f->canon.q, end) < 0) {
		refuse(x, 431, "malformed", "header too large");
		return;
	}
	if (v.decision == POLICY_ALLOW) {
		front_exchange_start(x);
		return;
	}
	if (!front_ask(x, v.rule)) {
		x->status = 403;
		front_record(x, EGRESS_DENY, "ask", NULL);
		front_deny(x, 403, "denied", "nobody could be asked", v.rule);
	}
}

void front_exchange_start(struct front_exchange *x)
{
	x->ch = front_channel_get(x->f, x);
	if (!x->ch || buf_add(&x->ch->out, x->request.data, x->request.len) < 0) {
		front_exchange_cut(x, 503, "vault", "the way out is not there");
		return;
	}
	buf_fini(&x->request);
	x->deadline = x->f->now + FRONT_ANSWER_MS;
	front_tick_at(x->f, x->deadline);
	front_channel_dirty(x->ch);
	if (x->continue_100 && !x->up_over) {
		x->continue_100 = false;
		if (x->id)
			front_h2_head(x, 100, NULL, false);
		else
			front_h1_head(x, 100, NULL, false);
	}
	if (x->id)
		front_h2_room(x);
	else
		front_stream_go_on(x->s);
}

size_t front_exchange_room(const struct front_exchange *x)
{
	size_t waiting;

	if (!x->ch)
		return x->finished ? SIZE_MAX : 0;
	if (x->ch->full)
		return 0;
	waiting = x->ch->out.len - x->ch->out_at;
	return waiting < FRONT_QUEUE_MAX ? FRONT_QUEUE_MAX - waiting : 0;
}

/* ws_up() - frames of the guest, judged and unmasked, as DATA */
static const void *ws_up(struct front_exchange *x, const void *p, size_t *len)
{
	struct front *f = x->f;

	buf_clear(&f->ws);
	if (ws_walk(&x->ws[0], p, *len, &f->ws) < 0) {
		f->stats.faults++;
		front_exchange_cut(x, 400, "malformed",
			x->ws[0].why ? x->ws[0].why : "malformed WebSocket frame");
		return NULL;
	}
	*len = f->ws.len;
	return f->ws.data;
}

void front_exchange_up(struct front_exchange *x, const void *p, size_t len)
{
	const uint8_t *at = p;

	if (x->finished)
		return; /* it was answered already: the rest of its body is read and forgotten */
	if (x->kind == POLICY_WEBSOCKET) {
		if (!x->ws) {
			front_exchange_cut(x, 400, "malformed", "frames before the handshake");
			return;
		}
		at = ws_up(x, p, &len);
		if (!at)
			return;
	}
	if (!x->question)
		x->deadline = x->f->now + FRONT_IDLE_MS;
	x->up += len;
	while (len > 0) {
		size_t n = len < EGRESS_FRAME_MAX ? len : EGRESS_FRAME_MAX;

		if ((x->ch ? front_channel_send(x->ch, at, n)
			   : egress_put_data(&x->request, at, n, false)) < 0) {
			front_exchange_cut(x, 503, "memory", "no memory");
			return;
		}
		at += n;
		len -= n;
	}
	if (x->ch)
		front_channel_dirty(x->ch);
}

void front_exchange_up_end(struct front_exchange *x, const struct egress_fields *trailers)
{
	struct buf *to = x->ch ? &x->ch->out : &x->request;
	int r;

	if (x->up_over || x->finished)
		return;
	x->up_over = true;
	r = trailers && trailers->n > 0 ? egress_put_trailers(to, trailers)
					: egress_put_data(to, NULL, 0, true);
	if (r < 0) {
		front_exchange_cut(x, 503, "memory", "no memory");
		return;
	}
	if (x->ch)
		front_channel_dirty(x->ch);
}

/* ---- what comes back ---- */

static bool bad_peer(struct front_exchange *x)
{
	log_debug("the vault broke the rules of a channel");
	x->f->stats.faults++;
	front_exchange_cut(x, 502, "vault", "the way out answered nonsense");
	return true;
}

static bool begin_ws(struct front_exchange *x, const struct egress_fields *f)
{
	x->ws = calloc(2, sizeof(*x->ws));
	if (!x->ws)
		return false;
	x->ws[0] = (struct ws_walk){.masked_in = true, .deflate = ws_deflates(f)};
	x->ws[1] = (struct ws_walk){.deflate = ws_deflates(f)};
	x->deadline = 0;
	return true;
}

static void give_head(struct front_exchange *x, int status, bool end)
{
	if (x->id)
		front_h2_head(x, status, &x->f->fields, end);
	else
		front_h1_head(x, status, &x->f->fields, end);
}

static bool on_response(struct front_exchange *x, const struct egress_frame *fr)
{
	static struct egress_response r; /* large */

	if (x->what != FRONT_HTTP || x->head_sent || egress_get_response(fr, &r) != PROTO_OK ||
		(fr->end && r.status < 200) ||
		(r.status == 101) != (x->kind == POLICY_WEBSOCKET && r.status < 200))
		return bad_peer(x);
	x->f->fields.n = r.fields.n;
	memcpy(x->f->fields.v, r.fields.v, r.fields.n * sizeof(r.fields.v[0]));
	x->deadline = x->f->now + FRONT_IDLE_MS;
	if (r.status < 200 && r.status != 101) {
		if (r.status != 100)
			give_head(x, r.status, false);
		return true;
	}
	if (r.status == 101 && !begin_ws(x, &r.fields)) {
		front_exchange_cut(x, 503, "memory", "no memory");
		return true;
	}
	x->status = r.status;
	x->head_sent = true;
	x->down_over = fr->end;
	if (r.status != 101)
		x->up_over |= x->kind == POLICY_WEBSOCKET;
	give_head(x, r.status, fr->end);
	return true;
}

/* ws_down() - the vault's word on frames is checked as well */
static bool ws_down(struct front_exchange *x, const struct egress_frame *fr)
{
	struct front *f = x->f;

	buf_clear(&f->ws);
	if (ws_walk(&x->ws[1], fr->body, fr->len, &f->ws) < 0)
		return bad_peer(x);
	if (!x->id)
		front_h1_data(x, f->ws.data, f->ws.len, fr->end);
	else if (!front_h2_data(x, f->ws.data, f->ws.len, fr->end))
		return false;
	/* It is the server that closes (RFC 6455 7.1.1), and clients wait for it: there is no half of a WebSocket. */
	if (fr->end)
		front_exchange_up_end(x, NULL);
	return true;
}

static bool on_data(struct front_exchange *x, const struct egress_frame *fr)
{
	if (!x->head_sent || x->down_over || x->what == FRONT_NAME || (x->no_body && fr->len > 0) ||
		(x->left != UINT64_MAX && fr->len > x->left))
		return bad_peer(x);
	if (x->id ? h2_room(x->s->h2, x->id) < fr->len : front_stream_full(x->s))
		return false;
	x->deadline = x->f->now + FRONT_IDLE_MS;
	x->down_over = fr->end;
	x->down += fr->len;
	if (x->left != UINT64_MAX)
		x->left -= fr->len;
	if (fr->end && x->left != UINT64_MAX && x->left != 0)
		return bad_peer(x);
	if (x->ws)
		return ws_down(x, fr);
	if (x->id)
		return front_h2_data(x, fr->body, fr->len, fr->end);
	front_h1_data(x, fr->body, fr->len, fr->end);
	return true;
}

static bool on_trailers(struct front_exchange *x, const struct egress_frame *fr)
{
	if (x->what != FRONT_HTTP || !x->head_sent || x->down_over || x->ws || !fr->end ||
		(x->left != UINT64_MAX && x->left != 0) ||
		egress_get_trailers(fr, &x->f->fields) != PROTO_OK)
		return bad_peer(x);
	x->down_over = true;
	if (x->id)
		front_h2_trailers(x, &x->f->fields);
	else
		front_h1_trailers(x, &x->f->fields);
	return true;
}

static bool on_failed(struct front_exchange *x, const struct egress_frame *fr)
{
	struct egress_failed failed;

	if (egress_get_failed(fr, &failed) != PROTO_OK)
		return bad_peer(x);
	front_exchange_cut(x, failed.status, failed.code, failed.text);
	return true;
}

static bool on_done(struct front_exchange *x, const struct egress_frame *fr)
{
	struct egress_done d;

	if (!x->down_over || egress_get_done(fr, &d) != PROTO_OK)
		return bad_peer(x);
	front_record(x, EGRESS_ALLOW, x->approved ? "approved" : "rule", &d);
	front_exchange_over(x);
	return true;
}

static bool on_open(struct front_exchange *x, const struct egress_frame *fr)
{
	struct egress_addr a;
	uint16_t port;

	if (x->what != FRONT_BYTES || x->head_sent || egress_get_open(fr, &a, &port) != PROTO_OK)
		return bad_peer(x);
	x->head_sent = true;
	x->deadline = x->f->now + FRONT_IDLE_MS;
	return true;
}

bool front_exchange_frame(struct front_exchange *x, const struct egress_frame *fr)
{
	switch (fr->type) {
	case EGRESS_RESPONSE:
		return on_response(x, fr);
	case EGRESS_DATA:
		return on_data(x, fr);
	case EGRESS_TRAILERS:
		return on_trailers(x, fr);
	case EGRESS_FAILED:
		return on_failed(x, fr);
	case EGRESS_DONE:
		return on_done(x, fr);
	case EGRESS_OPEN:
		return on_open(x, fr);
	case EGRESS_ANSWER:
		if (x->what != FRONT_NAME || x->down_over || !front_dns_answer(x, fr))
			return bad_peer(x);
		x->down_over = true;
		return true;
	case EGRESS_REQUEST:
	case EGRESS_TUNNEL:
	case EGRESS_RESOLVE:
	default:
		return bad_peer(x);
	}
}
