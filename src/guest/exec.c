/* From EXEC to a running process: who, where, with what environment and which descriptors. What
 * cannot be done is answered with ERROR and leaves nothing behind.
 */
#include "base/io.h"
#include "guest/proc_impl.h"
#include "guest/reap.h"
#include "guest/sys.h"
#include "guest/trust.h"
#include "guest/user.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define PATH_DEFAULT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define TTY_GROUP    5

/* Descriptors of a start under way: the command's three ends and ours. */
struct ends {
	int theirs[3];
	int in, out, err; /* ours; -1 where there is none */
};

static void ends_auto(struct ends *e)
{
	for (unsigned i = 0; i < 3; i++) {
		bool twice = i > 0 && e->theirs[i] == e->theirs[0];

		if (e->theirs[i] >= 0 && !twice)
			close(e->theirs[i]);
	}
	own_close_fd(&e->in);
	own_close_fd(&e->out);
	own_close_fd(&e->err);
}

/* open_pipe() - @up: the command writes. Owned by the user, so that /dev/stdout can be opened. */
static int open_pipe(bool up, const struct user *u, int *ret_theirs, int *ret_ours)
{
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ret_theirs = fds[up];
	*ret_ours = fds[!up];
	if (geteuid() == 0)
		sys_try(fchown(*ret_theirs, u->uid, u->gid));
	r = io_set_nonblock(*ret_ours, true);
	return r;
}

static int open_pipes(struct guest *g, bool wants_in, const struct user *u, struct ends *e)
{
	int r;

	if (wants_in) {
		r = open_pipe(false, u, &e->theirs[0], &e->in);
	} else {
		e->theirs[0] = fcntl(g->null_fd, F_DUPFD_CLOEXEC, 3);
		r = e->theirs[0] < 0 ? -errno : 0;
	}
	if (r == 0)
		r = open_pipe(true, u, &e->theirs[1], &e->out);
	return r < 0 ? r : open_pipe(true, u, &e->theirs[2], &e->err);
}

static int open_terminal(
	struct guest *g, const struct agent_exec *m, const struct user *u, struct ends *e)
{
	struct winsize w = {.ws_row = m->rows, .ws_col = m->cols};
	int zero = 0;

	e->out = openat(g->pts_fd, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (e->out < 0) /* a pts file system that was not mounted by us may bar it */
		e->out = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (e->out < 0)
		return -errno;
	if (ioctl(e->out, TIOCSPTLCK, &zero) < 0)
		return -errno;
	e->theirs[0] = ioctl(e->out, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (e->theirs[0] < 0)
		return -errno;
	e->theirs[1] = e->theirs[2] = e->theirs[0];
	if (geteuid() == 0) {
		sys_try(fchown(e->theirs[0], u->uid, TTY_GROUP));
		sys_try(fchmod(e->theirs[0], 0620));
	}
	if (w.ws_row && w.ws_col)
		(void)ioctl(e->out, TIOCSWINSZ, &w);
	if (!(m->flags & AGENT_EXEC_STDIN))
		return 0;
	/* The same terminal under a number of its own: it is watched for writing apart. */
	e->in = fcntl(e->out, F_DUPFD_CLOEXEC, 3);
	return e->in < 0 ? -errno : 0;
}

/* ------------------------------------------------------------------ environment */

#define ENV_DEFAULTS 7
#define ENV_MAX	     (2 * AGENT_LIST_MAX + ENV_DEFAULTS + TRUST_VARIABLES)

struct env {
	char *v[ENV_MAX + 1]; /* borrowed */
	size_t n;
	char texts[ENV_DEFAULTS][300];
	size_t n_texts;
};

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n) == 0 && b[n] == '=';
}

/* env_put() - a later value replaces an earlier one; what has no '=' is no variable */
static void env_put(struct env *e, char *var)
{
	if (!strchr(var, '=') || var[0] == '=')
		return;
	for (size_t i = 0; i < e->n; i++) {
		if (same_name(e->v[i], var)) {
			e->v[i] = var;
			return;
		}
	}
	if (e->n < ENV_MAX)
		e->v[e->n++] = var;
}

/* env_drop() - the request wants the command to be without @name */
static void env_drop(struct env *e, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < e->n; i++)
		if (strncmp(e->v[i], name, n) == 0 && e->v[i][n] == '=') {
			e->v[i] = e->v[--e->n];
			return;
		}
}

static void env_default(struct env *e, const char *name, const char *value)
{
	char *text = e->texts[e->n_texts++];

	(void)snprintf(text, sizeof(e->texts[0]), "%s%s", name, value);
	env_put(e, text);
}

static void env_fill(
	struct env *e, const struct guest *g, const struct agent_exec *m, const struct user *u)
{
	e->n = e->n_texts = 0;
	env_default(e, PATH_DEFAULT, "");
	env_default(e, "HOME=", u->home);
	env_default(e, "USER=", u->name);
	env_default(e, "LOGNAME=", u->name);
	env_default(e, "SHELL=", u->shell);
	env_default(e, "LANG=", "C.UTF-8");
	if (m->flags & AGENT_EXEC_TTY)
		env_default(e, "TERM=", "xterm-256color");
	for (size_t i = 0; g->setup.ca[0] && i < TRUST_VARIABLES; i++)
		env_put(e, (char *)(uintptr_t)trust_variables[i]);
	for (size_t i = 0; i < g->setup.env.n; i++)
		env_put(e, g->setup.env.v[i]);
	for (size_t i = 0; i < m->env.n; i++)
		if (strchr(m->env.v[i], '='))
			env_put(e, m->env.v[i]);
		else
			env_drop(e, m->env.v[i]);
	e->v[e->n] = NULL;
}

/* ------------------------------------------------------------------ start */

static int spawn_error(
	struct err *e, int r, enum spawn_stage stage, const struct agent_exec *m, const char *cwd)
{
	switch (stage) {
	case SPAWN_CWD:
		return err_sys(e, r, "working directory '%s'", cwd);
	case SPAWN_USER:
		return err_sys(e, r, "become user '%s'", m->user);
	case SPAWN_TTY:
		return err_sys(e, r, "give the command its terminal");
	case SPAWN_EXEC:
		if (r == -ENOENT && !strchr(m->argv.v[0], '/'))
			return err_set(
				e, ERR_NOT_FOUND, r, "'%s': command not found", m->argv.v[0]);
		return err_sys(e, r, "'%s'", m->argv.v[0]);
	case SPAWN_CLONE:
	default:
		return err_sys(e, r, "start a process");
	}
}

static int run(struct guest *g, const struct agent_exec *m, const struct user *u,
	const struct ends *ends, pid_t *ret_pid, struct err *e)
{
	static struct env env; /* 65 KiB of pointers; one start at a time */
	enum spawn_stage stage;
	struct spawn s = {.argv = m->argv.v,
		.env = env.v,
		.cwd = m->cwd[0]	 ? m->cwd
		       : g->setup.cwd[0] ? g->setup.cwd
					 : NULL,
		.uid = u->uid,
		.gid = u->gid,
		.n_groups = u->n_groups,
		.tty = m->flags & AGENT_EXEC_TTY};
	int r;

	env_fill(&env, g, m, u);
	memcpy(s.groups, u->groups, sizeof(s.groups));
	memcpy(s.fds, ends->theirs, sizeof(s.fds));
	if (!m->cwd[0] && s.cwd) { /* nobody asked for it by name: better somewhere than nowhere */
		s.cwd_or[0] = u->home;
		s.cwd_or[1] = "/";
	}
	r = spawn_run(&s, ret_pid, &stage);
	return r < 0 ? spawn_error(e, r, stage, m, s.cwd ? s.cwd : "") : 0;
}

/* adopt() - the process exists: make it a command that is followed */
static int adopt(struct guest *g, const struct agent_exec *m, struct ends *ends, struct proc *p)
{
	static uint64_t order;
	int r;

	p->order = ++order;
	memcpy(p->session, m->session, sizeof(p->session));
	p->in_fd = TAKE_FD(ends->in);
	r = outlet_open(p, 0, ends->out, FRAME_STDOUT);
	if (r < 0)
		return r;
	ends->out = -1;
	if (ends->err >= 0) {
		r = outlet_open(p, 1, ends->err, FRAME_STDERR);
		if (r < 0)
			return r;
		ends->err = -1;
	}
	if (p->flags & AGENT_EXEC_PERSIST) {
		r = ring_init(&p->ring);
		if (r < 0)
			return r;
	}
	return reaper_watch(g->reaper, p->pid, proc_on_exit, p);
}

static struct proc *proc_new(struct guest *g, uint32_t flags)
{
	struct proc *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct proc){.g = g, .flags = flags, .in_fd = -1};
	p->out[0] = p->out[1] = (struct outlet){.p = p, .fd = -1};
	buf_init(&p->in, AGENT_CREDIT);
	p->next = g->procs;
	g->procs = p;
	return p;
}

static int start(struct guest *g, const struct agent_exec *m, struct proc **ret_p, struct err *e)
{
	struct ends ends __attribute__((cleanup(ends_auto))) = {{-1, -1, -1}, -1, -1, -1};
	struct proc *p;
	struct user u;
	pid_t pid;
	int r;

	if (m->flags & AGENT_EXEC_PERSIST) {
		if (!m->session[0])
			return err_set(e, ERR_INVALID, -EINVAL,
				"a persistent command needs a session name");
		r = session_make_room(g, m->session);
		if (r < 0)
			return err_sys(e, r, "session '%s'", m->session);
	}
	r = user_find("/etc", m->user, &g->setup, &u, e);
	if (r < 0)
		return r;
	r = m->flags & AGENT_EXEC_TTY ? open_terminal(g, m, &u, &ends)
				      : open_pipes(g, m->flags & AGENT_EXEC_STDIN, &u, &ends);
	if (r < 0)
		return err_sys(e, r, "open the command's terminal or pipes");
	r = run(g, m, &u, &ends, &pid, e);
	if (r < 0)
		return r;
	p = proc_new(g, m->flags);
	if (!p) {
		(void)kill(-pid, SIGKILL);
		return err_sys(e, -ENOMEM, "follow the command");
	}
	p->pid = pid;
	r = adopt(g, m, &ends, p);
	if (r < 0) {
		(void)kill(-pid, SIGKILL);
		proc_free(p);
		return err_sys(e, r, "follow the command");
	}
	*ret_p = p;
	return 0;
}

void proc_start(struct guest *g, struct stream *s, const struct agent_exec *m)
{
	struct err e = {0};
	struct proc *p = NULL;
	int r = start(g, m, &p, &e);

	stream_set_ops(s, NULL, NULL);
	if (r < 0) {
		if (stream_send(s, agent_put_error(stream_out(s), r, "%s", e.msg)))
			stream_end(s);
		return;
	}
	proc_follow(p, s);
	(void)stream_send(s, proc_greet(p, s));
}
