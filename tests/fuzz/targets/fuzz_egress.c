/* fuzz_egress.c - messages of the way out: whatever is taken encodes to the same bytes again
 *
 * Input: one byte that chooses the conversation, then its bytes.
 */
#include "proto/egress.h"
#include "proto/egress_config.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(const struct buf *b, const void *p, size_t len)
{
	assert(b->len == len && memcmp(b->data, p, len) == 0);
}

static int again(struct buf *b, const struct egress_frame *f)
{
	static struct egress_request q;
	static struct egress_response s;
	static struct egress_fields t;
	static struct egress_answer a;
	struct egress_tunnel tunnel;
	struct egress_failed x;
	struct egress_done d;
	struct egress_addr addr;
	const char *name;
	uint16_t n;

	switch (f->type) {
	case EGRESS_REQUEST:
		return egress_get_request(f, &q) == PROTO_OK ? egress_put_request(b, &q, f->end)
							     : 1;
	case EGRESS_TUNNEL:
		return egress_get_tunnel(f, &tunnel) == PROTO_OK ? egress_put_tunnel(b, &tunnel)
								 : 1;
	case EGRESS_RESOLVE:
		return egress_get_resolve(f, &n, &name) == PROTO_OK ? egress_put_resolve(b, n, name)
								    : 1;
	case EGRESS_DATA:
		return egress_put_data(b, f->body, f->len, f->end);
	case EGRESS_TRAILERS:
		return egress_get_trailers(f, &t) == PROTO_OK ? egress_put_trailers(b, &t) : 1;
	case EGRESS_RESPONSE:
		return egress_get_response(f, &s) == PROTO_OK ? egress_put_response(b, &s, f->end)
							      : 1;
	case EGRESS_OPEN:
		return egress_get_open(f, &addr, &n) == PROTO_OK ? egress_put_open(b, &addr, n) : 1;
	case EGRESS_ANSWER:
		return egress_get_answer(f, &a) == PROTO_OK ? egress_put_answer(b, &a) : 1;
	case EGRESS_FAILED:
		return egress_get_failed(f, &x) == PROTO_OK ? egress_put_failed(b, &x) : 1;
	case EGRESS_DONE:
		return egress_get_done(f, &d) == PROTO_OK ? egress_put_done(b, &d) : 1;
	}
	return 1;
}

/* pieces() - what is given out of DATA is what stands there, and no more than was said follows */
static void pieces(const uint8_t *p, size_t size)
{
	struct egress_frame f, whole;
	size_t left, used;
	bool end;

	if (egress_next_data(p, size, &f, &left, &end) != FRAME_GOT)
		return;
	assert(f.type == EGRESS_DATA && f.body == p + EGRESS_FRAME_HEAD);
	assert(f.len <= size - EGRESS_FRAME_HEAD && f.len + left <= EGRESS_FRAME_MAX);
	if (egress_next_frame(p, size, &used, &whole) == FRAME_GOT)
		assert(left == 0 && whole.len == f.len && whole.end == f.end && end == f.end);
	else
		assert(left > 0 && !f.end && f.len == size - EGRESS_FRAME_HEAD);
}

static void frames(struct buf *b, const uint8_t *p, size_t size)
{
	struct egress_frame f;
	size_t used;

	pieces(p, size);
	while (egress_next_frame(p, size, &used, &f) == FRAME_GOT) {
		int r;

		buf_clear(b);
		r = again(b, &f);
		if (r == 0)
			same(b, p, used);
		p += used;
		size -= used;
	}
}

static void control(struct buf *b, const uint8_t *p, size_t size)
{
	struct egress_msg m;
	struct egress_record rec;
	size_t used;

	for (int fd = 0; fd < 2; fd++) {
		if (egress_get_msg(p, size, fd, &m) != PROTO_OK)
			continue;
		buf_clear(b);
		assert(egress_put_msg(b, &m) == 0);
		same(b, p, size);
		while (m.op == EGRESS_OP_AUDIT && m.blob_len > 0 &&
			egress_next_record(m.blob, m.blob_len, &used, &rec) == PROTO_OK) {
			assert(used > 2 && used <= m.blob_len);
			m.blob += used;
			m.blob_len -= used;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct egress_stream s;
	struct egress_config c;
	struct buf b;

	if (size < 1)
		return 0;
	buf_init(&b, 1 << 23);
	if (data[0] % 4 == 0) {
		frames(&b, data + 1, size - 1);
	} else if (data[0] % 4 == 1) {
		control(&b, data + 1, size - 1);
	} else if (data[0] % 4 == 2) {
		if (egress_get_config(data + 1, size - 1, &c) == PROTO_OK) {
			assert(egress_put_config(&b, &c) == 0);
			same(&b, data + 1, size - 1);
		}
		egress_config_fini(&c);
	} else if (size > EGRESS_STREAM_HEAD) {
		if (egress_get_stream(data + 1, &s) == PROTO_OK)
			assert(s.port != 0 && (s.to.family == 4 || s.to.family == 6));
	}
	buf_fini(&b);
	return 0;
}
