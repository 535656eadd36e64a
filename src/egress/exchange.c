#include "egress/chan.h"
#include "base/clock.h"
#include "policy/path.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static struct cred_ask ask_of(const struct chan *c)
{
	return (struct cred_ask){
		.config = c->config, .secrets = c->v->secrets, .q = &c->q, .host = &c->host};
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
	c->got_head = c->no_wait = false;
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
	return c->cred.body == CRED_BODY_TOKEN || c->cred.body == CRED_BODY_SIGN;
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
	if (!f->end && c->cred.body == CRED_BODY_LOOK && c->body_declared &&
		c->q.length > VAULT_GATHER_MAX)
		c->cred.body = CRED_BODY_FREE;
	if (f->end || c->cred.body == CRED_BODY_FREE || c->q.kind == EGRESS_WEBSOCKET)
		gathered(c);
	else
		c->state = CHAN_GATHER;
}

/* count_body() - false: it is not as long as was said */
static bool count_body(struct chan *c, const struct egress_frame *f)
{
	if (c->body_declared) {
		if (f->type == EGRESS_DATA && f->len > c->body_left)
			return false;
		c->body_left -= f->type == EGRESS_DATA ? f->len : 0;
		if (f->end && c->body_left > 0)
			return false;
	}
	return true;
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
	struct egress_fields trailers;
	bool taken;

	/* Room first: a frame that has to wait must not be counted twice. */
	if (c->state == CHAN_BODY && c->up && !c->up->h2 && up_queued(c->up) >= UP_ROOM) {
		c->up->was_full = true;
		return false;
	}
	if (f->type == EGRESS_TRAILERS && egress_get_trailers(f, &trailers) != PROTO_OK) {
		c->v->faults++;
		chan_close(c);
		return true;
	}
	if (c->state == CHAN_GATHER) {
		if (!count_body(c, f)) {
			c->v->faults++;
			chan_close(c);
			return true;
		}
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
	if (!count_body(c, f)) {
		c->v->faults++;
		chan_close(c);
		return true;
	}
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

/* ---- the answer ---- */

static bool is_hop(const char *name)
{
	static const char *const hop[] = {"connection", "keep-alive", "proxy-connection", "te",
		"trailer", "transfer-encoding", "upgrade", "proxy-authenticate", "alt-svc",
		"http2-settings"};

	for (size_t i = 0; i < ARRAY_LEN(hop); i++)
		if (strcmp(name, hop[i]) == 0)
			return true;
	return false;
}

static void note(struct chan *c, const char *what)
{
	if (!strstr(c->cred.note, what)) {
		size_t n = strlen(c->cred.note);

		(void)snprintf(
			c->cred.note + n, sizeof(c->cred.note) - n, "%s%s", n ? " " : "", what);
	}
}

/* coding_of() - false: one that cannot be looked into */
static bool coding_of(const struct egress_fields *f, enum scrub_coding *ret)
{
	const char *v = egress_field(f, "content-encoding");

	*ret = SCRUB_IDENTITY;
	for (uint16_t i = 0, n = 0; i < f->n; i++)
		if (strcmp(f->v[i].name, "content-encoding") == 0 && ++n > 1)
			return false; /* one over the other */
	if (!v || !v[0] || strcasecmp(v, "identity") == 0)
		return true;
	*ret = SCRUB_GZIP;
	if (strcasecmp(v, "gzip") == 0 || strcasecmp(v, "x-gzip") == 0)
		return true;
	*ret = SCRUB_BROTLI;
	return strcasecmp(v, "br") == 0;
}

/* mask_fields() - a value that holds the secret is replaced by a masked copy */
static void mask_fields(struct chan *c, struct egress_fields *f)
{
	for (uint16_t i = 0; i < f->n; i++) {
		size_t len = f->v[i].value_len;
		char *copy;

		if (!scrub_any(c->cred.scrub, c->cred.n_scrub, f->v[i].value, len))
			continue;
		note(c, "scrubbed");
		copy = cred_own(&c->cred, len + 1);
		if (!copy) {
			f->v[i].value = "";
			f->v[i].value_len = 0;
			continue;
		}
		memcpy(copy, f->v[i].value, len);
		for (unsigned j = 0; j < c->cred.n_scrub; j++)
			(void)scrub_mask(c->cred.scrub[j], copy, len);
		f->v[i].value = copy;
	}
}

/* guard() - the answer to a request with a credential: false: refused */
static bool guard(struct chan *c, struct egress_fields *f, bool end)
{
	enum scrub_coding coding;

	mask_fields(c, f);
	if (end || c->cred.oauth)
		return true;
	if (!coding_of(f, &coding)) {
		chan_fail(c, 502, "coding",
			"the answer is encoded in a way that cannot be looked into");
		return false;
	}
	c->scrub = scrub_stream_new(c->cred.scrub, c->cred.n_scrub, coding);
	if (!c->scrub) {
		chan_fail(c, 503, "limit", "no memory");
		return false;
	}
	c->decoded = coding != SCRUB_IDENTITY;
	return true;
}

void exchange_head(
	struct chan *c, int status, unsigned version, const struct egress_fields *fields, bool end)
{
	struct egress_response s = {.status = (uint16_t)status, .version = (uint8_t)version};
	bool interim = status < 200 && status != 101;
	struct egress_fields *f = &s.fields;

	c->decoded = false;
	for (uint16_t i = 0; i < fields->n; i++) {
		if (is_hop(fields->v[i].name) ||
			(c->cred.strip_cookies && strcmp(fields->v[i].name, "set-cookie") == 0) ||
			(c->own_key && strcmp(fields->v[i].name, "sec-websocket-accept") == 0))
			continue;
		f->v[f->n++] = fields->v[i];
	}
	if (interim)
		mask_fields(c, f);
	else if (c->cred.n_scrub > 0 && !guard(c, f, end))
		return;
	if (!interim && c->cred.oauth) {
		token_begin(c, status, &s, end);
		return;
	}
	if (c->decoded) {
		egress_fields_drop(f, "content-length");
		egress_fields_drop(f, "content-encoding");
	}
	c->answered = !interim;
	if (egress_put_response(&c->out, &s, end) < 0)
		chan_put_failed(c);
	chan_dirty(c);
}

void egress_fields_drop(struct egress_fields *f, const char *name)
{
	uint16_t n = 0;

	for (uint16_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].name, name) != 0)
			f->v[n++] = f->v[i];
	f->n = n;
}

/* pass() - bytes that may be shown */
#define DIRECT 32768 /* so many bytes are worth a system call of their own */

/* put_data() - as DATA to the channel; at once when nothing waits there */
static int put_data(struct chan *c, const uint8_t *p, size_t len)
{
	uint8_t head[EGRESS_FRAME_HEAD];
	const struct iovec v[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)p, len}};
	const struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = 2};
	size_t sent;
	ssize_t n;

	if (len < DIRECT || c->out.len > c->out_pos)
		return egress_put_data(&c->out, p, len, false);
	egress_frame_head(head, EGRESS_DATA, false, len);
	n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	sent = n > 0 ? (size_t)n : 0;
	if (sent >= sizeof(head))
		return buf_add(&c->out, p + (sent - sizeof(head)), len + sizeof(head) - sent);
	return buf_add(&c->out, head + sent, sizeof(head) - sent) < 0 ? -ENOBUFS
								      : buf_add(&c->out, p, len);
}

static bool pass(void *ctx, const void *p, size_t len)
{
	const uint8_t *at = p;
	struct chan *c = ctx;

	while (len > 0) {
		size_t n = len < EGRESS_FRAME_MAX ? len : EGRESS_FRAME_MAX;

		if (put_data(c, at, n) < 0) {
			chan_put_failed(c);
			return false;
		}
		at += n;
		len -= n;
	}
	chan_dirty(c);
	return true;
}

static bool scrubbed(struct chan *c, enum scrub_result r)
{
	if (scrub_stream_found(c->scrub))
		note(c, "scrubbed");
	if (r == SCRUB_OK)
		return true;
	c->v->faults++;
	chan_close(c);
	return false;
}

void exchange_data(struct chan *c, const void *p, size_t len)
{
	c->moved_ms = clock_ms();
	c->bytes_down += len;
	if (c->cred.oauth)
		token_data(c, p, len);
	else if (c->scrub)
		(void)scrubbed(c, scrub_feed(c->scrub, p, len, pass, c));
	else
		(void)pass(c, p, len);
}

void exchange_end(struct chan *c, const struct egress_fields *trailers)
{
	struct egress_fields f = {0};
	int r;

	if (c->cred.oauth && !token_end(c))
		return;
	if (c->scrub && !scrubbed(c, scrub_end(c->scrub, pass, c)))
		return;
	if (trailers) {
		for (uint16_t i = 0; i < trailers->n; i++)
			if (!is_hop(trailers->v[i].name))
				f.v[f.n++] = trailers->v[i];
		mask_fields(c, &f);
	}
	r = f.n > 0 ? egress_put_trailers(&c->out, &f) : egress_put_data(&c->out, "", 0, true);
	if (r < 0)
		chan_put_failed(c);
	else
		chan_done(c);
}

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
