#include "base/tool.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct running {
	pid_t pid;
	int out, err; /* our ends */
};

void tool_env_put(struct tool_env *env, const char *name, const char *value)
{
	if (env->n == TOOL_ENV_MAX || !value)
		return;
	if (snprintf(env->text[env->n], PATH_MAX, "%s=%s", name, value) >= PATH_MAX)
		return;
	env->v[env->n] = env->text[env->n];
	env->n++;
}

void tool_env_keep(struct tool_env *env, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		tool_env_put(env, names[i], getenv(names[i]));
}

const char *tool_find(const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (access(paths[i], X_OK) == 0)
			return paths[i];
	return NULL;
}

/* in_child() - between fork and exec: system calls only */
static NORETURN void in_child(const struct tool *c, const int fds[3], pid_t parent)
{
	const struct {
		int which;
		struct rlimit r;
	} limits[] = {
		{RLIMIT_CORE, {0, 0}},
		{RLIMIT_CPU, {c->cpu_s, c->cpu_s + 5}},
		{RLIMIT_FSIZE, {c->file_bytes, c->file_bytes}},
		{RLIMIT_NOFILE, {256, 256}},
	};
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (setsid() < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || chdir(c->dir) < 0)
		_exit(126);
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		if (setrlimit((__rlimit_resource_t)limits[i].which, &limits[i].r) < 0)
			_exit(126);
	/* ours are above 2: the order does not matter */
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			_exit(126);
	if (close_range(3, ~0U, 0) < 0)
		_exit(126);
	(void)execve(c->program, (char *const *)(uintptr_t)c->argv, c->env->v);
	_exit(127);
}

/* above_std() - a descriptor that dup2() onto 0, 1, 2 cannot overwrite */
static int above_std(int *fd)
{
	int higher;

	if (*fd > 2)
		return 0;
	higher = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
	if (higher < 0)
		return -errno;
	own_close_fd(fd);
	*fd = higher;
	return 0;
}

static int make_input(const struct buf *input)
{
	AUTO_FD fd = memfd_create("input", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = input && input->len ? io_write_full(fd, input->data, input->len, clock_ms() + 1000) : 0;
	if (r < 0)
		return r;
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : TAKE_FD(fd);
}

static int spawn(const struct tool *c, struct running *run)
{
	AUTO_FD in = make_input(c->input);
	int out[2] = {-1, -1}, err[2] = {-1, -1}, fds[3], r = 0;
	pid_t self = getpid();

	if (in < 0)
		return TAKE_FD(in);
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		r = -errno;
	if (r == 0)
		r = above_std(&in);
	if (r == 0)
		r = above_std(&out[1]);
	if (r == 0)
		r = above_std(&err[1]);
	if (r == 0) {
		fds[0] = in;
		fds[1] = out[1];
		fds[2] = err[1];
		run->pid = fork();
		if (run->pid == 0)
			in_child(c, fds, self);
		r = run->pid < 0 ? -errno : 0;
	}
	own_close_fd(&out[1]);
	own_close_fd(&err[1]);
	if (r < 0) {
		own_close_fd(&out[0]);
		own_close_fd(&err[0]);
		return r;
	}
	run->out = out[0];
	run->err = err[0];
	return 0;
}

/* take() - what is there; 0 at the end, 1 when more may come, -EFBIG */
static int take(int fd, struct buf *to, bool strict)
{
	char some[16384];
	ssize_t n = read(fd, some, sizeof(some));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : -errno;
	if (n == 0)
		return 0;
	if (buf_add(to, some, (size_t)n) < 0)
		return strict ? -EFBIG : 1;
	return 1;
}

static int collect(const struct tool *c, const struct running *run)
{
	struct pollfd p[2] = {
		{.fd = run->out, .events = POLLIN}, {.fd = run->err, .events = POLLIN}};
	int r = 0;

	while (r >= 0 && (p[0].fd >= 0 || p[1].fd >= 0)) {
		int n = poll(p, 2, clock_left(c->deadline));

		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; n > 0 && r >= 0 && i < 2; i++) {
			if (p[i].fd < 0 || !p[i].revents)
				continue;
			r = take(p[i].fd, i ? c->words : c->output, i == 0);
			if (r == 0)
				p[i].fd = -1;
		}
	}
	return r < 0 ? r : 0;
}

/* await() - until it has ended; it is not reaped yet, so that its number stays its own */
static int await(const struct tool *c, pid_t pid)
{
	AUTO_FD fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : io_wait(fd, POLLIN, c->deadline);
}

int tool_run(const struct tool *c, int *ret_status)
{
	struct running run = {.out = -1, .err = -1};
	int r = spawn(c, &run), status = 0;

	if (r < 0)
		return r;
	r = collect(c, &run);
	own_close_fd(&run.out);
	own_close_fd(&run.err);
	if (r == 0)
		r = await(c, run.pid);
	/* its session ends with it: helpers (ssh, remote-https) are in the same group */
	(void)kill(-run.pid, SIGKILL);
	if (r < 0)
		(void)kill(run.pid, SIGKILL);
	while (waitpid(run.pid, &status, 0) < 0 && errno == EINTR)
		;
	*ret_status = status;
	return r;
}

const char *tool_last_line(struct buf *words)
{
	char *text = words->data, *line;

	while (words->len && strchr("\r\n ", text[words->len - 1]))
		text[--words->len] = '\0';
	if (!words->len)
		return "it failed";
	line = strrchr(text, '\n');
	return line ? line + 1 : text;
}
