/* Masking: however a body is cut, what comes out is the body masked as a whole; coded bodies never break it
 * Input: coding, length of the secret, the secret, lengths of pieces until 0, the body.
 */
#include "base/buf.h"
#include "egress/scrub.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static bool collect(void *ctx, const void *p, size_t len)
{
	return buf_add(ctx, p, len) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	AUTO(buf) out = {0}, whole = {0};
	struct scrub_stream *t;
	struct scrub *s;
	enum scrub_coding coding;
	enum scrub_result r = SCRUB_OK;
	const uint8_t *cut;
	size_t n, cuts = 0;
	bool starred;

	if (len < 4)
		return 0;
	coding = p[0] % 3;
	n = p[1] % 64u + 1;
	p += 2;
	len -= 2;
	if (len < n + 1)
		return 0;
	starred = memchr(p, 0x2a, n) != NULL; /* a mask would look like it */
	s = scrub_new(p, n);
	t = s ? scrub_stream_new(&s, 1, coding) : NULL;
	if (!t)
		abort();
	p += n;
	len -= n;
	cut = p;
	while (cuts < len && cuts < 32 && p[cuts])
		cuts++;
	p += cuts;
	len -= cuts;
	buf_init(&out, 8 << 20);
	buf_init(&whole, 8 << 20);
	for (size_t at = 0, i = 0; at < len && r == SCRUB_OK; i++) {
		n = cuts ? cut[i % cuts] : len;
		n = n < len - at ? n : len - at;
		r = scrub_feed(t, p + at, n, collect, &out);
		at += n;
	}
	if (r == SCRUB_OK)
		r = scrub_end(t, collect, &out);
	if (coding == SCRUB_IDENTITY) {
		if (buf_add(&whole, p, len) < 0)
			abort();
		if (whole.len)
			(void)scrub_mask(s, whole.data, whole.len);
		assert(r == SCRUB_OK && out.len == whole.len);
		/* Cut or not, the secret itself is not in it. */
		assert(out.len == 0 || starred || !scrub_any(&s, 1, out.data, out.len));
	}
	scrub_stream_free(t);
	scrub_unref(s);
	return 0;
}
