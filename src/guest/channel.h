/* channel.h - a stream as a transfer's child uses it: blocking, frames in, frames out
 *
 * After an error is set, every later call fails with it at once.
 */
#ifndef GUEST_CHANNEL_H
#define GUEST_CHANNEL_H
#include "base/err.h"
#include "proto/agent.h"

struct channel {
	int fd;
	struct frame_decoder in;
	uint8_t out[FRAME_HEADER + FRAME_DATA_MAX]; /* one DATA frame being filled */
	size_t used; /* bytes of its payload */
};

/* channel_next() - the next frame; -EPIPE when the host has closed, -EBADMSG */
int channel_next(struct channel *c, struct frame *ret_f, struct err *e) MUST_USE;
/* channel_room() - where payload may be put, and how much of it (never 0); -errno
 * channel_filled() counts it in.
 */
int channel_room(struct channel *c, uint8_t **ret_p, size_t *ret_len, struct err *e) MUST_USE;
void channel_filled(struct channel *c, size_t len);
int channel_put(struct channel *c, const void *p, size_t len, struct err *e) MUST_USE;
/* channel_finish() - what is left, then END; channel_fail() - ERROR instead */
int channel_finish(struct channel *c, struct err *e) MUST_USE;
void channel_ok(struct channel *c);
void channel_fail(struct channel *c, int num, const char *text);
/* channel_close() - say end, and wait a little for the host to close */
void channel_close(struct channel *c);

/* put.c and get.c: the two transfers; 0 after everything was said but the last frame */
int put_serve(struct channel *c, const struct agent_put *m, struct err *e) MUST_USE;
/* get_serve() - @scratch_fd: where the root's changes are ("upper"), for an image of it; -1: the path itself */
int get_serve(struct channel *c, const struct agent_get *m, int scratch_fd, struct err *e) MUST_USE;
#endif
