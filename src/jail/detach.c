#include "jail/detach.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define TREE_FLAGS (OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | 0x1000 /* AT_EMPTY_PATH */ | RECURSIVE)
#define RECURSIVE  0x8000 /* AT_RECURSIVE */
#define ATTRS	   (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* open_here() - the same object through our own mount namespace: the kernel copies no others */
static int open_here(int fd)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	char self[40], path[PATH_MAX];
	struct stat a, b;
	AUTO_FD here = -1;
	ssize_t n;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = readlink(self, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	here = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	if (here < 0)
		return -errno;
	if (fstat(fd, &a) < 0 || fstat(here, &b) < 0)
		return -errno;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino ? TAKE_FD(here) : -ESTALE;
}

int jail_detach(int fd, bool read_only)
{
	struct mount_attr a = {.attr_set = ATTRS | (read_only ? MOUNT_ATTR_RDONLY : 0)};
	AUTO_FD here = open_here(fd);
	AUTO_FD tree = -1;

	if (here < 0)
		return here;
	tree = (int)syscall(SYS_open_tree, here, "", TREE_FLAGS);
	if (tree < 0)
		return -errno;
	if (syscall(SYS_mount_setattr, tree, "", 0x1000 | RECURSIVE, &a, sizeof(a)) < 0)
		return -errno;
	return TAKE_FD(tree);
}
