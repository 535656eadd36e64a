#include "guest/exports.h"
#include "guest/sys.h"
#include "guest/volumes.h"
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

/* Shared folders and volumes in one order: shorter paths first, so that one may lie in another. */
struct place {
	const char *path;
	const struct agent_mount *mount; /* NULL: it is a volume */
	size_t volume;
};

static void sort_in(struct place *order, size_t n, struct place p)
{
	for (; n > 0 && strlen(order[n - 1].path) > strlen(p.path); n--)
		order[n] = order[n - 1];
	order[n] = p;
}

static int mount_all(const struct agent_setup *m, int scratch_fd, struct err *e)
{
	struct place order[AGENT_MOUNT_MAX + AGENT_VOLUME_MAX];
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < m->n_volumes; i++, n++)
		sort_in(order, n, (struct place){.path = m->volumes[i].path, .volume = i});
	for (size_t i = 0; i < m->n_mounts; i++, n++)
		sort_in(order, n,
			(struct place){.path = m->mounts[i].path, .mount = &m->mounts[i]});
	for (size_t i = 0; i < n && r == 0; i++)
		r = order[i].mount ? bind_one(m, order[i].mount, e)
				   : volume_mount(m, order[i].volume, scratch_fd, e);
	return r;
}

int exports_mount(const struct agent_setup *m, int scratch_fd, struct err *e)
{
	int r;

	if (m->n_mounts == 0)
		return mount_all(m, scratch_fd, e);
	if (mkdir(BASE, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "make a place for the host's exports");
	r = sys_mount(TAG, BASE, "virtiofs", MS_NOSUID | MS_NODEV, NULL, e);
	if (r < 0)
		return r;
	r = mount_all(m, scratch_fd, e);
	if (umount2(BASE, MNT_DETACH) < 0 && r == 0)
		r = err_sys(e, -errno, "take away the mount of all exports");
	(void)rmdir(BASE);
	return r;
}
