/* Bytes both ways: raw TCP, TLS that is not inspected, and a WebSocket after its handshake */
#include "egress/chan.h"
#include "base/clock.h"
#include "http/ws.h"
#include "tls/digest.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_ready(struct up *u);
static void on_failed(struct up *u, int status, const char *code, const char *text);
static void on_drained(struct up *u);

static const struct up_ops tunnel_ops = {on_ready, on_failed, tunnel_io, on_drained, NULL};

bool tunnel_managed(const struct vault_config *v, const struct policy_host *host, uint16_t port)
{
	for (size_t i = 0; i < v->n_slots; i++)
		if (pattern_matches(&v->slots[i].pattern, host, port))
			return true;
	return false;
}

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
	if (tunnel_managed(c->config, &c->host, c->t.port)) {
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

static uint32_t random_mask(void *ctx)
{
	uint32_t mask = 0;

	(void)ctx;
	/* Never the same mask again: without one no frame goes out. */
	if (tls_random(&mask, sizeof(mask)) < 0)
		abort();
	return mask;
}

/* On a channel frames are without masks, to a server they have one. */
void tunnel_upgraded(struct chan *c, bool deflate)
{
	c->ws = calloc(2, sizeof(*c->ws));
	if (!c->ws) {
		chan_close(c);
		return;
	}
	c->ws[0] = (struct ws_walk){.masked_out = true, .deflate = deflate, .mask = random_mask};
	c->ws[1] = (struct ws_walk){.deflate = deflate};
	c->state = CHAN_TUNNEL;
	c->upgraded = true;
	chan_resume(c);
}

void tunnel_break(struct chan *c)
{
	const struct linger at_once = {.l_onoff = 1};
	struct up *u = c->up;

	if (c->state != CHAN_TUNNEL || c->t.port == 0 || !u || u->dead ||
		(c->front_end && c->up_end))
		return;
	if (!u->outer && u->out.len > u->out_pos && /* what was sent before goes first */
		write(u->fd, u->out.data + u->out_pos, u->out.len - u->out_pos) < 0)
		return; /* it has gone itself */
	(void)setsockopt(u->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
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
	int r;

	if (up_queued(u) >= UP_ROOM) {
		u->was_full = true;
		return false;
	}
	r = c->ws ? ws_walk(&c->ws[0], f->body, f->len, &u->out)
		  : buf_add(&u->out, f->body, f->len);
	if (r < 0) {
		c->v->faults += r == -EPROTO;
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

static int put_down(struct chan *c, const uint8_t *p, size_t len)
{
	int r = 0;

	for (size_t n; len > 0 && r == 0; p += n, len -= n) {
		n = len < EGRESS_FRAME_MAX ? len : EGRESS_FRAME_MAX;
		r = egress_put_data(&c->out, p, n, false);
	}
	return r;
}

static bool put_scrubbed(void *ctx, const void *p, size_t len)
{
	return put_down(ctx, p, len) == 0;
}

/* scrub_frames() - what masking leaves has the same length, so that frames stay frames. What could be the
 * beginning of a secret is held back only until its frame ends: nobody waits for a message that is here.
 */
static int scrub_frames(struct chan *c, const uint8_t *p, size_t len)
{
	enum scrub_result r = scrub_feed(c->scrub, p, len, put_scrubbed, c);

	if (r == SCRUB_OK && c->ws[1].left == 0)
		r = scrub_end(c->scrub, put_scrubbed, c);
	if (scrub_stream_found(c->scrub))
		(void)snprintf(c->cred.note, sizeof(c->cred.note), "scrubbed");
	return r == SCRUB_OK ? 0 : -EIO;
}

void tunnel_data(struct chan *c, const uint8_t *p, size_t len)
{
	AUTO(buf) frames = {0};
	int r = 0;

	c->moved_ms = clock_ms();
	c->bytes_down += len;
	if (c->ws) {
		buf_init(&frames, 8 * VAULT_SCRATCH);
		r = ws_walk(&c->ws[1], p, len, &frames);
		p = (const uint8_t *)frames.data;
		len = frames.len;
	}
	if (r == 0)
		r = c->ws && c->scrub ? scrub_frames(c, p, len) : put_down(c, p, len);
	if (r < 0) {
		c->v->faults += r == -EPROTO;
		chan_close(c);
		return;
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
	if (c->scrub && scrub_end(c->scrub, put_scrubbed, c) != SCRUB_OK) {
		chan_put_failed(c);
		return;
	}
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
