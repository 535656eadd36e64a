/* stream.h - one connection of the host: frames in, bounded output out, an orderly end
 *
 * A stream frees itself. stream_end() sends what is queued, says end and waits a little for the
 * host to close; stream_drop() closes at once. After either, and after ops->gone() returned, the
 * pointer is dead for its user. Both may be called from the stream's own callbacks.
 * Rules broken by the peer (FRAME_BAD) count as gone. When a peer takes nothing more, the frames
 * that it sent before are still given, within the same round of the loop, and then it is gone.
 */
#ifndef GUEST_STREAM_H
#define GUEST_STREAM_H
#include "base/loop.h"
#include "proto/frame.h"

struct stream;

struct stream_ops {
	void (*frame)(void *ctx, const struct frame *f);
	void (*room)(void *ctx); /* stream_has_room() became true; may be NULL */
	void (*gone)(void *ctx);
};

/* stream_new() - takes @fd on success and makes it non-blocking; -errno */
int stream_new(struct loop *l, int fd, const struct stream_ops *ops, void *ctx,
	struct stream **ret_s) MUST_USE;
/* stream_on_free() - called when the stream's memory goes, however that comes about */
void stream_on_free(struct stream *s, void (*fn)(void *), void *ctx);
void stream_set_ops(struct stream *s, const struct stream_ops *ops, void *ctx);
/* stream_out() - where encoders append frames; then stream_send() starts them on their way */
struct buf *stream_out(struct stream *s);
/* stream_send() - @r is the encoders' result: output that did not fit ends the stream.
 * Returns false when the stream is gone (ops->gone() was or will be called).
 */
bool stream_send(struct stream *s, int r);
/* stream_has_room() - may a frame of any size with data be appended? */
bool stream_has_room(const struct stream *s);
void stream_end(struct stream *s);
void stream_drop(struct stream *s);
/* stream_pump() - once, after stream_new(): handle what has arrived already, without a wait */
void stream_pump(struct stream *s);
/* stream_take_fd() - for a child that serves the rest by itself: the descriptor and the bytes
 * that were read ahead (moved into @ret_in). The stream stays to be dropped.
 */
int stream_take_fd(struct stream *s, struct frame_decoder *ret_in);
#endif
