/* The conversion: index, manifest, configuration, then the layers from the topmost down. */
#include "base/clock.h"
#include "base/io.h"
#include "image/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define INDEXES_MAX 4 /* an index may name an index */
#define PROGRESS_MS 100
#define ENTRIES_MAX (2U << 20) /* of all layers; the tree has a limit of its own */
#define ROOT_CHUNK  (1U << 20)

static int open_beneath(
	const struct worker *w, const char *path, uint64_t *ret_bytes, struct err *e)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
	AUTO_FD fd = (int)syscall(__NR_openat2, w->layout_fd, path, &how, sizeof(how));
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT
			       ? err_set(e, ERR_NOT_FOUND, -ENOENT, "the layout has no '%s'", path)
			       : err_sys(e, -errno, "open '%s' of the layout", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, -EBADMSG, "'%s' of the layout is no file", path);
	*ret_bytes = (uint64_t)st.st_size;
	return TAKE_FD(fd);
}

static int open_blob(const struct worker *w, const char *digest, uint64_t *ret_bytes, struct err *e)
{
	char path[DIGEST_HEX_LEN + 32];

	(void)snprintf(path, sizeof(path), "blobs/sha256/%s", digest);
	return open_beneath(w, path, ret_bytes, e);
}

static int read_text(int fd, uint64_t bytes, struct buf *out, struct err *e)
{
	int r;

	buf_clear(out);
	if (bytes > OCI_TEXT_MAX)
		return err_set(e, ERR_INVALID, -EBADMSG, "the image's JSON is larger than 4 MiB");
	r = io_read_fd(fd, out);
	return r < 0 ? err_sys(e, r, "read the image's JSON") : 0;
}

/* read_blob() - a small one, whose bytes must have its digest */
static int read_blob(
	const struct worker *w, const struct oci_blob *b, struct buf *out, struct err *e)
{
	char got[DIGEST_HEX_LEN + 1];
	uint64_t bytes = 0;
	AUTO_FD fd = open_blob(w, b->digest, &bytes, e);
	int r = fd < 0 ? fd : read_text(fd, bytes, out, e);

	if (r < 0)
		return r;
	if (out->len != b->bytes || !digest_of(out->data ? out->data : "", out->len, got) ||
		strcmp(got, b->digest) != 0)
		return err_set(e, ERR_INVALID, -EBADMSG,
			"the image's JSON has not the size and digest that name it");
	return 0;
}

static int read_manifest(struct worker *w, struct buf *text, struct err *e)
{
	struct oci_blob chosen;
	bool index = true;
	uint64_t bytes = 0;
	AUTO_FD fd = open_beneath(w, "index.json", &bytes, e);
	int r = fd < 0 ? fd : read_text(fd, bytes, text, e);

	for (unsigned i = 0; index && r == 0; i++) {
		if (i == INDEXES_MAX)
			return err_set(e, ERR_INVALID, -EBADMSG, "the image's indexes go too deep");
		r = oci_choose(text->data ? text->data : "", text->len, i == 0 ? w->ref : NULL,
			&chosen, &index, e);
		if (r == 0)
			r = read_blob(w, &chosen, text, e);
	}
	if (r == 0)
		r = oci_manifest(text->data ? text->data : "", text->len, &w->manifest, e);
	if (r < 0)
		return r;
	memcpy(w->digest, chosen.digest, sizeof(w->digest));
	r = read_blob(w, &w->manifest.config, text, e);
	return r < 0 ? r
		     : oci_config(
			       text->data ? text->data : "", text->len, &w->manifest, &w->run, e);
}

static void progress(void *ctx, uint64_t done)
{
	struct worker *w = ctx;
	int64_t now = clock_ms();

	if (now < w->shown_ms + PROGRESS_MS)
		return;
	w->shown_ms = now;
	(void)dprintf(WORKER_REPORT_FD, "P %llu %llu\n", (unsigned long long)(w->before + done),
		(unsigned long long)w->all);
}

/* apply() - layer @i of the manifest */
static int apply(struct worker *w, size_t i, struct layer_reader *reader, struct tree *t,
	struct erofs *out, struct err *e)
{
	struct layer *l = &w->manifest.layer[i];
	uint64_t bytes = 0;
	AUTO_FD fd = open_blob(w, l->digest, &bytes, e);
	int r;

	if (fd < 0)
		return fd;
	if (!tree_layer(t))
		return err_set(e, ERR_INVALID, -EBADMSG, "the image has too many layers");
	l->fd = fd;
	r = layer_apply(reader, l, t, out, e);
	l->fd = -1;
	w->before += l->blob_bytes;
	return r < 0 ? err_wrap(e, r, "layer %zu of %zu", i + 1, w->manifest.n_layers) : 0;
}

static int layers(struct worker *w, struct layer_reader *reader, struct tree *t, struct erofs *out,
	struct tree_counts *ret_counts, struct err *e)
{
	enum tree_fault f;
	int r = 0;

	for (size_t i = 0; i < w->manifest.n_layers; i++)
		w->all += w->manifest.layer[i].blob_bytes;
	for (size_t i = w->manifest.n_layers; i-- > 0 && r == 0;)
		r = apply(w, i, reader, t, out, e);
	if (r < 0)
		return r;
	f = tree_finish(t);
	if (f != TREE_OK)
		return err_set(e, ERR_INVALID, -EBADMSG, "the image: %s", tree_fault_text(f));
	r = tree_write(t, out, ret_counts);
	return r < 0 ? err_sys(e, r, "write the image's directories") : 0;
}

/* root_digest() - of the image as it was written: what verification compares with later */
static int root_digest(uint64_t bytes, char ret_hex[DIGEST_HEX_LEN + 1], struct err *e)
{
	AUTO_FREE uint8_t *chunk = malloc(ROOT_CHUNK);
	struct digest *d = digest_new();
	uint64_t at = 0;
	bool ok = chunk && d && digest_begin(d);

	while (ok && at < bytes) {
		ssize_t n = pread(WORKER_IMAGE_FD, chunk, ROOT_CHUNK, (off_t)at);

		ok = n > 0 && digest_add(d, chunk, (size_t)n);
		at += n > 0 ? (uint64_t)n : 0;
	}
	ok = ok && digest_end(d, ret_hex);
	digest_free(d);
	return ok ? 0 : err_set(e, ERR_INTERNAL, -EIO, "cannot read back the image");
}

static int result(struct worker *w, const struct layer_reader *reader, uint64_t bytes,
	const struct tree_counts *c, struct js **ret, struct err *e)
{
	char root[DIGEST_HEX_LEN + 1];
	AUTO_JS o = js_object();
	int r = root_digest(bytes, root, e);

	if (r < 0)
		return r;
	if (js_set_str(o, "digest", w->digest) || js_set_int(o, "bytes", (int64_t)bytes) ||
		js_set_str(o, "root_digest", root) ||
		js_set_int(o, "files", (int64_t)(c->files + c->dirs + c->symlinks + c->fifos)) ||
		js_set_int(o, "devices", (int64_t)layer_devices(reader)) ||
		js_set_int(o, "uncompressed", (int64_t)layer_bytes(reader)) ||
		js_set(o, "run", TAKE(w->run)))
		return err_sys(e, -ENOMEM, "report");
	*ret = TAKE(o);
	return 0;
}

static int convert(struct worker *w, struct layer_reader *reader, struct tree *t, struct erofs *out,
	struct js **ret, struct err *e)
{
	struct tree_counts counts = {0};
	uint64_t bytes;
	int r = layers(w, reader, t, out, &counts, e);

	if (r < 0)
		return r;
	r = erofs_end(out,
		counts.files + counts.dirs + counts.symlinks + counts.fifos - counts.links, &bytes);
	return r < 0 ? err_sys(e, r, "write the image") : result(w, reader, bytes, &counts, ret, e);
}

int worker_run(struct worker *w, struct js **ret_result, struct err *e)
{
	const struct layer_limits limits = {.bytes = w->max_bytes, .entries = ENTRIES_MAX};
	AUTO(buf) text;
	struct layer_reader *reader;
	struct erofs *out = NULL;
	struct tree *t;
	int r;

	buf_init(&text, OCI_TEXT_MAX);
	r = read_manifest(w, &text, e);
	buf_fini(&text);
	if (r < 0)
		return r;
	reader = layer_reader_new(&limits, progress, w);
	t = tree_new();
	r = !reader || !t ? -ENOMEM : erofs_new(WORKER_IMAGE_FD, w->max_bytes, &out);
	r = r < 0 ? err_sys(e, r, "begin an image") : convert(w, reader, t, out, ret_result, e);
	erofs_free(out);
	tree_free(t);
	layer_reader_free(reader);
	return r;
}

void worker_fini(struct worker *w)
{
	js_free(w->run);
	w->run = NULL;
	own_close_fd(&w->layout_fd);
}
