#include "daemon/provision.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/agent.h"
#include "daemon/agent_run.h"
#include "daemon/disk.h"
#include "daemon/files.h"
#include "daemon/kit_add.h"
#include "daemon/setup_log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

bool provision_pending(int dir)
{
	return faccessat(dir, FILE_FIRST, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void provision_done(int dir)
{
	(void)unlinkat(dir, FILE_FIRST, 0);
	kit_added_done(dir);
}

int provision_begin(struct sandbox *s, int dir, struct err *e)
{
	int r = kit_add_settle(s, dir, e);

	if (r < 0)
		return r;
	if (s->row.provisioned) {
		(void)unlinkat(dir, FILE_FIRST, 0); /* of a daemon that ended in between */
		return 0;
	}
	if (provision_pending(dir)) {
		log_info("sandbox %s: its first start was not finished: a new disk", s->name);
		if (unlinkat(dir, FILE_SCRATCH, 0) < 0 && errno != ENOENT)
			return err_sys(e, -errno, "remove the disk of the first try");
		r = disk_make(s->d, dir, FILE_SCRATCH, s->plan->disk_bytes, e);
		if (r < 0)
			return r;
	}
	AUTO_FD mark = openat(dir, FILE_FIRST, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	/* on stable storage before anything inside could be */
	if (mark < 0 || fsync(mark) < 0 || fsync(dir) < 0)
		return err_sys(e, -errno, "note the first start");
	return 0;
}

struct providing {
	struct sandbox *s;
	int dir;
	bool put; /* something is on the disk */
};

static int put_tar(
	struct providing *p, const char *name, const char *dest, uint32_t flags, struct err *e)
{
	const struct plan *plan = p->s->plan;
	AUTO_FD fd = openat(p->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "open '%s'", name);
	p->put = true;
	r = agent_put_file(
		p->s, fd, dest, flags, plan->uid, plan->gid, clock_ms() + PROVISION_PUT_MS, e);
	return r < 0 ? err_wrap(e, r, "put the kits' files into '%s'", dest) : 0;
}

/* put_workspace() - through the share, by its rules, as everything inside */
static int put_workspace(struct providing *p, struct setup_log *log, struct err *e)
{
	const struct plan *plan = p->s->plan;

	if (plan->n_workspaces > 0 && plan->workspaces[0].read_only) {
		if (faccessat(p->dir, FILE_WORKSPACE_TAR, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			setup_log_say(log, "-- the workspace is read-only: the kits' files for it "
					   "are left out");
		return 0;
	}
	return put_tar(p, FILE_WORKSPACE_TAR, plan->cwd, 0, e);
}

static int all_of_it(
	struct providing *p, struct setup_log *log, sandbox_step_fn step, void *ctx, struct err *e)
{
	int r = put_tar(p, FILE_HOME_TAR, p->s->plan->home, 0, e);

	if (r == 0)
		r = provision_install(p->s, p->dir, log, step, ctx, e);
	if (r == 0 && step)
		step(ctx, "kits' files");
	if (r == 0)
		r = put_tar(p, FILE_SETUP_TAR, "/", 0, e);
	if (r == 0)
		r = put_tar(p, FILE_MISSING_TAR, "/", AGENT_PUT_KEEP, e);
	if (r == 0)
		r = put_workspace(p, log, e);
	if (r == 0)
		r = provision_memory(p->s, p->dir, log, e);
	/* Before the row says that it is done: a host that fails now has it all, or begins anew. */
	if (r == 0 && (p->put || p->s->plan->n_install > 0))
		r = agent_settle(p->s, AGENT_SETTLE_SYNC, clock_ms() + PROVISION_SETTLE_MS, e);
	return r;
}

/* set_providing() - others who want something of it are told, instead of being left to wait */
static void set_providing(struct sandbox *s, bool providing)
{
	(void)pthread_mutex_lock(&s->lock);
	s->providing = providing;
	(void)pthread_cond_broadcast(&s->changed);
	(void)pthread_mutex_unlock(&s->lock);
}

int provision(struct sandbox *s, int dir, sandbox_step_fn step, void *ctx, struct err *e)
{
	struct providing p = {.s = s, .dir = dir};
	AUTO_SETUP_LOG *log = NULL;
	int r;

	if (s->row.provisioned && !kit_added(dir))
		return 0;
	r = setup_log_open(s, true, &log, e);
	if (r < 0)
		return r;
	set_providing(s, s->plan->n_install > 0);
	r = all_of_it(&p, log, step, ctx, e);
	set_providing(s, false);
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&s->lock);
	s->row.provisioned = true; /* written with the move to running */
	(void)pthread_mutex_unlock(&s->lock);
	return 0;
}
