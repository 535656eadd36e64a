#include "proto/frame.h"
#include "base/wire.h"
#include <assert.h>
#include <errno.h>

void frame_decoder_init(struct frame_decoder *d)
{
	*d = (struct frame_decoder){0};
	buf_init(&d->in, FRAME_HEADER + FRAME_BIG_MAX + FRAME_DATA_MAX);
}

void frame_decoder_fini(struct frame_decoder *d)
{
	buf_fini(&d->in);
}

long frame_max(unsigned type)
{
	switch (type) {
	case FRAME_EXEC:
	case FRAME_SETUP:
		return FRAME_BIG_MAX;
	case FRAME_ATTACH:
	case FRAME_PUT:
	case FRAME_GET:
	case FRAME_PING:
	case FRAME_SHUTDOWN:
	case FRAME_USAGE:
	case FRAME_CLOCK:
	case FRAME_DIAL:
	case FRAME_SETTLE:
	case FRAME_HELLO:
	case FRAME_STEP:
	case FRAME_READY:
	case FRAME_OK:
	case FRAME_ERROR:
	case FRAME_STDIN:
	case FRAME_STDOUT:
	case FRAME_STDERR:
	case FRAME_CREDIT:
	case FRAME_RESIZE:
	case FRAME_SIGNAL:
	case FRAME_STARTED:
	case FRAME_EXIT:
	case FRAME_DATA:
	case FRAME_END:
	case FRAME_USAGE_REPLY:
		return FRAME_DATA_MAX;
	default:
		return -1;
	}
}

int frame_feed(struct frame_decoder *d, const void *p, size_t len)
{
	if (d->used) {
		buf_eat(&d->in, d->used);
		d->used = 0;
	}
	return buf_add(&d->in, p, len);
}

enum frame_result frame_next(struct frame_decoder *d, struct frame *ret_frame)
{
	struct wire_r r;
	uint32_t len;
	uint8_t type, version;
	uint16_t zero;
	long max;

	if (d->bad)
		return FRAME_BAD;
	if (d->in.len - d->used < FRAME_HEADER)
		return FRAME_MORE;
	r = wire_reader(d->in.data + d->used, FRAME_HEADER);
	len = wire_get_u32(&r);
	type = wire_get_u8(&r);
	version = wire_get_u8(&r);
	zero = wire_get_u16(&r);
	max = frame_max(type);
	if (max < 0 || len > (unsigned long)max || version != FRAME_VERSION || zero != 0) {
		d->bad = true;
		return FRAME_BAD;
	}
	if (d->in.len - d->used - FRAME_HEADER < len)
		return FRAME_MORE;
	*ret_frame = (struct frame){.type = (enum frame_type)type,
		.body = (const uint8_t *)d->in.data + d->used + FRAME_HEADER,
		.len = len};
	d->used += FRAME_HEADER + len;
	return FRAME_GOT;
}

void frame_head(uint8_t dst[FRAME_HEADER], enum frame_type type, size_t len)
{
	struct wire_w w = wire_writer(dst, FRAME_HEADER);

	assert(frame_max(type) >= 0 && len <= (size_t)frame_max(type));
	wire_put_u32(&w, (uint32_t)len);
	wire_put_u8(&w, (uint8_t)type);
	wire_put_u8(&w, FRAME_VERSION);
	wire_put_u16(&w, 0);
	assert(!w.bad);
}

int frame_add(struct buf *out, enum frame_type type, const void *body, size_t len)
{
	uint8_t head[FRAME_HEADER];
	int r;

	if (len > (size_t)frame_max(type))
		return -EMSGSIZE;
	if (len + FRAME_HEADER > out->max - out->len)
		return -ENOBUFS;
	frame_head(head, type, len);
	r = buf_add(out, head, sizeof(head));
	return r < 0 ? r : buf_add(out, body, len);
}
