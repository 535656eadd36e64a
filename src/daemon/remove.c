#include "daemon/sandbox.h"
#include "daemon/approvals.h"
#include "daemon/files.h"
#include "base/clock.h"
#include "base/log.h"
#include "machine/spawn.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define SWEEP_DEPTH 4 /* we put no directories there at all */

static int sweep_entries(int fd, unsigned depth)
{
	struct dirent *de;
	int r = 0;
	DIR *dir = fdopendir(fd);

	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	while (r == 0 && (de = readdir(dir))) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), de->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if ((errno == EISDIR || errno == EPERM) && depth > 0) {
			int sub = openat(dirfd(dir), de->d_name,
				O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

			r = sub < 0 ? -errno : sweep_entries(sub, depth - 1);
			if (r == 0 && unlinkat(dirfd(dir), de->d_name, AT_REMOVEDIR) < 0)
				r = -errno;
		} else
			r = -errno;
	}
	closedir(dir);
	return r;
}

int sandbox_sweep(struct daemon *d, const char *id)
{
	int fd = openat(d->boxes_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0) {
		if (errno == ENOENT)
			return 0;
		/* not a directory: nothing that we made */
		return unlinkat(d->boxes_fd, id, 0) < 0 ? -errno : 0;
	}
	/* The plan first: a directory without one is no sandbox any more, whatever else is left. */
	(void)unlinkat(fd, FILE_PLAN, 0);
	r = sweep_entries(fd, SWEEP_DEPTH);
	if (r == 0 && unlinkat(d->boxes_fd, id, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

static int remove_owned(struct sandbox *s, struct err *e)
{
	struct err full = {0};
	int r = 0;

	if (sandbox_status(s) != STATUS_REMOVING) {
		r = sandbox_move(s, STATUS_REMOVING, "", &full);
		/* A full disk must not keep what fills it: go on, the row goes last anyway. */
		if (r < 0 && r != -ENOSPC) {
			*e = full;
			return r;
		}
	}
	r = sandbox_sweep(s->d, s->id);
	if (r < 0)
		return err_sys(e, r, "remove the directory of sandbox '%s'", s->name);
	machine_forget(s->id);
	approvals_drop(s->d, s->id);
	r = secret_file_forget(s->d->secrets, s->id, e);
	if (r < 0)
		return r;
	r = store_remove(s->d->store, s->id, e);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&s->lock);
	s->gone = true;
	(void)pthread_mutex_unlock(&s->lock);
	sandbox_list_remove(s);
	log_info("sandbox %s (%s): removed", s->name, s->id);
	return 0;
}

int sandbox_remove(struct sandbox *s, bool force, struct err *e)
{
	enum status st = sandbox_status(s);
	struct err lost = {0};
	int r;

	if (status_has_machine(st) && !force) {
		r = err_set(
			e, ERR_CONFLICT, -EBUSY, "sandbox '%s' is %s", s->name, status_name(st));
		err_hint(e, "stop it first, or force it: sbx rm -f %s", s->name);
		return r;
	}
	if (status_has_machine(st)) {
		r = sandbox_stop(s, 0, &lost);
		if (r < 0 && lost.code != ERR_NOT_FOUND) {
			*e = lost;
			return r;
		}
	}
	r = sandbox_begin(s, "rm", clock_ms() + SANDBOX_BUSY_MS, &lost);
	if (r < 0) {
		if (lost.code == ERR_NOT_FOUND)
			return 0; /* somebody else removed it meanwhile */
		*e = lost;
		return r;
	}
	if (status_has_machine(sandbox_status(s)))
		r = err_set(e, ERR_CONFLICT, -EBUSY, "sandbox '%s' was started meanwhile", s->name);
	else
		r = remove_owned(s, e);
	sandbox_end(s);
	return r;
}
