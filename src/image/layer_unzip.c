#include "image/layer_unzip.h"
#include "image/digest.h"
#include <errno.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define IN_LEN	   (256U << 10)
#define OUT_LEN	   (256U << 10)
#define WINDOW_LOG 24 /* 16 MiB of memory: zstd up to level 19 needs 8; "--long" is refused */

struct unzip {
	const struct layer *l;
	uint64_t at; /* of the blob */
	size_t in_len, in_used;
	bool in_end, member; /* within a gzip member or zstd frame */
	bool same; /* blob and content are one: one digest says both */
	z_stream z;
	bool z_open;
	ZSTD_DCtx *zstd;
	struct digest *blob, *raw;
	uint8_t in[IN_LEN], out[OUT_LEN];
};

struct unzip *unzip_new(void)
{
	struct unzip *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->blob = digest_new();
	u->raw = digest_new();
	u->zstd = ZSTD_createDCtx();
	u->z_open = inflateInit2(&u->z, 15 + 16) == Z_OK;
	if (!u->blob || !u->raw || !u->zstd || !u->z_open ||
		ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, WINDOW_LOG))) {
		unzip_free(u);
		return NULL;
	}
	return u;
}

void unzip_free(struct unzip *u)
{
	if (!u)
		return;
	if (u->z_open)
		(void)inflateEnd(&u->z);
	(void)ZSTD_freeDCtx(u->zstd);
	digest_free(u->blob);
	digest_free(u->raw);
	free(u);
}

int unzip_begin(struct unzip *u, const struct layer *l, struct err *e)
{
	u->l = l;
	u->at = 0;
	u->in_len = u->in_used = 0;
	u->in_end = u->member = false;
	u->same = l->format == LAYER_TAR;
	(void)ZSTD_DCtx_reset(u->zstd, ZSTD_reset_session_only);
	if (inflateReset(&u->z) != Z_OK || !digest_begin(u->blob) || !digest_begin(u->raw))
		return err_set(e, ERR_INTERNAL, -ENOMEM, "cannot begin to read a layer");
	return 0;
}

uint64_t unzip_done(const struct unzip *u)
{
	return u->at;
}

/* fill() - more of the blob, when all that was read is used */
static int fill(struct unzip *u, struct err *e)
{
	ssize_t n;

	if (u->in_used < u->in_len || u->in_end)
		return 0;
	do
		n = pread(u->l->fd, u->in, IN_LEN, (off_t)u->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, -errno, "read a layer");
	u->in_used = 0;
	u->in_len = (size_t)n;
	u->in_end = n == 0;
	u->at += (uint64_t)n;
	if (u->at > u->l->blob_bytes)
		return err_set(
			e, ERR_INVALID, -EBADMSG, "a layer is larger than its manifest says");
	return digest_add(u->blob, u->in, u->in_len)
		       ? 0
		       : err_set(e, ERR_INTERNAL, -ENOMEM, "cannot take a digest");
}

static int damaged(struct err *e)
{
	return err_set(e, ERR_INVALID, -EBADMSG, "a layer's compressed data is damaged or cut off");
}

/* next_gzip() - one or more members in a row */
static int next_gzip(struct unzip *u, size_t *ret_len, struct err *e)
{
	int r;

	if (u->in_end) {
		*ret_len = 0;
		return u->member ? damaged(e) : 0;
	}
	if (!u->member && inflateReset(&u->z) != Z_OK)
		return damaged(e);
	u->member = true;
	u->z.next_in = u->in + u->in_used;
	u->z.avail_in = (uInt)(u->in_len - u->in_used);
	u->z.next_out = u->out;
	u->z.avail_out = OUT_LEN;
	r = inflate(&u->z, Z_NO_FLUSH);
	u->in_used = u->in_len - u->z.avail_in;
	*ret_len = OUT_LEN - u->z.avail_out;
	if (r == Z_STREAM_END)
		u->member = false;
	else if (r != Z_OK && r != Z_BUF_ERROR)
		return damaged(e);
	return 0;
}

static int next_zstd(struct unzip *u, size_t *ret_len, struct err *e)
{
	ZSTD_inBuffer in = {u->in, u->in_len, u->in_used};
	ZSTD_outBuffer out = {u->out, OUT_LEN, 0};
	size_t left;

	if (u->in_end && !u->member) {
		*ret_len = 0;
		return 0;
	}
	left = ZSTD_decompressStream(u->zstd, &out, &in);
	if (ZSTD_isError(left) || (u->in_end && out.pos == 0))
		return damaged(e);
	u->in_used = in.pos;
	u->member = left != 0;
	*ret_len = out.pos;
	return 0;
}

int unzip_next(struct unzip *u, const uint8_t **ret_p, size_t *ret_len, struct err *e)
{
	size_t len = 0;
	int r = 0;

	*ret_p = u->out;
	while (len == 0 && r == 0) {
		r = fill(u, e);
		if (r < 0)
			return r;
		if (u->l->format == LAYER_TAR) {
			*ret_p = u->in + u->in_used;
			len = u->in_len - u->in_used;
			u->in_used = u->in_len;
		} else {
			r = u->l->format == LAYER_GZIP ? next_gzip(u, &len, e)
						       : next_zstd(u, &len, e);
		}
		if (u->in_end && len == 0)
			break;
	}
	*ret_len = len;
	if (r == 0 && len && !u->same && !digest_add(u->raw, *ret_p, len))
		return err_set(e, ERR_INTERNAL, -ENOMEM, "cannot take a digest");
	return r;
}

int unzip_end(struct unzip *u, struct err *e)
{
	char blob[DIGEST_HEX_LEN + 1], raw[DIGEST_HEX_LEN + 1];

	if (u->at != u->l->blob_bytes)
		return err_set(
			e, ERR_INVALID, -EBADMSG, "a layer is smaller than its manifest says");
	if (!digest_end(u->blob, blob) || (!u->same && !digest_end(u->raw, raw)))
		return err_set(e, ERR_INTERNAL, -ENOMEM, "cannot take a digest");
	if (u->l->digest[0] && strcmp(blob, u->l->digest) != 0)
		return err_set(e, ERR_INVALID, -EBADMSG,
			"a layer's digest is not the one its manifest names");
	if (u->l->diff_id[0] && strcmp(u->same ? blob : raw, u->l->diff_id) != 0)
		return err_set(e, ERR_INVALID, -EBADMSG,
			"a layer's content has not the digest that the configuration names");
	return 0;
}
