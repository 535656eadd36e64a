#include "daemon/hardlinks.h"
#include "daemon/plan.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define PATH_TEXT_MAX 4000

/* A workspace appears at the same path inside: one of these would hide the guest's own system. */
static const char *const system_dirs[] = {"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib",
	"/lib32", "/lib64", "/libx32", "/opt", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr",
	"/usr/bin", "/usr/lib", "/usr/local", "/usr/sbin", "/usr/share", "/var", "/var/lib",
	"/home/agent"};
static const char *const system_trees[] = {"/proc", "/sys", "/dev"};

/* File systems whose other clients change files behind the kernel's back: locks, inode numbers and
 * caching do not hold there, and a guest would see random ESTALE.
 */
static const struct {
	unsigned long magic;
	const char *name;
} remote[] = {
	{NFS_SUPER_MAGIC, "NFS"},
	{SMB_SUPER_MAGIC, "SMB"},
	{0xff534d42UL, "CIFS"},
	{0xfe534d42UL, "SMB2"},
	{V9FS_MAGIC, "9p"},
	{AFS_SUPER_MAGIC, "AFS"},
	{CODA_SUPER_MAGIC, "Coda"},
	{0x00c36400UL, "Ceph"},
	{0x0bd00bd0UL, "Lustre"},
	{0x47504653UL, "GPFS"},
	{0x01161970UL, "GFS2"},
	{0x7461636fUL, "OCFS2"},
};
static const struct {
	unsigned long magic;
	const char *name;
} pseudo[] = {
	{PROC_SUPER_MAGIC, "proc"},
	{SYSFS_MAGIC, "sysfs"},
	{CGROUP_SUPER_MAGIC, "cgroup"},
	{CGROUP2_SUPER_MAGIC, "cgroup2"},
	{DEBUGFS_MAGIC, "debugfs"},
	{TRACEFS_MAGIC, "tracefs"},
	{SECURITYFS_MAGIC, "securityfs"},
	{BPF_FS_MAGIC, "bpf"},
};

bool plan_within(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (n == 1)
		return true; /* "/" */
	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* clean() - absolute, no empty, "." or ".." component, no trailing slash, no control byte */
static bool clean(const char *p)
{
	const char *s = p;

	if (*s != '/' || strlen(p) > PATH_TEXT_MAX)
		return false;
	for (const char *c = p; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	while (*s == '/') {
		size_t n = strcspn(++s, "/");

		if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return p[1] == '\0'; /* "/" alone */
		s += n;
	}
	return true;
}

static int refuse_system(const char *what, const char *path, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(system_dirs) && r == 0; i++)
		if (strcmp(path, system_dirs[i]) == 0)
			r = -EPERM;
	for (size_t i = 0; i < ARRAY_LEN(system_trees) && r == 0; i++)
		if (plan_within(path, system_trees[i]))
			r = -EPERM;
	if (r < 0) {
		(void)err_set(e, ERR_DENIED, r,
			"workspace '%s' is a directory of the system and cannot be shared", what);
		err_hint(e, "share a directory beneath it");
	}
	return r;
}

/* refuse_own() - neither the state nor the cache may be reachable from inside */
static int refuse_own(
	const char *what, const char *path, const char *own, const char *kind, struct err *e)
{
	char real[PATH_MAX];

	if (!realpath(own, real))
		return errno == ENOENT ? 0 : err_sys(e, -errno, "find '%s'", own);
	if (!plan_within(path, real) && !plan_within(real, path))
		return 0;
	(void)err_set(e, ERR_DENIED, -EPERM,
		"workspace '%s' %s the %s of sbx ('%s'): a sandbox could change its own rules",
		what, plan_within(path, real) ? "is inside" : "contains", kind, real);
	err_hint(e, "share a directory that does not contain it");
	return -EPERM;
}

static int judge_fs(int fd, const char *path, struct plan_place *place, struct err *e)
{
	struct statfs fs;
	unsigned long magic;

	if (fstatfs(fd, &fs) < 0)
		return err_sys(e, -errno, "look at the file system of '%s'", path);
	magic = (unsigned long)fs.f_type & 0xffffffffUL;
	memcpy(&place->fsid, &fs.f_fsid, sizeof(place->fsid));
	for (size_t i = 0; i < ARRAY_LEN(remote); i++)
		if (magic == remote[i].magic) {
			(void)err_set(e, ERR_INVALID, -EREMOTE,
				"workspace '%s' is on a network file system: %s", path,
				remote[i].name);
			err_hint(e, "copy it to a local disk");
			return -EREMOTE;
		}
	for (size_t i = 0; i < ARRAY_LEN(pseudo); i++)
		if (magic == pseudo[i].magic)
			return err_set(e, ERR_DENIED, -EPERM,
				"workspace '%s' is on a kernel file system: %s", path,
				pseudo[i].name);
	if (magic == FUSE_SUPER_MAGIC)
		(void)snprintf(place->note, sizeof(place->note),
			"workspace '%.150s' is on a FUSE file system: locks and mmap may not hold "
			"there",
			path);
	return 0;
}

static_assert(sizeof(fsid_t) == sizeof(uint64_t), "kept as one number");

static int judge_kind(int fd, const char *path, struct plan_place *place, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, -errno, "look at '%s'", path);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, -EINVAL,
			"workspace '%s' is neither a directory nor a regular file", path);
	place->is_file = S_ISREG(st.st_mode);
	place->dev = st.st_dev;
	place->ino = st.st_ino;
	return 0;
}

/* real_path() - where a descriptor's object is, without symbolic links */
static int real_path(int fd, const char *path, char dst[PATH_MAX], struct err *e)
{
	char self[40];
	ssize_t n;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = readlink(self, dst, PATH_MAX - 1);
	if (n < 0)
		return err_sys(e, -errno, "resolve '%s'", path);
	dst[n] = '\0';
	if (!clean(dst))
		return err_set(e, ERR_INVALID, -EINVAL,
			"workspace '%s' leads to a path that cannot be shared", path);
	return 0;
}

int plan_workspace_check(
	const char *path, const struct paths *paths, struct plan_place *ret, struct err *e)
{
	struct plan_place place = {0};
	AUTO_FD fd = -1;
	AUTO_FD readable = -1;
	char self[40];
	int r;

	if (path[0] != '/')
		return err_set(
			e, ERR_INVALID, -EINVAL, "workspace '%s' is not an absolute path", path);
	if (!clean(path))
		return err_set(e, ERR_INVALID, -EINVAL,
			"workspace '%s' has dot segments, control characters or a trailing slash",
			path);
	r = refuse_system(path, path, e);
	if (r < 0)
		return r;
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, "open workspace '%s'", path);
	r = judge_kind(fd, path, &place, e);
	if (r == 0)
		r = real_path(fd, path, place.host, e);
	if (r == 0)
		r = refuse_system(path, place.host, e);
	if (r == 0)
		r = refuse_own(path, place.host, paths->state, "state directory", e);
	if (r == 0)
		r = refuse_own(path, place.host, paths->cache, "cache directory", e);
	if (r == 0)
		r = judge_fs(fd, path, &place, e);
	if (r < 0)
		return r;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	readable = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (readable < 0)
		return err_sys(e, -errno, "read workspace '%s'", path);
	if (!place.is_file && !place.note[0])
		hardlinks_note(place.host, place.note, sizeof(place.note));
	*ret = place;
	return 0;
}

int plan_workspace_open(const struct plan_workspace *w, struct err *e)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	AUTO_FD fd = (int)syscall(SYS_openat2, AT_FDCWD, w->host, &how, sizeof(how));
	uint64_t fsid = 0;
	struct statfs fs;
	struct stat st;

	if (fd < 0 && errno == ELOOP) {
		(void)err_set(e, ERR_DENIED, -ELOOP,
			"workspace '%s' was replaced by a symbolic link", w->host);
		err_hint(e, "put the directory back, or make a new sandbox");
		return -ELOOP;
	}
	if (fd < 0)
		return err_sys(e, -errno, "open workspace '%s'", w->host);
	if (fstat(fd, &st) < 0)
		return err_sys(e, -errno, "look at workspace '%s'", w->host);
	/* Some file systems get another device number at each boot; their identifier stays. */
	if (fstatfs(fd, &fs) == 0)
		memcpy(&fsid, &fs.f_fsid, sizeof(fsid));
	if (st.st_ino != w->ino || S_ISREG(st.st_mode) != w->is_file ||
		(st.st_dev != w->dev && (fsid == 0 || fsid != w->fsid))) {
		(void)err_set(e, ERR_DENIED, -ESTALE,
			"workspace '%s' is not the one that was shared: it was replaced since",
			w->host);
		err_hint(e, "make a new sandbox for the new directory");
		return -ESTALE;
	}
	return TAKE_FD(fd);
}
