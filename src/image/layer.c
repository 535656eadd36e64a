#include "image/layer.h"
#include "image/layer_unzip.h"
#include "proto/tar.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define TARGET_MAX (EROFS_SMALL_MAX - 1)
#define PASSES_MAX                                                                                 \
	32 /* hard links to hard links that are hidden: each costs the layer twice more */

struct layer_reader {
	struct layer_limits left;
	layer_progress_fn progress;
	void *ctx;
	struct unzip *unzip;
	uint64_t devices, bytes;

	/* the layer that is read */
	struct tree *t;
	struct erofs *w;
	bool again; /* only what a hard link waits for */
	bool open; /* a file is being written */
	bool wanted; /* by a hard link */
	bool seen; /* it has a place in the tree, too: node */
	tree_ref node;
	struct tar_reader tar;
};

struct layer_reader *layer_reader_new(
	const struct layer_limits *limits, layer_progress_fn progress, void *ctx)
{
	struct layer_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->left = *limits;
	r->progress = progress;
	r->ctx = ctx;
	r->unzip = unzip_new();
	if (!r->unzip) {
		free(r);
		return NULL;
	}
	return r;
}

void layer_reader_free(struct layer_reader *r)
{
	if (!r)
		return;
	unzip_free(r->unzip);
	free(r);
}

uint64_t layer_devices(const struct layer_reader *r)
{
	return r->devices;
}

uint64_t layer_bytes(const struct layer_reader *r)
{
	return r->bytes;
}

static int tree_err(enum tree_fault f, const char *path, struct err *e)
{
	if (f == TREE_NO_MEMORY)
		return err_set(e, ERR_INTERNAL, -ENOMEM, "%s", tree_fault_text(f));
	return err_set(e, ERR_INVALID, -EBADMSG, "'%.200s': %s", path, tree_fault_text(f));
}

static int write_err(int r, struct err *e)
{
	if (r == -EFBIG)
		return err_set(e, ERR_LIMIT, r, "the image is larger than is allowed");
	return r < 0 ? err_sys(e, r, "write the image") : 0;
}

static uint32_t type_bits(enum tar_type type)
{
	return type == TAR_FILE ? S_IFREG : type == TAR_SYMLINK ? S_IFLNK : S_IFIFO;
}

static enum tree_type tree_type(enum tar_type type)
{
	return type == TAR_DIR	     ? TREE_DIR
	       : type == TAR_SYMLINK ? TREE_SYMLINK
	       : type == TAR_FIFO    ? TREE_FIFO
				     : TREE_FILE;
}

static struct erofs_inode inode_of(const struct tar_entry *t)
{
	struct erofs_inode in = {.mode = type_bits(t->type) | t->mode,
		.uid = t->uid,
		.gid = t->gid,
		.nlink = 1,
		.mtime = t->mtime,
		.size = t->type == TAR_SYMLINK ? strlen(t->linkname) : t->size,
		.capability_len = t->capability_len};

	if (t->type == TAR_SYMLINK)
		in.mode = S_IFLNK | 0777;
	memcpy(in.capability, t->capability, t->capability_len);
	return in;
}

/* placed() - the file has number @nid: for its name, and for hard links that wait for it */
static int placed(struct layer_reader *r, uint64_t nid, struct err *e)
{
	const struct tar_entry *t = &r->tar.entry;
	const char *target = t->type == TAR_SYMLINK ? t->linkname : NULL;

	if ((r->seen && !tree_file(r->t, r->node, nid, target)) ||
		(r->wanted && !tree_found(r->t, t->path, nid, tree_type(t->type))))
		return tree_err(TREE_NO_MEMORY, t->path, e);
	return 0;
}

/* add_file() - regular files are only begun here: their bytes follow */
static int add_file(struct layer_reader *r, struct err *e)
{
	const struct tar_entry *t = &r->tar.entry;
	struct erofs_inode in = inode_of(t);
	uint64_t nid;
	int n;

	if (t->type == TAR_SYMLINK && in.size > TARGET_MAX)
		return err_set(e, ERR_INVALID, -EBADMSG,
			"'%.200s': the symlink's target is too long", t->path);
	if (t->type == TAR_FILE) {
		r->open = true;
		return write_err(erofs_file_begin(r->w, &in), e);
	}
	n = write_err(erofs_small(r->w, &in, t->linkname, (size_t)in.size, &nid), e);
	return n < 0 ? n : placed(r, nid, e);
}

static int add_other(struct layer_reader *r, struct err *e)
{
	const struct tar_entry *t = &r->tar.entry;
	enum tree_fault f = TREE_HIDDEN;

	if (t->type != TAR_DIR)
		tree_seen(r->t, t->path);
	r->wanted = t->type != TAR_DIR && tree_wants(r->t, t->path);
	if (!r->again)
		f = tree_add(r->t, t->path, tree_type(t->type), &r->node);
	if (f != TREE_OK && f != TREE_HIDDEN)
		return tree_err(f, t->path, e);
	r->seen = f == TREE_OK;
	if (r->seen && t->type == TAR_DIR) {
		const struct erofs_inode in = inode_of(t);

		tree_meta(r->t, r->node, &in);
	}
	return t->type != TAR_DIR && (r->seen || r->wanted) ? add_file(r, e) : 0;
}

static int add(struct layer_reader *r, struct err *e)
{
	const struct tar_entry *t = &r->tar.entry;
	enum tree_fault f;

	r->open = false;
	if (t->type == TAR_CHAR_DEVICE || t->type == TAR_BLOCK_DEVICE) {
		r->devices += !r->again;
		return 0; /* the guest has its own */
	}
	if (t->type != TAR_HARDLINK)
		return add_other(r, e);
	tree_seen(r->t, t->path);
	f = r->again ? TREE_OK : tree_link(r->t, t->path, t->linkname);
	if (f == TREE_OK || f == TREE_HIDDEN)
		f = tree_wants_link(r->t, t->path, t->linkname);
	return f == TREE_OK ? 0 : tree_err(f, t->path, e);
}

static int end_file(struct layer_reader *r, struct err *e)
{
	uint64_t nid;
	int n;

	if (!r->open)
		return 0;
	r->open = false;
	n = write_err(erofs_file_end(r->w, &nid), e);
	return n < 0 ? n : placed(r, nid, e);
}

static int bad_tar(const struct layer_reader *r, struct err *e)
{
	enum tar_fault f = r->tar.fault;

	if (f == TAR_MANY_ENTRIES || f == TAR_MANY_BYTES)
		return err_set(e, ERR_LIMIT, -EFBIG, "a layer: %s", tar_fault_text(f));
	return err_set(e, ERR_INVALID, -EBADMSG, "a layer: %s (near '%.200s')", tar_fault_text(f),
		r->tar.entry.path);
}

/* take() - the events of these bytes; *ret_end: the end mark was seen */
static int take(struct layer_reader *r, const uint8_t *p, size_t len, bool *ret_end, struct err *e)
{
	for (;;) {
		int n = 0;

		switch (tar_next(&r->tar, &p, &len)) {
		case TAR_MORE:
			return 0;
		case TAR_END:
			*ret_end = true;
			return 0;
		case TAR_ENTRY:
			n = add(r, e);
			break;
		case TAR_DATA:
			if (r->open)
				n = write_err(
					erofs_file_data(r->w, r->tar.data, r->tar.data_len), e);
			break;
		case TAR_ENTRY_END:
			n = end_file(r, e);
			tree_next(r->t);
			break;
		case TAR_BAD:
			return bad_tar(r, e);
		}
		if (n < 0)
			return n;
	}
}

/* count() - what the layers are together; a small blob may be very much */
static int count(struct layer_reader *r, size_t len, struct err *e)
{
	if (len > r->left.bytes)
		return err_set(e, ERR_LIMIT, -EFBIG, "the layers are larger than is allowed");
	r->left.bytes -= len;
	r->bytes += len;
	return 0;
}

static int run(struct layer_reader *r, const struct layer *l, struct err *e)
{
	const struct tar_limits limits = {r->left.entries, r->left.bytes};
	bool end = false;
	int n = unzip_begin(r->unzip, l, e);

	tar_reader_init(&r->tar, &limits);
	while (n == 0) {
		const uint8_t *p;
		size_t len;

		n = unzip_next(r->unzip, &p, &len, e);
		if (n < 0 || len == 0)
			break;
		n = count(r, len, e);
		if (n == 0 && !end)
			n = take(r, p, len, &end, e);
		if (r->progress)
			r->progress(r->ctx, unzip_done(r->unzip));
	}
	if (n < 0)
		return n;
	if (!end && unzip_done(r->unzip) > 0)
		return err_set(e, ERR_INVALID, -EBADMSG, "a layer ends in the middle");
	r->left.entries = r->tar.left.entries;
	return unzip_end(r->unzip, e);
}

static int pass(
	struct layer_reader *r, const struct layer *l, bool first, bool *ret_more, struct err *e)
{
	int n;

	r->again = !first;
	tree_pass(r->t, first);
	n = run(r, l, e);
	if (n == 0 && !tree_pass_end(r->t, ret_more))
		n = tree_err(TREE_NO_MEMORY, "", e);
	return n;
}

int layer_apply(struct layer_reader *r, const struct layer *l, struct tree *t, struct erofs *w,
	struct err *e)
{
	bool more = false;
	int n;

	r->t = t;
	r->w = w;
	n = pass(r, l, true, &more, e);
	/* What a hard link waits for may be of this very layer, and hidden: then it was passed by; and it may be
	 * a hard link itself.
	 */
	for (unsigned i = 0; n == 0 && more && i < PASSES_MAX; i++)
		n = pass(r, l, false, &more, e);
	if (n == 0 && more)
		n = err_set(e, ERR_INVALID, -EBADMSG,
			"a layer has hard links to hard links to hard links, more than %d deep",
			PASSES_MAX / 2);
	return n;
}
