/* pair.h - two TLS sessions over a socket pair, moved on in turns by one thread */
#ifndef TESTS_TLS_PAIR_H
#define TESTS_TLS_PAIR_H
#include "check.h"
#include "tls/client.h"
#include "tls/server.h"
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct pair {
	int fd[2]; /* 0: server, 1: client */
	struct tls *server, *client;
};

static inline void pair_open(struct pair *p)
{
	*p = (struct pair){0};
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fd), 0);
}

static inline void pair_close(struct pair *p)
{
	tls_free(p->server);
	tls_free(p->client);
	close(p->fd[0]);
	close(p->fd[1]);
}

/* pair_shake() - both handshakes; the leaf is for the name the client asks for */
static inline void pair_shake(struct pair *p, struct tls_leaves *leaves, const char *alpn,
	enum tls_step *ret_server, enum tls_step *ret_client)
{
	enum tls_step s = TLS_WANT, c = TLS_WANT;

	for (int i = 0; i < 50 && (s == TLS_WANT || c == TLS_WANT); i++) {
		if (c == TLS_WANT)
			c = tls_handshake(p->client);
		if (s == TLS_WANT)
			s = tls_handshake(p->server);
		if (s == TLS_HELLO) {
			const struct tls_leaf *leaf;
			const char *name = tls_server_name(p->server);

			assert_int_equal(tls_leaves_get(leaves, name[0] ? name : "127.0.0.1",
						 time(NULL), &leaf, NULL),
				0);
			assert_int_equal(tls_server_choose(p->server, leaf, alpn), 0);
			s = TLS_WANT;
		}
		if (c == TLS_FAILED || s == TLS_FAILED)
			break;
	}
	*ret_server = s;
	*ret_client = c;
}
#endif
