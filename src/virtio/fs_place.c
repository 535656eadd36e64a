/* fs_place.c - from an object to a descriptor of it, beneath its export or not at all
 *
 * The only file that opens by name. One component at a time, against the descriptor of the parent
 * directory, with openat2() refusing "..", links and other mounts; then the identity of what was
 * opened is compared with what the guest was told. A directory's descriptor is kept and believed
 * for FS_TRUST_MS; after that its name is checked again, and when the host has moved it meanwhile,
 * its way up is walked: it stays usable where it still leads to the export, and is dropped if not.
 */
#include "virtio/fs_int.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

#define CLIMB_MAX 4096
#define STAT_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

bool fs_type_ok(unsigned mode)
{
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode);
}

int fs_stat_fd(int fd, struct statx *ret_st)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STAT_MASK, ret_st) < 0 ? -errno : 0;
}

int fs_stat_at(
	struct fs_server *s, unsigned export, int dirfd, const char *name, struct statx *ret_st)
{
	struct statx st;

	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STAT_MASK, &st) < 0)
		return -errno;
	if (st.stx_mnt_id != s->mnt_id[export])
		return -EXDEV;
	*ret_st = st;
	return 0;
}

int fs_open_at(struct fs_server *s, int dirfd, const char *name, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_XDEV,
	};
	int fd;

	if (!(flags & O_PATH)) /* what was swapped in must neither block nor become our terminal */
		how.flags |= O_NONBLOCK | O_NOCTTY;
	for (int tries = 0;; tries++) {
		fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
		if (fd >= 0)
			return fd;
		/* RESOLVE_BENEATH gives EAGAIN when it cannot rule out a rename meanwhile. */
		if (errno != EAGAIN || tries >= 8)
			break;
	}
	if (errno == EMFILE && s->lru_last && s->lru_last != s->lru_first)
		fs_dir_drop(s, s->lru_last); /* the next request has more luck */
	return errno == EMFILE ? -ENFILE : -errno;
}

/* What the errors of opening a known name mean: it is not what it was. */
static int stale(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -ENXIO || r == -EISDIR ? -ESTALE
											   : r;
}

static bool fresh(const struct fs_server *s, const struct fs_inode *i)
{
	return i->root || (i->fd >= 0 && s->now_ms - i->checked_ms < FS_TRUST_MS);
}

static bool same_object(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major &&
	       a->stx_dev_minor == b->stx_dev_minor;
}

/* Does ".." lead from directory @i to the root of its export? */
static bool climbs_to_root(struct fs_server *s, const struct fs_inode *i)
{
	const struct fs_inode *root = s->roots[i->export];
	AUTO_FD at = fcntl(i->fd, F_DUPFD_CLOEXEC, 0);
	struct statx here, up;

	if (at < 0 || fs_stat_fd(at, &here) < 0)
		return false;
	for (unsigned n = 0; n < CLIMB_MAX; n++) {
		AUTO_FD fd = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 || fs_stat_fd(fd, &up) < 0 || same_object(&here, &up))
			return false;
		if (up.stx_mnt_id != s->mnt_id[i->export])
			return false;
		if (fs_inode_is(root, &up))
			return true;
		here = up;
		close(at);
		at = TAKE_FD(fd);
	}
	return false;
}

static int moved_out(struct fs_server *s, struct fs_inode *i)
{
	s->moved_out++;
	fs_dir_drop(s, i);
	return -ESTALE;
}

/* @i's parent is proven; prove @i. */
static int confirm(struct fs_server *s, struct fs_inode *i)
{
	int dirfd = i->parent->fd, r;
	struct statx st;

	if (dirfd < 0)
		return -ENFILE; /* a chain of directories longer than our descriptors */
	if (i->fd >= 0) {
		r = fs_stat_at(s, i->export, dirfd, i->name, &st);
		if ((r < 0 || !fs_inode_is(i, &st)) && !climbs_to_root(s, i))
			return moved_out(s, i);
	} else {
		AUTO_FD fd = fs_open_at(s, dirfd, i->name, O_PATH | O_DIRECTORY, 0);

		if (fd < 0)
			return stale(fd);
		r = fs_stat_fd(fd, &st);
		if (r < 0)
			return r;
		if (!fs_inode_is(i, &st))
			return -ESTALE;
		r = fs_fd_reserve(s);
		if (r < 0)
			return r;
		fs_dir_cache(s, i, TAKE_FD(fd));
	}
	i->checked_ms = s->now_ms;
	fs_dir_touch(s, i);
	return 0;
}

int fs_dir_fd(struct fs_server *s, struct fs_inode *i, int *ret_fd)
{
	struct fs_inode *at = i;
	int r;

	if (i->type != S_IFDIR)
		return -ENOTDIR;
	i->below = NULL;
	while (!fresh(s, at)) {
		if (!at->parent) { /* nameless: only its own way up can prove it */
			if (at->fd < 0)
				return -ESTALE;
			if (!climbs_to_root(s, at))
				return moved_out(s, at);
			at->checked_ms = s->now_ms;
			break;
		}
		at->parent->below = at;
		at = at->parent;
	}
	fs_dir_touch(s, at);
	while ((at = at->below)) {
		r = confirm(s, at);
		if (r < 0)
			return r;
	}
	if (i->fd < 0)
		return -ENFILE;
	*ret_fd = i->fd;
	return 0;
}

void fs_proc_name(int fd, char dst[16])
{
	(void)snprintf(dst, 16, "%d", fd);
}

int fs_proc_open(struct fs_server *s, int fd, int flags)
{
	char name[16];
	int r;

	fs_proc_name(fd, name);
	r = openat(s->cfg.proc_fd, name, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return r < 0 ? -errno : r;
}

int fs_proc_chmod(struct fs_server *s, int fd, mode_t mode)
{
	char name[16];

	fs_proc_name(fd, name);
	return fchmodat(s->cfg.proc_fd, name, mode, 0) < 0 ? -errno : 0;
}

static int open_checked(struct fs_server *s, struct fs_inode *i, int flags)
{
	struct statx st;
	int dirfd, r = fs_dir_fd(s, i->parent, &dirfd);

	if (r < 0)
		return r;
	AUTO_FD fd = fs_open_at(s, dirfd, i->name, flags, 0);
	if (fd < 0)
		return stale(fd);
	r = fs_stat_fd(fd, &st);
	if (r < 0)
		return r;
	if (!fs_inode_is(i, &st))
		return -ESTALE;
	i->checked_ms = s->now_ms;
	return TAKE_FD(fd);
}

int fs_inode_open(struct fs_server *s, struct fs_inode *i, int flags)
{
	int fd, r;

	if (i->type == S_IFLNK && !(flags & O_PATH))
		return -ELOOP;
	if (i->type == S_IFDIR) {
		r = fs_dir_fd(s, i, &fd);
		return r < 0 ? r : fs_open_at(s, fd, ".", flags | O_DIRECTORY, 0);
	}
	if (i->root)
		return fs_proc_open(s, i->fd, flags);
	if (i->parent)
		return open_checked(s, i, flags);
	/* Without a name it is alive only because somebody has it open. */
	return i->handles ? fs_proc_open(s, i->handles->fd, flags) : -ESTALE;
}

int fs_inode_pin(struct fs_server *s, struct fs_inode *i, int *ret_fd, int *ret_own)
{
	int fd;

	*ret_own = -1;
	if (i->type == S_IFDIR)
		return fs_dir_fd(s, i, ret_fd);
	if (i->handles || i->root) {
		*ret_fd = i->handles ? i->handles->fd : i->fd;
		return 0;
	}
	fd = fs_inode_open(s, i, O_PATH);
	if (fd < 0)
		return fd;
	*ret_fd = *ret_own = fd;
	return 0;
}

int fs_inode_stat(struct fs_server *s, struct fs_inode *i, struct statx *ret_st)
{
	int fd, r;

	if (i->root || (i->handles && i->type != S_IFDIR))
		return fs_stat_fd(i->root ? i->fd : i->handles->fd, ret_st);
	if (i->parent) { /* asking by name proves and answers in one call */
		struct statx st;

		r = fs_dir_fd(s, i->parent, &fd);
		if (r == 0)
			r = fs_stat_at(s, i->export, fd, i->name, &st);
		if (r == 0 && fs_inode_is(i, &st)) {
			i->checked_ms = s->now_ms;
			*ret_st = st;
			return 0;
		}
	}
	if (i->type != S_IFDIR)
		return -ESTALE;
	/* A renamed directory that somebody still sits in. */
	i->checked_ms = s->now_ms - FS_TRUST_MS;
	r = fs_dir_fd(s, i, &fd);
	return r < 0 ? stale(r) : fs_stat_fd(fd, ret_st);
}
