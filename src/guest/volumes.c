#include "guest/volumes.h"
#include "base/log.h"
#include "guest/channel.h"
#include "guest/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define DIR	    "volumes"
#define FILLING	    "/run/.sbx-volume"
#define MODE	    0755
#define MODE_MEMORY 01777

static bool is_home(const struct agent_setup *m, const char *path)
{
	size_t n = strlen(m->home);

	return n > 1 && strncmp(path, m->home, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

/* copy_end() - one side of the copy, in a process of its own */
static NORETURN void copy_end(int fd, const char *from, const char *to)
{
	static struct channel c;
	static struct agent_put put = {.uid = UINT32_MAX, .gid = UINT32_MAX};
	static struct agent_get get;
	struct err e = {0};
	int r;

	c.fd = fd;
	frame_decoder_init(&c.in);
	(void)snprintf(put.path, sizeof(put.path), "%s", to);
	(void)snprintf(get.path, sizeof(get.path), "%s/.", from);
	r = to[0] ? put_serve(&c, &put, &e) : get_serve(&c, &get, -1, &e);
	if (r == 0 && !to[0])
		r = channel_finish(&c, &e);
	if (r < 0)
		log_warn("a volume's first content: %s", e.msg);
	_exit(r < 0);
}

static int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* copy() - what is in the directory @from into @to, as transfers copy: without set-id bits */
static int copy(const char *from, const char *to)
{
	int pair[2], r, r2;
	pid_t reader, writer;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	reader = fork();
	if (reader == 0) {
		close(pair[1]);
		copy_end(pair[0], from, "");
	}
	writer = reader < 0 ? -1 : fork();
	if (writer == 0) {
		close(pair[0]);
		copy_end(pair[1], from, to);
	}
	close(pair[0]); /* whoever is left alone then reads the end */
	close(pair[1]);
	if (reader < 0)
		return -EAGAIN;
	r = wait_for(reader);
	r2 = writer < 0 ? -EAGAIN : wait_for(writer);
	return r2 < 0 ? r2 : r;
}

/* fill() - the directory @dir gets what is at @path of the root now; bound to a place of its own, as
 * a copy's destination is a path
 */
static int fill(int dir, const char *path, struct err *e)
{
	char self[40];
	int r;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", dir);
	if (mkdir(FILLING, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "make '" FILLING "'");
	r = sys_mount(self, FILLING, NULL, MS_BIND, NULL, e);
	if (r == 0) {
		r = copy(path, FILLING);
		if (r < 0)
			(void)err_sys(e, r, "copy what is in '%s' into its volume", path);
		if (umount2(FILLING, MNT_DETACH) < 0 && r == 0)
			r = err_sys(e, -errno, "unmount '" FILLING "'");
	}
	(void)rmdir(FILLING);
	return r;
}

/* own() - owner and mode: as said, or as the directory of the root has them that it stands for */
static int own(
	const struct agent_setup *m, const struct agent_volume *v, int dir, const struct stat *was)
{
	bool home = is_home(m, v->path);
	mode_t mode = v->mode ? v->mode : was ? was->st_mode & 01777 : MODE;
	uid_t uid = was ? was->st_uid : home ? m->uid : 0;
	gid_t gid = was ? was->st_gid : home ? m->gid : 0;

	return fchown(dir, uid, gid) < 0 || fchmod(dir, mode) < 0 ? -errno : 0;
}

/* make_new() - under another name until it is whole: a start that was cut begins it anew */
static int make_new(const struct agent_setup *m, const struct agent_volume *v, int volumes,
	const char *name, struct err *e)
{
	char half[40];
	struct stat st;
	bool was = stat(v->path, &st) == 0 && S_ISDIR(st.st_mode);
	AUTO_FD dir = -1;
	int r;

	(void)snprintf(half, sizeof(half), "%s.half", name);
	if (mkdirat(volumes, half, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "make a directory for volume '%s'", v->path);
	dir = openat(volumes, half, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return err_sys(e, -errno, "open the directory of volume '%s'", v->path);
	r = was ? fill(dir, v->path, e) : 0;
	if (r < 0)
		return r;
	r = own(m, v, dir, was ? &st : NULL);
	if (r == 0 && renameat(volumes, half, volumes, name) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, r, "make volume '%s'", v->path) : 0;
}

static int mount_disk(const struct agent_setup *m, const struct agent_volume *v, size_t at,
	int scratch_fd, struct err *e)
{
	char name[24], self[40];
	AUTO_FD volumes = -1;
	AUTO_FD dir = -1;
	int r;

	(void)snprintf(name, sizeof(name), "%zu", at);
	if (mkdirat(scratch_fd, DIR, 0700) < 0 && errno != EEXIST)
		return err_sys(e, -errno, "make a place for volumes");
	volumes = openat(scratch_fd, DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (volumes < 0)
		return err_sys(e, -errno, "open the place of volumes");
	if (faccessat(volumes, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
		r = make_new(m, v, volumes, name, e);
		if (r < 0)
			return r;
	}
	dir = openat(volumes, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return err_sys(e, -errno, "open volume '%s'", v->path);
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", dir);
	return sys_mount(self, v->path, NULL, MS_BIND, NULL, e);
}

static int mount_memory(const struct agent_setup *m, const struct agent_volume *v, struct err *e)
{
	bool home = is_home(m, v->path);
	char options[120], size[40] = "";

	if (v->bytes)
		(void)snprintf(size, sizeof(size), ",size=%llu", (unsigned long long)v->bytes);
	(void)snprintf(options, sizeof(options), "mode=%o,uid=%u,gid=%u%s",
		v->mode ? v->mode : MODE_MEMORY, home ? m->uid : 0, home ? m->gid : 0, size);
	return sys_mount("volume", v->path, "tmpfs", MS_NOSUID | MS_NODEV, options, e);
}

int volume_mount(const struct agent_setup *m, size_t at, int scratch_fd, struct err *e)
{
	const struct agent_volume *v = &m->volumes[at];
	int r = sys_mkdirs(v->path, m->home, m->uid, m->gid);

	if (r < 0)
		return err_sys(e, r, "make '%s' to mount on", v->path);
	return v->flags & AGENT_VOLUME_TMPFS ? mount_memory(m, v, e)
					     : mount_disk(m, v, at, scratch_fd, e);
}
