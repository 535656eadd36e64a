/* relay.h - bytes both ways between a TCP socket and a stream through a sandbox's wall
 *
 * What was read from one side is written to the other at once; only what that does not take is held,
 * and then nothing more is read: back-pressure goes through to the sender. Ends go through one by
 * one; who breaks off is told to the other side as a reset. A stream knows no reset: it is in order
 * when each direction is ended by itself, and broken when both are gone at once.
 * Thread: that of the loop. Nothing here waits.
 */
#ifndef BASE_RELAY_H
#define BASE_RELAY_H
#include "base/loop.h"
#include <stdbool.h>
#include <stddef.h>

#define RELAY_STEP	 65536 /* bytes moved at a time */
#define RELAY_STEP_SMALL 4096 /* when much is held already */
#define RELAY_HELD_MAX	 (8u << 20) /* "much": bytes that wait for one who does not read */
#define RELAY_LINGER_MS	 5000 /* for a TCP peer to take what the stream said last */

struct relay_group; /* relays that share a loop and the account of what is held */
struct relay_group *relay_group_new(struct loop *l) MUST_USE; /* NULL: no memory */
void relay_group_free(struct relay_group *g); /* breaks what is left; NULL is fine */
unsigned relay_count(const struct relay_group *g);

struct relay_ends {
	int tcp, stream; /* non-blocking */
	unsigned tag; /* for relay_break() */
	bool dialing; /* the stream is still being connected */
	bool answered; /* else a stream that ends without a word has refused: the TCP side is reset */
	const void *to_stream, *to_tcp; /* what goes before everything else; copied */
	size_t to_stream_len, to_tcp_len;
};

/* relay_add() - takes both descriptors in every case; on failure the TCP side is reset */
int relay_add(struct relay_group *g, const struct relay_ends *ends) MUST_USE;
/* relay_break() - reset those with this tag */
void relay_break(struct relay_group *g, unsigned tag);
/* relay_reset_on_close() - closing @fd shall be no orderly end (or again be one) */
void relay_reset_on_close(int fd, bool reset);
#endif
