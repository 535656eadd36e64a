/* From a name to a connection. Names are asked for A and AAAA at the same time; each address is judged by
 * policy with the request it is for; connections are tried in turns of the two families, the next one
 * 250 ms after the last or when one fails (RFC 8305), and the first that stands is taken.
 */
#include "base/clock.h"
#include "egress/redirect.h"
#include "egress/up.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define NEXT_ATTEMPT_MS 250
#define OTHER_FAMILY_MS 50 /* how long an answer waits for the one of the other family */

static void try_next(struct up *u);

static const struct policy_host *whom(const struct up *u)
{
	return u->proxy && !u->target_first ? &u->proxy->host : &u->host;
}

static void close_attempt(struct up_attempt *a)
{
	loop_del_fd(a->src);
	a->src = NULL;
	own_close_fd(&a->fd);
}

void dial_stop(struct up *u)
{
	for (unsigned i = 0; i < 2; i++) {
		resolve_cancel(u->query[i]);
		u->query[i] = NULL;
	}
	for (unsigned i = 0; i < UP_ATTEMPTS; i++)
		close_attempt(&u->attempt[i]);
}

/* ---- connections ---- */

static bool is_busy(const struct up *u)
{
	for (unsigned i = 0; i < UP_ATTEMPTS; i++)
		if (u->attempt[i].fd >= 0)
			return true;
	return false;
}

static void give_up(struct up *u)
{
	const struct policy_host *h = whom(u);

	up_fail(u, u->last_error == ETIMEDOUT ? 504 : 502, "connect", "no connection to %s%s: %s",
		u->proxy ? "the proxy " : "", h->name, strerror(u->last_error));
}

/* is_own() - a connection to an address of this host comes from that same address: what listens here behind
 * the user's firewall is not public, however the address looks. Nothing has been sent yet.
 */
static bool is_own(const struct up_attempt *a)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	uint8_t byte[16] = {0};
	struct policy_address own;

	if (policy_address_class(&a->address) != POLICY_ADDRESS_PUBLIC)
		return false; /* a rule names it */
	if (getsockname(a->fd, (struct sockaddr *)&sa, &len) < 0)
		return true;
	if (sa.ss_family == AF_INET)
		memcpy(byte, &((struct sockaddr_in *)&sa)->sin_addr, 4);
	else
		memcpy(byte, &((struct sockaddr_in6 *)&sa)->sin6_addr, 16);
	return !policy_address_from(sa.ss_family == AF_INET ? 4 : 6, byte, &own) ||
	       policy_address_same(&own, &a->address);
}

static void on_connected(void *ctx, uint32_t events)
{
	struct up_attempt *a = ctx;
	struct up *u = a->up;
	struct policy_address peer = a->address;
	socklen_t len = sizeof(u->last_error);
	int error = EIO, fd;

	(void)events;
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		u->last_error = error;
		close_attempt(a);
		try_next(u);
		return;
	}
	if (!u->proxy && is_own(a)) {
		up_fail(u, 403, "address", "%s leads to an address of the host", u->host.name);
		return;
	}
	loop_del_fd(a->src);
	a->src = NULL;
	fd = a->fd;
	a->fd = -1;
	dial_stop(u);
	loop_del_timer(u->timer);
	u->timer = NULL;
	up_connected(u, fd, &peer);
}

static void on_timer(void *ctx)
{
	struct up *u = ctx;

	u->timer = NULL;
	try_next(u);
}

static socklen_t socket_address(
	const struct policy_address *a, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (a->family == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a->byte, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, a->byte, 16);
	return sizeof(*in6);
}

/* start_attempt() - 0: it is under way */
static int start_attempt(struct up_attempt *a, const struct policy_address *to)
{
	struct up *u = a->up;
	struct policy_address where = *to;
	struct sockaddr_storage sa;
	uint16_t port = u->proxy ? u->proxy->port : u->port;
	socklen_t len;
	int r;

	if (!u->trusted)
		redirect_address(&u->config->c, &where, &port);
	len = socket_address(&where, port, &sa);
	a->address = *to;
	a->fd = socket(where.family == 4 ? AF_INET : AF_INET6,
		SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return -errno;
	if (connect(a->fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS) {
		r = -errno;
		own_close_fd(&a->fd);
		return r;
	}
	r = loop_add_fd(u->v->loop, a->fd, EPOLLOUT, on_connected, a, &a->src);
	if (r < 0)
		own_close_fd(&a->fd);
	return r;
}

static void try_next(struct up *u)
{
	bool started = false;

	for (unsigned i = 0; i < UP_ATTEMPTS && !started && u->next_address < u->n_address; i++) {
		if (u->attempt[i].fd >= 0)
			continue;
		while (!started && u->next_address < u->n_address) {
			int r = start_attempt(&u->attempt[i], &u->address[u->next_address++]);

			started = r == 0;
			if (r < 0)
				u->last_error = -r;
		}
	}
	if (!is_busy(u)) {
		give_up(u);
		return;
	}
	if (!u->timer && u->next_address < u->n_address)
		(void)!loop_add_timer(
			u->v->loop, clock_ms() + NEXT_ATTEMPT_MS, on_timer, u, &u->timer);
}

/* interleave() - IPv6 first, then in turns; @u->address is in the order of the answers */
static void interleave(struct up *u)
{
	struct policy_address list[UP_ADDRESSES];
	size_t six = 0, four = 0, n = 0;

	while (n < u->n_address) {
		while (six < u->n_address && u->address[six].family != 6)
			six++;
		if (six < u->n_address)
			list[n++] = u->address[six++];
		while (four < u->n_address && u->address[four].family != 4)
			four++;
		if (four < u->n_address)
			list[n++] = u->address[four++];
	}
	memcpy(u->address, list, n * sizeof(list[0]));
}

static void connect_to(struct up *u)
{
	u->state = UP_DIAL;
	interleave(u);
	u->next_address = 0;
	try_next(u);
}

/* ---- names ---- */

static void add(struct up *u, const struct policy_address *a)
{
	if (u->n_address == UP_ADDRESSES)
		return;
	/* A proxy was named by the user, not by the guest. */
	if ((!u->proxy || u->target_first) && !up_allowed(u, a)) {
		u->any_judged = true;
		return;
	}
	u->address[u->n_address++] = *a;
}

static void add_answer(struct up *u, const struct resolve_answer *a)
{
	struct policy_address list[RESOLVE_RECORDS];
	size_t n = 0;

	resolve_addresses(a, list, RESOLVE_RECORDS, &n);
	for (size_t i = 0; i < n; i++)
		add(u, &list[i]);
}

static void names_done(struct up *u)
{
	for (unsigned i = 0; i < 2; i++) {
		resolve_cancel(u->query[i]);
		u->query[i] = NULL;
	}
	loop_del_timer(u->timer);
	u->timer = NULL;
	if (u->n_address > 0 && u->target_first) {
		u->target = u->address[0];
		u->target_first = false;
		u->n_address = 0;
		dial_start(u);
	} else if (u->n_address > 0) {
		connect_to(u);
	} else if (u->any_judged) {
		up_fail(u, 403, "address", "%s leads to an address that no rule allows",
			u->host.name);
	} else {
		up_fail(u, 502, "dns", "%s has no address", whom(u)->name);
	}
}

static void on_grace(void *ctx)
{
	struct up *u = ctx;

	u->timer = NULL;
	names_done(u);
}

static void answered(struct up *u, unsigned which, const struct resolve_answer *a)
{
	u->query[which] = NULL;
	add_answer(u, a);
	if (!u->query[!which]) {
		names_done(u);
		return;
	}
	if (u->n_address > 0 && !u->timer &&
		loop_add_timer(u->v->loop, clock_ms() + OTHER_FAMILY_MS, on_grace, u, &u->timer) <
			0)
		names_done(u);
}

static void on_v4(void *ctx, const struct resolve_answer *a)
{
	answered(ctx, 0, a);
}

static void on_v6(void *ctx, const struct resolve_answer *a)
{
	answered(ctx, 1, a);
}

static void ask(struct up *u, const char *name)
{
	static const uint16_t types[2] = {1, 28};
	static const resolve_fn fns[2] = {on_v4, on_v6};

	for (unsigned i = 0; i < 2; i++) {
		const struct resolve_answer *a = resolve_cached(u->v->resolve, name, types[i]);

		if (a)
			add_answer(u, a);
		else
			u->query[i] = resolve_ask(u->v->resolve, name, types[i], fns[i], u);
	}
	if (!u->query[0] && !u->query[1])
		names_done(u);
}

void dial_start(struct up *u)
{
	static const struct policy_address local[2] = {
		{.family = 4, .byte = {127, 0, 0, 1}}, {.family = 6, .byte = {[15] = 1}}};
	const struct policy_host *h;

	/* A SOCKS proxy without the 'h' is told an address: it is looked up and judged here. */
	u->target_first = u->proxy && u->proxy->kind == PROXY_SOCKS5 && !u->target.family;
	h = whom(u);
	u->state = UP_NAMES;
	u->last_error = EHOSTUNREACH;
	if (u->proxy && u->host.kind == POLICY_HOST_ADDRESS && !up_allowed(u, &u->host.address)) {
		up_fail(u, 403, "address", "no rule allows the address %s", u->host.name);
		return;
	}
	switch (h->kind) {
	case POLICY_HOST_NAME:
		ask(u, h->name);
		break;
	case POLICY_HOST_ADDRESS:
		add(u, &h->address);
		names_done(u);
		break;
	case POLICY_HOST_LOCAL:
		add(u, &local[0]);
		add(u, &local[1]);
		names_done(u);
		break;
	case POLICY_HOST_NONE:
		up_fail(u, 502, "dns", "no host");
		break;
	}
}
