/* fs_lock.c - the guest's file locks, taken on the host, so that both sides see each other's
 *
 * POSIX locks: one open file description for each (file, owner) with locks of that kind (OFD), kept
 * until the owner holds none: FLUSH, RELEASE or an unlock of everything. flock: on the handle's own
 * description. A lock that must wait takes its chain along and is tried again by
 * fs_server_retry() and whenever this guest releases something; the worker never blocks. There is no
 * deadlock detection, as with any OFD lock. At most FS_WAIT_MAX wait; more get ENOLCK.
 */
#include "virtio/fs_int.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

static struct fs_lock *find(struct fs_server *s, uint64_t nodeid, uint64_t owner)
{
	for (unsigned k = 0; s->n_locks && k < FS_LOCKS_MAX; k++)
		if (s->locks[k].inode && s->locks[k].nodeid == nodeid && s->locks[k].owner == owner)
			return &s->locks[k];
	return NULL;
}

static void drop(struct fs_server *s, struct fs_lock *l)
{
	close(l->fd);
	*l = (struct fs_lock){.fd = -1};
	s->n_locks--;
	s->fds--;
	s->unlocked = true;
}

/* A description of the object for its own locks, with as much access as there is. */
static int open_description(struct fs_server *s, struct fs_inode *i)
{
	static const int modes[] = {O_RDWR, O_RDONLY, O_WRONLY};
	int fd = -EACCES;

	for (unsigned k = fs_writable(s, i) < 0 ? 1 : 0; k < ARRAY_LEN(modes); k++) {
		if (k == 2 && fs_writable(s, i) < 0)
			break;
		fd = i->handles ? fs_proc_open(s, i->handles->fd, modes[k])
				: fs_inode_open(s, i, modes[k]);
		if (fd >= 0 || (fd != -EACCES && fd != -EROFS && fd != -EPERM && fd != -ETXTBSY))
			break;
	}
	return fd;
}

static int find_or_make(
	struct fs_server *s, struct fs_inode *i, uint64_t owner, struct fs_lock **ret)
{
	struct fs_lock *l = find(s, i->nodeid, owner);
	unsigned k = 0;
	int r;

	if (!l) {
		while (k < FS_LOCKS_MAX && s->locks[k].inode)
			k++;
		if (k == FS_LOCKS_MAX || s->n_handles + s->n_locks >= s->cfg.max_fds - FS_FDS_SPARE)
			return -ENOLCK;
		AUTO_FD fd = open_description(s, i);
		if (fd < 0)
			return fd;
		r = fs_fd_reserve(s);
		if (r < 0)
			return -ENOLCK;
		l = &s->locks[k];
		*l = (struct fs_lock){
			.inode = i, .nodeid = i->nodeid, .owner = owner, .fd = TAKE_FD(fd)};
		s->n_locks++;
		s->fds++;
	}
	*ret = l;
	return 0;
}

static int to_flock(const struct fuse_file_lock *lk, struct flock *ret)
{
	if (lk->start > INT64_MAX || lk->end > INT64_MAX || lk->start > lk->end)
		return -EINVAL;
	if (lk->type != F_RDLCK && lk->type != F_WRLCK && lk->type != F_UNLCK)
		return -EINVAL;
	*ret = (struct flock){
		.l_type = (short)lk->type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)lk->start,
		.l_len = lk->end == INT64_MAX ? 0 : (off_t)(lk->end - lk->start + 1),
	};
	return 0;
}

static int try_posix(struct fs_server *s, struct fs_inode *i, const struct fuse_lk_in *in)
{
	struct flock fl;
	struct fs_lock *l;
	int r = to_flock(&in->lk, &fl);

	if (r < 0)
		return r;
	if (fl.l_type == F_UNLCK) {
		l = find(s, i->nodeid, in->owner);
		if (!l)
			return 0;
		if (fl.l_start == 0 && fl.l_len == 0) {
			drop(s, l);
			return 0;
		}
		s->unlocked = true;
	} else {
		r = find_or_make(s, i, in->owner, &l);
		if (r < 0)
			return r;
		i->shared = true; /* two sides write in turns: attributes must be asked for */
	}
	if (fcntl(l->fd, F_OFD_SETLK, &fl) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static int try_flock(struct fs_server *s, const struct fs_handle *h, const struct fuse_lk_in *in)
{
	int op = in->lk.type == F_RDLCK	  ? LOCK_SH
		 : in->lk.type == F_WRLCK ? LOCK_EX
		 : in->lk.type == F_UNLCK ? LOCK_UN
					  : 0;

	if (!op)
		return -EINVAL;
	if (op == LOCK_UN)
		s->unlocked = true;
	return flock(h->fd, op | LOCK_NB) < 0 ? -errno : 0;
}

static int try_lock(struct fs_server *s, uint64_t nodeid, const struct fuse_lk_in *in)
{
	struct fs_handle *h = fs_handle_get(s, in->fh, nodeid, false);

	if (!h)
		return -EBADF;
	return in->lk_flags & FUSE_LK_FLOCK ? try_flock(s, h, in) : try_posix(s, h->inode, in);
}

int fs_op_getlk(struct fs_req *r)
{
	const struct fuse_lk_in *in = fs_arg(r, sizeof(*in));
	struct fs_handle *h = in ? fs_handle_get(r->s, in->fh, r->h.nodeid, false) : NULL;
	struct fuse_lk_out out = {0};
	struct fs_lock *l;
	AUTO_FD own = -1;
	struct flock fl;
	int fd, e;

	if (!h)
		return in ? -EBADF : -EINVAL;
	e = to_flock(&in->lk, &fl);
	if (e < 0 || fl.l_type == F_UNLCK)
		return -EINVAL;
	l = find(r->s, r->h.nodeid, in->owner); /* the owner's own locks are no conflict */
	if (l) {
		fd = l->fd;
	} else {
		fd = own = open_description(r->s, h->inode);
		if (own < 0)
			return own;
	}
	if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
		return -errno;
	out.lk.type = (uint32_t)fl.l_type;
	if (fl.l_type != F_UNLCK) {
		out.lk.start = (uint64_t)fl.l_start;
		out.lk.end = fl.l_len ? (uint64_t)(fl.l_start + fl.l_len - 1) : INT64_MAX;
	}
	fs_reply(r, &out, sizeof(out));
	return 0;
}

int fs_op_setlk(struct fs_req *r)
{
	const struct fuse_lk_in *in = fs_arg(r, sizeof(*in));

	return in ? try_lock(r->s, r->h.nodeid, in) : -EINVAL;
}

int fs_op_setlkw(struct fs_req *r)
{
	const struct fuse_lk_in *in = fs_arg(r, sizeof(*in));
	struct fs_server *s = r->s;
	struct fs_wait *w = s->waits;
	int e;

	if (!in)
		return -EINVAL;
	e = try_lock(s, r->h.nodeid, in);
	if (e != -EAGAIN || !r->may_wait)
		return e;
	while (w < s->waits + FS_WAIT_MAX && w->used)
		w++;
	if (w == s->waits + FS_WAIT_MAX)
		return -ENOLCK;
	*w = (struct fs_wait){
		.used = true,
		.head = r->c->head,
		.nodeid = r->h.nodeid,
		.unique = r->h.unique,
		.lk = *in,
	};
	w->n_iov = r->c->n_out < FS_WAIT_IOV ? r->c->n_out : FS_WAIT_IOV;
	memcpy(w->iov, r->c->iov + r->c->n_in, w->n_iov * sizeof(*w->iov));
	s->n_waits++;
	r->waiting = true;
	return 0;
}

static void finish(struct fs_server *s, struct fs_wait *w, int error)
{
	struct fuse_out_header h = {.len = sizeof(h), .error = error, .unique = w->unique};
	const uint8_t *from = (const uint8_t *)&h;
	size_t left = sizeof(h);
	uint16_t head = w->head;

	for (unsigned k = 0; k < w->n_iov && left; k++) {
		size_t n = w->iov[k].iov_len < left ? w->iov[k].iov_len : left;

		memcpy(w->iov[k].iov_base, from, n);
		from += n;
		left -= n;
	}
	*w = (struct fs_wait){0};
	s->n_waits--;
	s->done(s->done_ctx, head, (uint32_t)(sizeof(h) - left));
}

void fs_lock_retry(struct fs_server *s)
{
	for (unsigned k = 0; s->n_waits && k < FS_WAIT_MAX; k++) {
		struct fs_wait *w = &s->waits[k];
		int r;

		if (!w->used)
			continue;
		r = try_lock(s, w->nodeid, &w->lk);
		if (r != -EAGAIN)
			finish(s, w, r);
	}
	s->unlocked = false;
}

void fs_lock_finish_all(struct fs_server *s, int error)
{
	for (unsigned k = 0; s->n_waits && k < FS_WAIT_MAX; k++)
		if (s->waits[k].used)
			finish(s, &s->waits[k], error);
}

int fs_lock_interrupt(struct fs_server *s, uint64_t unique)
{
	for (unsigned k = 0; s->n_waits && k < FS_WAIT_MAX; k++)
		if (s->waits[k].used && s->waits[k].unique == unique) {
			finish(s, &s->waits[k], -EINTR);
			return 0;
		}
	return -ENOENT;
}

void fs_lock_drop_owner(struct fs_server *s, uint64_t nodeid, uint64_t owner)
{
	struct fs_lock *l = find(s, nodeid, owner);

	if (l)
		drop(s, l);
}

void fs_lock_drop_inode(struct fs_server *s, const struct fs_inode *i)
{
	for (unsigned k = 0; s->n_locks && k < FS_LOCKS_MAX; k++)
		if (s->locks[k].inode == i)
			drop(s, &s->locks[k]);
}

void fs_lock_clear(struct fs_server *s)
{
	for (unsigned k = 0; s->n_locks && k < FS_LOCKS_MAX; k++)
		if (s->locks[k].inode)
			drop(s, &s->locks[k]);
	memset(s->waits, 0, sizeof(s->waits));
	s->n_waits = 0;
}
