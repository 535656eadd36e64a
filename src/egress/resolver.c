#include "egress/resolver.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/wire.h"
#include "proto/dns.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#define TRY_MS	  2000 /* how long one server has */
#define TRIES_MAX 6 /* questions sent for one name */
#define TCP_MAX	  65537

struct ask {
	struct resolver *r;
	struct ask *next;
	uint32_t id; /* the vault's */
	uint16_t type, dns_id;
	char name[DNS_NAME_MAX + 1];
	uint32_t ttl_s; /* lowest on the way of CNAMEs so far */
	unsigned depth, tries, server;
	int fd;
	bool tcp, dead;
	struct loop_fd *src;
	struct loop_timer *timer;
	struct buf out, in; /* TCP */
	size_t out_pos;
};

struct resolver {
	struct loop *loop;
	int fd;
	struct loop_fd *src;
	struct egress_server server[EGRESS_SERVERS_MAX];
	unsigned n_servers, n_asks;
	struct ask *asks;
	bool any_dead, stop;
	struct dns_reply reply;
	uint8_t bytes[TCP_MAX];
};

static void next_try(struct ask *a);

/* ---- answers to the vault ---- */

static void close_try(struct ask *a)
{
	loop_del_fd(a->src);
	a->src = NULL;
	own_close_fd(&a->fd);
	loop_del_timer(a->timer);
	a->timer = NULL;
	buf_fini(&a->out);
	buf_fini(&a->in);
	a->out_pos = 0;
	a->tcp = false;
}

static void end_ask(struct ask *a)
{
	close_try(a);
	a->dead = true;
	a->r->any_dead = true;
}

static void put_records(struct wire_w *w, const struct dns_reply *d)
{
	size_t at = w->pos, total = 0;
	uint16_t n = 0;

	wire_put_u16(w, 0);
	for (size_t i = 0; i < d->n && n < RESOLVE_RECORDS; i++) {
		if (d->records[i].len > UINT16_MAX || total + d->records[i].len > RESOLVE_BYTES)
			break;
		wire_put_u16(w, d->records[i].type);
		wire_put_u16(w, (uint16_t)d->records[i].len);
		if (d->records[i].len)
			wire_put_bytes(w, d->records[i].rdata, d->records[i].len);
		total += d->records[i].len;
		n++;
	}
	w->p[at] = (uint8_t)n;
	w->p[at + 1] = (uint8_t)(n >> 8);
}

static void answer(struct ask *a, uint8_t rcode, uint32_t ttl_s, const struct dns_reply *d)
{
	uint8_t bytes[RESOLVER_MESSAGE_MAX];
	struct wire_w w = wire_writer(bytes, sizeof(bytes));
	static const struct dns_reply none;

	wire_put_u8(&w, RESOLVER_ANSWER);
	wire_put_u32(&w, a->id);
	wire_put_u8(&w, rcode);
	wire_put_u32(&w, ttl_s);
	put_records(&w, d ? d : &none);
	assert(!w.bad);
	/* A vault that does not read its answers has other troubles: this one is lost to its time limit. */
	(void)!send(a->r->fd, bytes, w.pos, MSG_NOSIGNAL | MSG_DONTWAIT);
	end_ask(a);
}

/* ---- one server ---- */

static void follow(struct ask *a, const struct dns_reply *d)
{
	if (++a->depth > DNS_CHAIN_MAX) {
		answer(a, DNS_SERVFAIL, 0, NULL);
		return;
	}
	(void)snprintf(a->name, sizeof(a->name), "%s", d->next);
	a->tries = 0;
	close_try(a);
	next_try(a);
}

static void start_tcp(struct ask *a);

/* judge() - what came is an answer to our question */
static void judge(struct ask *a, bool by_tcp)
{
	const struct dns_reply *d = &a->r->reply;

	if (d->truncated && !by_tcp) {
		close_try(a);
		start_tcp(a);
		return;
	}
	if (d->rcode != DNS_NOERROR && d->rcode != DNS_NXDOMAIN) {
		close_try(a);
		next_try(a);
		return;
	}
	if (d->ttl_s < a->ttl_s)
		a->ttl_s = d->ttl_s;
	if (d->rcode == DNS_NOERROR && d->n == 0 && d->next[0])
		follow(a, d);
	else
		answer(a, d->rcode, a->ttl_s, d);
}

static void on_udp(void *ctx, uint32_t events)
{
	struct ask *a = ctx;
	ssize_t n = recv(a->fd, a->r->bytes, sizeof(a->r->bytes), 0);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) { /* nobody is listening there */
		close_try(a);
		next_try(a);
		return;
	}
	if (dns_get_reply(a->r->bytes, (size_t)n, a->dns_id, a->name, a->type, &a->r->reply) ==
		DNS_OK)
		judge(a, false);
}

static void on_time(void *ctx)
{
	struct ask *a = ctx;

	a->timer = NULL;
	close_try(a);
	next_try(a);
}

static void tcp_write(struct ask *a)
{
	while (a->out_pos < a->out.len) {
		ssize_t n = send(
			a->fd, a->out.data + a->out_pos, a->out.len - a->out_pos, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			close_try(a);
			next_try(a);
			return;
		}
		a->out_pos += (size_t)n;
	}
	(void)!loop_mod_fd(a->src, EPOLLIN);
}

static void tcp_read(struct ask *a)
{
	const uint8_t *p;
	char *room;
	size_t want;
	ssize_t n;

	if (buf_room(&a->in, 4096, &room) < 0)
		n = 0;
	else
		n = recv(a->fd, room, 4096, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_try(a);
		next_try(a);
		return;
	}
	buf_grew(&a->in, (size_t)n);
	p = (const uint8_t *)a->in.data;
	want = a->in.len < 2 ? 2 : 2u + ((size_t)p[0] << 8 | p[1]);
	if (a->in.len < want || want == 2)
		return;
	if (dns_get_reply(p + 2, want - 2, a->dns_id, a->name, a->type, &a->r->reply) == DNS_OK) {
		judge(a, true);
		return;
	}
	close_try(a);
	next_try(a);
}

static void on_tcp(void *ctx, uint32_t events)
{
	struct ask *a = ctx;

	if (a->out_pos < a->out.len && (events & ~(uint32_t)EPOLLIN))
		tcp_write(a);
	else
		tcp_read(a);
}

static socklen_t address_of(const struct egress_server *s, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (s->addr.family == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(s->port);
		memcpy(&in->sin_addr, s->addr.bytes, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(s->port);
	memcpy(&in6->sin6_addr, s->addr.bytes, 16);
	return sizeof(*in6);
}

/* open_try() - a socket to the present server; connected, so that only its answers come */
static int open_try(struct ask *a, int type)
{
	const struct egress_server *s = &a->r->server[a->server];
	struct sockaddr_storage sa;
	socklen_t len = address_of(s, &sa);

	if (getrandom(&a->dns_id, sizeof(a->dns_id), GRND_NONBLOCK) != sizeof(a->dns_id))
		return -EIO;
	a->fd = socket(
		s->addr.family == 4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return -errno;
	if (connect(a->fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
		return -errno;
	return loop_add_timer(a->r->loop, clock_ms() + TRY_MS, on_time, a, &a->timer);
}

static void start_tcp(struct ask *a)
{
	uint8_t head[2];
	int r = open_try(a, SOCK_STREAM);

	a->tcp = true;
	buf_init(&a->out, 1024);
	buf_init(&a->in, TCP_MAX + 4096);
	if (r == 0)
		r = buf_add(&a->out, "\0\0", 2);
	if (r == 0)
		r = dns_put_query(&a->out, a->dns_id, a->name, a->type);
	if (r == 0)
		r = loop_add_fd(a->r->loop, a->fd, EPOLLIN | EPOLLOUT, on_tcp, a, &a->src);
	if (r < 0) {
		close_try(a);
		next_try(a);
		return;
	}
	head[0] = (uint8_t)((a->out.len - 2) >> 8);
	head[1] = (uint8_t)(a->out.len - 2);
	memcpy(a->out.data, head, 2);
}

static void next_try(struct ask *a)
{
	struct resolver *r = a->r;
	AUTO(buf) b = {0};

	buf_init(&b, 1024);
	while (r->n_servers > 0 && a->tries < TRIES_MAX && a->tries < 3 * r->n_servers) {
		a->server = a->tries++ % r->n_servers;
		buf_clear(&b);
		if (open_try(a, SOCK_DGRAM) == 0 &&
			dns_put_query(&b, a->dns_id, a->name, a->type) == 0 &&
			send(a->fd, b.data, b.len, MSG_NOSIGNAL) == (ssize_t)b.len &&
			loop_add_fd(r->loop, a->fd, EPOLLIN, on_udp, a, &a->src) == 0)
			return;
		close_try(a);
	}
	answer(a, DNS_SERVFAIL, 0, NULL);
}

/* ---- the vault's messages ---- */

static bool take_servers(struct resolver *r, struct wire_r *in)
{
	uint8_t n = wire_get_u8(in);

	r->n_servers = 0;
	for (uint8_t i = 0; i < n && i < EGRESS_SERVERS_MAX; i++) {
		struct egress_server *s = &r->server[i];
		const uint8_t *p;

		s->addr.family = wire_get_u8(in);
		p = wire_get_bytes(in, 16);
		s->port = wire_get_u16(in);
		if (!p || (s->addr.family != 4 && s->addr.family != 6))
			return false;
		memcpy(s->addr.bytes, p, 16);
		r->n_servers++;
	}
	return wire_done(in);
}

static bool take_ask(struct resolver *r, struct wire_r *in)
{
	struct ask *a = r->n_asks < RESOLVE_OUTSTANDING ? calloc(1, sizeof(*a)) : NULL;

	if (!a)
		return true; /* its time limit answers it */
	*a = (struct ask){.r = r, .fd = -1, .ttl_s = UINT32_MAX, .next = r->asks};
	a->id = wire_get_u32(in);
	a->type = wire_get_u16(in);
	wire_get_strz(in, a->name, sizeof(a->name));
	r->asks = a;
	r->n_asks++;
	if (!wire_done(in) || !dns_name_ok(a->name)) {
		end_ask(a);
		return wire_done(in);
	}
	next_try(a);
	return true;
}

static void on_vault(void *ctx, uint32_t events)
{
	struct resolver *r = ctx;
	ssize_t n = recv(r->fd, r->bytes, RESOLVER_MESSAGE_MAX, 0);
	struct wire_r in;
	uint8_t type;
	bool ok;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		r->stop = true;
		return;
	}
	in = wire_reader(r->bytes, (size_t)n);
	type = wire_get_u8(&in);
	ok = type == RESOLVER_SERVERS ? take_servers(r, &in)
	     : type == RESOLVER_ASK   ? take_ask(r, &in)
				      : false;
	r->stop |= !ok;
}

static void sweep(struct resolver *r, bool all)
{
	struct ask **at = &r->asks;

	r->any_dead = false;
	while (*at) {
		struct ask *a = *at;

		if (!all && !a->dead) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		close_try(a);
		free(a);
		r->n_asks--;
	}
}

struct resolver *resolver_new(int fd)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->fd = fd;
	r->loop = loop_new();
	if (!r->loop || loop_add_fd(r->loop, fd, EPOLLIN, on_vault, r, &r->src) < 0) {
		loop_free(r->loop);
		free(r);
		return NULL;
	}
	return r;
}

int resolver_serve(struct resolver *r)
{
	int error = 0;

	while (error == 0 && !r->stop) {
		error = loop_once(r->loop, -1);
		if (r->any_dead)
			sweep(r, false);
	}
	sweep(r, true);
	loop_free(r->loop);
	free(r);
	return error;
}
