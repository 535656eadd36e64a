#include "egress/up.h"
#include "base/clock.h"
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static void on_fd(void *ctx, uint32_t events);

/* ---- life ---- */

static void on_start(void *ctx)
{
	struct up *u = ctx;

	u->timer = NULL;
	dial_start(u);
}

struct up *up_new(
	struct vault *v, const struct up_goal *g, const struct up_ops *ops, struct chan *chan)
{
	struct up *u = v->n_ups < VAULT_UPS_MAX ? calloc(1, sizeof(*u)) : NULL;

	if (!u)
		return NULL;
	*u = (struct up){.v = v,
		.config = vault_config_ref(v->config),
		.fd = -1,
		.ops = ops,
		.chan = chan,
		.host = g->host,
		.port = g->port,
		.is_tls = g->tls,
		.offer_http = g->http,
		.offer_h2 = g->h2,
		.trusted = g->trusted,
		.kind = g->judge.kind,
		.path_flags = g->judge.path_flags,
		.deadline = clock_ms() + VAULT_CONNECT_MS};
	buf_init(&u->out, UP_ROOM * 2 + 4 * EGRESS_FRAME_MAX);
	buf_init(&u->proxy_in, 16384);
	for (unsigned i = 0; i < UP_ATTEMPTS; i++)
		u->attempt[i] = (struct up_attempt){.up = u, .fd = -1};
	(void)snprintf(u->credential, sizeof(u->credential), "%s", g->credential);
	u->proxy = g->no_proxy ? NULL : vault_config_proxy(v->config, &g->host, g->port);
	u->method = strdup(g->method ? g->method : "");
	u->path = strdup(g->path ? g->path : "");
	u->next = v->ups;
	v->ups = u;
	v->n_ups++;
	if (!u->method || !u->path ||
		loop_add_timer(v->loop, clock_ms(), on_start, u, &u->timer) < 0) {
		u->ops = NULL;
		up_close(u);
		return NULL;
	}
	return u;
}

void up_close(struct up *u)
{
	if (!u || u->dead)
		return;
	dial_stop(u);
	loop_del_timer(u->timer);
	u->timer = NULL;
	if (u->idle_since)
		u->v->n_idle--;
	u->idle_since = 0;
	if (u->tls && u->state == UP_READY)
		(void)tls_close(u->tls);
	loop_del_fd(u->src);
	u->src = NULL;
	own_close_fd(&u->fd);
	u->dead = true;
	u->v->any_dead = true;
	if (u->state != UP_READY && u->ops && u->ops->given_up)
		u->ops->given_up(u);
}

void up_free(struct up *u)
{
	tls_free(u->tls);
	tls_free(u->outer);
	http_parser_free(u->parser);
	h2_free(u->h2);
	if (u->out.data)
		explicit_bzero(u->out.data, u->out.cap);
	buf_fini(&u->out);
	buf_fini(&u->proxy_in);
	free(u->method);
	free(u->path);
	vault_config_unref(u->config);
	free(u);
}

void up_fail(struct up *u, int status, const char *code, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	if (u->dead)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	up_close(u);
	if (u->ops)
		u->ops->failed(u, status, code, text);
}

/* ---- kept connections ---- */

static bool alike(const struct up *u, const struct up_goal *g)
{
	return !u->dead && !u->stale && u->is_tls == g->tls && u->port == g->port &&
	       u->offer_http == g->http && u->trusted == g->trusted &&
	       u->host.kind == g->host.kind && strcmp(u->host.name, g->host.name) == 0 &&
	       strcmp(u->credential, g->credential) == 0 && u->config == u->v->config;
}

static bool allowed_again(const struct up *u, const struct up_goal *g)
{
	struct policy_request q = g->judge;
	struct policy_verdict verdict;

	if (u->trusted || u->peer.family == 0)
		return true;
	q.host = &g->host;
	q.address = u->peer;
	policy_decide(u->v->config->policy, &q, &verdict);
	return verdict.decision != POLICY_DENY;
}

/* quiet() - nothing has come on a connection that nobody asks anything on. What has would be taken for
 * the next answer; its event is on the way, and closes it.
 */
static bool quiet(const struct up *u)
{
	struct pollfd p = {.fd = u->fd, .events = POLLIN | POLLRDHUP};

	return poll(&p, 1, 0) == 0;
}

/* is_free() - can it take one more? Cheaper than alike() and above all than the policy, and most are busy. */
static bool is_free(const struct up *u, const struct up_goal *g)
{
	if (u->dead || u->state != UP_READY)
		return false;
	if (!u->h2)
		return u->idle_since != 0;
	return g->h2 && u->n_streams < H2_STREAMS_MAX && !h2_refuses(u->h2);
}

struct up *up_find(struct vault *v, const struct up_goal *g)
{
	for (struct up *u = v->ups; u; u = u->next) {
		if (!is_free(u, g) || !alike(u, g) || !allowed_again(u, g))
			continue;
		if (u->h2)
			return u;
		if (!quiet(u))
			continue;
		u->idle_since = 0;
		v->n_idle--;
		return u;
	}
	return NULL;
}

struct up *up_coming(struct vault *v, const struct up_goal *g)
{
	for (struct up *u = v->ups; u; u = u->next)
		if (u->state != UP_READY && u->offer_h2 && alike(u, g))
			return u;
	return NULL;
}

void up_forget(struct vault *v, const char *credential)
{
	for (struct up *u = v->ups; u; u = u->next) {
		if (u->dead || strcmp(u->credential, credential) != 0)
			continue;
		u->stale = true;
		if (u->idle_since || (u->h2 && u->n_streams == 0))
			up_close(u);
	}
}

void up_idle(struct up *u)
{
	u->chan = NULL;
	if (u->v->n_idle >= VAULT_IDLE_MAX || u->config != u->v->config || u->stale) {
		up_close(u);
		return;
	}
	u->idle_since = clock_ms();
	u->v->n_idle++;
	if (u->out.cap > 32768)
		buf_fini(&u->out); /* its maximum stays */
	up_want(u, true); /* to hear that it was closed */
}

/* ---- bytes ---- */

static void watch(struct up *u)
{
	uint32_t events;

	if (u->dead || !u->src)
		return;
	events = u->want_in ? EPOLLIN | EPOLLRDHUP : 0;
	if (u->state != UP_READY) {
		events = u->tls || u->outer ? tls_wants(u->tls ? u->tls : u->outer) : EPOLLIN;
		if (u->out.len > u->out_pos)
			events |= EPOLLOUT;
	} else if (u->out.len > u->out_pos) {
		events |= EPOLLOUT;
	}
	if (events == u->events)
		return;
	u->events = events;
	if (loop_mod_fd(u->src, events) < 0)
		u->kick = true; /* it is gone: the next read says so */
}

void up_dirty(struct up *u)
{
	if (u->dirty || u->dead)
		return;
	u->dirty = true;
	u->next_dirty = u->v->dirty_ups;
	u->v->dirty_ups = u;
}

void up_want(struct up *u, bool want)
{
	if (u->want_in == want)
		return;
	u->want_in = want;
	/* Bytes may wait where the descriptor does not tell of them. */
	if (want &&
		(!u->src || (u->tls && tls_pending(u->tls)) || (u->outer && tls_pending(u->outer))))
		u->kick = true;
	up_dirty(u);
}

size_t up_queued(const struct up *u)
{
	return u->out.len - u->out_pos;
}

ssize_t up_read(struct up *u, void *p, size_t cap)
{
	ssize_t n;

	if (u->tls)
		return tls_read(u->tls, p, cap);
	if (u->outer)
		return tls_read(u->outer, p, cap);
	n = recv(u->fd, p, cap, 0);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	return n;
}

static ssize_t put(struct up *u, const void *p, size_t len)
{
	struct tls *t = u->tls ? u->tls : u->outer;
	ssize_t n;

	if (t)
		return tls_write(t, p, len);
	n = send(u->fd, p, len, MSG_NOSIGNAL);
	return n < 0 ? (errno == EINTR ? -EAGAIN : -errno) : n;
}

int up_send(struct up *u, const void *p, size_t len)
{
	const uint8_t *at = p;

	while (len >= UP_DIRECT && up_queued(u) == 0 && !u->broken_write) {
		ssize_t n = put(u, at, len);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			u->broken_write = true; /* as in up_flush() */
			u->kick = true;
			break;
		}
		at += n;
		len -= (size_t)n;
	}
	up_dirty(u);
	return u->broken_write || len == 0 ? 0 : buf_add(&u->out, at, len);
}

void up_flush(struct up *u)
{
	bool was_more = up_queued(u) > UP_ROOM / 2;

	while (!u->dead && u->out.len > u->out_pos && !u->broken_write) {
		ssize_t n = put(u, u->out.data + u->out_pos, u->out.len - u->out_pos);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			/* What the peer said before it closed is still to be read. */
			u->broken_write = true;
			u->out_pos = u->out.len;
			u->kick = true;
			break;
		}
		u->out_pos += (size_t)n;
	}
	/* Heads hold the real values of credentials. */
	if (u->credential[0] && u->out_pos > 0)
		explicit_bzero(u->out.data, u->out_pos);
	if (u->out_pos == u->out.len) {
		/* What was sent may hold a credential. */
		if (u->credential[0] && u->out.len > 0)
			explicit_bzero(u->out.data, u->out.len);
		buf_clear(&u->out);
		u->out_pos = 0;
		if (u->shut_after && !u->dead && u->state == UP_READY) {
			u->shut_after = false;
			up_shut(u);
		}
	} else if (u->out_pos > UP_ROOM) {
		buf_eat(&u->out, u->out_pos);
		u->out_pos = 0;
	}
	watch(u);
	if (u->kick && !u->dead) {
		u->kick = false;
		on_fd(u, EPOLLIN);
	}
	if (!u->dead && (was_more || u->was_full) && up_queued(u) <= UP_ROOM / 2) {
		u->was_full = false;
		if (u->ops->drained)
			u->ops->drained(u);
	}
}

void up_shut(struct up *u)
{
	if (u->tls)
		(void)tls_close(u->tls);
	(void)shutdown(u->fd, SHUT_WR);
}

/* ---- steps ---- */

bool up_allowed(const struct up *u, const struct policy_address *a)
{
	const struct policy_request q = {.kind = u->kind,
		.host = &u->host,
		.address = *a,
		.port = u->port,
		.method = u->method,
		.path = u->path,
		.path_flags = u->path_flags};
	struct policy_verdict verdict;

	if (u->trusted)
		return true;
	/* The rules of now: they may be others than when it set out. */
	policy_decide(u->v->config->policy, &q, &verdict);
	return verdict.decision != POLICY_DENY;
}

void up_connected(struct up *u, int fd, const struct policy_address *peer)
{
	int one = 1;

	u->fd = fd;
	u->peer = u->proxy ? (struct policy_address){0} : *peer;
	if (!up_allowed(u, &u->peer)) {
		up_fail(u, 403, "denied", "no rule allows %s any more", u->host.name);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	u->events = EPOLLIN;
	if (loop_add_fd(u->v->loop, fd, u->events, on_fd, u, &u->src) < 0) {
		up_fail(u, 503, "limit", "no memory");
		return;
	}
	if (u->proxy)
		proxy_start(u);
	else
		up_secure(u);
}

static void ready(struct up *u)
{
	u->state = UP_READY;
	u->want_in = true;
	/* What is read ahead in the session has no event of its own. */
	u->kick = (u->tls && tls_pending(u->tls)) || (u->outer && tls_pending(u->outer));
	up_dirty(u);
	u->ops->ready(u);
}

static void shake(struct up *u)
{
	switch (tls_handshake(u->tls)) {
	case TLS_DONE:
		assert(tls_client_verified(u->tls));
		ready(u);
		break;
	case TLS_WANT:
		up_dirty(u);
		break;
	case TLS_HELLO:
	case TLS_FAILED:
		up_fail(u, 502, "tls", "no secure connection to %s: %s", u->host.name,
			tls_why(u->tls));
		break;
	}
}

void up_secure(struct up *u)
{
	struct tls_dial d = {.fd = u->fd,
		.under = u->outer,
		.host = u->host.name,
		.port = u->port,
		.http = u->offer_http,
		.h2 = u->offer_h2};
	int r;

	if (!u->is_tls) {
		ready(u);
		return;
	}
	u->state = UP_TLS;
	r = tls_client_new(u->v->tls, &d, &u->tls);
	if (r < 0) {
		up_fail(u, r == -EINVAL ? 502 : 503, "tls", "no certificate can be for %s",
			u->host.name);
		return;
	}
	shake(u);
}

static void on_fd(void *ctx, uint32_t events)
{
	struct up *u = ctx;

	if (u->dead)
		return;
	switch (u->state) {
	case UP_NAMES:
	case UP_DIAL:
		break;
	case UP_PROXY:
		proxy_step(u);
		break;
	case UP_TLS:
		shake(u);
		break;
	case UP_READY:
		if (events & EPOLLOUT)
			up_dirty(u);
		if (!u->want_in && (events & (EPOLLHUP | EPOLLERR))) {
			/* Gone, but nobody can take what it sent: look again when they can. */
			loop_del_fd(u->src);
			u->src = NULL;
			break;
		}
		if (!(events & ~(uint32_t)EPOLLOUT))
			break;
		if (!u->idle_since)
			u->ops->io(u);
		else if (up_read(u, u->v->scratch, 1) != -EAGAIN)
			/* Not a session ticket: it closes, or says what nobody asked for. */
			up_close(u);
		break;
	}
}
