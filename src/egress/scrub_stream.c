/* A body as it comes: decoded (zlib, brotli) in pieces, masked, given out but for what may be a beginning */
#include "egress/scrub.h"
#include <brotli/decode.h>
#include <string.h>
#include <zlib.h>

#define PIECE	       65536
#define RATIO_MAX      300 /* of what comes out to what went in, once there is much */
#define RATIO_FREE     (16u << 20)
#define GZIP_WITH_HEAD (15 + 16)

struct scrub_stream {
	struct scrub *set[SCRUB_SETS_MAX];
	unsigned n;
	enum scrub_coding coding;
	z_stream zip;
	BrotliDecoderState *brotli;
	bool begun, ended; /* of the coding */
	bool found;
	uint64_t in, out;
	size_t held, cap; /* bytes at the start of work that were not given out */
	uint8_t *work; /* held bytes, then a piece */
	uint8_t *piece; /* decoded; NULL for identity */
};

struct scrub_stream *scrub_stream_new(
	struct scrub *const *sets, unsigned n, enum scrub_coding coding)
{
	struct scrub_stream *t = calloc(1, sizeof(*t));
	size_t longest = 0;

	if (!t)
		return NULL;
	t->coding = coding;
	for (unsigned i = 0; i < n && i < SCRUB_SETS_MAX; i++) {
		t->set[t->n++] = scrub_ref(sets[i]);
		if (scrub_longest(sets[i]) > longest)
			longest = scrub_longest(sets[i]);
	}
	t->cap = longest + PIECE;
	t->work = malloc(t->cap);
	if (coding != SCRUB_IDENTITY)
		t->piece = malloc(PIECE);
	if (coding == SCRUB_BROTLI)
		t->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
	if (!t->work || (coding != SCRUB_IDENTITY && !t->piece) ||
		(coding == SCRUB_BROTLI && !t->brotli) ||
		(coding == SCRUB_GZIP && inflateInit2(&t->zip, GZIP_WITH_HEAD) != Z_OK)) {
		t->coding = SCRUB_IDENTITY;
		scrub_stream_free(t);
		return NULL;
	}
	return t;
}

void scrub_stream_free(struct scrub_stream *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->n; i++)
		scrub_unref(t->set[i]);
	if (t->coding == SCRUB_GZIP)
		(void)inflateEnd(&t->zip);
	if (t->brotli)
		BrotliDecoderDestroyInstance(t->brotli);
	if (t->work)
		explicit_bzero(t->work, t->cap);
	if (t->piece)
		explicit_bzero(t->piece, PIECE);
	free(t->work);
	free(t->piece);
	free(t);
}

bool scrub_stream_found(const struct scrub_stream *t)
{
	return t->found;
}

/* show() - plain bytes, at most PIECE of them */
static bool show(struct scrub_stream *t, const void *p, size_t len, scrub_out out, void *ctx)
{
	size_t total = t->held + len, keep = 0;

	memcpy(t->work + t->held, p, len);
	for (unsigned i = 0; i < t->n; i++)
		t->found |= scrub_mask(t->set[i], t->work, total);
	for (unsigned i = 0; i < t->n; i++) {
		size_t n = scrub_begins(t->set[i], t->work, total);

		keep = n > keep ? n : keep;
	}
	if (total > keep && !out(ctx, t->work, total - keep))
		return false;
	memmove(t->work, t->work + total - keep, keep);
	t->held = keep;
	return true;
}

static enum scrub_result show_all(
	struct scrub_stream *t, const uint8_t *p, size_t len, scrub_out out, void *ctx)
{
	while (len > 0) {
		size_t n = len < PIECE ? len : PIECE;

		if (!show(t, p, n, out, ctx))
			return SCRUB_STOPPED;
		p += n;
		len -= n;
	}
	return SCRUB_OK;
}

static enum scrub_result decoded(struct scrub_stream *t, size_t n, scrub_out out, void *ctx)
{
	t->out += n;
	if (t->out > RATIO_FREE && t->out / RATIO_MAX > t->in)
		return SCRUB_BOMB;
	return n == 0 || show(t, t->piece, n, out, ctx) ? SCRUB_OK : SCRUB_STOPPED;
}

/* feed_gzip() - members may follow each other (RFC 1952 2.2) */
static enum scrub_result feed_gzip(
	struct scrub_stream *t, const uint8_t *p, size_t len, scrub_out out, void *ctx)
{
	enum scrub_result r = SCRUB_OK;

	t->zip.next_in = (Bytef *)(uintptr_t)p;
	t->zip.avail_in = (uInt)len;
	while (r == SCRUB_OK) {
		int z;

		if (t->ended) {
			if (t->zip.avail_in == 0)
				break;
			if (inflateReset(&t->zip) != Z_OK)
				return SCRUB_BROKEN;
			t->ended = false;
		}
		t->zip.next_out = t->piece;
		t->zip.avail_out = PIECE;
		z = inflate(&t->zip, Z_NO_FLUSH);
		if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
			return SCRUB_BROKEN;
		t->ended = z == Z_STREAM_END;
		r = decoded(t, PIECE - t->zip.avail_out, out, ctx);
		if (!t->ended && t->zip.avail_in == 0 && t->zip.avail_out > 0)
			break;
		if (z == Z_BUF_ERROR && t->zip.avail_in > 0 && t->zip.avail_out == PIECE)
			return SCRUB_BROKEN;
	}
	return r;
}

static enum scrub_result feed_brotli(
	struct scrub_stream *t, const uint8_t *p, size_t len, scrub_out out, void *ctx)
{
	enum scrub_result r = SCRUB_OK;
	size_t left = len;

	while (r == SCRUB_OK) {
		uint8_t *next = t->piece;
		size_t room = PIECE;
		BrotliDecoderResult b;

		if (t->ended)
			return left > 0 ? SCRUB_BROKEN : SCRUB_OK;
		b = BrotliDecoderDecompressStream(t->brotli, &left, &p, &room, &next, NULL);
		if (b == BROTLI_DECODER_RESULT_ERROR)
			return SCRUB_BROKEN;
		t->ended = b == BROTLI_DECODER_RESULT_SUCCESS;
		r = decoded(t, PIECE - room, out, ctx);
		if (b == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT)
			break;
	}
	return r;
}

enum scrub_result scrub_feed(
	struct scrub_stream *t, const void *p, size_t len, scrub_out out, void *ctx)
{
	t->in += len;
	t->begun |= len > 0;
	switch (t->coding) {
	case SCRUB_IDENTITY:
		return show_all(t, p, len, out, ctx);
	case SCRUB_GZIP:
		return feed_gzip(t, p, len, out, ctx);
	case SCRUB_BROTLI:
		return feed_brotli(t, p, len, out, ctx);
	}
	return SCRUB_BROKEN;
}

enum scrub_result scrub_end(struct scrub_stream *t, scrub_out out, void *ctx)
{
	size_t n = t->held;

	t->held = 0;
	if (n > 0 && !out(ctx, t->work, n))
		return SCRUB_STOPPED;
	return t->coding == SCRUB_IDENTITY || t->ended || !t->begun ? SCRUB_OK : SCRUB_BROKEN;
}
