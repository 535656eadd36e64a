#include "daemon/disk.h"
#include "daemon/child.h"
#include "base/cachedir.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define MKFS_MS	       60000
#define TEMPLATES_KEPT 8 /* one for each size in use; some megabytes each */

/* One template at a time is made; the others wait for it. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

/* make_template() - mkfs beside its place, then rename: what is there is whole */
static int make_template(const char *path, uint64_t bytes, struct err *e)
{
	char tmp[PATH_MAX];
	/* Tables and journal are written when used: an empty disk costs a megabyte or two. */
	const char *const argv[] = {"mkfs.ext4", "-q", "-F", "-m", "0", "-E",
		"lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-J", "size=16", "-L",
		"scratch", tmp, NULL};
	AUTO_FD fd = -1;
	int r = 0;

	r = cachedir_tmp(tmp, path);
	if (r < 0)
		return err_sys(e, r, "make a scratch disk");
	fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, -errno, "make '%s'", tmp);
	if (ftruncate(fd, (off_t)bytes) < 0)
		r = err_sys(e, -errno, "make '%s'", tmp);
	if (r == 0)
		r = child_run(argv, clock_ms() + MKFS_MS, NULL, e);
	if (r == 0 && fsync(fd) < 0)
		r = err_sys(e, -errno, "write '%s'", tmp);
	if (r == 0 && rename(tmp, path) < 0)
		r = err_sys(e, -errno, "make '%s'", path);
	if (r < 0)
		(void)unlink(tmp);
	return r;
}

static int open_template(struct daemon *d, uint64_t bytes, struct err *e)
{
	char dir[PATH_MAX], path[PATH_MAX], name[64];
	struct stat st;
	int fd, r;

	(void)snprintf(name, sizeof(name), "ext4-%llu.img", (unsigned long long)bytes);
	r = paths_join(dir, d->paths.cache, "scratch");
	if (r == 0)
		r = paths_join(path, dir, name);
	if (r < 0)
		return err_sys(e, r, "find the template of the scratch disk");
	r = paths_mkdir(dir, e);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&making);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size != bytes) {
		own_close_fd(&fd);
		cachedir_prune(dir, NULL, TEMPLATES_KEPT - 1);
		r = make_template(path, bytes, e);
		if (r == 0)
			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	(void)pthread_mutex_unlock(&making);
	if (r < 0)
		return r;
	return fd < 0 ? err_sys(e, -errno, "open '%s'", path) : fd;
}

/* copy_some() - where the kernel cannot copy between the two file systems; bytes copied */
static ssize_t copy_some(int from, int to, off_t at, size_t want)
{
	char chunk[32768];
	ssize_t n = pread(from, chunk, want < sizeof(chunk) ? want : sizeof(chunk), at), w;

	if (n <= 0)
		return n < 0 ? -errno : 0;
	w = pwrite(to, chunk, (size_t)n, at);
	return w < 0 ? -errno : w;
}

static int copy_range(int from, int to, off_t at, off_t end)
{
	while (at < end) {
		off_t in = at, out = at;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);

		if (n < 0 && (errno == EXDEV || errno == ENOSYS || errno == EINVAL ||
				     errno == EOPNOTSUPP))
			n = copy_some(from, to, at, (size_t)(end - at));
		else if (n < 0)
			n = -errno;
		if (n <= 0)
			return n < 0 ? (int)n : -EIO; /* 0: the template shrank */
		at += n;
	}
	return 0;
}

/* copy_sparse() - data where the source has data, holes elsewhere */
static int copy_sparse(int from, int to, off_t size)
{
	off_t at = 0;

	if (ftruncate(to, size) < 0)
		return -errno;
	for (;;) {
		off_t data = lseek(from, at, SEEK_DATA), hole;
		int r;

		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		r = copy_range(from, to, data, hole);
		if (r < 0)
			return r;
		at = hole;
	}
}

int disk_make(struct daemon *d, int dirfd, const char *name, uint64_t bytes, struct err *e)
{
	AUTO_FD from = open_template(d, bytes, e);
	AUTO_FD to = -1;
	int r;

	if (from < 0)
		return from;
	to = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (to < 0)
		return err_sys(e, -errno, "make the scratch disk");
	r = copy_sparse(from, to, (off_t)bytes);
	if (r == 0 && fdatasync(to) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlinkat(dirfd, name, 0);
		return err_sys(e, r, "make the scratch disk");
	}
	return 0;
}
