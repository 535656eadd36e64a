#include "jail/spawn.h"
#include "base/clock.h"
#include "base/io.h"
#include "jail/drop.h"
#include "jail/filter.h"
#include "jail/landlock.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define NAMESPACES                                                                                 \
	(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
#define EXEC_DEADLINE_MS 10000

/* What the child was doing when it failed; sent to the parent as one byte with the errno. */
enum step {
	STEP_WAIT,
	STEP_SESSION,
	STEP_FDS,
	STEP_FILES,
	STEP_IDS,
	STEP_ROOT,
	STEP_LIMITS,
	STEP_CAPS,
	STEP_PRIVS,
	STEP_LANDLOCK,
	STEP_FILTER,
	STEP_EXEC,
	STEP_COUNT
};

static const char *const step_names[STEP_COUNT] = {
	[STEP_WAIT] = "wait for the parent",
	[STEP_SESSION] = "make a session",
	[STEP_FDS] = "arrange descriptors",
	[STEP_FILES] = "open the files of the new root",
	[STEP_IDS] = "take the mapped user",
	[STEP_ROOT] = "enter the new root",
	[STEP_LIMITS] = "set resource limits",
	[STEP_CAPS] = "give up capabilities",
	[STEP_PRIVS] = "set no_new_privs",
	[STEP_LANDLOCK] = "enter the Landlock ruleset",
	[STEP_FILTER] = "install the seccomp filter",
	[STEP_EXEC] = "execute",
};

struct failure {
	int step;
	int error; /* negative errno */
};

/* What the parent prepared for the child; the child allocates nothing. */
struct start {
	const struct jail_child *c;
	int program_fd, devnull_fd;
	int go_fd; /* one byte comes when the maps are written */
	int report_fd; /* a struct failure goes out, or end of file at exec */
};

static int write_text(const char *path, const char *text)
{
	AUTO_FD fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EIO;
}

int jail_proc_pid(int pidfd)
{
	char path[64], text[512], *at;
	AUTO_FD fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	at = strstr(text, "\nPid:");
	n = at ? strtol(at + 5, NULL, 10) : 0;
	return n > 0 ? (int)n : -ESRCH;
}

/* write_maps() - the ids that exist in @pid's user namespace
 * Without CAP_SETGID (an ordinary user) setgroups must be denied first, and the child keeps the
 * supplementary groups it has.
 */
static int write_maps(int pid, const struct jail_child *c)
{
	char path[64], uids[128] = "", gids[128] = "";
	size_t u = 0, g = 0;
	int r;

	for (size_t i = 0; i < c->n_maps; i++) {
		const struct jail_map *m = &c->map[i];

		u += (size_t)snprintf(
			uids + u, sizeof(uids) - u, "%u %u 1\n", m->inside_uid, m->outside_uid);
		g += (size_t)snprintf(
			gids + g, sizeof(gids) - g, "%u %u 1\n", m->inside_gid, m->outside_gid);
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	r = write_text(path, uids);
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	r = write_text(path, gids);
	if (r != -EPERM)
		return r;
	(void)snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
	r = write_text(path, "deny");
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	return write_text(path, gids);
}

/* ---- between clone and exec: system calls only ---- */

/* place_fds() - child descriptor i becomes fds[i]; the program, the report and nothing else stay
 * Everything is first moved above the range that is to be filled, so that nothing is overwritten.
 */
static int place_fds(struct start *s)
{
	const struct jail_child *c = s->c;
	int want[JAIL_FDS_MAX];
	int n = (int)c->n_fds < 3 ? 3 : (int)c->n_fds;

	for (int i = 0; i < n; i++) {
		int fd = (size_t)i < c->n_fds ? c->fds[i] : -1;

		if (fd < 0 && i < 3)
			fd = s->devnull_fd;
		want[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, JAIL_FDS_MAX);
		if (fd >= 0 && want[i] < 0)
			return -errno;
	}
	s->report_fd = fcntl(s->report_fd, F_DUPFD_CLOEXEC, JAIL_FDS_MAX);
	/* By number: a sanitizer would hold what we do to our descriptors against the parent's threads. */
	if (s->report_fd < 0 || syscall(SYS_dup3, s->program_fd, JAIL_EXEC_FD, O_CLOEXEC) < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		if (want[i] < 0)
			(void)syscall(SYS_close, i);
		else if (syscall(SYS_dup3, want[i], i, 0) < 0)
			return -errno;
	}
	if (syscall(SYS_close_range, (unsigned)n, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0)
		return -errno;
	return 0;
}

/* take_ids() - become map[0]'s inside user. Groups can be cleared only where setgroups is allowed. */
static int take_ids(const struct jail_map *m)
{
	if (syscall(SYS_setgroups, 0, NULL) < 0 && errno != EPERM)
		return -errno;
	if (syscall(SYS_setresgid, m->inside_gid, m->inside_gid, m->inside_gid) < 0 ||
		syscall(SYS_setresuid, m->inside_uid, m->inside_uid, m->inside_uid) < 0)
		return -errno;
	return 0;
}

static int reset_signals(void)
{
	const struct sigaction plain = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &plain, NULL);
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

static int give_up_rights(const struct jail_child *c, enum step *at)
{
	int r;

	*at = STEP_LIMITS;
	r = jail_rlimit_set(c->limit, c->n_limits);
	if (r < 0)
		return r;
	*at = STEP_CAPS;
	r = c->keep_caps ? jail_keep_caps() : jail_drop_caps();
	if (r < 0)
		return r;
	*at = STEP_PRIVS;
	r = jail_no_new_privs();
	if (r < 0)
		return r;
	*at = STEP_LANDLOCK;
	r = c->landlock ? jail_landlock_root(JAIL_EXEC_FD) : 0;
	if (r < 0 && r != -EOPNOTSUPP)
		return r;
	if (!c->filter)
		return 0;
	*at = STEP_FILTER;
	return jail_filter_install(c->filter);
}

static int become(struct start *s, enum step *at)
{
	const struct jail_child *c = s->c;
	char *const empty[] = {NULL};
	int trees[JAIL_FILES_MAX];
	char go = 0;
	int r;

	*at = STEP_WAIT;
	if (read(s->go_fd, &go, 1) != 1)
		return -ECANCELED;
	*at = STEP_SESSION;
	r = reset_signals();
	if (r < 0 || setsid() < 0 || sethostname("sbx", 3) < 0)
		return r < 0 ? r : -errno;
	umask(0077);
	/* The host's files are opened as the user we were, the tmpfs is made as the one we become:
	 * only that one exists in this user namespace.
	 */
	*at = STEP_FILES;
	r = c->root ? jail_root_open(c->root, JAIL_FDS_MAX, trees) : 0;
	if (r < 0)
		return r;
	*at = STEP_FDS;
	r = place_fds(s);
	if (r < 0)
		return r;
	*at = STEP_IDS;
	r = take_ids(&c->map[0]);
	if (r < 0)
		return r;
	*at = STEP_ROOT;
	r = c->root ? jail_root_enter(c->root, trees) : chdir("/") < 0 ? -errno : 0;
	if (r < 0)
		return r;
	r = give_up_rights(c, at);
	if (r < 0)
		return r;
	*at = STEP_EXEC;
	(void)syscall(
		SYS_execveat, JAIL_EXEC_FD, "", c->argv, c->envp ? c->envp : empty, AT_EMPTY_PATH);
	return -errno;
}

static void NORETURN run_child(struct start *s)
{
	enum step at = STEP_WAIT;
	struct failure f = {.error = become(s, &at)};

	f.step = (int)at;
	(void)!write(s->report_fd, &f, sizeof(f));
	_exit(125);
}

/* ---- the parent ---- */

static pid_t clone_child(bool host_net, int *ret_pidfd)
{
	struct clone_args a = {
		.flags = (NAMESPACES & ~(host_net ? (uint64_t)CLONE_NEWNET : 0)) | CLONE_PIDFD,
		.exit_signal = SIGCHLD,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd};

	return (pid_t)syscall(SYS_clone3, &a, sizeof(a));
}

static int clone_error(int r, struct err *e)
{
	(void)err_sys(e, r, "make namespaces");
	if (r == -EPERM || r == -ENOSPC)
		err_hint(e, "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 and "
			    "user.max_user_namespaces=65536");
	else if (r == -ENOSYS || r == -EINVAL)
		err_hint(e, "the kernel must be 5.13 or newer, with user, pid, net, ipc and uts "
			    "namespaces");
	return r;
}

static int child_error(const struct failure *f, const struct jail_child *c, struct err *e)
{
	const char *step =
		f->step >= 0 && f->step < STEP_COUNT ? step_names[f->step] : "start the child";
	int num = f->error < 0 && f->error > -4096 ? f->error : -EIO;

	(void)err_sys(e, num, "jail of '%s': %s", c->path, step);
	if (f->step == STEP_ROOT && (num == -EPERM || num == -ENOSYS))
		err_hint(e,
			"the kernel must allow mounting tmpfs in a user namespace (5.12 or newer, "
			"and not be denied by AppArmor: "
			"kernel.apparmor_restrict_unprivileged_userns)");
	return num;
}

/* supervise() - let the child go on and hear how far it got */
static int supervise(
	pid_t pid, int pidfd, int go, int report, const struct jail_child *c, struct err *e)
{
	struct failure f;
	int r = jail_proc_pid(pidfd);

	if (r > 0)
		r = write_maps(r, c);
	if (r < 0)
		return err_sys(e, r, "map the user of '%s'", c->path);
	if (c->cgroup) {
		r = jail_cgroup_attach(c->cgroup, pid);
		if (r < 0)
			return err_sys(e, r, "put '%s' into its cgroup", c->path);
	}
	if (write(go, "g", 1) != 1)
		return err_sys(e, -errno, "start '%s'", c->path);
	r = io_read_full(report, &f, sizeof(f), clock_ms() + EXEC_DEADLINE_MS);
	if (r == -ENODATA) /* closed by exec */
		return 0;
	if (r < 0)
		return err_sys(e, r, "start '%s'", c->path);
	return child_error(&f, c, e);
}

int jail_spawn(const struct jail_child *c, pid_t *ret_pid, int *ret_pidfd, struct err *e)
{
	AUTO_FD program = open(c->path, O_PATH | O_CLOEXEC);
	AUTO_FD devnull = open("/dev/null", O_RDWR | O_CLOEXEC);
	int go[2], report[2], pidfd = -1, r;
	pid_t pid;

	if (program < 0)
		return err_sys(e, -errno, "open program '%s'", c->path);
	if (devnull < 0)
		return err_sys(e, -errno, "open '/dev/null'");
	if (c->n_fds > JAIL_FDS_MAX || c->n_maps < 1 || c->n_maps > JAIL_MAPS_MAX)
		return err_set(e, ERR_INTERNAL, -EINVAL, "jail of '%s': bad table", c->path);
	if (pipe2(go, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "make a pipe");
	AUTO_FD go_r = go[0], go_w = go[1];
	if (pipe2(report, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "make a pipe");
	AUTO_FD report_r = report[0], report_w = report[1];
	struct start s = {.c = c,
		.program_fd = program,
		.devnull_fd = devnull,
		.go_fd = go_r,
		.report_fd = report_w};

	pid = clone_child(c->host_net, &pidfd);
	if (pid < 0)
		return clone_error(-errno, e);
	if (pid == 0) {
		close(go_w); /* else a dead parent would leave us waiting for ourselves */
		run_child(&s);
	}
	AUTO_FD own_pidfd = pidfd;
	own_close_fd(&go_r);
	own_close_fd(&report_w);
	r = supervise(pid, own_pidfd, go_w, report_r, c, e);
	if (r < 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	*ret_pid = pid;
	*ret_pidfd = TAKE_FD(own_pidfd);
	return 0;
}
