/* transfer.h - PUT and GET: trees as tar streams, each served by a child of its own
 *
 * A huge tree or a host that reads slowly must not hold up the rest, so PID 1 forks and forgets:
 * the child has the stream, blocks as it likes, and ends with it.
 */
#ifndef GUEST_TRANSFER_H
#define GUEST_TRANSFER_H
#include "guest/guest.h"
#include "guest/stream.h"

#define TRANSFERS_MAX 64

/* transfer_start() - takes the stream over; false when the request is malformed, and it did not */
bool transfer_start(struct guest *g, struct stream *s, const struct frame *f);
#endif
