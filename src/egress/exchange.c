#include "egress/chan.h"
#include "base/clock.h"
#include "policy/path.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct cred_ask ask_of(const struct chan *c)
{
	return (struct cred_ask){.config = c->config,
		.secrets = c->v->secrets,
		.q = &c->q,
		.host = &c->host,
		.path_flags = c->path_flags};
}

void exchange_clear(struct chan *c)
{
	struct up *u = c->up;

	c->up = NULL;
	if (u && u->h2)
		h2up_cancel(c, u);
	else if (u && u->chan == c)
		up_close(u); /* in the middle of something: not to be used again */
	authz_stop(c);
	resolve_cancel(c->query);
	c->query = NULL;
	scrub_stream_free(c->scrub);
	c->scrub = NULL;
	if (c->body.data)
		explicit_bzero(c->body.data, c->body.cap);
	buf_clear(&c->body);
	if (c->body.cap > 4096)
		buf_fini(&c->body);
	buf_fini(&c->token);
	free(c->ws);
	c->ws = NULL;
	cred_clear(&c->cred);
	vault_config_unref(c->config);
	c->config = NULL;
	c->awaited = NULL;
	c->got_head = c->no_wait = c->cut = false;
	c->up_end = c->answered = c->upgraded = c->retried = c->retry_ok = c->own_key = false;
	c->bytes_up = c->bytes_down = c->body_left = 0;
	c->stream = 0;
	c->t.port = 0;
	c->unconsumed = 0;
	c->head_ms = 0;
}

/* ---- the request ---- */

enum policy_kind exchange_kind(const struct egress_request *q)
{
	return q->kind == EGRESS_WEBSOCKET ? POLICY_WEBSOCKET
	       : q->kind == EGRESS_GRPC	   ? POLICY_GRPC
					   : POLICY_HTTP;
}

/* is_canonical() - is the request what a front of ours would send? Its words decide nothing: whatever
 * is judged here is what is sent.
 */
static bool is_canonical(struct chan *c)
{
	const struct egress_request *q = &c->q;
	char path[POLICY_PATH_MAX + 1];
	size_t len;

	if (!policy_host_parse(q->host, strlen(q->host), &c->host) ||
		(c->host.kind != POLICY_HOST_LOCAL && strcmp(c->host.name, q->host) != 0))
		return false;
	if (policy_path_canon(q->path, strlen(q->path), path, sizeof(path), &len, &c->path_flags) !=
			POLICY_PATH_OK ||
		strcmp(path, q->path) != 0)
		return false;
	for (const char *p = q->query; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == '#' || (unsigned char)*p >= 0x7f)
			return false;
	for (const char *p = q->method; *p; p++)
		if (*p < 'A' || (*p > 'Z' && *p != '-' && *p != '_'))
			return false;
	return q->query[0] == '\0' || q->query[0] == '?';
}

static bool is_allowed(const struct chan *c)
{
	const struct policy_request q = {.kind = exchange_kind(&c->q),
		.host = &c->host,
		.port = c->q.port,
		.method = c->q.method,
		.path = c->q.path,
		.path_flags = c->path_flags};
	struct policy_verdict verdict;

	policy_decide(c->config->policy, &q, &verdict);
	return verdict.decision != POLICY_DENY;
}

static void refuse(struct chan *c)
{
	chan_fail(c, c->cred.status, c->cred.code, "%s", c->cred.text);
}

/* look_again() - a body may take its time: a credential that was taken away or changed meanwhile is not sent */
static bool look_again(struct chan *c)
{
	const enum cred_body was = c->cred.body;
	struct cred_ask a;

	if (c->changes == c->v->changes)
		return true;
	c->changes = c->v->changes;
	vault_config_unref(c->config);
	c->config = vault_config_ref(c->v->config);
	cred_clear(&c->cred);
	a = ask_of(c);
	if (cred_apply(&c->cred, &a) && c->cred.body != was)
		return cred_refuse(&c->cred, 503, "changed", "credentials were changed meanwhile");
	return c->cred.status == 0;
}

/* gathered() - the body is here, as far as it is looked into */
static void gathered(struct chan *c)
{
	bool ok = c->state != CHAN_GATHER || look_again(c);
	struct cred_ask a = ask_of(c);

	c->state = CHAN_WAIT;
	if (!ok) {
		refuse(c);
		return;
	}
	if (c->cred.body == CRED_BODY_LOOK)
		ok = cred_look(&c->cred, &a, &c->body);
	else if (c->cred.body == CRED_BODY_PLACE)
		ok = cred_place(&c->cred, &a, &c->body);
	else if (c->cred.body == CRED_BODY_TOKEN)
		ok = cred_swap(&c->cred, &a, &c->body);
	if (ok && c->cred.sign)
		ok = cred_sign(&c->cred, &a, &c->body);
	if (!ok)
		refuse(c);
	else if (c->config->has_authz)
		authz_begin(c);
	else
		exchange_go(c);
}

/* must_be_whole() - this body cannot be passed on without being looked into */
static bool must_be_whole(const struct chan *c)
{
	return c->cred.body == CRED_BODY_TOKEN || c->cred.body == CRED_BODY_SIGN ||
	       c->cred.body == CRED_BODY_PLACE;
}

static size_t gather_max(const struct chan *c)
{
	return c->cred.body == CRED_BODY_SIGN ? VAULT_QUEUE_MAX : VAULT_GATHER_MAX;
}

void exchange_begin(struct chan *c, const struct egress_frame *f)
{
	struct cred_ask a;

	if (egress_get_request(f, &c->q) != PROTO_OK ||
		(f->end && c->q.length != 0 && c->q.length != EGRESS_LENGTH_UNKNOWN)) {
		c->v->faults++;
		chan_close(c);
		return;
	}
	c->body_declared = c->q.length != EGRESS_LENGTH_UNKNOWN;
	c->body_left = c->body_declared ? c->q.length : 0;
	if (!is_canonical(c)) {
		c->v->faults++;
		chan_fail(c, 400, "malformed", "the request is not in its canonical form");
		return;
	}
	if (strcmp(c->q.method, "CONNECT") == 0 || strcmp(c->q.method, "TRACE") == 0) {
		chan_fail(c, 405, "method", "%s is not passed on", c->q.method);
		return;
	}
	if (!is_allowed(c)) {
		chan_fail(c, 403, "denied", "no rule allows it");
		return;
	}
	c->changes = c->v->changes;
	a = ask_of(c);
	if (!cred_apply(&c->cred, &a)) {
		refuse(c);
		return;
	}
	c->retry_ok =
		f->end && (strcmp(c->q.method, "GET") == 0 || strcmp(c->q.method, "HEAD") == 0 ||
				  strcmp(c->q.method, "OPTIONS") == 0);
	if (!f->end && (c->cred.body == CRED_BODY_LOOK || c->cred.body == CRED_BODY_PLACE) &&
		c->body_declared && c->q.length > VAULT_GATHER_MAX)
		c->cred.body = CRED_BODY_FREE;
	if (f->end || c->cred.body == CRED_BODY_FREE || c->q.kind == EGRESS_WEBSOCKET)
		gathered(c);
	else
		c->state = CHAN_GATHER;
}

/* fits() - false: with it the body is not as long as was said */
static bool fits(const struct chan *c, const struct egress_frame *f)
{
	size_t len = f->type == EGRESS_DATA ? f->len : 0;

	if (!c->body_declared)
		return true;
	return f->end ? len == c->body_left : len <= c->body_left;
}

static void count_body(struct chan *c, const struct egress_frame *f)
{
	if (c->body_declared && f->type == EGRESS_DATA)
		c->body_left -= f->len;
}

static void gather(struct chan *c, const struct egress_frame *f)
{
	c->front_end = f->end;
	if (f->type == EGRESS_DATA && buf_add(&c->body, f->body, f->len) < 0) {
		chan_fail(c, 413, "too_large", "a body that is looked into must be smaller");
		return;
	}
	if (f->end) {
		gathered(c);
	} else if (c->body.len > gather_max(c)) {
		if (must_be_whole(c))
			chan_fail(
				c, 413, "too_large", "a body that is looked into must be smaller");
		else
			gathered(c);
	}
}

bool exchange_frame(struct chan *c, const struct egress_frame *f)
{
	static struct egress_fields trailers; /* large */
	bool taken;

	/* Room first: a frame that has to wait must not be counted twice. */
	if (c->state == CHAN_BODY && c->up && !c->up->h2 && up_queued(c->up) >= UP_ROOM) {
		c->up->was_full = true;
		return false;
	}
	/* It may be on its way at once: not a byte more than was said. */
	if ((f->type == EGRESS_TRAILERS && egress_get_trailers(f, &trailers) != PROTO_OK) ||
		!fits(c, f)) {
		c->v->faults++;
		chan_close(c);
		return true;
	}
	if (c->state == CHAN_GATHER) {
		count_body(c, f);
		gather(c, f);
		return true;
	}
	if (f->type == EGRESS_TRAILERS)
		taken = c->up->h2 ? h2up_trailers(c, &trailers) : h1_trailers(c, &trailers);
	else
		taken = c->up->h2 ? h2up_send(c, f->body, f->len, f->end)
				  : h1_send(c, f->body, f->len, f->end);
	if (!taken || c->dead || c->state != CHAN_BODY)
		return taken || c->dead;
	count_body(c, f);
	c->bytes_up += f->type == EGRESS_DATA ? f->len : 0;
	c->front_end = f->end;
	return true;
}

static struct up_goal goal_of(const struct chan *c)
{
	return (struct up_goal){.judge = {.kind = exchange_kind(&c->q),
					.port = c->q.port,
					.method = c->q.method,
					.path = c->q.path,
					.path_flags = c->path_flags},
		.host = c->host,
		.port = c->q.port,
		.tls = c->q.scheme == EGRESS_HTTPS,
		.http = true,
		.h2 = c->q.scheme == EGRESS_HTTPS && c->q.kind != EGRESS_WEBSOCKET &&
		      c->body.len <= H2_QUEUE_MAX,
		.credential = c->cred.used,
		.method = c->q.method,
		.path = c->q.path};
}

static void start(struct chan *c, struct up *u)
{
	c->up = u;
	u->ops = &exchange_ops;
	c->state = CHAN_BODY;
	u->uses++;
	if (u->h2)
		h2up_start(c, u);
	else
		h1_start(c, u);
}

void exchange_go(struct chan *c)
{
	struct up_goal g = goal_of(c);
	struct up *u;

	c->state = CHAN_WAIT;
	u = c->retried ? NULL : up_find(c->v, &g);
	if (u) {
		start(c, u);
		return;
	}
	if (g.h2 && !c->retried && !c->no_wait && (c->awaited = up_coming(c->v, &g)) != NULL)
		return;
	c->up = up_new(c->v, &g, &exchange_ops, c);
	if (!c->up)
		chan_fail(c, 503, "limit", "too many connections are open");
}

/* wake() - exchanges that waited for this connection, which stands or will not: it may carry them, or each
 * makes its own
 */
static void wake(struct up *u)
{
	for (struct chan *c = u->v->chans; c; c = c->next) {
		if (c->dead || c->awaited != u)
			continue;
		c->awaited = NULL;
		c->no_wait = true;
		exchange_go(c);
		chan_dirty(c);
	}
}

static void on_ready(struct up *u)
{
	struct chan *c = u->chan;

	if (u->tls && strcmp(tls_alpn(u->tls), "h2") == 0)
		h2up_begin(u);
	if (u->dead)
		return;
	start(c, u);
	chan_resume(c);
	chan_dirty(c);
	wake(u);
}

static void on_failed(struct up *u, int status, const char *code, const char *text)
{
	struct chan *c = u->chan;

	if (c && c->up == u) {
		c->up = NULL;
		chan_fail(c, status, code, "%s", text);
	}
}

static void on_io(struct up *u)
{
	if (u->h2)
		h2up_io(u);
	else if (u->chan && u->chan->state == CHAN_TUNNEL)
		tunnel_io(u);
	else
		h1_io(u);
}

static void on_drained(struct up *u)
{
	if (u->h2)
		h2up_drained(u);
	else if (u->chan)
		chan_dirty(u->chan); /* its flush takes the frames that waited */
}

const struct up_ops exchange_ops = {on_ready, on_failed, on_io, on_drained, wake};

void exchange_broken(struct chan *c, bool untouched, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	c->up = NULL;
	if (c->dead)
		return;
	if (untouched && c->retry_ok && !c->retried && !c->answered) {
		c->retried = true;
		exchange_go(c);
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (c->answered)
		chan_close(c); /* what came is cut off, and the front sees that it is */
	else
		chan_fail(c, 502, "upstream", "%s: %s", c->host.name, text);
}

void exchange_tick(struct chan *c, int64_t now)
{
	authz_tick(c, now);
	if (c->state == CHAN_GATHER && c->cred.body == CRED_BODY_LOOK &&
		now - c->moved_ms > VAULT_GATHER_MS)
		gathered(c); /* a body in pieces over time: what is there was looked into */
	if (c->head_ms && !c->answered && now - c->head_ms > VAULT_HEAD_MS) {
		chan_fail(c, 504, "timeout", "%s does not come to an end with its head",
			c->host.name);
		return;
	}
	if (c->state != CHAN_IDLE && now - c->moved_ms > VAULT_SILENT_MS) {
		if (c->answered || c->state == CHAN_TUNNEL)
			chan_close(c);
		else
			chan_fail(c, 504, "timeout", "%s did not answer", c->host.name);
	}
}
