/* fs_name.c - making, moving and removing names
 *
 * Each call names one component of a proven directory, so the host's own call cannot leave it. What
 * the guest is told of the result is looked at afterwards: if a host process was faster, the guest
 * gets what stands there now.
 */
#include "virtio/fs_int.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The directory of a request that is about to change what @name in it is. */
static int open_dir(struct fs_server *s, uint64_t nodeid, const char *name,
	struct fs_inode **ret_dir, int *ret_fd)
{
	struct fs_inode *dir;
	int r;

	if (nodeid == FUSE_ROOT_ID)
		return -EROFS;
	dir = fs_inode_get(s, nodeid);
	if (!dir)
		return -ESTALE;
	r = fs_writable(s, dir);
	if (r == 0 && fs_mask_name(s, dir, name))
		r = -EACCES;
	if (r == 0)
		r = fs_dir_fd(s, dir, ret_fd);
	if (r == 0)
		*ret_dir = dir;
	return r;
}

static int reply_entry(struct fs_req *r, struct fs_inode *dir, int dirfd, const char *name)
{
	struct fuse_entry_out out;
	struct fs_inode *i;
	struct statx st;
	int e = fs_stat_at(r->s, dir->export, dirfd, name, &st);

	if (e < 0)
		return e;
	if (!fs_type_ok(st.stx_mode))
		return -EACCES;
	e = fs_inode_enter(r->s, dir, dir->export, name, &st, &i);
	if (e < 0)
		return e;
	fs_entry_fill(r->s, i, &st, &out);
	fs_reply(r, &out, sizeof(out));
	return 0;
}

int fs_op_mknod(struct fs_req *r)
{
	const struct fuse_mknod_in *in = fs_arg(r, sizeof(*in));
	struct fs_inode *dir;
	const char *name;
	int dirfd, e = in ? fs_arg_name(r, &name) : -EINVAL;

	if (e == 0)
		e = fs_arg_end(r);
	if (e == 0)
		e = open_dir(r->s, r->h.nodeid, name, &dir, &dirfd);
	if (e < 0)
		return e;
	/* No device, pipe or socket comes into being on the host. */
	if (!S_ISREG(in->mode) && (in->mode & S_IFMT) != 0) {
		r->s->faults++;
		return -EPERM;
	}
	e = fs_space_new(r->s, dir->export);
	if (e < 0)
		return e;
	AUTO_FD fd = fs_open_at(r->s, dirfd, name, O_WRONLY | O_CREAT | O_EXCL, in->mode & 0777);
	if (fd < 0)
		return fd;
	fs_watch_name(r->s, dir, name, FS_CREATED);
	if (fchmod(fd, in->mode & 0777) < 0)
		return -errno;
	return reply_entry(r, dir, dirfd, name);
}

/* mkdir() applied our umask, and the set-group-id bit of the parent is inherited: put both right. */
static int fix_dir_mode(
	struct fs_server *s, unsigned export, int dirfd, const char *name, mode_t mode)
{
	struct statx st;
	int r = fs_stat_at(s, export, dirfd, name, &st);

	if (r < 0 || (st.stx_mode & 07777) == mode)
		return r;
	AUTO_FD fd = fs_open_at(s, dirfd, name, O_PATH | O_DIRECTORY, 0);
	return fd < 0 ? fd : fs_proc_chmod(s, fd, mode);
}

int fs_op_mkdir(struct fs_req *r)
{
	const struct fuse_mkdir_in *in = fs_arg(r, sizeof(*in));
	struct fs_inode *dir;
	const char *name;
	int dirfd, e = in ? fs_arg_name(r, &name) : -EINVAL;

	if (e == 0)
		e = fs_arg_end(r);
	if (e == 0)
		e = open_dir(r->s, r->h.nodeid, name, &dir, &dirfd);
	if (e < 0)
		return e;
	e = fs_space_new(r->s, dir->export);
	if (e < 0)
		return e;
	if (mkdirat(dirfd, name, in->mode & 0777) < 0)
		return -errno;
	e = fix_dir_mode(r->s, dir->export, dirfd, name, in->mode & 0777);
	return e < 0 ? e : reply_entry(r, dir, dirfd, name);
}

int fs_op_symlink(struct fs_req *r)
{
	struct fs_inode *dir;
	const char *name, *target;
	int dirfd, e = fs_arg_name(r, &name);

	if (e == 0)
		e = fs_arg_text(r, PATH_MAX - 1, &target);
	if (e == 0)
		e = fs_arg_end(r);
	if (e == 0)
		e = open_dir(r->s, r->h.nodeid, name, &dir, &dirfd);
	if (e < 0)
		return e;
	e = fs_space_new(r->s, dir->export);
	if (e < 0)
		return e;
	/* The target is text that only the guest's kernel ever follows on the guest's behalf. */
	if (symlinkat(target, dirfd, name) < 0)
		return -errno;
	fs_watch_name(r->s, dir, name, FS_CREATED);
	return reply_entry(r, dir, dirfd, name);
}

static int link_named(
	struct fs_server *s, struct fs_inode *i, struct fs_inode *dir, const char *name)
{
	struct statx st;
	int dirfd, from, r = fs_dir_fd(s, i->parent, &from);

	if (r < 0)
		return r;
	dirfd = dir->fd; /* proving the one may have cost the other its descriptor */
	if (dirfd < 0)
		return -ENFILE;
	if (linkat(from, i->name, dirfd, name, 0) < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	/* Was the old name swapped meanwhile? Then this is not what was asked for. */
	r = fs_stat_at(s, i->export, dirfd, name, &st);
	if (r == 0 && !fs_inode_is(i, &st)) {
		(void)unlinkat(dirfd, name, 0);
		r = -ESTALE;
	}
	return r;
}

int fs_op_link(struct fs_req *r)
{
	const struct fuse_link_in *in = fs_arg(r, sizeof(*in));
	struct fs_inode *dir, *i;
	struct fs_server *s = r->s;
	const char *name;
	char text[16];
	int dirfd, e = in ? fs_arg_name(r, &name) : -EINVAL;

	if (e == 0)
		e = fs_arg_end(r);
	if (e < 0)
		return e;
	if (in->oldnodeid == FUSE_ROOT_ID)
		return -EPERM;
	i = fs_inode_get(s, in->oldnodeid);
	if (!i)
		return -ESTALE;
	e = fs_writable(s, i);
	if (e == 0)
		e = open_dir(s, r->h.nodeid, name, &dir, &dirfd);
	if (e < 0)
		return e;
	if (dir->export != i->export)
		return -EXDEV;
	if (i->type == S_IFDIR)
		return -EPERM;
	if (i->masked)
		return -EACCES;
	e = fs_space_new(s, dir->export);
	if (e < 0)
		return e;
	if (i->parent) {
		e = link_named(s, i, dir, name);
	} else if (i->handles) { /* made by TMPFILE */
		fs_proc_name(i->handles->fd, text);
		e = linkat(s->cfg.proc_fd, text, dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
	} else {
		e = -ESTALE;
	}
	if (e < 0)
		return e;
	fs_watch_inode(
		s, i, FS_LINKED); /* what is written through the new name is in the old, too */
	fs_watch_name(s, dir, name, FS_LINKED);
	return reply_entry(r, dir, dir->fd, name);
}

/* The object that @name is now, if the guest knows it by just this name. */
static struct fs_inode *known(
	struct fs_server *s, struct fs_inode *dir, int dirfd, const char *name)
{
	struct fs_inode *i;
	struct statx st;

	if (fs_stat_at(s, dir->export, dirfd, name, &st) < 0)
		return NULL;
	i = fs_inode_find(s, dir->export, &st);
	return i && i->parent == dir && strcmp(i->name, name) == 0 ? i : NULL;
}

static int remove_name(struct fs_req *r, int flags)
{
	struct fs_inode *dir, *i;
	const char *name;
	int dirfd, e = fs_arg_name(r, &name);

	if (e == 0)
		e = fs_arg_end(r);
	if (e == 0)
		e = open_dir(r->s, r->h.nodeid, name, &dir, &dirfd);
	if (e < 0)
		return e;
	i = known(r->s, dir, dirfd, name);
	if (unlinkat(dirfd, name, flags) < 0)
		return -errno;
	if (i)
		fs_inode_unplace(r->s, i);
	return 0;
}

int fs_op_unlink(struct fs_req *r)
{
	return remove_name(r, 0);
}

int fs_op_rmdir(struct fs_req *r)
{
	return remove_name(r, AT_REMOVEDIR);
}

/* @name in @dir is what was renamed: let the object, if it is known, go with it. True: a directory. */
static bool follow(struct fs_server *s, struct fs_inode *dir, int dirfd, const char *name)
{
	struct fs_inode *i;
	struct statx st;

	if (fs_stat_at(s, dir->export, dirfd, name, &st) < 0)
		return false;
	i = fs_inode_find(s, dir->export, &st);
	if (!i || !fs_inode_is(i, &st))
		return S_ISDIR(st.stx_mode);
	if (fs_inode_place(s, i, dir, name) < 0) /* no memory: it must be looked up again */
		fs_inode_unplace(s, i);
	else
		i->checked_ms = s->now_ms;
	return S_ISDIR(st.stx_mode);
}

static int rename_to(struct fs_req *r, uint64_t newdir, unsigned flags)
{
	struct fs_inode *from, *to, *over;
	struct fs_server *s = r->s;
	const char *name, *newname;
	int from_fd, to_fd, e = fs_arg_name(r, &name);

	if (e == 0)
		e = fs_arg_name(r, &newname);
	if (e == 0)
		e = fs_arg_end(r);
	if (e == 0)
		e = open_dir(s, r->h.nodeid, name, &from, &from_fd);
	if (e == 0)
		e = open_dir(s, newdir, newname, &to, &to_fd);
	if (e < 0)
		return e;
	if (from->export != to->export)
		return -EXDEV;
	if (fs_mask_leads(s, from, name) || fs_mask_leads(s, to, newname))
		return -EACCES;
	from_fd = from->fd; /* proving the second may have cost the first its descriptor */
	if (from_fd < 0)
		return -ENFILE;
	over = flags & RENAME_EXCHANGE ? NULL : known(s, to, to_fd, newname);
	if (renameat2(from_fd, name, to_fd, newname, flags) < 0)
		return -errno;
	if (over && known(s, to, to_fd, newname) != over)
		fs_inode_unplace(s, over);
	fs_watch_moved(s, from, name, to, newname, follow(s, to, to_fd, newname));
	if (flags & RENAME_EXCHANGE)
		fs_watch_moved(s, to, newname, from, name, follow(s, from, from_fd, name));
	return 0;
}

int fs_op_rename(struct fs_req *r)
{
	const struct fuse_rename_in *in = fs_arg(r, sizeof(*in));

	return in ? rename_to(r, in->newdir, 0) : -EINVAL;
}

int fs_op_rename2(struct fs_req *r)
{
	const struct fuse_rename2_in *in = fs_arg(r, sizeof(*in));

	if (!in || in->flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	return rename_to(r, in->newdir, in->flags);
}
