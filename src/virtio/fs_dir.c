/* fs_dir.c - looking names up, reading links, listing directories
 *
 * Cookies of a listing are the host file system's own. One buffer of host entries exists, owned by
 * the handle that filled it last; any other continues by seeking to its cookie.
 */
#include "virtio/fs_int.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

struct host_dirent { /* getdents64(2) */
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

static int lookup_export(struct fs_req *r, const char *name)
{
	struct fuse_entry_out out;
	struct statx st;
	char text[16];

	for (unsigned k = 0; k < r->s->cfg.n_exports; k++) {
		(void)snprintf(text, sizeof(text), "%u", k);
		if (strcmp(text, name) == 0) {
			int e = fs_stat_fd(r->s->roots[k]->fd, &st);

			if (e < 0)
				return e;
			fs_entry_fill(r->s, r->s->roots[k], &st, &out);
			fs_reply(r, &out, sizeof(out));
			return 0;
		}
	}
	return -ENOENT;
}

/* What is @name in directory @dir, as an object the guest holds from now on. */
static int lookup(struct fs_server *s, struct fs_inode *dir, int dirfd, const char *name,
	struct fuse_entry_out *ret_entry)
{
	struct fs_inode *i;
	struct statx st;
	int r = fs_stat_at(s, dir->export, dirfd, name, &st);

	if (r < 0)
		return r;
	if (!fs_type_ok(st.stx_mode))
		return -EACCES;
	r = fs_inode_enter(s, dir, dir->export, name, &st, &i);
	if (r == 0)
		fs_entry_fill(s, i, &st, ret_entry);
	return r;
}

int fs_op_lookup(struct fs_req *r)
{
	struct fuse_entry_out out;
	struct fs_inode *dir;
	const char *name;
	int fd, e = fs_arg_name(r, &name);

	if (e == 0)
		e = fs_arg_end(r);
	if (e < 0)
		return e;
	if (r->h.nodeid == FUSE_ROOT_ID)
		return lookup_export(r, name);
	dir = fs_inode_get(r->s, r->h.nodeid);
	if (!dir)
		return -ESTALE;
	e = fs_dir_fd(r->s, dir, &fd);
	if (e == 0)
		e = lookup(r->s, dir, fd, name, &out);
	if (e == 0)
		fs_reply(r, &out, sizeof(out));
	return e;
}

int fs_op_readlink(struct fs_req *r)
{
	struct fs_inode *i = fs_inode_get(r->s, r->h.nodeid);
	char text[PATH_MAX];
	AUTO_FD fd = -1;
	ssize_t n;

	if (!i)
		return -ESTALE;
	if (i->type != S_IFLNK)
		return -EINVAL;
	fd = fs_inode_open(r->s, i, O_PATH);
	if (fd < 0)
		return fd;
	n = readlinkat(fd, "", text, sizeof(text));
	if (n < 0)
		return -errno;
	if ((size_t)n >= sizeof(text))
		return -ENAMETOOLONG;
	fs_reply(r, text, (size_t)n);
	return 0;
}

int fs_op_opendir(struct fs_req *r)
{
	const struct fuse_open_in *in = fs_arg(r, sizeof(*in));
	struct fuse_open_out out = {0};
	struct fs_inode *i = NULL;
	struct fs_handle *h;
	AUTO_FD fd = -1;
	int e;

	if (!in)
		return -EINVAL;
	if (r->h.nodeid != FUSE_ROOT_ID) {
		i = fs_inode_get(r->s, r->h.nodeid);
		if (!i)
			return -ESTALE;
		if (i->type != S_IFDIR)
			return -ENOTDIR;
		if (!fs_handle_room(r->s))
			return -ENFILE;
		fd = fs_inode_open(r->s, i, O_RDONLY);
		if (fd < 0)
			return fd;
	}
	e = fs_handle_new(r->s, i, fd, true, false, &h);
	if (e < 0)
		return e;
	(void)TAKE_FD(fd);
	out.fh = h->fh;
	fs_reply(r, &out, sizeof(out));
	return 0;
}

/* -- listing */

struct listing {
	struct fs_req *r;
	struct fs_handle *h;
	int dirfd; /* for attributes; -1: names only */
	bool plus;
	size_t cap, used;
};

/* Append one entry; false when it does not fit. */
static bool emit(struct listing *l, uint64_t ino, uint64_t off, uint8_t type, const char *name)
{
	size_t head = l->plus ? sizeof(struct fuse_entry_out) : 0, len = strlen(name);
	size_t need = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + len);
	struct fuse_dirent d = {.ino = ino, .off = off, .namelen = (uint32_t)len, .type = type};
	uint8_t *to = l->r->s->reply + l->used;
	struct fuse_entry_out entry = {0};

	if (need > l->cap - l->used)
		return false;
	memset(to, 0, need);
	/* What cannot be an object (and ".", "..") is listed without attributes. */
	if (l->plus && l->dirfd >= 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
		lookup(l->r->s, l->h->inode, l->dirfd, name, &entry) == 0)
		memcpy(to, &entry, sizeof(entry));
	memcpy(to + head, &d, FUSE_NAME_OFFSET);
	memcpy(to + head + FUSE_NAME_OFFSET, name, len);
	l->used += need;
	return true;
}

static int list_exports(struct listing *l, uint64_t off)
{
	struct fs_server *s = l->r->s;
	struct fuse_attr a;
	char text[16];

	fs_attr_root(s, &a);
	for (uint64_t k = off; k < s->cfg.n_exports + 2; k++) {
		const struct fs_inode *i = k < 2 ? NULL : s->roots[k - 2];
		uint64_t ino = i ? fs_ino(s, i->dev, i->ino) : a.ino;

		(void)snprintf(text, sizeof(text), "%u", (unsigned)(k - 2));
		if (!emit(l, ino, k + 1, i ? (uint8_t)(i->type >> 12) : DT_DIR,
			    k == 0   ? "."
			    : k == 1 ? ".."
				     : text))
			return l->used ? 0 : -EINVAL;
	}
	return 0;
}

static int fill(struct fs_server *s, struct fs_handle *h, uint64_t off, bool seek)
{
	struct fs_dirbuf *b = &s->dirbuf;
	long n;

	if (seek && lseek(h->fd, (off_t)off, SEEK_SET) < 0)
		return -errno;
	b->owner = NULL;
	n = syscall(SYS_getdents64, h->fd, b->data, sizeof(b->data));
	if (n < 0)
		return -errno;
	b->owner = h;
	b->pos = 0;
	b->len = (size_t)n;
	b->next_off = off;
	return 0;
}

static int list_host(struct listing *l, uint64_t off)
{
	struct fs_server *s = l->r->s;
	const struct fs_inode *dir = l->h->inode;
	struct fs_dirbuf *b = &s->dirbuf;
	struct fuse_attr root;
	int r = 0;

	fs_attr_root(s, &root);
	if (b->owner != l->h || b->next_off != off || off == 0)
		r = fill(s, l->h, off, true);
	while (r == 0) {
		if (b->pos == b->len) {
			r = fill(s, l->h, b->next_off, false);
			if (r < 0 || b->len == 0)
				break;
		}
		const struct host_dirent *d = (const void *)(b->data + b->pos);
		bool up = dir->root && strcmp(d->name, "..") == 0;

		if (!emit(l, up ? root.ino : fs_ino(s, dir->dev, d->ino), (uint64_t)d->off, d->type,
			    d->name))
			return l->used ? 0 : -EINVAL;
		b->pos += d->len;
		b->next_off = (uint64_t)d->off;
	}
	return l->used ? 0 : r;
}

static int list(struct fs_req *r, bool plus)
{
	const struct fuse_read_in *in = fs_arg(r, sizeof(*in));
	struct listing l = {.r = r, .plus = plus, .dirfd = -1};
	int e;

	if (!in)
		return -EINVAL;
	l.h = fs_handle_get(r->s, in->fh, r->h.nodeid, true);
	if (!l.h)
		return -EBADF;
	l.cap = in->size < r->room ? in->size : r->room;
	if (l.cap > FS_REPLY_MAX)
		l.cap = FS_REPLY_MAX;
	if (!l.h->inode) {
		e = list_exports(&l, in->offset);
	} else {
		if (plus && fs_dir_fd(r->s, l.h->inode, &l.dirfd) < 0)
			l.dirfd = -1;
		e = list_host(&l, in->offset);
	}
	if (e == 0)
		r->reply_len = l.used;
	return e;
}

int fs_op_readdir(struct fs_req *r)
{
	return list(r, false);
}

int fs_op_readdirplus(struct fs_req *r)
{
	return list(r, true);
}

int fs_op_releasedir(struct fs_req *r)
{
	const struct fuse_release_in *in = fs_arg(r, sizeof(*in));
	struct fs_handle *h = in ? fs_handle_get(r->s, in->fh, r->h.nodeid, true) : NULL;

	if (!h)
		return in ? -EBADF : -EINVAL;
	fs_handle_free(r->s, h);
	return 0;
}

int fs_op_fsyncdir(struct fs_req *r)
{
	const struct fuse_fsync_in *in = fs_arg(r, sizeof(*in));
	struct fs_handle *h = in ? fs_handle_get(r->s, in->fh, r->h.nodeid, true) : NULL;

	if (!h)
		return in ? -EBADF : -EINVAL;
	if (h->fd < 0)
		return 0;
	return fsync(h->fd) < 0 ? -errno : 0;
}
