/* The origin: small, so that it is not what is measured. */
#include "egress.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define HEAD_MAX 8192
#define CHUNK	 65536

struct peer {
	int fd;
	SSL *ssl;
	bool open; /* the handshake is done */
	char head[HEAD_MAX + 1];
	size_t head_len, head_at;
	uint64_t in_left, out_left; /* of bodies */
	bool answering;
	char out[512 + 4096]; /* a head and a small body in one record */
	size_t out_len, out_at;
	uint32_t events;
};

static SSL_CTX *ctx;
static int ep, listener;
static char filler[CHUNK], sink[CHUNK];

static void drop(struct peer *p)
{
	SSL_free(p->ssl);
	close(p->fd);
	free(p);
}

static void accept_all(void)
{
	const int one = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct peer *p = calloc(1, sizeof(*p));
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = p};

		if (!p)
			bench_die("no memory");
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		p->fd = fd;
		p->events = EPOLLIN;
		p->ssl = SSL_new(ctx);
		if (!p->ssl || SSL_set_fd(p->ssl, fd) != 1)
			bench_die("origin: no session");
		SSL_set_accept_state(p->ssl);
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
			bench_die("origin: epoll: %s", strerror(errno));
	}
}

/* answer() - begin the response to the request whose head is whole */
static void answer(struct peer *p)
{
	uint64_t n = strncmp(p->head, "GET /b/", 7) == 0 ? strtoull(p->head + 7, NULL, 10) : 2;
	int len = snprintf(p->out, 512,
		"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
		"content-length: %llu\r\n\r\n",
		(unsigned long long)n);

	p->out_len = (size_t)len;
	p->out_at = 0;
	p->out_left = n;
	if (n <= 4096) {
		memcpy(p->out + len, filler, n);
		p->out_len += n;
		p->out_left = 0;
	}
	p->answering = true;
}

/* take_head() - a whole head in p->head? Then what it asks for is begun. */
static bool take_head(struct peer *p)
{
	char *end, *field;
	size_t used;

	p->head[p->head_len] = '\0';
	end = strstr(p->head, "\r\n\r\n");
	if (!end)
		return false;
	*end = '\0';
	field = strcasestr(p->head, "\r\ncontent-length:");
	p->in_left = field ? strtoull(field + 17, NULL, 10) : 0;
	if (!field && strcasestr(p->head, "\r\ntransfer-encoding:"))
		bench_die("origin: a chunked body, where a length was sent");
	answer(p);
	used = (size_t)(end - p->head) + 4;
	p->head_len -= used;
	memmove(p->head, p->head + used, p->head_len);
	if (p->in_left > 0) {
		used = p->head_len < p->in_left ? p->head_len : (size_t)p->in_left;
		p->in_left -= used;
		p->head_len -= used;
		memmove(p->head, p->head + used, p->head_len);
	}
	return true;
}

/* step() - what SSL said: 1 go on, 0 wait, -1 gone */
static int step(struct peer *p, int r, uint32_t *events)
{
	switch (SSL_get_error(p->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		*events |= EPOLLIN;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		*events |= EPOLLOUT;
		return 0;
	default:
		return -1;
	}
}

/* push() - the answer; as step() */
static int push(struct peer *p, uint32_t *events)
{
	while (p->out_at < p->out_len || p->out_left > 0) {
		const char *from = p->out + p->out_at;
		size_t n = p->out_len - p->out_at, done;
		int r;

		if (n == 0) {
			from = filler;
			n = p->out_left < CHUNK ? (size_t)p->out_left : CHUNK;
		}
		r = SSL_write_ex(p->ssl, from, n, &done);
		if (r != 1)
			return step(p, r, events);
		if (from == filler)
			p->out_left -= done;
		else
			p->out_at += done;
	}
	p->answering = false;
	return 1;
}

/* pull() - bytes of the client; as step() */
static int pull(struct peer *p, uint32_t *events)
{
	bool body = p->in_left > 0;
	char *to = body ? sink : p->head + p->head_len;
	size_t cap = body ? sizeof(sink) : HEAD_MAX - p->head_len, n;
	int r;

	if (body && cap > p->in_left)
		cap = (size_t)p->in_left;
	r = cap > 0 ? SSL_read_ex(p->ssl, to, cap, &n) : 0;
	if (r != 1)
		return cap > 0 ? step(p, r, events) : -1;
	if (body)
		p->in_left -= n;
	else
		p->head_len += n;
	return 1;
}

static int serve(struct peer *p, uint32_t *events)
{
	int r;

	if (!p->open) {
		r = SSL_do_handshake(p->ssl);
		if (r != 1)
			return step(p, r, events);
		p->open = true;
	}
	do {
		if (p->answering && p->in_left == 0)
			r = push(p, events);
		else if (!p->answering && p->in_left == 0 && p->head_len > 0 && take_head(p))
			r = 1;
		else
			r = pull(p, events);
	} while (r == 1);
	return r;
}

static void *run(void *arg)
{
	struct epoll_event ev[64];

	(void)arg;
	for (;;) {
		int n = epoll_wait(ep, ev, 64, -1);

		for (int i = 0; i < n; i++) {
			struct peer *p = ev[i].data.ptr;
			uint32_t want = 0;

			if (!p) {
				accept_all();
				continue;
			}
			ERR_clear_error();
			if (serve(p, &want) < 0) {
				drop(p);
			} else if (want != p->events) {
				struct epoll_event e = {.events = want, .data.ptr = p};

				p->events = want;
				(void)epoll_ctl(ep, EPOLL_CTL_MOD, p->fd, &e);
			}
		}
	}
	return NULL;
}

uint16_t origin_start(const char *cert, const char *key)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	struct epoll_event ev = {.events = EPOLLIN};
	pthread_t t;

	memset(filler, 'x', sizeof(filler));
	ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		bench_die("origin: %s, %s: not a certificate and its key", cert, key);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	ep = epoll_create1(EPOLL_CLOEXEC);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
		listen(listener, 1024) < 0 ||
		getsockname(listener, (struct sockaddr *)&a, &len) < 0 ||
		epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) < 0 ||
		pthread_create(&t, NULL, run, NULL) != 0)
		bench_die("origin: %s", strerror(errno));
	return ntohs(a.sin_port);
}
