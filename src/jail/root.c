#include "jail/root.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* <sys/mount.h> and <linux/mount.h> of Debian 12 cannot be included together. */
#define OLD_MS_REC	0x4000
#define OLD_MS_PRIVATE	0x40000
#define OLD_MNT_DETACH	2
#define OPEN_TREE_CLOSE O_CLOEXEC
#define TREE_EMPTY_PATH 0x1000 /* AT_EMPTY_PATH */
#define TREE_RECURSIVE	0x8000 /* AT_RECURSIVE */
#define FILE_ATTRS	(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define TMPFS_ATTRS	(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static int set_attr(int tree, uint64_t attrs)
{
	struct mount_attr a = {.attr_set = attrs};

	if (syscall(SYS_mount_setattr, tree, "", TREE_EMPTY_PATH, &a, sizeof(a)) < 0)
		return -errno;
	return 0;
}

int jail_hold(int fd, bool read_only)
{
	struct mount_attr a = {
		.attr_set = TMPFS_ATTRS | (read_only ? (uint64_t)MOUNT_ATTR_RDONLY : 0)};
	char link[64], path[PATH_MAX];
	struct stat was, now;
	AUTO_FD tree = -1;
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = 0;
	/* Mounts beneath come along: what the namespace locks together cannot be taken apart. */
	tree = (int)syscall(SYS_open_tree, AT_FDCWD, path,
		OPEN_TREE_CLONE | OPEN_TREE_CLOSE | AT_SYMLINK_NOFOLLOW | TREE_RECURSIVE);
	if (tree < 0)
		return errno == ENOENT || errno == ENOTDIR ? -ESTALE : -errno;
	if (fstat(fd, &was) < 0 || fstat(tree, &now) < 0)
		return -errno;
	if (was.st_dev != now.st_dev || was.st_ino != now.st_ino ||
		(was.st_mode & S_IFMT) != (now.st_mode & S_IFMT))
		return -ESTALE;
	if (syscall(SYS_mount_setattr, tree, "", TREE_EMPTY_PATH | TREE_RECURSIVE, &a, sizeof(a)) <
		0)
		return -errno;
	return TAKE_FD(tree);
}

int jail_root_open(const struct jail_root *r, int min, int ret_trees[JAIL_FILES_MAX])
{
	if (r->n_files > JAIL_FILES_MAX)
		return -E2BIG;
	for (size_t i = 0; i < r->n_files; i++) {
		const struct jail_file *f = &r->file[i];
		AUTO_FD tree = -1;

		if (f->host)
			tree = (int)syscall(SYS_open_tree, AT_FDCWD, f->host,
				OPEN_TREE_CLONE | OPEN_TREE_CLOSE);
		if (f->host && tree < 0)
			return -errno;
		ret_trees[i] = fcntl(f->host ? tree : f->copy_fd, F_DUPFD_CLOEXEC, min);
		if (ret_trees[i] < 0)
			return -errno;
	}
	return 0;
}

/* new_tmpfs() - a tmpfs that is attached nowhere yet */
static int new_tmpfs(const char *mode)
{
	AUTO_FD fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	int root;

	if (fs < 0)
		return -errno;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "mode", mode, 0) < 0 ||
		syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "64m", 0) < 0 ||
		syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "nr_inodes", "512", 0) < 0 ||
		syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	root = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, TMPFS_ATTRS);
	return root < 0 ? -errno : root;
}

/* make_parents() - each directory on the way to @path, below the current directory */
static int make_parents(const char *path)
{
	char part[PATH_MAX];

	for (size_t i = 0; path[i]; i++) {
		if (i >= sizeof(part) - 1)
			return -ENAMETOOLONG;
		if (path[i] == '/' && i) {
			part[i] = 0;
			if (mkdir(part, 0555) < 0 && errno != EEXIST)
				return -errno;
		}
		part[i] = path[i];
	}
	return 0;
}

static int copy_into(int to, int from)
{
	off_t at = 0;

	for (;;) {
		ssize_t n = sendfile(to, from, &at, 1 << 20);

		if (n == 0)
			return 0;
		if (n < 0)
			return -errno;
	}
}

static int place(const struct jail_file *f, int tree)
{
	int r = make_parents(f->inside);
	AUTO_FD at = -1;

	if (r < 0)
		return r;
	at = open(f->inside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (at < 0)
		return -errno;
	if (!f->host)
		return copy_into(at, tree);
	r = set_attr(tree, FILE_ATTRS);
	if (r < 0)
		return r;
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, f->inside, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

int jail_root_enter(const struct jail_root *r, int trees[JAIL_FILES_MAX])
{
	AUTO_FD root = -1;
	int ret;

	/* Nothing that happens here may spread to the host, nor the host's later mounts to us. */
	if (syscall(SYS_mount, NULL, "/", NULL, OLD_MS_REC | OLD_MS_PRIVATE, NULL) < 0)
		return -errno;
	/* Where there is nothing to find, nothing can be looked up either. */
	root = new_tmpfs(r->n_files ? "0555" : "0000");
	if (root < 0)
		return root;
	if (syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
		fchdir(root) < 0)
		return -errno;
	for (size_t i = 0; i < r->n_files; i++) {
		ret = place(&r->file[i], trees[i]);
		close(trees[i]);
		if (ret < 0)
			return ret;
	}
	/* New root onto old root and the old one away: no directory is needed to hold it. */
	if (syscall(SYS_pivot_root, ".", ".") < 0 ||
		syscall(SYS_umount2, ".", OLD_MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return set_attr(root, TMPFS_ATTRS | MOUNT_ATTR_RDONLY);
}

int jail_root_empty(void)
{
	const struct jail_root none = {0};

	return jail_root_enter(&none, (int[JAIL_FILES_MAX]){0});
}
