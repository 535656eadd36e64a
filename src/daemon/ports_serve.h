/* ports_serve.h - listeners on the host, and what goes through them into one sandbox
 *
 * A thread of its own for each sandbox that has ports: nothing that a guest does to its connections
 * (stalls, floods, resets) is felt by anybody else. The bytes are opaque. Per sandbox at most
 * PORTS_CONNS connections, PORTS_DIALING of them not yet answered by the guest; beyond that nothing is
 * accepted, and clients wait in the kernel's queue. A guest has @dial_ms (PORTS_DIAL_MS) to answer; where it has
 * no service, or says anything else than OK, the client gets a reset.
 * Calls are from one thread at a time, never from dial().
 */
#ifndef DAEMON_PORTS_SERVE_H
#define DAEMON_PORTS_SERVE_H
#include "base/own.h"
#include <stdint.h>

#define PORTS_CONNS   192
#define PORTS_DIALING 64
#define PORTS_DIAL_MS 15000

struct ports_server;

/* ports_server_new() - @dial: a stream to the guest's agent, the caller's; negative errno. It is called on
 * the server's thread and must not wait.
 */
int ports_server_new(
	int (*dial)(void *ctx), void *ctx, int dial_ms, struct ports_server **ret) MUST_USE;
/* ports_server_free() - ends all connections and waits for the thread. NULL is fine. */
void ports_server_free(struct ports_server *p);
/* ports_server_add() - accept from @fd, a listening socket (taken on success), for guest port @port */
int ports_server_add(struct ports_server *p, unsigned id, int fd, uint16_t port) MUST_USE;
/* ports_server_remove() - close the listeners of @id and cut what goes through them */
void ports_server_remove(struct ports_server *p, unsigned id);
#endif
