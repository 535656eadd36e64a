/* Queries of all clients go over one stream to the host, each under a number of ours; answers come
 * back in any order. A query that finds no host, or no answer in time, is answered SERVFAIL here:
 * nothing in the guest waits for a resolver that is not there.
 */
#include "guest/forward.h"
#include "base/clock.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define HEADER		12
#define QUERIES_A_ROUND 32
#define OUT_MAX		65536
#define MESSAGE_MAX	65535
#define ASKED_MAX	300 /* header and question of what is asked: for the answer of our own */
#define RCODE_SERVFAIL	2
#define FLAG_RESPONSE	0x80
#define FLAG_TRUNCATED	0x02
#define FLAG_RECURSION	0x01
#define OPCODE_MASK	0x78
#define TYPE_OPT	41
#define UDP_LEAST	512
#define UDP_MOST	4096
#define CLIENT_IDLE_MS	30000

struct client;

/* Where a datagram came from, and which of our addresses it was sent to. */
struct sender {
	int fd;
	struct sockaddr_storage from;
	socklen_t from_len;
	union {
		struct in_pktinfo v4;
		struct in6_pktinfo v6;
	} at;
};

struct pending {
	bool used;
	uint8_t round; /* tells an answer that comes too late from its successor's */
	int64_t deadline;
	uint8_t asked[ASKED_MAX];
	size_t asked_len, udp_max;
	struct client *client; /* NULL: by datagram */
	struct sender sender;
};

/* One who asks by TCP. Answers it does not take are its own loss. */
struct client {
	struct dns_forward *f;
	int fd;
	struct loop_fd *src;
	int64_t used_ms;
	size_t got;
	uint8_t in[2 + FORWARD_DNS_QUERY];
};

struct door {
	struct door *next;
	struct dns_forward *f;
	int fd;
	struct loop_fd *src;
};

struct dns_forward {
	struct loop *loop;
	const struct forward_ops *ops;
	struct door *doors;
	struct client *clients[FORWARD_DNS_CLIENTS];
	struct pending pending[FORWARD_DNS_PENDING];
	unsigned next;
	struct loop_timer *timer;
	/* the stream */
	int fd;
	struct loop_fd *src;
	bool dialing;
	size_t out_len, in_len;
	uint8_t out[OUT_MAX];
	uint8_t in[2 + MESSAGE_MAX];
};

/* ---- messages ---- */

/* question_end() - offset behind the one question; 0 when it is malformed */
static size_t question_end(const uint8_t *q, size_t len)
{
	size_t at = HEADER;

	if (len < HEADER || q[4] != 0 || q[5] != 1)
		return 0;
	while (at < len && q[at] != 0) {
		if (q[at] > 63) /* a pointer has nothing to point at yet */
			return 0;
		at += 1u + q[at];
	}
	return at + 5 <= len ? at + 5 : 0;
}

size_t dns_fail(const uint8_t *query, size_t len, uint8_t rcode, uint8_t dst[512])
{
	size_t end;

	if (len < HEADER || (query[2] & FLAG_RESPONSE))
		return 0;
	end = question_end(query, len);
	if (end == 0 || end > 512)
		end = HEADER;
	memcpy(dst, query, end);
	dst[2] = (uint8_t)(FLAG_RESPONSE | (query[2] & (OPCODE_MASK | FLAG_RECURSION)));
	dst[3] = rcode;
	memset(dst + 4, 0, 8);
	dst[5] = end > HEADER;
	return end;
}

size_t dns_udp_max(const uint8_t *query, size_t len)
{
	size_t end = question_end(query, len), said;
	const uint8_t *opt = query + end;

	/* EDNS as everybody sends it: the only record, named by the root, right behind the question */
	if (end == 0 || len - end < 11 || query[7] || query[9] || opt[0] != 0 || opt[1] != 0 ||
		opt[2] != TYPE_OPT)
		return UDP_LEAST;
	said = (size_t)opt[3] << 8 | opt[4];
	return said < UDP_LEAST ? UDP_LEAST : said > UDP_MOST ? UDP_MOST : said;
}

/* ---- answers to clients ---- */

static void client_free(struct client *c)
{
	struct dns_forward *f = c->f;

	for (size_t i = 0; i < ARRAY_LEN(f->pending); i++)
		if (f->pending[i].used && f->pending[i].client == c)
			f->pending[i].used = false;
	for (size_t i = 0; i < ARRAY_LEN(f->clients); i++)
		if (f->clients[i] == c)
			f->clients[i] = NULL;
	loop_del_fd(c->src);
	close(c->fd);
	free(c);
}

static void answer_client(struct client *c, const uint8_t *p, size_t len)
{
	uint8_t size[2] = {(uint8_t)(len >> 8), (uint8_t)len};
	struct iovec iov[2] = {{size, 2}, {(void *)(uintptr_t)p, len}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

	c->used_ms = clock_ms();
	if (sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)(2 + len))
		client_free(c);
}

/* answer_sender() - from the address that was asked: an answer from elsewhere is none */
static void answer_sender(struct sender *to, const uint8_t *p, size_t len)
{
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(to->at))] = {0};
	struct iovec iov = {(void *)(uintptr_t)p, len};
	struct msghdr m = {.msg_name = &to->from,
		.msg_namelen = to->from_len,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control};
	bool v4 = to->from.ss_family == AF_INET;
	size_t info = v4 ? sizeof(to->at.v4) : sizeof(to->at.v6);
	struct cmsghdr *c = (struct cmsghdr *)(void *)control;

	m.msg_controllen = (socklen_t)CMSG_SPACE(info);
	c->cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
	c->cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO;
	c->cmsg_len = (socklen_t)CMSG_LEN(info);
	if (v4) {
		to->at.v4.ipi_spec_dst = to->at.v4.ipi_addr;
		to->at.v4.ipi_ifindex = 0;
	} else {
		to->at.v6.ipi6_ifindex = 0;
	}
	memcpy(CMSG_DATA(c), &to->at, info);
	(void)sendmsg(to->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* truncated() - "ask again by TCP" */
static size_t truncated(const struct pending *q, uint8_t dst[512])
{
	size_t len = dns_fail(q->asked, q->asked_len, 0, dst);

	if (len > 0)
		dst[2] |= FLAG_TRUNCATED;
	return len;
}

static void answer(struct pending *q, uint8_t *p, size_t len)
{
	uint8_t cut[512];

	q->used = false;
	memcpy(p, q->asked, 2);
	if (q->client) {
		answer_client(q->client, p, len);
	} else if (len <= q->udp_max) {
		answer_sender(&q->sender, p, len);
	} else {
		len = truncated(q, cut);
		answer_sender(&q->sender, cut, len);
	}
}

static void fail(struct pending *q)
{
	uint8_t reply[512];
	size_t len = dns_fail(q->asked, q->asked_len, RCODE_SERVFAIL, reply);

	if (len > 0)
		answer(q, reply, len);
	q->used = false;
}

/* ---- the stream to the host ---- */

static void hang_up(struct dns_forward *f)
{
	loop_del_fd(f->src);
	f->src = NULL;
	own_close_fd(&f->fd);
	f->out_len = f->in_len = 0;
	f->dialing = false;
	for (size_t i = 0; i < ARRAY_LEN(f->pending); i++)
		if (f->pending[i].used)
			fail(&f->pending[i]);
}

static void on_answer(struct dns_forward *f, uint8_t *p, size_t len)
{
	struct pending *q;

	if (len < HEADER || !(p[2] & FLAG_RESPONSE))
		return;
	q = &f->pending[p[1]];
	if (q->used && q->round == p[0])
		answer(q, p, len);
}

static int take_answers(struct dns_forward *f)
{
	ssize_t n = recv(f->fd, f->in + f->in_len, sizeof(f->in) - f->in_len, MSG_DONTWAIT);
	size_t at = 0;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	f->in_len += (size_t)n;
	while (f->in_len - at >= 2) {
		size_t len = (size_t)f->in[at] << 8 | f->in[at + 1];

		if (f->in_len - at - 2 < len)
			break;
		on_answer(f, f->in + at + 2, len);
		at += 2 + len;
	}
	memmove(f->in, f->in + at, f->in_len - at);
	f->in_len -= at;
	return 0;
}

static int send_queries(struct dns_forward *f)
{
	while (f->out_len > 0) {
		ssize_t n = send(f->fd, f->out, f->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0)
			return -errno;
		memmove(f->out, f->out + n, f->out_len - (size_t)n);
		f->out_len -= (size_t)n;
	}
	return loop_mod_fd(f->src, f->out_len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void on_stream(void *ctx, uint32_t events)
{
	struct dns_forward *f = ctx;
	socklen_t len = sizeof(int);
	int error = 0, r = 0;

	if (f->dialing) {
		if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
			hang_up(f);
			return;
		}
		f->dialing = false;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		r = take_answers(f);
	if (r == 0)
		r = send_queries(f);
	if (r < 0)
		hang_up(f);
}

static int dial(struct dns_forward *f)
{
	int r;

	if (f->fd >= 0)
		return 0;
	r = f->ops->dial(f->ops->ctx, FRAME_PORT_DNS);
	if (r < 0)
		return r;
	f->fd = r;
	f->dialing = true;
	r = loop_add_fd(f->loop, f->fd, EPOLLOUT, on_stream, f, &f->src);
	if (r < 0)
		own_close_fd(&f->fd);
	return r;
}

/* ---- questions ---- */

static void on_late(void *ctx)
{
	struct dns_forward *f = ctx;
	int64_t now = clock_ms(), next = 0;

	f->timer = NULL;
	for (size_t i = 0; i < ARRAY_LEN(f->pending); i++) {
		struct pending *q = &f->pending[i];

		if (q->used && q->deadline <= now)
			fail(q);
		if (q->used && (next == 0 || q->deadline < next))
			next = q->deadline;
	}
	if (next)
		(void)!loop_add_timer(f->loop, next, on_late, f, &f->timer);
}

static struct pending *free_place(struct dns_forward *f)
{
	for (size_t i = 0; i < ARRAY_LEN(f->pending); i++) {
		struct pending *q = &f->pending[(f->next + i) % ARRAY_LEN(f->pending)];

		if (!q->used) {
			f->next = (unsigned)(q - f->pending) + 1;
			return q;
		}
	}
	return NULL;
}

/* queue_query() - under the number (round, place) */
static int queue_query(struct dns_forward *f, const struct pending *q, const uint8_t *p, size_t len)
{
	uint8_t *at = f->out + f->out_len;

	if (sizeof(f->out) - f->out_len < 2 + len)
		return -ENOBUFS;
	at[0] = (uint8_t)(len >> 8);
	at[1] = (uint8_t)len;
	memcpy(at + 2, p, len);
	at[2] = q->round;
	at[3] = (uint8_t)(q - f->pending);
	f->out_len += 2 + len;
	return f->dialing ? 0 : send_queries(f);
}

/* ask() - @client or @sender wants @p answered */
static void ask(struct dns_forward *f, struct client *client, const struct sender *sender,
	const uint8_t *p, size_t len)
{
	struct pending *q, none = {0};
	uint8_t round;

	if (len < HEADER || len > FORWARD_DNS_QUERY || (p[2] & FLAG_RESPONSE))
		return;
	q = free_place(f);
	round = q ? (uint8_t)(q->round + 1) : 0;
	q = q ? q : &none;
	*q = (struct pending){.used = true,
		.round = round,
		.deadline = clock_ms() + FORWARD_DNS_MS,
		.asked_len = len < ASKED_MAX ? len : ASKED_MAX,
		.udp_max = dns_udp_max(p, len),
		.client = client};
	memcpy(q->asked, p, q->asked_len);
	if (sender)
		q->sender = *sender;
	if (q == &none || dial(f) < 0) {
		fail(q);
		return;
	}
	if (!f->timer)
		(void)!loop_add_timer(f->loop, q->deadline, on_late, f, &f->timer);
	if (queue_query(f, q, p, len) < 0)
		hang_up(f);
}

/* ---- doors ---- */

static bool take_info(struct msghdr *m, struct sender *s)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
			c->cmsg_len >= CMSG_LEN(sizeof(s->at.v4))) {
			memcpy(&s->at.v4, CMSG_DATA(c), sizeof(s->at.v4));
			return true;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
			c->cmsg_len >= CMSG_LEN(sizeof(s->at.v6))) {
			memcpy(&s->at.v6, CMSG_DATA(c), sizeof(s->at.v6));
			return true;
		}
	}
	return false;
}

static void on_datagram(void *ctx, uint32_t events)
{
	struct door *d = ctx;

	(void)events;
	for (unsigned i = 0; i < QUERIES_A_ROUND; i++) {
		_Alignas(struct cmsghdr) uint8_t control[128];
		uint8_t query[FORWARD_DNS_QUERY + 1];
		struct sender s = {.fd = d->fd};
		struct iovec iov = {query, sizeof(query)};
		struct msghdr m = {.msg_name = &s.from,
			.msg_namelen = sizeof(s.from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(d->fd, &m, MSG_DONTWAIT);

		if (n < 0)
			return;
		s.from_len = m.msg_namelen;
		if (take_info(&m, &s))
			ask(d->f, NULL, &s, query, (size_t)n);
	}
}

static void on_client(void *ctx, uint32_t events)
{
	struct client *c = ctx;
	ssize_t n = recv(c->fd, c->in + c->got, sizeof(c->in) - c->got, MSG_DONTWAIT);
	size_t len;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_free(c);
		return;
	}
	c->used_ms = clock_ms();
	c->got += (size_t)n;
	while (c->got >= 2) {
		uint8_t query[FORWARD_DNS_QUERY];
		struct dns_forward *f = c->f;
		size_t slot = 0;

		len = (size_t)c->in[0] << 8 | c->in[1];
		if (len > FORWARD_DNS_QUERY) {
			client_free(c);
			return;
		}
		if (c->got < 2 + len)
			return;
		memcpy(query, c->in + 2, len);
		memmove(c->in, c->in + 2 + len, c->got - 2 - len);
		c->got -= 2 + len;
		while (slot < ARRAY_LEN(f->clients) && f->clients[slot] != c)
			slot++;
		ask(f, c, NULL, query, len);
		/* An answer that it did not take has ended it. */
		if (slot < ARRAY_LEN(f->clients) && f->clients[slot] != c)
			return;
	}
}

/* client_slot() - a free one, or that of who has been idle longest */
static size_t client_slot(struct dns_forward *f)
{
	size_t oldest = 0;

	for (size_t i = 0; i < ARRAY_LEN(f->clients); i++) {
		if (f->clients[i] && f->clients[i]->used_ms < clock_ms() - CLIENT_IDLE_MS)
			client_free(f->clients[i]);
		if (!f->clients[i])
			return i;
		if (f->clients[i]->used_ms < f->clients[oldest]->used_ms)
			oldest = i;
	}
	client_free(f->clients[oldest]);
	return oldest;
}

static void on_connect(void *ctx, uint32_t events)
{
	struct door *d = ctx;
	AUTO_FD fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c = fd < 0 ? NULL : calloc(1, sizeof(*c));
	size_t slot;

	(void)events;
	if (!c)
		return;
	*c = (struct client){.f = d->f, .fd = fd, .used_ms = clock_ms()};
	if (loop_add_fd(d->f->loop, fd, EPOLLIN, on_client, c, &c->src) < 0) {
		free(c);
		return;
	}
	(void)TAKE_FD(fd);
	slot = client_slot(d->f);
	d->f->clients[slot] = c;
}

static int add_door(struct dns_forward *f, int fd, loop_fd_fn fn)
{
	struct door *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return -ENOMEM;
	*d = (struct door){.next = f->doors, .f = f, .fd = fd};
	r = loop_add_fd(f->loop, fd, EPOLLIN, fn, d, &d->src);
	if (r < 0) {
		free(d);
		return r;
	}
	f->doors = d;
	return 0;
}

int dns_forward_udp(struct dns_forward *f, int fd)
{
	return add_door(f, fd, on_datagram);
}

int dns_forward_tcp(struct dns_forward *f, int fd)
{
	return add_door(f, fd, on_connect);
}

struct dns_forward *dns_forward_new(struct loop *l, const struct forward_ops *ops)
{
	struct dns_forward *f = calloc(1, sizeof(*f));

	_Static_assert(FORWARD_DNS_PENDING == 256, "the place is one byte of the number");
	if (f) {
		f->loop = l;
		f->ops = ops;
		f->fd = -1;
	}
	return f;
}

void dns_forward_free(struct dns_forward *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < ARRAY_LEN(f->pending); i++)
		f->pending[i].used = false;
	for (size_t i = 0; i < ARRAY_LEN(f->clients); i++)
		if (f->clients[i])
			client_free(f->clients[i]);
	hang_up(f);
	loop_del_timer(f->timer);
	while (f->doors) {
		struct door *d = f->doors;

		f->doors = d->next;
		loop_del_fd(d->src);
		free(d);
	}
	free(f);
}
