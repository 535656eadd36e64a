#include "egress/resolve.h"
#include "base/clock.h"
#include "base/wire.h"
#include "proto/dns.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#define TTL_MIN_S      5 /* a name that says 0 is not asked again by every request */
#define TTL_MAX_S      3600
#define TTL_FAILED_S   2
#define TTL_NEGATIVE_S 30

/* An answer with what it points into, as one piece of memory. */
struct known {
	char name[DNS_NAME_MAX + 1];
	uint16_t type;
	int64_t until_ms;
	struct resolve_answer answer;
	uint8_t bytes[];
};

struct resolve_query {
	struct resolve *r;
	struct resolve_query *next;
	uint32_t id;
	uint16_t type;
	char name[DNS_NAME_MAX + 1];
	resolve_fn fn; /* NULL: cancelled; the answer is still of use to the cache */
	void *ctx;
	int64_t deadline;
};

struct host {
	char *name;
	struct policy_address address;
};

struct resolve {
	struct loop *loop;
	int fd;
	struct loop_fd *src;
	struct loop_timer *timer;
	loop_timer_fn lost;
	void *lost_ctx;
	struct known *cache[RESOLVE_CACHE]; /* by hash: a newer answer takes the place */
	uint64_t seed;
	struct resolve_query *open;
	unsigned n_open;
	uint32_t last_id;
	struct host *hosts;
	uint32_t n_hosts;
	struct resolve_answer local; /* of the hosts file */
	uint8_t bytes[RESOLVER_MESSAGE_MAX];
};

/* ---- the cache ---- */

static struct known **place(struct resolve *r, const char *name, uint16_t type)
{
	uint64_t h = r->seed ^ type;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 1099511628211ULL;
	return &r->cache[(h ^ h >> 29) % RESOLVE_CACHE];
}

static void forget(struct resolve *r)
{
	for (size_t i = 0; i < RESOLVE_CACHE; i++) {
		free(r->cache[i]);
		r->cache[i] = NULL;
	}
}

static uint32_t ttl_of(const struct resolve_answer *a)
{
	if (a->rcode != 0 && a->rcode != 3)
		return TTL_FAILED_S;
	if (a->n == 0 && a->ttl_s > TTL_NEGATIVE_S)
		return TTL_NEGATIVE_S;
	return a->ttl_s < TTL_MIN_S ? TTL_MIN_S : a->ttl_s > TTL_MAX_S ? TTL_MAX_S : a->ttl_s;
}

static void remember(
	struct resolve *r, const struct resolve_query *q, const struct resolve_answer *a)
{
	struct known **at = place(r, q->name, q->type), *k;
	size_t len = 0, pos = 0;

	for (uint16_t i = 0; i < a->n; i++)
		len += a->v[i].len;
	k = malloc(sizeof(*k) + len);
	if (!k)
		return;
	(void)snprintf(k->name, sizeof(k->name), "%s", q->name);
	k->type = q->type;
	k->until_ms = clock_ms() + (int64_t)ttl_of(a) * 1000;
	k->answer = *a;
	for (uint16_t i = 0; i < a->n; i++) {
		memcpy(k->bytes + pos, a->v[i].rdata, a->v[i].len);
		k->answer.v[i].rdata = k->bytes + pos;
		pos += a->v[i].len;
	}
	free(*at);
	*at = k;
}

/* by_hosts_file() - a name with any line there is not asked for elsewhere */
static const struct resolve_answer *by_hosts_file(
	struct resolve *r, const char *name, uint16_t type)
{
	struct resolve_answer *a = &r->local;
	bool any = false;

	*a = (struct resolve_answer){.ttl_s = 60};
	for (uint32_t i = 0; i < r->n_hosts; i++) {
		const struct host *h = &r->hosts[i];
		uint16_t t = h->address.family == 4 ? DNS_A : DNS_AAAA;

		if (strcmp(h->name, name) != 0)
			continue;
		any = true;
		if (t != type || a->n == RESOLVE_RECORDS)
			continue;
		a->v[a->n].type = t;
		a->v[a->n].len = t == DNS_A ? 4 : 16;
		a->v[a->n++].rdata = h->address.byte;
	}
	return any ? a : NULL;
}

const struct resolve_answer *resolve_cached(struct resolve *r, const char *name, uint16_t type)
{
	const struct resolve_answer *local = by_hosts_file(r, name, type);
	struct known *k = *place(r, name, type);
	int64_t now = clock_ms();

	if (local)
		return local;
	if (!k || k->type != type || k->until_ms <= now || strcmp(k->name, name) != 0)
		return NULL;
	/* What the guest is told runs out when ours does. */
	k->answer.ttl_s = (uint32_t)((k->until_ms - now + 999) / 1000);
	return &k->answer;
}

void resolve_addresses(
	const struct resolve_answer *a, struct policy_address *list, size_t cap, size_t *n)
{
	for (uint16_t i = 0; i < a->n && *n < cap; i++) {
		uint8_t bytes[16] = {0};
		unsigned family = a->v[i].type == DNS_A && a->v[i].len == 4	  ? 4
				  : a->v[i].type == DNS_AAAA && a->v[i].len == 16 ? 6
										  : 0;

		if (!family)
			continue;
		memcpy(bytes, a->v[i].rdata, a->v[i].len);
		if (policy_address_from(family, bytes, &list[*n]))
			++*n;
	}
}

/* ---- questions ---- */

static void end_query(struct resolve_query *q, const struct resolve_answer *a)
{
	struct resolve_query **at = &q->r->open;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	q->r->n_open--;
	if (q->fn)
		q->fn(q->ctx, a);
	free(q);
}

static void on_timer(void *ctx)
{
	static const struct resolve_answer none = {.rcode = 2};
	struct resolve *r = ctx;
	int64_t now = clock_ms();

	r->timer = NULL;
	for (bool found = true; found;) {
		found = false;
		/* An answer may cancel another question: begin anew after each. */
		for (struct resolve_query *q = r->open; q && !found; q = q->next)
			if (q->deadline <= now) {
				found = true;
				end_query(q, &none);
			}
	}
	if (r->open)
		(void)!loop_add_timer(r->loop, now + 1000, on_timer, r, &r->timer);
}

struct resolve_query *resolve_ask(
	struct resolve *r, const char *name, uint16_t type, resolve_fn fn, void *ctx)
{
	struct resolve_query *q;
	uint8_t bytes[512];
	struct wire_w w = wire_writer(bytes, sizeof(bytes));

	if (r->n_open >= RESOLVE_OUTSTANDING || !dns_name_ok(name) || r->fd < 0)
		return NULL;
	q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	*q = (struct resolve_query){.r = r,
		.next = r->open,
		.id = ++r->last_id,
		.type = type,
		.fn = fn,
		.ctx = ctx,
		.deadline = clock_ms() + RESOLVE_MS};
	(void)snprintf(q->name, sizeof(q->name), "%s", name);
	wire_put_u8(&w, RESOLVER_ASK);
	wire_put_u32(&w, q->id);
	wire_put_u16(&w, type);
	wire_put_str(&w, name);
	if (w.bad || send(r->fd, bytes, w.pos, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)w.pos ||
		(!r->timer &&
			loop_add_timer(r->loop, clock_ms() + 1000, on_timer, r, &r->timer) < 0)) {
		free(q);
		return NULL;
	}
	r->open = q;
	r->n_open++;
	return q;
}

void resolve_cancel(struct resolve_query *q)
{
	if (q)
		q->fn = NULL;
}

static bool decode(struct wire_r *in, struct resolve_answer *a)
{
	a->rcode = wire_get_u8(in);
	a->ttl_s = wire_get_u32(in);
	a->n = wire_get_u16(in);
	if (a->n > RESOLVE_RECORDS)
		return false;
	for (uint16_t i = 0; i < a->n; i++) {
		a->v[i].type = wire_get_u16(in);
		a->v[i].len = wire_get_u16(in);
		a->v[i].rdata = wire_get_bytes(in, a->v[i].len);
	}
	return wire_done(in) && a->rcode < 16;
}

static void child_lost(struct resolve *r)
{
	loop_del_fd(r->src);
	r->src = NULL;
	own_close_fd(&r->fd);
	if (r->lost)
		r->lost(r->lost_ctx);
}

static void on_answer(void *ctx, uint32_t events)
{
	struct resolve *r = ctx;
	struct resolve_answer a = {0};
	struct resolve_query *q;
	struct wire_r in;
	uint32_t id;
	ssize_t n = recv(r->fd, r->bytes, sizeof(r->bytes), MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		child_lost(r);
		return;
	}
	in = wire_reader(r->bytes, (size_t)n);
	if (wire_get_u8(&in) != RESOLVER_ANSWER) {
		child_lost(r);
		return;
	}
	id = wire_get_u32(&in);
	if (!decode(&in, &a)) {
		child_lost(r);
		return;
	}
	for (q = r->open; q && q->id != id; q = q->next)
		;
	if (!q)
		return; /* came too late */
	remember(r, q, &a);
	end_query(q, &a);
}

/* ---- life ---- */

struct resolve *resolve_new(struct loop *loop, int fd, loop_timer_fn lost, void *lost_ctx)
{
	struct resolve *r = calloc(1, sizeof(*r));

	if (!r || getrandom(&r->seed, sizeof(r->seed), 0) != sizeof(r->seed) ||
		loop_add_fd(loop, fd, EPOLLIN, on_answer, r, &r->src) < 0) {
		free(r);
		close(fd);
		return NULL;
	}
	r->loop = loop;
	r->fd = fd;
	r->lost = lost;
	r->lost_ctx = lost_ctx;
	return r;
}

static void drop_hosts(struct resolve *r)
{
	for (uint32_t i = 0; i < r->n_hosts; i++)
		free(r->hosts[i].name);
	free(r->hosts);
	r->hosts = NULL;
	r->n_hosts = 0;
}

void resolve_free(struct resolve *r)
{
	if (!r)
		return;
	while (r->open) {
		r->open->fn = NULL;
		end_query(r->open, NULL);
	}
	loop_del_timer(r->timer);
	loop_del_fd(r->src);
	own_close_fd(&r->fd);
	forget(r);
	drop_hosts(r);
	free(r);
}

static int take_hosts(struct resolve *r, const struct egress_config *c)
{
	drop_hosts(r);
	r->hosts = calloc(c->n_hosts + 1, sizeof(*r->hosts));
	if (!r->hosts)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->n_hosts; i++) {
		struct host *h = &r->hosts[r->n_hosts];

		if (!policy_address_from(
			    c->hosts[i].addr.family, c->hosts[i].addr.bytes, &h->address))
			continue;
		h->name = strdup(c->hosts[i].name);
		if (!h->name)
			return -ENOMEM;
		r->n_hosts++;
	}
	return 0;
}

int resolve_configure(struct resolve *r, const struct egress_config *c)
{
	uint8_t bytes[512];
	struct wire_w w = wire_writer(bytes, sizeof(bytes));
	int error = take_hosts(r, c);

	if (error < 0)
		return error;
	forget(r);
	wire_put_u8(&w, RESOLVER_SERVERS);
	wire_put_u8(&w, (uint8_t)c->n_servers);
	for (uint32_t i = 0; i < c->n_servers && i < EGRESS_SERVERS_MAX; i++) {
		wire_put_u8(&w, c->servers[i].addr.family);
		wire_put_bytes(&w, c->servers[i].addr.bytes, 16);
		wire_put_u16(&w, c->servers[i].port);
	}
	if (w.bad || c->n_servers > EGRESS_SERVERS_MAX || r->fd < 0)
		return -EINVAL;
	return send(r->fd, bytes, w.pos, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)w.pos ? 0
											: -EPIPE;
}
