/* session.h - one TLS session over a non-blocking descriptor, either side
 *
 * Made by tls_server_new() or tls_client_new(). No call ever waits: what cannot go on answers
 * TLS_WANT or -EAGAIN, and tls_wants() says for what. Records are read ahead in one system call, so
 * bytes may wait inside: read until -EAGAIN, or ask tls_pending() before waiting for the descriptor.
 * The descriptor is borrowed and must be non-blocking; SIGPIPE never comes. Memory of an idle session is
 * given back between records.
 * Thread: one at a time. Peer faults: TLS_FAILED or -EPROTO with tls_why(); the session is then spent.
 */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TLS_WHY_MAX 160

struct tls;

enum tls_step {
	TLS_DONE, /* the handshake is over */
	TLS_WANT, /* wait for tls_wants(), then call again */
	TLS_HELLO, /* server: the ClientHello is here; tls_server_choose(), then call again */
	TLS_FAILED, /* tls_why() */
};

enum { TLS_READ = 1, TLS_WRITE = 4 }; /* the values of EPOLLIN and EPOLLOUT */

enum tls_step tls_handshake(struct tls *t) MUST_USE;
/* tls_wants() - TLS_READ or TLS_WRITE: what the call that could not go on waits for */
uint32_t tls_wants(const struct tls *t);
/* tls_read() - bytes; 0: the peer said that it is done; -EAGAIN; -ECONNRESET: the connection ended
 * without a word (cut, perhaps by someone else); -EPROTO
 */
ssize_t tls_read(struct tls *t, void *p, size_t cap) MUST_USE;
#define TLS_WRITE_MANY 65536 /* so many bytes fill whole records and go by one system call */
/* tls_write() - bytes taken, maybe fewer than @len; after -EAGAIN the same bytes come first again.
 * -EAGAIN, -EPIPE, -EPROTO.
 */
ssize_t tls_write(struct tls *t, const void *p, size_t len) MUST_USE;
/* tls_bytes() - memory that waits to be sent, beyond what every session has */
size_t tls_bytes(const struct tls *t);
/* tls_pending() - may tls_read() give bytes without the descriptor becoming readable? */
bool tls_pending(const struct tls *t);
/* tls_close() - say that nothing more will be sent; 0, or -EAGAIN */
int tls_close(struct tls *t);
void tls_free(struct tls *t); /* NULL is fine; the descriptor stays open */

const char *tls_alpn(const struct tls *t); /* "" when none was agreed on */
unsigned tls_version(const struct tls *t); /* 12 or 13; 0 before the handshake is over */
bool tls_resumed(const struct tls *t);
const char *tls_why(const struct tls *t); /* short text; "" when nothing failed */
#endif
