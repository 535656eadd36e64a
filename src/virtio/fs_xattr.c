/* fs_xattr.c - extended attributes: user.* of regular files and directories, nothing else
 *
 * security.*, trusted.* and system.* (capabilities, labels, ACLs) neither go in nor come out. Never
 * ENOSYS: the guest's kernel would stop asking for user.* too.
 */
#include "virtio/fs_int.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/xattr.h>

#define VALUE_MAX      (64u << 10) /* XATTR_SIZE_MAX of Linux */
#define SETXATTR_BYTES 8 /* without FUSE_SETXATTR_EXT */

static int arg_xattr(struct fs_req *r, const char **ret_name)
{
	int e = fs_arg_text(r, XATTR_NAME_MAX, ret_name);

	if (e < 0)
		return e;
	return strncmp(*ret_name, FS_XATTR_PREFIX, strlen(FS_XATTR_PREFIX)) == 0 ? 0 : -EOPNOTSUPP;
}

/* A descriptor that the f*xattr() calls take; *ret_own is to be closed when >= 0. */
static int open_for(struct fs_req *r, bool change, int *ret_fd, int *ret_own)
{
	struct fs_inode *i;
	int fd, e;

	*ret_own = -1;
	if (r->h.nodeid == FUSE_ROOT_ID)
		return change ? -EROFS : -EOPNOTSUPP;
	i = fs_inode_get(r->s, r->h.nodeid);
	if (!i)
		return -ESTALE;
	if (change && (e = fs_writable(r->s, i)) < 0)
		return e;
	if (i->type == S_IFLNK)
		return change ? -EPERM : -EOPNOTSUPP;
	if (i->handles && i->type == S_IFREG) {
		*ret_fd = i->handles->fd;
		return 0;
	}
	fd = fs_inode_open(r->s, i, O_RDONLY);
	if (fd == -EACCES && i->type == S_IFREG && change)
		fd = fs_inode_open(r->s, i, O_WRONLY);
	if (fd < 0)
		return fd;
	*ret_fd = *ret_own = fd;
	return 0;
}

int fs_op_setxattr(struct fs_req *r)
{
	const struct fuse_setxattr_in *in = fs_arg(r, SETXATTR_BYTES);
	const void *value;
	AUTO_FD own = -1;
	const char *name;
	const struct fs_inode *i;
	uint32_t size, flags;
	int fd, e;

	if (!in)
		return -EINVAL;
	size = in->size;
	flags = in->flags;
	e = arg_xattr(r, &name);
	if (e < 0)
		return e;
	if (size > VALUE_MAX)
		return -E2BIG;
	value = fs_arg(r, size);
	if (!value || fs_arg_end(r) < 0 || flags & ~(unsigned)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	e = open_for(r, true, &fd, &own);
	i = e < 0 ? NULL : fs_inode_get(r->s, r->h.nodeid);
	if (i)
		e = fs_space_take(r->s, i->export, size);
	if (e < 0)
		return e;
	return fsetxattr(fd, name, value, size, (int)flags) < 0 ? -errno : 0;
}

int fs_op_removexattr(struct fs_req *r)
{
	AUTO_FD own = -1;
	const char *name;
	int fd, e = arg_xattr(r, &name);

	if (e == 0)
		e = fs_arg_end(r);
	if (e == 0)
		e = open_for(r, true, &fd, &own);
	if (e < 0)
		return e;
	return fremovexattr(fd, name) < 0 ? -errno : 0;
}

/* @len bytes of s->reply are the answer; the guest asked for at most @size, or for the length */
static int reply_sized(struct fs_req *r, size_t len, uint32_t size)
{
	struct fuse_getxattr_out out = {.size = (uint32_t)len};

	if (size == 0) {
		fs_reply(r, &out, sizeof(out));
		return 0;
	}
	if (len > size)
		return -ERANGE;
	r->reply_len = len;
	return 0;
}

int fs_op_getxattr(struct fs_req *r)
{
	const struct fuse_getxattr_in *in = fs_arg(r, sizeof(*in));
	AUTO_FD own = -1;
	const char *name;
	ssize_t n;
	int fd, e = in ? arg_xattr(r, &name) : -EINVAL;

	if (e == 0)
		e = fs_arg_end(r);
	if (e == 0)
		e = open_for(r, false, &fd, &own);
	if (e < 0)
		return e;
	n = fgetxattr(fd, name, r->s->reply, VALUE_MAX);
	return n < 0 ? -errno : reply_sized(r, (size_t)n, in->size);
}

int fs_op_listxattr(struct fs_req *r)
{
	const struct fuse_getxattr_in *in = fs_arg(r, sizeof(*in));
	char *names = (char *)r->s->reply;
	size_t kept = 0, len;
	AUTO_FD own = -1;
	ssize_t n;
	int fd, e = in ? open_for(r, false, &fd, &own) : -EINVAL;

	if (e == -EOPNOTSUPP || e == -EACCES)
		return in ? reply_sized(r, 0, in->size) : e; /* nothing that we would show */
	if (e < 0)
		return e;
	n = flistxattr(fd, names, VALUE_MAX);
	if (n < 0)
		return -errno;
	for (size_t at = 0; at < (size_t)n; at += len) {
		len = strnlen(names + at, (size_t)n - at) + 1;
		if (at + len > (size_t)n)
			break;
		if (strncmp(names + at, FS_XATTR_PREFIX, strlen(FS_XATTR_PREFIX)) == 0) {
			memmove(names + kept, names + at, len);
			kept += len;
		}
	}
	return reply_sized(r, kept, in->size);
}
