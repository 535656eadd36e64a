#include "guest/spawn.h"
#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CHILD_STACK 65536
#define FILES_SOFT  1024
#define FILES_HARD  1048576

struct child {
	const struct spawn *s;
	volatile int error; /* negative errno, written by the child */
	volatile enum spawn_stage stage;
};

static _Alignas(16) char child_stack[CHILD_STACK];

static int failed(struct child *c, enum spawn_stage stage, int error)
{
	c->stage = stage;
	c->error = error;
	return 127;
}

/* become() - raw calls: the C library's would look for threads of a process that is not this one */
static int become(const struct spawn *s)
{
	if (geteuid() == s->uid && getegid() == s->gid && s->uid != 0)
		return 0; /* a test as an ordinary user */
	if (syscall(SYS_setgroups, s->n_groups, s->groups) < 0 ||
		syscall(SYS_setresgid, s->gid, s->gid, s->gid) < 0 ||
		syscall(SYS_setresuid, s->uid, s->uid, s->uid) < 0)
		return -errno;
	return 0;
}

static int enter(const struct spawn *s)
{
	int r;

	if (!s->cwd || chdir(s->cwd) == 0)
		return 0;
	r = -errno;
	for (size_t i = 0; i < ARRAY_LEN(s->cwd_or); i++)
		if (s->cwd_or[i] && chdir(s->cwd_or[i]) == 0)
			return 0;
	return r;
}

static const char *search_path(char *const *env)
{
	for (; *env; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return "/usr/local/bin:/usr/bin:/bin";
}

/* run() - as execvpe(), but a script without interpreter line stays an error, and a directory in
 * the way does not end the search
 */
static int run(const struct spawn *s)
{
	const char *name = s->argv[0], *path = search_path(s->env);
	size_t len = strlen(name);
	char file[PATH_MAX];
	bool denied = false;

	if (len == 0)
		return -ENOENT;
	if (strchr(name, '/')) {
		execve(name, s->argv, s->env);
		return -errno;
	}
	for (;;) {
		size_t n = strcspn(path, ":");

		if (n + len + 2 <= sizeof(file)) {
			memcpy(file, path, n);
			file[n] = '/';
			memcpy(file + n + (n > 0), name, len + 1);
			execve(file, s->argv, s->env);
			if (errno == EACCES)
				denied = true;
			else if (errno != ENOENT && errno != ENOTDIR)
				return -errno;
		}
		if (!path[n])
			return denied ? -EACCES : -ENOENT;
		path += n + 1;
	}
}

static int child_main(void *arg)
{
	struct child *c = arg;
	const struct spawn *s = c->s;
	struct rlimit files = {.rlim_cur = FILES_SOFT, .rlim_max = FILES_HARD};
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;
	int r;

	if (setsid() < 0)
		return failed(c, SPAWN_CLONE, -errno);
	if (s->tty && ioctl(s->fds[0], TIOCSCTTY, 0) < 0)
		return failed(c, SPAWN_TTY, -errno);
	for (int i = 0; i < 3; i++)
		if (dup2(s->fds[i], i) < 0)
			return failed(c, SPAWN_CLONE, -errno);
	if (geteuid() == 0)
		(void)setrlimit(RLIMIT_NOFILE, &files);
	r = become(s);
	if (r < 0)
		return failed(c, SPAWN_USER, r);
	r = enter(s);
	if (r < 0)
		return failed(c, SPAWN_CWD, r);
	(void)sigaction(SIGPIPE, &dfl, NULL); /* the only one that we ignore */
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	return failed(c, SPAWN_EXEC, run(s));
}

int spawn_run(const struct spawn *s, pid_t *ret_pid, enum spawn_stage *ret_stage)
{
	struct child c = {.s = s};
	sigset_t all, before;
	pid_t pid;
	int r;

	for (int i = 0; i < 3; i++)
		assert(s->fds[i] > 2);
	/* No handler of ours may run on the shared memory before the child has its own. */
	sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &before);
	pid = clone(child_main, child_stack + sizeof(child_stack), CLONE_VM | CLONE_VFORK | SIGCHLD,
		&c);
	r = pid < 0 ? -errno : c.error;
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0) {
		*ret_stage = SPAWN_CLONE;
		return r;
	}
	if (r < 0) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		*ret_stage = c.stage;
		return r;
	}
	*ret_pid = pid;
	return 0;
}
