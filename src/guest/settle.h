/* settle.h - the request SETTLE: end every process but our own, have the disk written
 *
 * docs/protocol/agent.md. Nothing that a phase left behind lives on, whoever's it is and however it
 * detached itself: all are below PID 1 in one tree.
 */
#ifndef GUEST_SETTLE_H
#define GUEST_SETTLE_H
#include "guest/guest.h"
#include "guest/stream.h"

/* settle_start() - takes the stream over; answers OK or ERROR once it is done */
void settle_start(struct guest *g, struct stream *s, uint32_t flags);
#endif
