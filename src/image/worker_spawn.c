#include "image/worker_spawn.h"
#include "image/internal.h"
#include "jail/spawn.h"
#include "json/apierr.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define LINE_MAX_BYTES (2U << 20)
#define FIRST_PERCENT  10
#define LAST_PERCENT   95

struct follower {
	const struct worker_job *job;
	struct js *result;
	struct err *e;
	bool said; /* a last line came */
	int r;
};

/* one_line() - "P done all", "R {...}", "E {...}" */
static int one_line(void *ctx, char *line, size_t len)
{
	struct follower *f = ctx;
	unsigned long long done, all;
	AUTO_JS o = NULL;

	if (len > 2 && line[0] == 'P' && sscanf(line, "P %20llu %20llu", &done, &all) == 2 && all) {
		unsigned span = LAST_PERCENT - FIRST_PERCENT;
		unsigned part = done >= all ? span : (unsigned)((double)done / (double)all * span);

		if (f->job->progress)
			f->job->progress(f->job->ctx, FIRST_PERCENT + part, "unpacking layers");
		return 0;
	}
	if (len < 3 || line[1] != ' ' || (line[0] != 'R' && line[0] != 'E') || f->said)
		return -EBADMSG;
	if (js_parse(line + 2, len - 2, LINE_MAX_BYTES, &o, NULL) < 0)
		return -EBADMSG;
	f->said = true;
	if (line[0] == 'R')
		f->result = TAKE(o);
	else
		f->r = apierr_from(js_get(o, "error"), f->e);
	return 0;
}

static int spawn(const struct worker_job *job, int report, pid_t *ret_pid, struct err *e)
{
	char name[] = "sbx-image", option[] = "--ref", back[] = "--export", *ref = NULL,
	     *argv[4] = {name}, *envp[] = {NULL};
	const int fds[] = {-1, -1, STDERR_FILENO, report, job->layout_fd, job->image_fd};
	const struct jail_rlimit limits[] = {{RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 64}};
	const struct jail_child c = {.path = job->program,
		.argv = argv,
		.envp = envp,
		.fds = fds,
		.n_fds = ARRAY_LEN(fds),
		.map = {{geteuid(), geteuid(), getegid(), getegid()}},
		.n_maps = 1,
		.limit = limits,
		.n_limits = ARRAY_LEN(limits),
		.keep_caps = true};
	int pidfd = -1, r;

	if (job->export)
		argv[1] = back;
	else if (job->ref) {
		ref = strdup(job->ref);
		if (!ref)
			return err_sys(e, -ENOMEM, "start sbx-image");
		argv[1] = option;
		argv[2] = ref;
	}
	r = jail_spawn(&c, ret_pid, &pidfd, e);
	own_close_fd(&pidfd);
	free(ref);
	return r < 0 ? err_wrap(e, r, "start sbx-image") : 0;
}

static int end_of(pid_t pid, bool stop)
{
	int status;

	if (stop)
		(void)kill(pid, SIGKILL); /* it has nothing to clean up */
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int worker_do(const struct worker_job *job, struct js **ret_result, struct err *e)
{
	struct follower f = {.job = job, .e = e};
	int p[2], r, status;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "start sbx-image");
	AUTO_FD from = p[0];
	AUTO_FD to = p[1];
	r = spawn(job, to, &pid, e);
	if (r < 0)
		return r;
	own_close_fd(&to);
	r = image_follow(from, job->interrupted, LINE_MAX_BYTES, one_line, &f);
	status = end_of(pid, r < 0);
	if (r == 0 && f.said && f.result && status == 0) {
		*ret_result = f.result;
		return 0;
	}
	js_free(f.result);
	if (r == -EINTR)
		return err_set(e, ERR_TIMEOUT, r, "interrupted; nothing is left of it");
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, r, "not done within an hour");
	if (r == 0 && f.said && f.r < 0)
		return f.r;
	return err_set(e, ERR_INTERNAL, -EIO, "sbx-image ended without a result (%s %d)",
		status < 0 ? "signal" : "status", status < 0 ? -status : status);
}
