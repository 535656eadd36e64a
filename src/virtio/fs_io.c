/* fs_io.c - open files: data moves between guest spans and the host file without a copy
 *
 * The host descriptor is opened for the access mode only. O_APPEND is honoured per WRITE, because
 * the guest's kernel may write back pages of a mapping through an O_APPEND handle. O_DIRECT and
 * O_SYNC stay the guest's: it asks for FSYNC. O_TRUNC is done after the identity is proven.
 */
#include "virtio/fs_int.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <linux/falloc.h>
#include <sys/file.h>

#define COPY_MAX (64u << 20) /* of one COPY_FILE_RANGE: others wait for this thread */
#define QUIET_MS 2000 /* a file changed less long ago may change again unseen */

/* May the guest keep pages of an earlier open? Only when this is the version seen then, and that
 * was old enough for any change to show in its ctime.
 */
static bool may_keep(struct fs_inode *i, const struct statx *st)
{
	uint64_t ctime = fs_time_ns(&st->stx_ctime);
	bool keep = i->seen_ctime_ns == ctime && ctime != 0;
	int64_t age = clock_real_ms() - (int64_t)(ctime / 1000000);

	i->seen_ctime_ns = age > QUIET_MS ? ctime : 0;
	return keep;
}

/* The file is open: drop what a guest must not leave on it, and empty it if asked to. */
static int prepare(
	struct fs_server *s, struct fs_inode *i, int fd, int flags, const struct statx *st)
{
	int r;

	if (!S_ISREG(st->stx_mode))
		return -EACCES;
	if ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_TRUNC))
		return 0;
	r = fs_write_ok(s, st);
	if (r < 0)
		return r;
	/* HANDLE_KILLPRIV_V2: a write ends set-id bits; done once, here. */
	if (st->stx_mode & (S_ISUID | S_ISGID) && fchmod(fd, st->stx_mode & 0777) < 0)
		return -errno;
	if (flags & O_TRUNC && ftruncate(fd, 0) < 0)
		return -errno;
	if ((flags & O_ACCMODE) == O_RDWR)
		i->shared = true;
	return 0;
}

int fs_op_open(struct fs_req *r)
{
	const struct fuse_open_in *in = fs_arg(r, sizeof(*in));
	struct fuse_open_out out = {0};
	struct fs_server *s = r->s;
	struct fs_handle *h;
	struct fs_inode *i;
	struct statx st;
	int flags, access, e;

	if (!in)
		return -EINVAL;
	if (r->h.nodeid == FUSE_ROOT_ID)
		return -EISDIR;
	i = fs_inode_get(s, r->h.nodeid);
	if (!i)
		return -ESTALE;
	flags = (int)in->flags;
	access = flags & O_ACCMODE;
	if (access == O_ACCMODE)
		return -EINVAL;
	if (i->type != S_IFREG)
		return i->type == S_IFDIR ? -EISDIR : -ELOOP;
	if ((access != O_RDONLY || flags & O_TRUNC) && (e = fs_writable(s, i)) < 0)
		return e;
	if (access == O_RDONLY && flags & O_TRUNC)
		return -EINVAL;
	if (!fs_handle_room(s))
		return -ENFILE;
	AUTO_FD fd = fs_inode_open(s, i, access);
	if (fd < 0)
		return fd;
	e = fs_stat_fd(fd, &st);
	if (e == 0 && fs_mask_hides(s, &st))
		e = -EACCES;
	if (e == 0)
		e = prepare(s, i, fd, flags, &st);
	if (e == 0)
		e = fs_handle_new(s, i, fd, false, access != O_RDONLY, &h);
	if (e < 0)
		return e;
	(void)TAKE_FD(fd);
	h->linked = st.stx_nlink > 1;
	if (flags & O_TRUNC)
		fs_watch_handle(s, h);
	out.fh = h->fh;
	out.open_flags = may_keep(i, &st) && !(flags & O_TRUNC) ? FOPEN_KEEP_CACHE : 0;
	fs_reply(r, &out, sizeof(out));
	return 0;
}

static struct fs_handle *file(struct fs_req *r, uint64_t fh)
{
	return fs_handle_get(r->s, fh, r->h.nodeid, false);
}

int fs_op_read(struct fs_req *r)
{
	const struct fuse_read_in *in = fs_arg(r, sizeof(*in));
	struct fs_handle *h;
	unsigned n;
	ssize_t got;

	if (!in || in->offset > INT64_MAX || in->size > FS_MAX_WRITE || in->size > r->room)
		return -EINVAL;
	h = file(r, in->fh);
	if (!h)
		return -EBADF;
	n = vchain_out(r->c, sizeof(struct fuse_out_header), in->size, r->s->iov,
		ARRAY_LEN(r->s->iov), NULL);
	got = preadv(h->fd, r->s->iov, (int)n, (off_t)in->offset);
	if (got < 0)
		return -errno;
	r->reply_len = (size_t)got;
	r->direct = true;
	return 0;
}

int fs_op_write(struct fs_req *r)
{
	const struct fuse_write_in *in = fs_arg(r, sizeof(*in));
	const struct vchain *c = r->c;
	size_t head = sizeof(r->h) + sizeof(*in);
	struct fuse_write_out out = {0};
	struct fs_handle *h;
	unsigned n;
	ssize_t put;
	int flags = 0, e;

	if (!in || in->size > FS_MAX_WRITE || c->in_bytes - head != in->size)
		return -EINVAL;
	if (in->offset > INT64_MAX)
		return -EFBIG;
	h = file(r, in->fh);
	if (!h || !h->writable)
		return -EBADF;
	if (in->flags & O_APPEND && !(in->write_flags & FUSE_WRITE_CACHE))
		flags |= RWF_APPEND;
	e = fs_space_write(r->s, h, flags & RWF_APPEND ? UINT64_MAX : in->offset, in->size);
	if (e < 0)
		return e;
	n = vchain_in(c, head, in->size, r->s->iov, ARRAY_LEN(r->s->iov), NULL);
	put = pwritev2(h->fd, r->s->iov, (int)n, (off_t)in->offset, flags);
	if (put < 0)
		return -errno;
	fs_watch_handle(r->s, h);
	out.size = (uint32_t)put;
	fs_reply(r, &out, sizeof(out));
	return 0;
}

int fs_op_release(struct fs_req *r)
{
	const struct fuse_release_in *in = fs_arg(r, sizeof(*in));
	struct fs_handle *h = in ? file(r, in->fh) : NULL;

	if (!h)
		return in ? -EBADF : -EINVAL;
	fs_lock_drop_owner(r->s, r->h.nodeid, in->lock_owner);
	r->s->unlocked = true; /* flock goes with the descriptor */
	fs_handle_free(r->s, h);
	return 0;
}

int fs_op_flush(struct fs_req *r)
{
	const struct fuse_flush_in *in = fs_arg(r, sizeof(*in));
	struct fs_handle *h = in ? file(r, in->fh) : NULL;

	if (!h)
		return in ? -EBADF : -EINVAL;
	/* close() of any descriptor ends the process's POSIX locks on the file */
	fs_lock_drop_owner(r->s, r->h.nodeid, in->lock_owner);
	return 0;
}

int fs_op_fsync(struct fs_req *r)
{
	const struct fuse_fsync_in *in = fs_arg(r, sizeof(*in));
	struct fs_handle *h = in ? file(r, in->fh) : NULL;
	int e;

	if (!h)
		return in ? -EBADF : -EINVAL;
	e = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd);
	return e < 0 ? -errno : 0;
}

int fs_op_fallocate(struct fs_req *r)
{
	const struct fuse_fallocate_in *in = fs_arg(r, sizeof(*in));
	struct fs_handle *h = in ? file(r, in->fh) : NULL;
	int e;

	if (!h)
		return in ? -EBADF : -EINVAL;
	if (!h->writable)
		return -EBADF;
	if (in->offset > INT64_MAX || in->length > INT64_MAX)
		return -EFBIG;
	switch (in->mode) {
	case 0:
	case FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (!(in->mode & FALLOC_FL_PUNCH_HOLE)) {
		e = fs_space_take(r->s, h->inode->export, in->length);
		if (e < 0)
			return e;
	}
	if (fallocate(h->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0)
		return -errno;
	fs_watch_handle(r->s, h);
	return 0;
}

int fs_op_lseek(struct fs_req *r)
{
	const struct fuse_lseek_in *in = fs_arg(r, sizeof(*in));
	struct fs_handle *h = in ? file(r, in->fh) : NULL;
	struct fuse_lseek_out out;
	off_t at;

	if (!h)
		return in ? -EBADF : -EINVAL;
	if ((in->whence != SEEK_DATA && in->whence != SEEK_HOLE) || in->offset > INT64_MAX)
		return -EINVAL;
	at = lseek(h->fd, (off_t)in->offset, (int)in->whence);
	if (at < 0)
		return -errno;
	out.offset = (uint64_t)at;
	fs_reply(r, &out, sizeof(out));
	return 0;
}

/* How much of a copy may be done now; less than what was asked for is not refused. */
static ssize_t copy_room(struct fs_server *s, const struct fs_handle *from,
	const struct fs_handle *to, const struct fuse_copy_file_range_in *in)
{
	uint64_t len = in->len < COPY_MAX ? in->len : COPY_MAX;
	struct statx st;
	int r = fs_stat_fd(from->fd, &st);

	if (r < 0)
		return r;
	if (in->off_in >= st.stx_size)
		return 0;
	if (len > st.stx_size - in->off_in)
		len = st.stx_size - in->off_in;
	r = fs_space_write(s, to, in->off_out, len);
	if (r == -ENOSPC && len > FS_MAX_WRITE) {
		len = FS_MAX_WRITE;
		r = fs_space_write(s, to, in->off_out, len);
	}
	return r < 0 ? r : (ssize_t)len;
}

int fs_op_copy_file_range(struct fs_req *r)
{
	const struct fuse_copy_file_range_in *in = fs_arg(r, sizeof(*in));
	struct fs_handle *from = in ? file(r, in->fh_in) : NULL, *to;
	struct fuse_write_out out = {0};
	off_t at_from, at_to;
	ssize_t n;

	if (!from)
		return in ? -EBADF : -EINVAL;
	to = fs_handle_get(r->s, in->fh_out, in->nodeid_out, false);
	if (!to || !to->writable)
		return -EBADF;
	if (to->inode->masked)
		return -EACCES;
	if (in->flags || in->off_in > INT64_MAX || in->off_out > INT64_MAX)
		return -EINVAL;
	if (from->inode->export != to->inode->export)
		return -EXDEV;
	at_from = (off_t)in->off_in;
	at_to = (off_t)in->off_out;
	n = copy_room(r->s, from, to, in);
	if (n > 0)
		n = copy_file_range(from->fd, &at_from, to->fd, &at_to, (size_t)n, 0);
	else if (n < 0)
		return (int)n;
	if (n < 0)
		return -errno;
	fs_watch_handle(r->s, to);
	out.size = (uint32_t)n;
	fs_reply(r, &out, sizeof(out));
	return 0;
}

/* -- files that come into being by being opened */

static int reply_created(
	struct fs_req *r, struct fs_inode *i, const struct statx *st, int *fd, int flags)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {0};
	struct fs_handle *h;
	int e;

	if ((flags & O_ACCMODE) == O_RDWR)
		i->shared = true;
	e = fs_handle_new(r->s, i, *fd, false, (flags & O_ACCMODE) != O_RDONLY, &h);
	if (e < 0) {
		fs_inode_forget(r->s, i, 1);
		return e;
	}
	*fd = -1;
	h->linked = st->stx_nlink > 1;
	if (flags & O_TRUNC)
		fs_watch_handle(r->s, h);
	fs_entry_fill(r->s, i, st, &out.entry);
	out.open.fh = h->fh;
	fs_reply(r, &out, sizeof(out));
	return 0;
}

/* Open @name, which must exist: what CREATE does when it is not exclusive. */
static int open_existing(struct fs_req *r, struct fs_inode *dir, int dirfd, const char *name,
	int flags, struct statx *ret_st)
{
	struct fs_inode *i;
	int e = fs_stat_at(r->s, dir->export, dirfd, name, ret_st);

	if (e < 0)
		return e;
	if (!S_ISREG(ret_st->stx_mode))
		return S_ISDIR(ret_st->stx_mode)   ? -EISDIR
		       : S_ISLNK(ret_st->stx_mode) ? -ELOOP
						   : -EACCES;
	AUTO_FD fd = fs_open_at(r->s, dirfd, name, flags & O_ACCMODE, 0);
	if (fd < 0)
		return fd;
	e = fs_stat_fd(fd, ret_st);
	if (e < 0)
		return e;
	if (fs_mask_hides(r->s, ret_st))
		return -EACCES;
	i = fs_inode_find(r->s, dir->export, ret_st);
	struct fs_inode none = {0};
	e = prepare(r->s, i ? i : &none, fd, flags, ret_st);
	if (e == 0)
		e = fs_stat_fd(fd, ret_st);
	return e < 0 ? e : TAKE_FD(fd);
}

int fs_op_create(struct fs_req *r)
{
	const struct fuse_create_in *in = fs_arg(r, sizeof(*in));
	struct fs_server *s = r->s;
	struct fs_inode *dir, *i;
	AUTO_FD fd = -1;
	bool full = false;
	const char *name;
	struct statx st;
	int dirfd, flags, e = in ? fs_arg_name(r, &name) : -EINVAL;

	if (e == 0)
		e = fs_arg_end(r);
	if (e < 0)
		return e;
	flags = (int)in->flags;
	if (r->h.nodeid == FUSE_ROOT_ID)
		return -EROFS;
	dir = fs_inode_get(s, r->h.nodeid);
	if (!dir)
		return -ESTALE;
	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if ((e = fs_writable(s, dir)) < 0)
		return e;
	if (fs_mask_name(s, dir, name))
		return -EACCES;
	if ((e = fs_dir_fd(s, dir, &dirfd)) < 0)
		return e;
	if (!fs_handle_room(s))
		return -ENFILE;
	e = fs_space_new(s, dir->export);
	fd = e < 0 ? e
		   : fs_open_at(s, dirfd, name, (flags & O_ACCMODE) | O_CREAT | O_EXCL,
			     in->mode & 0777);
	if (fd == -ENOSPC) { /* one that is there needs nothing new */
		e = 0;
		fd = -EEXIST;
		full = true;
	}
	if (fd == -EEXIST && !(flags & O_EXCL)) {
		fd = open_existing(r, dir, dirfd, name, flags, &st);
		if (fd == -ENOENT && full)
			fd = -ENOSPC;
	} else if (fd >= 0) {
		e = fs_stat_fd(fd, &st);
		/* our umask is not the guest's, which is in the mode already */
		if (e == 0 && (st.stx_mode & 07777) != (in->mode & 0777)) {
			e = fchmod(fd, in->mode & 0777) < 0 ? -errno : fs_stat_fd(fd, &st);
		}
		fs_watch_name(s, dir, name, FS_CREATED);
	}
	if (fd < 0)
		return fd;
	if (e == 0)
		e = fs_inode_enter(s, dir, dir->export, name, &st, &i);
	return e < 0 ? e : reply_created(r, i, &st, &fd, flags);
}

int fs_op_tmpfile(struct fs_req *r)
{
	const struct fuse_create_in *in = fs_arg(r, sizeof(*in));
	struct fs_server *s = r->s;
	struct fs_inode *dir, *i;
	struct statx st;
	int dirfd, flags, e;

	if (!in)
		return -EINVAL;
	if (r->h.nodeid == FUSE_ROOT_ID)
		return -EROFS;
	dir = fs_inode_get(s, r->h.nodeid);
	if (!dir)
		return -ESTALE;
	flags = (int)in->flags & O_ACCMODE;
	if (flags != O_RDWR && flags != O_WRONLY)
		return -EINVAL;
	if ((e = fs_writable(s, dir)) < 0 || (e = fs_dir_fd(s, dir, &dirfd)) < 0 ||
		(e = fs_space_new(s, dir->export)) < 0)
		return e;
	AUTO_FD fd = fs_open_at(s, dirfd, ".", flags | O_TMPFILE, in->mode & 0777);
	if (fd < 0)
		return fd;
	if (fchmod(fd, in->mode & 0777) < 0)
		return -errno;
	e = fs_stat_fd(fd, &st);
	if (e == 0)
		e = fs_inode_enter(s, NULL, dir->export, NULL, &st, &i);
	return e < 0 ? e : reply_created(r, i, &st, &fd, flags);
}
