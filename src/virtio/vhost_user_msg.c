#include "virtio/vhost_user_msg.h"
#include "base/wire.h"
#include <assert.h>

#define FLAG_VERSION	  1u
#define FLAG_VERSION_MASK 3u
#define FLAG_REPLY	  4u
#define FLAG_NEED_REPLY	  8u

#define RING_FD_INDEX 0xffu
#define RING_FD_NONE  0x100u

enum shape { NONE, U64, RING, ADDR, RING_FD, MEM, CONFIG };

/* What a request carries; a name that is missing is a request that is refused. */
static const struct {
	const char *name;
	enum shape shape;
	bool answer;
} requests[VU_REQUEST_COUNT] = {
	[VU_GET_FEATURES] = {"GET_FEATURES", NONE, true},
	[VU_SET_FEATURES] = {"SET_FEATURES", U64, false},
	[VU_SET_OWNER] = {"SET_OWNER", NONE, false},
	[VU_RESET_OWNER] = {"RESET_OWNER", NONE, false},
	[VU_SET_MEM_TABLE] = {"SET_MEM_TABLE", MEM, false},
	[VU_SET_VRING_NUM] = {"SET_VRING_NUM", RING, false},
	[VU_SET_VRING_ADDR] = {"SET_VRING_ADDR", ADDR, false},
	[VU_SET_VRING_BASE] = {"SET_VRING_BASE", RING, false},
	[VU_GET_VRING_BASE] = {"GET_VRING_BASE", RING, true},
	[VU_SET_VRING_KICK] = {"SET_VRING_KICK", RING_FD, false},
	[VU_SET_VRING_CALL] = {"SET_VRING_CALL", RING_FD, false},
	[VU_SET_VRING_ERR] = {"SET_VRING_ERR", RING_FD, false},
	[VU_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", NONE, true},
	[VU_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", U64, false},
	[VU_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", NONE, true},
	[VU_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", RING, false},
	[VU_GET_CONFIG] = {"GET_CONFIG", CONFIG, true},
	[VU_SET_CONFIG] = {"SET_CONFIG", CONFIG, false},
	[VU_RESET_DEVICE] = {"RESET_DEVICE", NONE, false},
};

static const char *const result_names[] = {
	[VU_OK] = "ok",
	[VU_CLOSED] = "closed by the peer",
	[VU_BAD_HEADER] = "malformed header",
	[VU_BAD_REQUEST] = "unknown request",
	[VU_BAD_SIZE] = "wrong payload size",
	[VU_BAD_FDS] = "wrong descriptors",
	[VU_BAD_VALUE] = "value out of range",
	[VU_BAD_STATE] = "request not allowed in this state",
	[VU_BAD_MEMORY] = "memory table cannot be mapped",
	[VU_BAD_RING] = "ring addresses are wrong",
	[VU_HOST_FAILED] = "host failure",
};
static_assert(ARRAY_LEN(result_names) == VU_RESULT_COUNT, "a name for each");

const char *vu_result_name(enum vu_result r)
{
	return r < VU_RESULT_COUNT ? result_names[r] : "?";
}

const char *vu_request_name(enum vu_request request)
{
	return request < VU_REQUEST_COUNT && requests[request].name ? requests[request].name : "?";
}

bool vu_has_answer(enum vu_request request)
{
	return request < VU_REQUEST_COUNT && requests[request].answer;
}

enum vu_result vu_decode_header(const uint8_t p[VU_HEADER_BYTES], struct vu_header *ret_header)
{
	struct wire_r r = wire_reader(p, VU_HEADER_BYTES);
	struct vu_header h = {.request = wire_get_u32(&r)};

	h.flags = wire_get_u32(&r);
	h.size = wire_get_u32(&r);
	if ((h.flags & FLAG_VERSION_MASK) != FLAG_VERSION ||
		(h.flags & ~(FLAG_VERSION_MASK | FLAG_NEED_REPLY)))
		return VU_BAD_HEADER;
	if (h.request >= VU_REQUEST_COUNT || !requests[h.request].name)
		return VU_BAD_REQUEST;
	if (h.size > VU_PAYLOAD_MAX)
		return VU_BAD_SIZE;
	*ret_header = h;
	return VU_OK;
}

static enum vu_result get_mem(struct wire_r *r, struct vu_msg *m)
{
	uint32_t n = wire_get_u32(r);

	(void)wire_get_u32(r); /* padding */
	if (n == 0 || n > VU_REGIONS_MAX)
		return VU_BAD_VALUE;
	m->mem.n = n;
	for (unsigned i = 0; i < n; i++) {
		struct vu_region *g = &m->mem.region[i];

		g->gpa = wire_get_u64(r);
		g->size = wire_get_u64(r);
		g->user = wire_get_u64(r);
		g->offset = wire_get_u64(r);
	}
	return VU_OK;
}

static enum vu_result get_config(struct wire_r *r, struct vu_msg *m)
{
	m->config.offset = wire_get_u32(r);
	m->config.size = wire_get_u32(r);
	m->config.flags = wire_get_u32(r);
	if (m->config.size > VU_CONFIG_MAX || m->config.offset > VU_CONFIG_MAX - m->config.size)
		return VU_BAD_VALUE;
	(void)wire_get_bytes(r, m->config.size);
	return VU_OK;
}

static enum vu_result get_ring_fd(struct wire_r *r, struct vu_msg *m)
{
	uint64_t v = wire_get_u64(r);

	if (v & ~(uint64_t)(RING_FD_INDEX | RING_FD_NONE))
		return VU_BAD_VALUE;
	m->ring_fd.index = (unsigned)(v & RING_FD_INDEX);
	m->ring_fd.has_fd = !(v & RING_FD_NONE);
	return VU_OK;
}

static enum vu_result get_shape(enum shape shape, struct wire_r *r, struct vu_msg *m)
{
	switch (shape) {
	case NONE:
		break;
	case U64:
		m->u64 = wire_get_u64(r);
		break;
	case RING:
		m->ring.index = wire_get_u32(r);
		m->ring.num = wire_get_u32(r);
		break;
	case ADDR:
		m->addr.index = wire_get_u32(r);
		m->addr.flags = wire_get_u32(r);
		m->addr.desc = wire_get_u64(r);
		m->addr.used = wire_get_u64(r);
		m->addr.avail = wire_get_u64(r);
		m->addr.log = wire_get_u64(r);
		break;
	case RING_FD:
		return get_ring_fd(r, m);
	case MEM:
		return get_mem(r, m);
	case CONFIG:
		return get_config(r, m);
	}
	return VU_OK;
}

static unsigned fds_wanted(enum shape shape, const struct vu_msg *m)
{
	if (shape == MEM)
		return m->mem.n;
	return shape == RING_FD && m->ring_fd.has_fd ? 1 : 0;
}

enum vu_result vu_decode(
	const struct vu_header *h, const uint8_t *payload, unsigned n_fds, struct vu_msg *ret_msg)
{
	struct wire_r r = wire_reader(payload, h->size);
	struct vu_msg m = {0};
	enum shape shape;
	enum vu_result bad;

	assert(h->request < VU_REQUEST_COUNT && h->size <= VU_PAYLOAD_MAX);
	m.request = (enum vu_request)h->request;
	m.need_reply = h->flags & FLAG_NEED_REPLY;
	shape = requests[m.request].shape;
	bad = get_shape(shape, &r, &m);
	if (r.bad)
		return VU_BAD_SIZE;
	if (bad != VU_OK)
		return bad;
	if (!wire_done(&r))
		return VU_BAD_SIZE;
	if (n_fds != fds_wanted(shape, &m))
		return VU_BAD_FDS;
	*ret_msg = m;
	return VU_OK;
}

size_t vu_encode(uint8_t dst[VU_HEADER_BYTES + VU_PAYLOAD_MAX], enum vu_request request,
	const void *payload, size_t len)
{
	struct wire_w w = wire_writer(dst, VU_HEADER_BYTES + VU_PAYLOAD_MAX);

	assert(len <= VU_PAYLOAD_MAX);
	wire_put_u32(&w, request);
	wire_put_u32(&w, FLAG_VERSION | FLAG_REPLY);
	wire_put_u32(&w, (uint32_t)len);
	wire_put_bytes(&w, payload, len);
	assert(!w.bad);
	return w.pos;
}
