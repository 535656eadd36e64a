#include "guest/sys.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CPUS_MAX 512

static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return n > 1 && strncmp(path, top, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

int sys_mkdirs(const char *path, const char *own, uid_t uid, gid_t gid)
{
	char p[PATH_MAX];
	struct stat st;

	if (snprintf(p, sizeof(p), "%s", path) >= (int)sizeof(p))
		return -ENAMETOOLONG;
	for (char *s = p + 1;; s++) {
		char c = *s;

		if (c != '/' && c != '\0')
			continue;
		*s = '\0';
		if (mkdir(p, 0755) == 0) {
			if (own && is_below(p, own) && chown(p, uid, gid) < 0)
				return -errno;
		} else if (errno != EEXIST) {
			return -errno;
		}
		if (c == '\0')
			break;
		*s = c;
	}
	if (stat(p, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int sys_write_file(const char *path, const char *text, mode_t mode)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0)
		return -errno;
	return io_write_full(fd, text, strlen(text), IO_FOREVER);
}

int sys_mount(const char *what, const char *where, const char *type, unsigned long flags,
	const char *options, struct err *e)
{
	if (mount(what, where, type, flags, options) == 0)
		return 0;
	return err_sys(e, -errno, "mount %s on '%s'", type ? type : what ? what : "again", where);
}

int sys_loopback_up(struct err *e)
{
	AUTO_FD fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {.ifr_name = "lo"};

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &req) < 0)
		return err_sys(e, -errno, "look at the loopback interface");
	req.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &req) < 0)
		return err_sys(e, -errno, "bring up the loopback interface");
	return 0;
}

unsigned sys_cpus_on(const char *dir)
{
	unsigned on = 0;

	/* The first one has no switch, and is on. */
	for (unsigned i = 1; i < CPUS_MAX; i++) {
		char path[PATH_MAX];
		AUTO_FD fd = -1;

		if (snprintf(path, sizeof(path), "%s/cpu%u/online", dir, i) >= (int)sizeof(path))
			break;
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			break;
		on += write(fd, "1", 1) == 1;
	}
	return on;
}
