/* frame.h - frames of the agent protocol: header, limits, incremental decoder
 *
 * docs/protocol/agent.md. No I/O. The decoder takes bytes as they come and gives whole frames;
 * after FRAME_BAD it gives nothing more.
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

#define FRAME_VERSION	 1
#define FRAME_HEADER	 8
#define FRAME_DATA_MAX	 65536 /* payload of any type but EXEC and SETUP */
#define FRAME_BIG_MAX	 1048576 /* payload of EXEC and SETUP */
#define FRAME_PORT_BOOT	 1 /* guest → host */
#define FRAME_PORT_TCP	 2 /* guest → front: docs/protocol/egress.md */
#define FRAME_PORT_DNS	 3
#define FRAME_PORT_AGENT 1024 /* host → guest */

enum frame_type {
	FRAME_EXEC = 0x01,
	FRAME_ATTACH = 0x02,
	FRAME_PUT = 0x03,
	FRAME_GET = 0x04,
	FRAME_PING = 0x05,
	FRAME_SHUTDOWN = 0x06,
	FRAME_USAGE = 0x07,
	FRAME_CLOCK = 0x08,
	FRAME_DIAL = 0x09,
	FRAME_SETTLE = 0x0a,
	FRAME_HELLO = 0x10,
	FRAME_SETUP = 0x11,
	FRAME_STEP = 0x12,
	FRAME_READY = 0x13,
	FRAME_OK = 0x20,
	FRAME_ERROR = 0x21,
	FRAME_STDIN = 0x30,
	FRAME_STDOUT = 0x31,
	FRAME_STDERR = 0x32,
	FRAME_CREDIT = 0x33,
	FRAME_RESIZE = 0x34,
	FRAME_SIGNAL = 0x35,
	FRAME_STARTED = 0x36,
	FRAME_EXIT = 0x37,
	FRAME_DATA = 0x39,
	FRAME_END = 0x3a,
	FRAME_USAGE_REPLY = 0x3b,
};

struct frame {
	enum frame_type type;
	const uint8_t *body; /* borrowed from the decoder until its next call */
	size_t len;
};

enum frame_result { FRAME_MORE, FRAME_GOT, FRAME_BAD };

struct frame_decoder {
	struct buf in; /* bytes not yet given out */
	size_t used; /* of the frame given out last */
	bool bad;
};

void frame_decoder_init(struct frame_decoder *d);
void frame_decoder_fini(struct frame_decoder *d);
/* frame_feed() - add bytes; -ENOBUFS when the peer sends more than one largest frame ahead */
int frame_feed(struct frame_decoder *d, const void *p, size_t len) MUST_USE;
/* frame_next() - the next whole frame; FRAME_MORE: feed more; FRAME_BAD: close the stream */
enum frame_result frame_next(struct frame_decoder *d, struct frame *ret_frame) MUST_USE;
/* frame_max() - largest payload of a type, -1 for an unknown one */
long frame_max(unsigned type);
/* frame_head() - write the 8 header bytes of a frame with @len bytes of payload (len <= its max) */
void frame_head(uint8_t dst[FRAME_HEADER], enum frame_type type, size_t len);
/* frame_add() - append a whole frame to @out */
int frame_add(struct buf *out, enum frame_type type, const void *body, size_t len) MUST_USE;
#endif
