#include "guest/exports.h"
#include "guest/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define BASE "/run/.sbx-exports"
#define TAG  "sbx"

/* touch() - a file to bind on */
static int touch(const struct agent_setup *m, const char *path)
{
	char dir[PATH_MAX];
	char *slash;
	int r;

	if (snprintf(dir, sizeof(dir), "%s", path) >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	slash = strrchr(dir, '/');
	if (slash > dir) {
		*slash = '\0';
		r = sys_mkdirs(dir, m->home, m->uid, m->gid);
		if (r < 0)
			return r;
	}
	AUTO_FD fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);

	return fd < 0 ? -errno : 0;
}

/* open_way() - whoever works in a workspace must be able to go there: an image's closed directory
 * above it (/root) lets others pass, though not look
 */
static int open_way(const char *path)
{
	char p[PATH_MAX];
	struct stat st;

	if (snprintf(p, sizeof(p), "%s", path) >= (int)sizeof(p))
		return -ENAMETOOLONG;
	for (char *s = strchr(p + 1, '/'); s; s = strchr(s + 1, '/')) {
		*s = '\0';
		if (stat(p, &st) < 0)
			return -errno;
		if (!(st.st_mode & S_IXOTH) && chmod(p, (st.st_mode & 07777) | S_IXOTH) < 0)
			return -errno;
		*s = '/';
	}
	return 0;
}

static int bind_one(const struct agent_setup *m, const struct agent_mount *mount_, struct err *e)
{
	bool file = mount_->flags & AGENT_MOUNT_FILE;
	const char *path = mount_->path;
	char from[64];
	struct stat st;
	int r;

	(void)snprintf(from, sizeof(from), BASE "/%u", mount_->export_index);
	if (stat(from, &st) < 0)
		return err_sys(e, -errno, "the host shares nothing as '%s' (export %u)", path,
			mount_->export_index);
	if (file ? !S_ISREG(st.st_mode) : !S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, -EINVAL, "'%s' is not a %s on the host", path,
			file ? "file" : "directory");
	r = file ? touch(m, path) : sys_mkdirs(path, m->home, m->uid, m->gid);
	if (r == 0)
		r = open_way(path);
	if (r < 0)
		return err_sys(e, r, "make '%s' to mount on", path);
	r = sys_mount(from, path, NULL, MS_BIND, NULL, e);
	if (r == 0 && (mount_->flags & AGENT_MOUNT_RO))
		r = sys_mount(NULL, path, NULL,
			MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL, e);
	else if (r == 0)
		r = sys_mount(
			NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV, NULL, e);
	return r;
}

/* bind_all() - shorter paths first, so that one may lie in another */
static int bind_all(const struct agent_setup *m, struct err *e)
{
	const struct agent_mount *order[AGENT_MOUNT_MAX];

	for (size_t i = 0; i < m->n_mounts; i++) {
		size_t at = i;

		for (; at > 0 && strlen(order[at - 1]->path) > strlen(m->mounts[i].path); at--)
			order[at] = order[at - 1];
		order[at] = &m->mounts[i];
	}
	for (size_t i = 0; i < m->n_mounts; i++) {
		int r = bind_one(m, order[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}

int exports_mount(const struct agent_setup *m, struct err *e)
{
	int r;

	if (mkdir(BASE, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "make a place for the host's exports");
	r = sys_mount(TAG, BASE, "virtiofs", MS_NOSUID | MS_NODEV, NULL, e);
	if (r < 0)
		return r;
	r = bind_all(m, e);
	if (umount2(BASE, MNT_DETACH) < 0 && r == 0)
		r = err_sys(e, -errno, "take away the mount of all exports");
	(void)rmdir(BASE);
	return r;
}
