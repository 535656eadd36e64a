#include "base/wire.h"
#include "proto/egress.h"
#include <assert.h>
#include <string.h>

#define MAGIC	0x54584253u /* "SBXT" */
#define VERSION 1

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

void egress_put_stream(uint8_t dst[EGRESS_STREAM_HEAD], const struct egress_stream *s)
{
	struct wire_w w = wire_writer(dst, EGRESS_STREAM_HEAD);

	memset(dst, 0, EGRESS_STREAM_HEAD);
	wire_put_u32(&w, MAGIC);
	wire_put_u8(&w, VERSION);
	wire_put_u8(&w, s->to.family);
	wire_put_u16(&w, s->port);
	wire_put_bytes(&w, s->to.bytes, sizeof(s->to.bytes));
	wire_put_u8(&w, (uint8_t)s->way);
	assert(!w.bad);
}

enum proto_result egress_get_stream(
	const uint8_t src[EGRESS_STREAM_HEAD], struct egress_stream *ret_s)
{
	static const uint8_t zero[16];
	struct wire_r r = wire_reader(src, EGRESS_STREAM_HEAD);
	uint32_t magic = wire_get_u32(&r);
	uint8_t version = wire_get_u8(&r), family = wire_get_u8(&r), way;
	uint16_t port = wire_get_u16(&r);
	const uint8_t *addr = wire_get_bytes(&r, 16), *rest;

	way = wire_get_u8(&r);
	rest = wire_get_bytes(&r, 7);
	*ret_s = (struct egress_stream){0};
	if (!wire_done(&r) || magic != MAGIC || version != VERSION || port == 0 || way > 1 ||
		(family != 4 && family != 6) || memcmp(rest, zero, 7) != 0 ||
		(family == 4 && memcmp(addr + 4, zero, 12) != 0))
		return PROTO_MALFORMED;
	ret_s->port = port;
	ret_s->way = (enum egress_way)way;
	ret_s->to.family = family;
	if (family == 6 && memcmp(addr, mapped, sizeof(mapped)) == 0) {
		ret_s->to.family = 4;
		memcpy(ret_s->to.bytes, addr + 12, 4);
	} else {
		memcpy(ret_s->to.bytes, addr, 16);
	}
	return PROTO_OK;
}
