/* The other way round: an image of the store as one layer, a tar stream. */
#include "image/erofs_read.h"
#include "image/worker.h"
#include "proto/tar.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK	   (1U << 20)
#define HEAD_MAX   (TAR_PAX_MAX + 4 * TAR_BLOCK)
#define NODES_MAX  TREE_NODES_MAX
#define LINKS_MAX  TREE_LINKS_MAX
#define EMPTY_LINK UINT64_MAX

/* a directory on the way, from the root down */
struct level {
	struct erofs_node dir;
	uint64_t at; /* of the next block */
	size_t path_len;
	struct erofs_block block;
};

struct known { /* a file with several names: open addressing by its number */
	uint64_t nid;
	char *path;
};

struct export
{
	struct erofs_reader image;
	struct level *level; /* TREE_DEPTH_MAX */
	size_t depth;
	struct tar_entry entry;
	struct buf out; /* gathers what is written */
	struct known *known; /* 2 * LINKS_MAX */
	size_t n_known;
	uint64_t nodes, written, max_bytes;
};

static int flush(struct export *x)
{
	size_t done = 0;

	while (done < x->out.len) {
		ssize_t n = write(WORKER_LAYER_FD, x->out.data + done, x->out.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	x->written += x->out.len;
	buf_clear(&x->out);
	return x->written > x->max_bytes ? -EFBIG : 0;
}

static int zeros(struct export *x, size_t n)
{
	char *room;
	int r = buf_room(&x->out, n, &room);

	if (r < 0)
		return r;
	memset(room, 0, n);
	buf_grew(&x->out, n);
	return 0;
}

static int head(struct export *x)
{
	int r = x->out.len > CHUNK ? flush(x) : 0;

	if (r == 0)
		r = tar_put_entry(&x->out, &x->entry);
	return r == -EINVAL ? -EBADMSG : r;
}

static int content(struct export *x, const struct erofs_node *n)
{
	int r = 0;

	for (uint64_t at = 0; at < n->in.size && r == 0;) {
		size_t len = n->in.size - at < CHUNK ? (size_t)(n->in.size - at) : CHUNK;
		char *room;

		if (x->out.len > CHUNK)
			r = flush(x);
		if (r == 0)
			r = buf_room(&x->out, len, &room);
		if (r == 0)
			r = erofs_read_data(&x->image, n, at, room, len);
		if (r == 0)
			buf_grew(&x->out, len);
		at += len;
	}
	return r < 0 ? r : zeros(x, tar_padding(n->in.size));
}

static void describe(struct tar_entry *t, const struct erofs_inode *in)
{
	t->mode = in->mode & 07777;
	t->uid = in->uid;
	t->gid = in->gid;
	t->mtime = in->mtime;
	t->mtime_ns = 0;
	t->size = 0;
	t->linkname[0] = '\0';
	t->capability_len = 0;
}

/* again() - 1: written as a link to the name that came first */
static int again(struct export *x, uint64_t nid, const struct erofs_node *n)
{
	size_t mask = 2 * LINKS_MAX - 1, i = (size_t)(nid * 0x9e3779b97f4a7c15ULL >> 40) & mask;
	int r;

	if (n->in.nlink < 2 || S_ISDIR(n->in.mode))
		return 0;
	for (; x->known[i].path; i = (i + 1) & mask)
		if (x->known[i].nid == nid) {
			x->entry.type = TAR_HARDLINK;
			describe(&x->entry, &n->in);
			memcpy(x->entry.linkname, x->known[i].path, strlen(x->known[i].path) + 1);
			r = head(x);
			return r < 0 ? r : 1;
		}
	if (x->n_known++ == LINKS_MAX)
		return -EBADMSG;
	x->known[i] = (struct known){nid, strdup(x->entry.path)};
	return x->known[i].path ? 0 : -ENOMEM;
}

static int enter(struct export *x, const struct erofs_node *n)
{
	struct level *l = &x->level[x->depth];

	if (x->depth == TREE_DEPTH_MAX)
		return -EBADMSG;
	*l = (struct level){
		.dir = *n, .path_len = strcmp(x->entry.path, ".") == 0 ? 0 : strlen(x->entry.path)};
	x->depth++;
	return 0;
}

/* one() - x->entry.path is set */
static int one(struct export *x, uint64_t nid)
{
	struct tar_entry *t = &x->entry;
	struct erofs_node n;
	int r = erofs_read_node(&x->image, nid, &n);

	if (r < 0 || ++x->nodes > NODES_MAX)
		return r < 0 ? r : -EBADMSG; /* also a directory that holds itself ends here */
	r = again(x, nid, &n);
	if (r != 0)
		return r < 0 ? r : 0;
	describe(t, &n.in);
	switch (n.in.mode & S_IFMT) {
	case S_IFREG:
		t->type = TAR_FILE;
		t->size = n.in.size;
		memcpy(t->capability, n.in.capability, sizeof(t->capability));
		t->capability_len = n.in.capability_len;
		r = head(x);
		return r < 0 ? r : content(x, &n);
	case S_IFLNK:
		t->type = TAR_SYMLINK;
		if (n.in.size >= sizeof(t->linkname))
			return -EBADMSG;
		r = erofs_read_data(&x->image, &n, 0, t->linkname, (size_t)n.in.size);
		t->linkname[n.in.size] = '\0';
		return r < 0 ? r : head(x);
	case S_IFIFO:
		t->type = TAR_FIFO;
		return head(x);
	case S_IFDIR:
		t->type = TAR_DIR;
		r = head(x);
		return r < 0 ? r : enter(x, &n);
	default:
		return -EBADMSG;
	}
}

/* step() - the next entry of the innermost directory */
static int step(struct export *x)
{
	struct level *l = &x->level[x->depth - 1];
	struct erofs_dirent d;
	size_t n = l->path_len;
	int r = erofs_next(&l->block, &d);

	if (r == 0 && l->at >= l->dir.in.size) {
		x->depth--;
		return 0;
	}
	if (r == 0) {
		r = erofs_read_block(&x->image, &l->dir, l->at, &l->block);
		l->at += EROFS_BLOCK;
		return r;
	}
	if (r < 0 || (d.len == 1 && d.name[0] == '.') ||
		(d.len == 2 && memcmp(d.name, "..", 2) == 0))
		return r < 0 ? r : 0;
	if (n + 1 + d.len >= sizeof(x->entry.path))
		return -EBADMSG;
	if (n)
		x->entry.path[n++] = '/';
	memcpy(x->entry.path + n, d.name, d.len);
	x->entry.path[n + d.len] = '\0';
	return one(x, d.nid);
}

static int run(struct export *x)
{
	int r = erofs_read_open(WORKER_IMAGE_FD, &x->image);

	memcpy(x->entry.path, ".", 2);
	if (r == 0)
		r = one(x, x->image.root);
	if (r == 0 && x->depth != 1)
		r = -EBADMSG;
	while (r == 0 && x->depth > 0)
		r = step(x);
	if (r == 0)
		r = tar_put_end(&x->out);
	return r < 0 ? r : flush(x);
}

int worker_export(const struct worker *w, struct js **ret_result, struct err *e)
{
	AUTO_FREE struct export *x = calloc(1, sizeof(*x));
	AUTO_JS o = js_object();
	int r = -ENOMEM;

	if (x) {
		x->level = calloc(TREE_DEPTH_MAX, sizeof(*x->level));
		x->known = calloc(2 * (size_t)LINKS_MAX, sizeof(*x->known));
		x->max_bytes = w->max_bytes;
		buf_init(&x->out, 2 * CHUNK + HEAD_MAX + EROFS_BLOCK);
		if (x->level && x->known)
			r = run(x);
		for (size_t i = 0; x->known && i < 2 * (size_t)LINKS_MAX; i++)
			free(x->known[i].path);
		buf_fini(&x->out);
		free(x->level);
		free(x->known);
	}
	if (r == -EBADMSG)
		return err_set(e, ERR_INVALID, r, "the image is damaged");
	if (r < 0 || js_set_int(o, "bytes", (int64_t)x->written) ||
		js_set_int(o, "files", (int64_t)x->nodes))
		return err_sys(e, r < 0 ? r : -ENOMEM, "write the layer");
	*ret_result = TAKE(o);
	return 0;
}
