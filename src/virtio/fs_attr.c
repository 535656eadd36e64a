/* fs_attr.c - what the guest is shown of an object, and what of it the guest may change */
#include "virtio/fs_int.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>

#define INO_DEV_SHIFT 52 /* inode numbers above that are mixed with the device instead */
#define INO_MADE_UP   ((uint64_t)1 << 62)

/* The guest sees one device for all exports: numbers of further devices get their index on top. */
uint64_t fs_ino(struct fs_server *s, uint64_t dev, uint64_t ino)
{
	unsigned k = 0;

	while (k < s->n_devs && s->root_dev[k] != dev)
		k++;
	if (k == s->n_devs && k < FS_EXPORTS_MAX)
		s->root_dev[s->n_devs++] = dev;
	if (k < FS_EXPORTS_MAX && ino >> INO_DEV_SHIFT == 0)
		return (uint64_t)k << INO_DEV_SHIFT | ino;
	return ((ino ^ dev * 0x9e3779b97f4a7c15u) >> 1) | (uint64_t)1 << 63;
}

uint64_t fs_time_ns(const struct statx_timestamp *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + t->tv_nsec;
}

void fs_attr_fill(
	struct fs_server *s, unsigned export, const struct statx *st, struct fuse_attr *ret_attr)
{
	bool ours = st->stx_uid == s->own_uid || st->stx_uid == s->owner_uid[export];
	uint64_t dev = (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor;

	*ret_attr = (struct fuse_attr){
		.ino = fs_ino(s, dev, st->stx_ino),
		.size = st->stx_size,
		.blocks = st->stx_blocks,
		.atime = (uint64_t)st->stx_atime.tv_sec,
		.mtime = (uint64_t)st->stx_mtime.tv_sec,
		.ctime = (uint64_t)st->stx_ctime.tv_sec,
		.atimensec = st->stx_atime.tv_nsec,
		.mtimensec = st->stx_mtime.tv_nsec,
		.ctimensec = st->stx_ctime.tv_nsec,
		.mode = st->stx_mode & (S_IFMT | S_ISVTX | 0777),
		.nlink = st->stx_nlink,
		.uid = ours ? s->cfg.guest_uid : FS_NOBODY,
		.gid = ours ? s->cfg.guest_gid : FS_NOBODY,
		.blksize = st->stx_blksize,
	};
}

void fs_attr_root(struct fs_server *s, struct fuse_attr *ret_attr)
{
	*ret_attr = (struct fuse_attr){
		.ino = INO_MADE_UP,
		.mode = S_IFDIR | 0555,
		.nlink = (uint32_t)s->cfg.n_exports + 2,
		.blksize = 4096,
	};
}

void fs_entry_fill(struct fs_server *s, const struct fs_inode *i, const struct statx *st,
	struct fuse_entry_out *ret_entry)
{
	*ret_entry = (struct fuse_entry_out){
		.nodeid = i->nodeid,
		.entry_valid = FS_CACHE_MS / 1000,
		.attr_valid = i->shared ? 0 : FS_CACHE_MS / 1000,
	};
	fs_attr_fill(s, i->export, st, &ret_entry->attr);
	if (i->masked)
		fs_mask_attr(&ret_entry->attr);
}

int fs_writable(const struct fs_server *s, const struct fs_inode *i)
{
	return s->cfg.exports[i->export].read_only ? -EROFS : 0;
}

int fs_write_ok(struct fs_server *s, const struct statx *st)
{
	if (!S_ISREG(st->stx_mode) || st->stx_nlink <= 1)
		return 0;
	s->linked_writes++;
	return s->cfg.deny_linked_writes ? -EPERM : 0;
}

static void reply_attr(struct fs_req *r, const struct fs_inode *i, const struct statx *st)
{
	struct fuse_attr_out out = {.attr_valid = i->shared ? 0 : FS_CACHE_MS / 1000};

	fs_attr_fill(r->s, i->export, st, &out.attr);
	if (i->masked)
		fs_mask_attr(&out.attr);
	fs_reply(r, &out, sizeof(out));
}

int fs_op_getattr(struct fs_req *r)
{
	struct fs_server *s = r->s;
	struct fs_inode *i;
	struct statx st;
	int e;

	if (r->h.nodeid == FUSE_ROOT_ID) {
		struct fuse_attr_out out = {.attr_valid = 3600};

		fs_attr_root(s, &out.attr);
		fs_reply(r, &out, sizeof(out));
		return 0;
	}
	i = fs_inode_get(s, r->h.nodeid);
	if (!i)
		return -ESTALE;
	e = fs_inode_stat(s, i, &st);
	if (e == 0)
		reply_attr(r, i, &st);
	return e;
}

static int set_mode(struct fs_server *s, struct fs_inode *i, int fd, uint32_t mode)
{
	int r;

	if (i->type == S_IFLNK)
		return -EOPNOTSUPP;
	r = fs_proc_chmod(s, fd, mode & 0777);
	if (r == 0 && mode & 0111 && i->type == S_IFREG)
		fs_watch_inode(s, i, FS_EXECUTABLE);
	return r;
}

/* A hole takes no space; on a disk that is full already there is no point in making one. */
static int room_to_grow(struct fs_server *s, const struct fs_inode *i, int fd, uint64_t size)
{
	struct statx st;
	int r = fs_stat_fd(fd, &st);

	return r < 0 || size <= st.stx_size ? r : fs_space_take(s, i->export, 4096);
}

static int set_size(struct fs_server *s, struct fs_inode *i, const struct fuse_setattr_in *in)
{
	struct fs_handle *h = NULL;
	AUTO_FD own = -1;
	struct statx st;
	int fd, r;

	if (i->type != S_IFREG)
		return i->type == S_IFDIR ? -EISDIR : -EINVAL;
	if (in->size > INT64_MAX)
		return -EFBIG;
	if (in->valid & FATTR_FH) {
		h = fs_handle_get(s, in->fh, i->nodeid, false);
		if (!h)
			return -EBADF;
	}
	if (h && h->writable) {
		fd = h->fd;
	} else {
		own = fs_inode_open(s, i, O_WRONLY);
		if (own < 0)
			return own;
		r = fs_stat_fd(own, &st);
		if (r == 0)
			r = fs_write_ok(s, &st);
		if (r < 0)
			return r;
		fd = own;
	}
	r = room_to_grow(s, i, fd, in->size);
	if (r < 0)
		return r;
	if (ftruncate(fd, (off_t)in->size) < 0)
		return -errno;
	fs_watch_inode(s, i, FS_WRITTEN);
	return 0;
}

static struct timespec one_time(
	uint32_t valid, uint32_t set, uint32_t now, uint64_t sec, uint32_t nsec)
{
	if (valid & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	if (valid & set)
		return (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = (long)nsec};
	return (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_times(int fd, const struct fuse_setattr_in *in)
{
	struct timespec t[2] = {
		one_time(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		one_time(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
	};

	if (in->atimensec >= 1000000000u || in->mtimensec >= 1000000000u)
		return -EINVAL;
	return utimensat(fd, "", t, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int apply(struct fs_server *s, struct fs_inode *i, const struct fuse_setattr_in *in)
{
	AUTO_FD own = -1;
	int fd, r = 0;

	if (in->valid & FATTR_SIZE)
		r = set_size(s, i, in);
	if (r < 0 || !(in->valid & (FATTR_MODE | FATTR_ATIME | FATTR_MTIME)))
		return r;
	r = fs_inode_pin(s, i, &fd, &own);
	if (r == 0 && in->valid & FATTR_MODE)
		r = set_mode(s, i, fd, in->mode);
	if (r == 0 && in->valid & (FATTR_ATIME | FATTR_MTIME))
		r = set_times(fd, in);
	return r;
}

int fs_op_setattr(struct fs_req *r)
{
	const struct fuse_setattr_in *in = fs_arg(r, sizeof(*in));
	struct fs_server *s = r->s;
	struct fs_inode *i;
	struct statx st;
	int e;

	if (!in)
		return -EINVAL;
	if (r->h.nodeid == FUSE_ROOT_ID)
		return -EROFS;
	i = fs_inode_get(s, r->h.nodeid);
	if (!i)
		return -ESTALE;
	e = fs_writable(s, i);
	/* FATTR_UID and FATTR_GID: accepted, and of no effect on the host. */
	if (e == 0)
		e = apply(s, i, in);
	if (e == 0)
		e = fs_inode_stat(s, i, &st);
	if (e == 0)
		reply_attr(r, i, &st);
	return e;
}

int fs_op_statfs(struct fs_req *r)
{
	struct fuse_statfs_out out = {.st = {.bsize = 4096, .frsize = 4096, .namelen = NAME_MAX}};
	AUTO_FD own = -1;
	struct fs_inode *i;
	struct statvfs v;
	uint64_t reserve;
	int fd, e;

	if (r->h.nodeid == FUSE_ROOT_ID) {
		fs_reply(r, &out, sizeof(out));
		return 0;
	}
	i = fs_inode_get(r->s, r->h.nodeid);
	if (!i)
		return -ESTALE;
	e = fs_inode_pin(r->s, i, &fd, &own);
	if (e < 0)
		return e;
	if (fstatvfs(fd, &v) < 0)
		return -errno;
	reserve = v.f_frsize
			  ? fs_space_reserve(r->s, (uint64_t)v.f_blocks * v.f_frsize) / v.f_frsize
			  : 0;
	out.st.blocks = v.f_blocks;
	out.st.bfree = v.f_bfree > reserve ? v.f_bfree - reserve : 0;
	out.st.bavail = v.f_bavail > reserve ? v.f_bavail - reserve : 0;
	out.st.files = v.f_files;
	out.st.ffree = v.f_ffree;
	out.st.bsize = (uint32_t)v.f_bsize;
	out.st.frsize = (uint32_t)v.f_frsize;
	fs_reply(r, &out, sizeof(out));
	return 0;
}

/* The guest's kernel judges by the modes it is shown; this is for one that asks all the same. */
int fs_op_access(struct fs_req *r)
{
	const struct fuse_access_in *in = fs_arg(r, sizeof(*in));
	struct fs_inode *i;
	struct fuse_attr a;
	struct statx st;
	unsigned have;
	int e;

	if (!in || in->mask & ~7u)
		return -EINVAL;
	if (r->h.nodeid == FUSE_ROOT_ID)
		return in->mask & W_OK ? -EROFS : 0;
	i = fs_inode_get(r->s, r->h.nodeid);
	if (!i)
		return -ESTALE;
	if (in->mask & W_OK && (e = fs_writable(r->s, i)) < 0)
		return e;
	e = fs_inode_stat(r->s, i, &st);
	if (e < 0)
		return e;
	fs_attr_fill(r->s, i->export, &st, &a);
	have = r->h.uid == 0 ? 6 | ((a.mode & 0111) != 0 || S_ISDIR(a.mode))
			     : a.mode >> (r->h.uid == a.uid	     ? 6
						 : r->h.gid == a.gid ? 3
								     : 0);
	return in->mask & ~have ? -EACCES : 0;
}
