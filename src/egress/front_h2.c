/* HTTP/2 of the guest: each of its streams is an exchange; nghttp2 is behind http/h2.h. */
#include "egress/front.h"
#include <errno.h>
#include <string.h>

#define READS	  4
#define WRITE_MAX (64U << 10) /* of frames collected for one write */

static struct http_conn conn_of(const struct front_stream *s)
{
	return (struct http_conn){.scheme = s->scheme,
		.host = s->host.kind != POLICY_HOST_NONE ? &s->host : NULL,
		.port = s->port,
		.to = s->proxy ? (struct egress_addr){0} : s->to.to};
}

static void on_head(void *ctx, int32_t id, void *user, const struct h2_head *h, bool end)
{
	struct front_stream *s = ctx;
	const struct http_conn conn = conn_of(s);
	struct front_exchange *x;
	bool ok;

	(void)user;
	if (s->dead)
		return;
	x = front_exchange_new(s, FRONT_HTTP);
	if (!x) {
		h2_reset(s->h2, id, H2_INTERNAL_ERROR);
		return;
	}
	s->deadline = 0;
	x->id = id;
	h2_set_user(s->h2, id, x);
	ok = http_canon_h2(&s->f->canon, &conn, h, end);
	if (!ok) {
		const struct http_canon *c = &s->f->canon;

		s->f->stats.faults++;
		x->kind = POLICY_HTTP;
		x->up_over = end;
		x->host = c->host.kind != POLICY_HOST_NONE ? c->host : s->host;
		x->port = s->port;
		x->status = (uint16_t)c->status;
		front_record(x, EGRESS_REFUSED, c->code, NULL);
		front_deny(x, c->status, c->code, c->why, NULL);
		return;
	}
	front_exchange_request(x, end);
}

static void on_data(void *ctx, int32_t id, void *user, const uint8_t *p, size_t len)
{
	struct front_stream *s = ctx;
	struct front_exchange *x = user;

	if (x && !x->finished)
		front_exchange_up(x, p, len);
	if (x && !x->finished && (!x->ch || front_exchange_room(x) == 0))
		x->owed += len; /* given back when the vault's side has room */
	else
		h2_consume(s->h2, id, len);
}

static void on_end(void *ctx, int32_t id, void *user, const struct egress_fields *trailers)
{
	struct front_exchange *x = user;

	(void)ctx;
	(void)id;
	if (x && !x->finished)
		front_exchange_up_end(x, trailers);
}

static void on_closed(void *ctx, int32_t id, void *user, uint32_t code)
{
	struct front_stream *s = ctx;
	struct front_exchange *x = user;

	(void)id;
	(void)code;
	if (x && !x->finished && !s->dead)
		front_exchange_drop(x);
	if (!s->dead && s->n_exchanges == 0)
		front_stream_deadline(s, FRONT_KEEPALIVE_MS);
}

static void on_drained(void *ctx, int32_t id, void *user)
{
	struct front_exchange *x = user;

	(void)ctx;
	(void)id;
	if (x && !x->finished && x->ch)
		front_channel_go_on(x->ch);
}

static void on_malformed(void *ctx, int32_t id, const char *why)
{
	struct front_stream *s = ctx;

	(void)id;
	(void)why;
	s->f->stats.faults++;
	front_record_stream(s, EGRESS_ON_HTTP, EGRESS_REFUSED,
		s->host.kind == POLICY_HOST_NONE ? "" : s->host.name, s->port, "", "malformed", 0);
}

static const struct h2_ops ops = {.head = on_head,
	.data = on_data,
	.end = on_end,
	.closed = on_closed,
	.drained = on_drained,
	.malformed = on_malformed};

void front_h2_begin(struct front_stream *s)
{
	const struct h2_options o = {
		.role = H2_SERVER, .extended_connect = true, .ops = &ops, .ctx = s};

	s->h2 = h2_new(&o);
	if (!s->h2) {
		front_stream_kill(s);
		return;
	}
	s->state = FRONT_H2;
	s->held = false;
	s->again = true;
	front_stream_deadline(s, FRONT_HEAD_MS);
	front_stream_dirty(s);
}

/* ended() - the connection is over by the guest's fault: what there is to say is said, then the end */
static void ended(struct front_stream *s)
{
	s->f->stats.faults++;
	while (s->exchanges)
		front_exchange_drop(s->exchanges);
	front_h2_output(s);
	front_stream_last(s);
}

static bool take(struct front_stream *s, const void *p, size_t len)
{
	if (h2_input(s->h2, p, len, s->f->now) == 0)
		return true;
	ended(s);
	return false;
}

void front_h2_input(struct front_stream *s)
{
	if (s->in.len > 0) {
		if (!take(s, s->in.data, s->in.len))
			return;
		buf_clear(&s->in);
	}
	for (unsigned i = 0; i < READS && !s->dead; i++) {
		ssize_t n = front_stream_read(s, s->f->scratch, sizeof(s->f->scratch));

		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			/* HTTP/2 has no half-close: who ends the connection gives up its streams. */
			front_stream_kill(s);
			return;
		}
		if (!take(s, s->f->scratch, (size_t)n))
			return;
		if (n < (ssize_t)sizeof(s->f->scratch) && !front_stream_ahead(s))
			break;
		s->again = i == READS - 1;
	}
	front_stream_dirty(s);
}

void front_h2_output(struct front_stream *s)
{
	bool more;

	if (!s->h2 || front_stream_waiting(s) >= WRITE_MAX)
		return;
	do {
		if (h2_output(s->h2, &s->out, s->out_at + WRITE_MAX, &more) < 0) {
			front_stream_kill(s);
			return;
		}
		if (!front_stream_flush(s))
			return;
	} while (more && !s->blocked);
}

void front_h2_head(struct front_exchange *x, int status, const struct egress_fields *f, bool end)
{
	static struct egress_fields out; /* large */

	out.n = 0;
	for (uint16_t i = 0; f && i < f->n; i++)
		if (!http_hop_field(f->v[i].name) || (strcmp(f->v[i].name, "content-length") == 0 &&
							     status >= 200 && status != 204))
			out.v[out.n++] = f->v[i];
	/* An extended CONNECT is answered 200 (RFC 8441 5). */
	if (h2_respond(x->s->h2, x->id, status == 101 ? 200 : status, &out, end) < 0)
		h2_reset(x->s->h2, x->id, H2_INTERNAL_ERROR);
	front_stream_dirty(x->s);
	if (status == 101)
		front_h2_room(x);
}

bool front_h2_data(struct front_exchange *x, const void *p, size_t len, bool end)
{
	struct front_stream *s = x->s;
	int r = 0;

	if (len >= FRONT_DIRECT) {
		r = h2_send_to(s->h2, x->id, p, len, &s->out, s->out_at + WRITE_MAX);
		if (!front_stream_flush_records(s))
			return true;
	} else if (len > 0) {
		r = h2_send(s->h2, x->id, p, len);
	}
	if (r == -EAGAIN)
		return false;
	if (r == 0 && end)
		r = h2_end(s->h2, x->id, NULL);
	if (r < 0 && r != -ESTALE)
		h2_reset(s->h2, x->id, H2_INTERNAL_ERROR);
	front_stream_dirty(s);
	return true;
}

void front_h2_trailers(struct front_exchange *x, const struct egress_fields *f)
{
	static struct egress_fields out;

	out.n = 0;
	for (uint16_t i = 0; i < f->n; i++)
		if (!http_hop_field(f->v[i].name))
			out.v[out.n++] = f->v[i];
	if (h2_end(x->s->h2, x->id, &out) < 0)
		h2_reset(x->s->h2, x->id, H2_INTERNAL_ERROR);
	front_stream_dirty(x->s);
}

void front_h2_cut(struct front_exchange *x, bool refused)
{
	h2_reset(x->s->h2, x->id, refused ? H2_CANCEL : H2_INTERNAL_ERROR);
	front_exchange_over(x);
}

void front_h2_room(struct front_exchange *x)
{
	struct front_stream *s = x->s;

	if (x->owed > 0 && front_exchange_room(x) > 0) {
		h2_consume(s->h2, x->id, x->owed);
		x->owed = 0;
		front_stream_dirty(s);
	}
}
