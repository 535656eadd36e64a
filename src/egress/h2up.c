/* Exchanges over one HTTP/2 connection (http/h2.h): each is a stream; its window opens as the front takes bytes */
#include "egress/chan.h"
#include "base/clock.h"
#include "policy/path.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WRITE_AHEAD 65536

static void on_head(void *ctx, int32_t stream, void *user, const struct h2_head *h, bool end);
static void on_data(void *ctx, int32_t stream, void *user, const uint8_t *p, size_t len);
static void on_end(void *ctx, int32_t stream, void *user, const struct egress_fields *trailers);
static void on_closed(void *ctx, int32_t stream, void *user, uint32_t code);
static void on_drained(void *ctx, int32_t stream, void *user);

static const struct h2_ops ops = {.head = on_head,
	.data = on_data,
	.end = on_end,
	.closed = on_closed,
	.drained = on_drained};

/* pump() - frames that wait go into the connection's queue */
static void pump(struct up *u)
{
	bool more = true;

	/* What the queue has no room for goes when it was written: nothing else need ever happen here, as
	 * a server may open its windows once and for all.
	 */
	if (up_queued(u) >= WRITE_AHEAD) {
		u->was_full = true;
		return;
	}
	while (more && !u->dead && up_queued(u) < WRITE_AHEAD) {
		size_t before = u->out.len;

		if (h2_output(u->h2, &u->out, u->out_pos + WRITE_AHEAD, &more) < 0) {
			u->broken_write = true;
			break;
		}
		if (u->out.len == before)
			break;
	}
	u->was_full |= more && up_queued(u) >= WRITE_AHEAD;
	up_dirty(u);
}

void h2up_begin(struct up *u)
{
	const struct h2_options o = {.role = H2_CLIENT, .ops = &ops, .ctx = u};

	u->h2 = h2_new(&o);
	if (!u->h2)
		up_fail(u, 503, "limit", "no memory");
}

/* ---- the request ---- */

static bool authority(const struct chan *c, char *dst, size_t cap)
{
	bool six = c->host.kind == POLICY_HOST_ADDRESS && c->host.address.family == 6;
	char port[8] = "";
	int n;

	if (c->q.port != 443)
		(void)snprintf(port, sizeof(port), ":%u", (unsigned)c->q.port);
	n = snprintf(dst, cap, "%s%s%s%s", six ? "[" : "", c->host.name, six ? "]" : "", port);
	return n > 0 && (size_t)n < cap;
}

/* fields_for() - without what HTTP/2 must not have */
static void fields_for(const struct chan *c, struct egress_fields *f)
{
	static const char *const not_for_h2[] = {"host", "connection", "keep-alive",
		"proxy-connection", "transfer-encoding", "upgrade", "te", "expect",
		"proxy-authorization", "http2-settings", "content-length"};
	static const struct egress_field te = {"te", "trailers", 2, 8, false};

	f->n = 0;
	for (uint16_t i = 0; i < c->cred.fields.n; i++) {
		const struct egress_field *x = &c->cred.fields.v[i];
		bool drop = false;

		for (size_t j = 0; j < ARRAY_LEN(not_for_h2); j++)
			drop |= x->name[0] == not_for_h2[j][0] &&
				strcmp(x->name, not_for_h2[j]) == 0;
		if (!drop && f->n < EGRESS_FIELDS_MAX)
			f->v[f->n++] = *x;
	}
	if (c->q.kind == EGRESS_GRPC && f->n < EGRESS_FIELDS_MAX)
		f->v[f->n++] = te;
}

static void add_length(const struct chan *c, struct egress_fields *f, char text[24])
{
	unsigned long long n = c->front_end ? c->body.len : c->q.length;

	if (f->n == EGRESS_FIELDS_MAX || (c->front_end ? n == 0 : !c->body_declared))
		return;
	(void)snprintf(text, 24, "%llu", n);
	f->v[f->n++] =
		(struct egress_field){"content-length", text, 14, (uint16_t)strlen(text), false};
}

void h2up_start(struct chan *c, struct up *u)
{
	static char target[POLICY_PATH_MAX + 16384]; /* large, as the fields are */
	static struct egress_fields f;
	char host[300], length[24];
	struct h2_head q = {.method = c->q.method,
		.scheme = "https",
		.authority = host,
		.path = target,
		.fields = &f};
	bool end = c->front_end && c->body.len == 0;
	int n = snprintf(target, sizeof(target), "%s%s", c->cred.path, c->cred.query);
	int32_t id;

	u->chan = NULL; /* it is everybody's */
	fields_for(c, &f);
	add_length(c, &f, length);
	if (n < 0 || (size_t)n >= sizeof(target) || !authority(c, host, sizeof(host))) {
		c->up = NULL;
		chan_fail(c, 414, "malformed", "the request cannot be written");
		return;
	}
	id = h2_request(u->h2, &q, end, c);
	if (c->cred.used[0])
		explicit_bzero(target, (size_t)n); /* a credential may be in the query */
	if (id == -EAGAIN && !c->retried) {
		/* It takes no more streams: a connection of its own. */
		c->up = NULL;
		c->retried = true;
		exchange_go(c);
		return;
	}
	if (id < 0) {
		c->up = NULL;
		chan_fail(c, 400, "malformed", "the request cannot be written");
		return;
	}
	c->stream = id;
	u->n_streams++;
	u->idle_since = 0;
	if (c->body.len > 0) {
		c->bytes_up += c->body.len;
		if (h2_send(u->h2, id, c->body.data, c->body.len) < 0 ||
			(c->front_end && h2_end(u->h2, id, NULL) < 0)) {
			chan_close(c);
			return;
		}
	}
	up_want(u, true);
	pump(u);
}

bool h2up_send(struct chan *c, const void *p, size_t len, bool end)
{
	struct up *u = c->up;
	int r = len > 0 ? h2_send(u->h2, c->stream, p, len) : 0;

	if (r == -EAGAIN)
		return false; /* on_drained() has the frame taken again */
	if (r == 0 && end)
		r = h2_end(u->h2, c->stream, NULL);
	if (r < 0 && r != -ESTALE) /* stale: the answer is on its way */
		chan_close(c);
	pump(u);
	return true;
}

bool h2up_trailers(struct chan *c, const struct egress_fields *f)
{
	int r = h2_end(c->up->h2, c->stream, f);

	if (r < 0 && r != -ESTALE)
		chan_close(c);
	else
		pump(c->up);
	return true;
}

void h2up_cancel(struct chan *c, struct up *u)
{
	if (u->dead || c->stream == 0)
		return;
	h2_set_user(u->h2, c->stream, NULL);
	h2_reset(u->h2, c->stream, H2_CANCEL);
	if (c->unconsumed)
		h2_consume(u->h2, c->stream, c->unconsumed);
	pump(u);
}

void h2up_room(struct chan *c)
{
	if (c->unconsumed == 0 || !chan_room(c))
		return;
	h2_consume(c->up->h2, c->stream, c->unconsumed);
	c->unconsumed = 0;
	pump(c->up);
}

/* ---- the answer ---- */

/* leave() - the stream is not this exchange's any more */
static void leave(struct chan *c)
{
	h2_set_user(c->up->h2, c->stream, NULL);
	if (c->unconsumed)
		h2_consume(c->up->h2, c->stream, c->unconsumed);
	c->unconsumed = 0;
	if (!c->front_end)
		h2_reset(c->up->h2, c->stream, H2_NO_ERROR);
	c->up = NULL;
	c->stream = 0;
}

static void on_head(void *ctx, int32_t stream, void *user, const struct h2_head *h, bool end)
{
	struct chan *c = user;
	struct up *u = ctx;

	if (!c)
		return;
	if (h->why || h->status < 100) {
		u->v->faults++;
		h2_reset(u->h2, stream, H2_PROTOCOL_ERROR);
		return;
	}
	c->got_head = true;
	exchange_head(c, h->status, 2, h->fields, end);
	if (!end || c->dead || c->up != u || c->stream != stream)
		return;
	leave(c);
	if (c->cred.oauth)
		exchange_end(c, NULL);
	else
		chan_done(c);
}

static void on_data(void *ctx, int32_t stream, void *user, const uint8_t *p, size_t len)
{
	struct chan *c = user;
	struct up *u = ctx;

	if (!c || c->dead) {
		h2_consume(u->h2, stream, len);
		return;
	}
	c->unconsumed += len;
	exchange_data(c, p, len);
}

static void on_end(void *ctx, int32_t stream, void *user, const struct egress_fields *trailers)
{
	struct chan *c = user;

	(void)ctx;
	(void)stream;
	if (!c || c->dead)
		return;
	leave(c);
	exchange_end(c, trailers);
}

static void on_closed(void *ctx, int32_t stream, void *user, uint32_t code)
{
	struct chan *c = user;
	struct up *u = ctx;

	u->n_streams--;
	if (u->n_streams == 0 && !u->dead)
		u->done_ms = clock_ms();
	if (!c || c->dead)
		return;
	c->stream = 0;
	c->unconsumed = 0;
	exchange_broken(c, h2_unprocessed(u->h2, stream, code),
		"the stream was reset (HTTP/2 error %u)", (unsigned)code);
}

static void on_drained(void *ctx, int32_t stream, void *user)
{
	(void)ctx;
	(void)stream;
	if (user)
		chan_dirty(user);
}

/* ---- the connection ---- */

static void lost(struct up *u, const char *why)
{
	struct vault *v = u->v;

	u->lost = true;
	for (struct chan *c = v->chans; c; c = c->next) {
		if (c->dead || c->up != u)
			continue;
		c->stream = 0;
		c->up = NULL;
		exchange_broken(c, u->uses > 1 && !c->got_head, "%s", why);
	}
	up_close(u);
}

void h2up_io(struct up *u)
{
	struct vault *v = u->v;
	unsigned i;

	for (i = 0; i < 16 && !u->dead; i++) {
		ssize_t n = up_read(u, v->scratch, sizeof(v->scratch));

		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			lost(u, "the connection was closed before the answer was whole");
			return;
		}
		if (h2_input(u->h2, v->scratch, (size_t)n, clock_ms()) < 0) {
			v->faults++;
			pump(u);
			lost(u, "it broke the rules of HTTP/2");
			return;
		}
	}
	if (u->dead)
		return;
	pump(u);
	if (h2_over(u->h2) && up_queued(u) == 0)
		lost(u, "the connection was closed");
	else if (i == 16)
		u->kick = true;
}

void h2up_drained(struct up *u)
{
	pump(u);
}
