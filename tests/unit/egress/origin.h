/* origin.h - a server on a loopback port for tests of the vault: each connection runs a script on the
 * server's own thread, over TLS with a leaf of the test's CA, or plain
 */
#ifndef TESTS_EGRESS_ORIGIN_H
#define TESTS_EGRESS_ORIGIN_H
#include "check.h"
#include "base/buf.h"
#include "tls/server.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ORIGIN_WAIT_MS 5000

struct origin;
struct origin_conn {
	struct origin *o;
	int fd;
	struct tls *tls;
	unsigned number; /* of this connection, from 1 */
	char head[32768]; /* the last head read, terminated */
};

struct origin {
	int fd;
	uint16_t port;
	struct tls_ca *ca;
	struct tls_leaves *leaves;
	struct tls_server *server; /* NULL: plain */
	const char *alpn, *leaf_name; /* leaf_name: other than what is asked for */
	void (*script)(struct origin_conn *c);
	void *ctx;
	atomic_uint connections, requests;
	atomic_bool stop;
	pthread_t thread;
	pthread_mutex_t lock;
	char seen[65536]; /* all heads, one after the other */
};

static inline bool origin_wait(int fd, short events)
{
	struct pollfd p = {fd, events, 0};

	return poll(&p, 1, ORIGIN_WAIT_MS) == 1;
}

/* origin_idle() - wait for the next request; false: none comes, or somebody else waits to be served
 * meanwhile. There is one thread: a connection that is merely kept must not hold up the next one until
 * ORIGIN_WAIT_MS are over.
 */
static inline bool origin_idle(const struct origin_conn *c)
{
	struct pollfd p[2] = {{c->fd, POLLIN, 0}, {c->o->fd, POLLIN, 0}};

	if (c->tls && tls_pending(c->tls))
		return true;
	return poll(p, 2, ORIGIN_WAIT_MS) > 0 && p[0].revents != 0;
}

static inline ssize_t origin_read(struct origin_conn *c, void *p, size_t cap)
{
	for (;;) {
		ssize_t n = c->tls ? tls_read(c->tls, p, cap) : recv(c->fd, p, cap, MSG_DONTWAIT);

		if (n >= 0)
			return n;
		if (c->tls ? n != -EAGAIN : errno != EAGAIN)
			return -1;
		if (!origin_wait(c->fd, POLLIN))
			return -1;
	}
}

static inline bool origin_write(struct origin_conn *c, const void *p, size_t len)
{
	const char *at = p;

	while (len > 0) {
		ssize_t n = c->tls ? tls_write(c->tls, at, len)
				   : send(c->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (c->tls ? n == -EAGAIN : errno == EAGAIN)) {
			if (!origin_wait(c->fd, POLLOUT))
				return false;
			continue;
		}
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static inline bool origin_say(struct origin_conn *c, const char *text)
{
	return origin_write(c, text, strlen(text));
}

/* origin_head() - byte by byte to the empty line; false: the connection ended */
static inline bool origin_head(struct origin_conn *c)
{
	size_t n = 0;

	if (!origin_idle(c))
		return false;
	while (n < sizeof(c->head) - 1) {
		if (origin_read(c, c->head + n, 1) != 1)
			return false;
		c->head[++n] = '\0';
		if (n >= 4 && memcmp(c->head + n - 4, "\r\n\r\n", 4) == 0) {
			c->o->requests++;
			pthread_mutex_lock(&c->o->lock);
			if (strlen(c->o->seen) + n < sizeof(c->o->seen) - 1)
				memcpy(c->o->seen + strlen(c->o->seen), c->head, n + 1);
			pthread_mutex_unlock(&c->o->lock);
			return true;
		}
	}
	return false;
}

static inline bool origin_exactly(struct origin_conn *c, char *p, size_t len)
{
	for (size_t n = 0; n < len;) {
		ssize_t got = origin_read(c, p + n, len - n);

		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	return true;
}

static inline bool origin_shake(struct origin_conn *c)
{
	const struct tls_leaf *leaf;
	struct origin *o = c->o;

	c->tls = tls_server_new(o->server, c->fd, NULL, 0);
	if (!c->tls)
		return false;
	for (;;) {
		const char *name;

		switch (tls_handshake(c->tls)) {
		case TLS_DONE:
			return true;
		case TLS_WANT:
			if (!origin_wait(c->fd, tls_wants(c->tls) == TLS_READ ? POLLIN : POLLOUT))
				return false;
			break;
		case TLS_HELLO:
			name = tls_server_name(c->tls);
			if (tls_leaves_get(o->leaves,
				    o->leaf_name ? o->leaf_name
				    : name[0]	 ? name
						 : "127.0.0.1",
				    time(NULL), &leaf, NULL) < 0 ||
				tls_server_choose(c->tls, leaf, o->alpn) < 0)
				return false;
			break;
		case TLS_FAILED:
			return false;
		}
	}
}

static inline void *origin_main(void *ctx)
{
	struct origin *o = ctx;
	static __thread struct origin_conn c;
	const int one = 1;

	while (!o->stop) {
		struct pollfd p = {o->fd, POLLIN, 0};

		if (poll(&p, 1, 20) != 1)
			continue;
		c = (struct origin_conn){.o = o};
		c.fd = accept4(o->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (c.fd < 0)
			continue;
		(void)setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c.number = ++o->connections;
		if (!o->server || origin_shake(&c))
			o->script(&c);
		if (c.tls)
			(void)tls_close(c.tls);
		tls_free(c.tls);
		close(c.fd);
	}
	return NULL;
}

/* origin_start() - @ca NULL: without TLS */
static inline void origin_start(struct origin *o, struct tls_ca *ca, const char *alpn,
	void (*script)(struct origin_conn *c), void *ctx)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	struct err e;

	*o = (struct origin){.ca = ca, .alpn = alpn, .script = script, .ctx = ctx};
	o->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(o->fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(o->fd, 64), 0);
	assert_int_equal(getsockname(o->fd, (struct sockaddr *)&sa, &len), 0);
	o->port = ntohs(sa.sin_port);
	pthread_mutex_init(&o->lock, NULL);
	if (ca) {
		assert_int_equal(tls_leaves_new(ca, 16, &o->leaves, &e), 0);
		assert_int_equal(tls_server_ctx_new(&o->server, &e), 0);
	}
	assert_int_equal(pthread_create(&o->thread, NULL, origin_main, o), 0);
}

static inline void origin_stop(struct origin *o)
{
	o->stop = true;
	pthread_join(o->thread, NULL);
	close(o->fd);
	tls_leaves_free(o->leaves);
	tls_server_ctx_free(o->server);
}

static inline bool origin_saw(struct origin *o, const char *text)
{
	bool found;

	pthread_mutex_lock(&o->lock);
	found = strstr(o->seen, text) != NULL;
	pthread_mutex_unlock(&o->lock);
	return found;
}
#endif
