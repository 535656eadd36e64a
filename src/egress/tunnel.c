/* Bytes both ways: raw TCP, TLS that is not inspected, and a WebSocket after its handshake */
#include "egress/chan.h"
#include "base/clock.h"
#include <errno.h>
#include <string.h>

static void on_ready(struct up *u);
static void on_failed(struct up *u, int status, const char *code, const char *text);
static void on_drained(struct up *u);

static const struct up_ops tunnel_ops = {on_ready, on_failed, tunnel_io, on_drained};

void tunnel_begin(struct chan *c, const struct egress_frame *f)
{
	struct up_goal g = {.judge = {.kind = POLICY_TUNNEL}, .credential = ""};
	struct policy_request q;
	struct policy_verdict verdict;

	if (egress_get_tunnel(f, &c->t) != PROTO_OK ||
		!policy_host_parse(c->t.host, strlen(c->t.host), &c->host)) {
		c->v->faults++;
		chan_close(c);
		return;
	}
	q = (struct policy_request){.kind = POLICY_TUNNEL, .host = &c->host, .port = c->t.port};
	policy_decide(c->config->policy, &q, &verdict);
	if (verdict.decision == POLICY_DENY) {
		chan_fail(c, 403, "denied", "no rule allows it");
		return;
	}
	for (size_t i = 0; i < c->config->n_slots; i++) {
		if (!pattern_matches(&c->config->slots[i].pattern, &c->host, c->t.port))
			continue;
		chan_fail(c, 403, "uninspected",
			"requests to %s get a credential: they must be inspected", c->host.name);
		return;
	}
	g.host = c->host;
	g.port = c->t.port;
	c->state = CHAN_WAIT;
	c->up = up_new(c->v, &g, &tunnel_ops, c);
	if (!c->up)
		chan_fail(c, 503, "limit", "too many connections are open");
}

static void on_ready(struct up *u)
{
	struct chan *c = u->chan;
	struct egress_addr a = {.family = u->peer.family};

	memcpy(a.bytes, u->peer.byte, sizeof(a.bytes));
	if (egress_put_open(&c->out, &a, u->port) < 0) {
		chan_put_failed(c);
		return;
	}
	c->state = CHAN_TUNNEL;
	up_want(u, true);
	chan_dirty(c);
}

static void on_failed(struct up *u, int status, const char *code, const char *text)
{
	struct chan *c = u->chan;

	if (!c || c->up != u)
		return;
	c->up = NULL;
	chan_fail(c, status, code, "%s", text);
}

static void on_drained(struct up *u)
{
	if (u->chan)
		chan_dirty(u->chan);
}

void tunnel_upgraded(struct chan *c)
{
	c->state = CHAN_TUNNEL;
	c->upgraded = true;
	chan_resume(c);
}

/* over() - both directions have ended */
static void over(struct chan *c)
{
	if (!c->front_end || !c->up_end || c->dead)
		return;
	up_close(c->up);
	c->up = NULL;
	chan_done(c);
}

bool tunnel_frame(struct chan *c, const struct egress_frame *f)
{
	struct up *u = c->up;

	if (up_queued(u) >= UP_ROOM) {
		u->was_full = true;
		return false;
	}
	if (buf_add(&u->out, f->body, f->len) < 0) {
		chan_close(c);
		return true;
	}
	c->bytes_up += f->len;
	c->front_end = f->end;
	u->shut_after = f->end;
	up_dirty(u);
	over(c);
	return true;
}

void tunnel_data(struct chan *c, const uint8_t *p, size_t len)
{
	c->moved_ms = clock_ms();
	c->bytes_down += len;
	while (len > 0) {
		size_t n = len < EGRESS_FRAME_MAX ? len : EGRESS_FRAME_MAX;

		if (egress_put_data(&c->out, p, n, false) < 0) {
			chan_put_failed(c);
			return;
		}
		p += n;
		len -= n;
	}
	chan_dirty(c);
}

void tunnel_ended(struct chan *c, ssize_t n)
{
	/* A reset is passed on as one: the front sees its channel go. */
	if (n < 0 && !(c->upgraded && n == -ECONNRESET)) {
		chan_close(c);
		return;
	}
	c->up_end = true;
	up_want(c->up, false);
	if (egress_put_data(&c->out, "", 0, true) < 0) {
		chan_put_failed(c);
		return;
	}
	chan_dirty(c);
	over(c);
}

void tunnel_io(struct up *u)
{
	for (unsigned i = 0; i < 16 && !u->dead && u->chan && !u->chan->up_end; i++) {
		ssize_t n;

		if (!chan_room(u->chan)) {
			up_want(u, false);
			return;
		}
		n = up_read(u, u->v->scratch, sizeof(u->v->scratch));
		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			tunnel_ended(u->chan, n);
			return;
		}
		tunnel_data(u->chan, u->v->scratch, (size_t)n);
	}
	if (!u->dead && u->chan && !u->chan->up_end) {
		u->kick = true;
		up_dirty(u);
	}
}
