/* fuzz_websocket.c - frames of either side, whole and byte by byte, and through both forms and back
 *
 * First byte: bit 0 frames come masked, bit 1 compression was agreed on.
 */
#include "http/ws.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t mask(void *ctx)
{
	uint32_t *v = ctx;

	return *v = *v * 1664525 + 1013904223;
}

static int walk(struct ws_walk *w, const uint8_t *p, size_t len, size_t piece, struct buf *out)
{
	int r = 0;

	buf_init(out, 8U << 20);
	for (size_t at = 0; at < len && r == 0; at += piece)
		r = ws_walk(w, p + at, len - at < piece ? len - at : piece, out);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf a, b, c, d;
	uint32_t seed = 1;
	int r;

	if (size < 1)
		return 0;
	struct ws_walk whole = {.masked_in = data[0] & 1, .deflate = data[0] & 2}, bytes = whole;
	struct ws_walk to = {
		.masked_out = true, .mask = mask, .ctx = &seed, .deflate = data[0] & 2};
	struct ws_walk back = {.masked_in = true, .deflate = data[0] & 2};

	r = walk(&whole, data + 1, size - 1, SIZE_MAX / 2, &a);
	assert(walk(&bytes, data + 1, size - 1, 1, &b) == r);
	assert(r == 0 || (r == -EPROTO && whole.why));
	assert(a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0));
	/* what went through is taken by the next hop, and is the same behind it */
	if (a.len > 0) {
		assert(walk(&to, (uint8_t *)a.data, a.len, 7, &c) == 0 || r < 0);
		if (!to.why) {
			assert(walk(&back, (uint8_t *)c.data, c.len, 5, &d) == 0);
			assert(d.len <= a.len && memcmp(a.data, d.data, d.len) == 0);
			buf_fini(&d);
		}
		buf_fini(&c);
	}
	buf_fini(&a);
	buf_fini(&b);
	return 0;
}
