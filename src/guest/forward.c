#include "guest/forward.h"
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define DNS_PORT	53
#define HEADER		12
#define QUERIES_A_ROUND 32
#define RCODE_REFUSED	5
#define FLAG_RESPONSE	0x80
#define FLAG_RECURSION	0x01
#define OPCODE_MASK	0x78

struct listener {
	struct loop *loop;
	int fd;
};

/* One at a time: a query by TCP is rare, and a second client waits in the backlog. */
struct tcp_client {
	struct loop_fd *src;
	int fd;
	size_t got;
	uint8_t bytes[2 + FORWARD_DNS_MAX];
};

static struct tcp_client tcp = {.fd = -1};

/* question_end() - offset behind the one question; 0 when it is malformed */
static size_t question_end(const uint8_t *q, size_t len)
{
	size_t at = HEADER;

	while (at < len && q[at] != 0) {
		if (q[at] > 63) /* a pointer has nothing to point at yet */
			return 0;
		at += 1u + q[at];
	}
	return at + 5 <= len ? at + 5 : 0;
}

size_t forward_refuse(const uint8_t *query, size_t len, uint8_t dst[FORWARD_DNS_MAX])
{
	size_t end;

	if (len < HEADER || (query[2] & FLAG_RESPONSE))
		return 0;
	end = query[4] == 0 && query[5] == 1 ? question_end(query, len) : 0;
	if (end == 0 || end > FORWARD_DNS_MAX)
		end = HEADER;
	memcpy(dst, query, end);
	dst[2] = (uint8_t)(FLAG_RESPONSE | (query[2] & (OPCODE_MASK | FLAG_RECURSION)));
	dst[3] = RCODE_REFUSED;
	memset(dst + 4, 0, 8);
	dst[5] = end > HEADER;
	return end;
}

static void on_query(void *ctx, uint32_t events)
{
	struct listener *l = ctx;
	uint8_t query[FORWARD_DNS_MAX], reply[FORWARD_DNS_MAX];

	(void)events;
	for (unsigned i = 0; i < QUERIES_A_ROUND; i++) {
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(
			l->fd, query, sizeof(query), 0, (struct sockaddr *)&from, &from_len);
		size_t len;

		if (n < 0)
			return;
		len = forward_refuse(query, (size_t)n, reply);
		if (len)
			(void)sendto(l->fd, reply, len, MSG_NOSIGNAL, (struct sockaddr *)&from,
				from_len);
	}
}

static void tcp_end(void)
{
	loop_del_fd(tcp.src);
	if (tcp.fd >= 0)
		close(tcp.fd);
	tcp = (struct tcp_client){.fd = -1};
}

static void on_tcp_bytes(void *ctx, uint32_t events)
{
	uint8_t reply[2 + FORWARD_DNS_MAX];
	size_t len, want;
	ssize_t n = recv(tcp.fd, tcp.bytes + tcp.got, sizeof(tcp.bytes) - tcp.got, 0);

	(void)ctx;
	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		tcp_end();
		return;
	}
	tcp.got += (size_t)n;
	if (tcp.got < 2)
		return;
	want = (size_t)tcp.bytes[0] << 8 | tcp.bytes[1];
	if (want <= FORWARD_DNS_MAX && tcp.got < 2 + want)
		return;
	len = want <= FORWARD_DNS_MAX ? forward_refuse(tcp.bytes + 2, want, reply + 2) : 0;
	reply[0] = (uint8_t)(len >> 8);
	reply[1] = (uint8_t)len;
	if (len)
		(void)send(tcp.fd, reply, 2 + len, MSG_NOSIGNAL);
	tcp_end();
}

static void on_tcp_client(void *ctx, uint32_t events)
{
	struct listener *l = ctx;

	(void)events;
	tcp_end(); /* a new one is worth more than one that keeps silent */
	tcp.fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (tcp.fd >= 0 && loop_add_fd(l->loop, tcp.fd, EPOLLIN, on_tcp_bytes, NULL, &tcp.src) < 0)
		tcp_end();
}

static int serve(struct loop *loop, int family, int type)
{
	const struct sockaddr_in v4 = {.sin_family = AF_INET,
		.sin_port = htons(DNS_PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
		.sin6_port = htons(DNS_PORT),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	const void *addr = family == AF_INET ? (const void *)&v4 : (const void *)&v6;
	socklen_t len = family == AF_INET ? sizeof(v4) : sizeof(v6);
	struct listener *l = calloc(1, sizeof(*l)); /* lives as long as the loop */
	int one = 1, r;

	if (!l)
		return -ENOMEM;
	l->loop = loop;
	l->fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		bind(l->fd, addr, len) < 0 || (type == SOCK_STREAM && listen(l->fd, 16) < 0))
		r = -errno;
	else
		r = loop_add_fd(loop, l->fd, EPOLLIN,
			type == SOCK_STREAM ? on_tcp_client : on_query, l, NULL);
	if (r < 0) {
		if (l->fd >= 0)
			close(l->fd);
		free(l);
	}
	return r;
}

int forward_start(struct loop *l)
{
	int r = serve(l, AF_INET, SOCK_DGRAM);

	if (r == 0)
		r = serve(l, AF_INET, SOCK_STREAM);
	if (r < 0)
		return r;
	if (serve(l, AF_INET6, SOCK_DGRAM) == 0)
		(void)!serve(l, AF_INET6, SOCK_STREAM); /* a kernel without IPv6 is fine */
	return 0;
}
