/* server.h - the request port: accepts streams and hands each to what serves it
 *
 * docs/protocol/agent.md, "Requests". Bounded: GUEST_STREAMS_MAX at a time, a deadline for the
 * first frame. How streams come about is the caller's: main listens on vsock, tests add one end
 * of a socket pair.
 */
#ifndef GUEST_SERVER_H
#define GUEST_SERVER_H
#include "guest/guest.h"

int server_new(struct guest *g, struct server **ret_s) MUST_USE;
/* server_free() - the streams must be gone (they end with their peers) */
void server_free(struct server *s);
/* server_listen() - accept from @fd, a listening socket (taken on success) */
int server_listen(struct server *s, int fd) MUST_USE;
/* server_add() - one connected stream; takes @fd in every case */
void server_add(struct server *s, int fd);
unsigned server_streams(const struct server *s);
#endif
