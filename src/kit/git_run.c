#include "kit/git_run.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define WORDS_MAX  (8U << 10) /* of what git says */
#define ENV_MAX	   32
#define FILE_BYTES (512ULL << 20) /* of one file that git writes */

/* Options of every run: what a repository, its server or the user's files could otherwise turn on. */
static const char *const always[] = {"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false",
	"-c", "core.attributesFile=/dev/null", "-c", "credential.helper=", "-c",
	"http.followRedirects=false", "-c", "submodule.recurse=false", "-c", "gc.auto=0", "-c",
	"maintenance.auto=false", "-c", "transfer.fsckObjects=true", "-c", "protocol.version=2",
	"-c", "init.defaultBranch=kit", "-c", "safe.bareRepository=all"};

struct env {
	char text[ENV_MAX][PATH_MAX];
	char *v[ENV_MAX + 1];
	size_t n;
};

static void env_put(struct env *env, const char *name, const char *value)
{
	if (env->n == ENV_MAX || !value)
		return;
	if (snprintf(env->text[env->n], PATH_MAX, "%s=%s", name, value) >= PATH_MAX)
		return;
	env->v[env->n] = env->text[env->n];
	env->n++;
}

static void env_make(struct env *env, const struct git_run *g)
{
	static const char *const kept[] = {"https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY",
		"all_proxy", "ALL_PROXY", "SSH_AUTH_SOCK"};

	env_put(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
	env_put(env, "HOME", g->home);
	env_put(env, "XDG_CONFIG_HOME", g->home);
	env_put(env, "TMPDIR", g->home);
	env_put(env, "LC_ALL", "C");
	env_put(env, "GIT_CONFIG_NOSYSTEM", "1");
	env_put(env, "GIT_CONFIG_GLOBAL", "/dev/null");
	env_put(env, "GIT_ATTR_NOSYSTEM", "1");
	env_put(env, "GIT_ALLOW_PROTOCOL", g->protocols);
	env_put(env, "GIT_PROTOCOL_FROM_USER", "0");
	env_put(env, "GIT_TERMINAL_PROMPT", "0");
	env_put(env, "GIT_ASKPASS", "/bin/false");
	env_put(env, "SSH_ASKPASS", "/bin/false");
	env_put(env, "GIT_NO_REPLACE_OBJECTS", "1");
	env_put(env, "GIT_NO_LAZY_FETCH", "1");
	env_put(env, "GIT_SSH_COMMAND",
		"ssh -a -x -oBatchMode=yes -oStrictHostKeyChecking=yes -oClearAllForwardings=yes "
		"-oPermitLocalCommand=no");
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		env_put(env, kept[i], getenv(kept[i]));
}

static const char *find_git(void)
{
	static const char *const places[] = {"/usr/bin/git", "/usr/local/bin/git", "/bin/git"};

	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

struct child {
	pid_t pid;
	int out, err; /* our ends */
};

/* in_child() - between fork and exec: system calls only */
static NORETURN void in_child(
	const char *git, char *const *argv, char *const *env, const char *home, const int fds[3])
{
	static const struct {
		int which;
		struct rlimit r;
	} limits[] = {
		{RLIMIT_CORE, {0, 0}},
		{RLIMIT_CPU, {120, 125}},
		{RLIMIT_FSIZE, {FILE_BYTES, FILE_BYTES}},
		{RLIMIT_NOFILE, {256, 256}},
	};
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (setsid() < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || chdir(home) < 0)
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
	(void)execve(git, argv, env);
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
	AUTO_FD fd = memfd_create("kit", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = input && input->len ? io_write_full(fd, input->data, input->len, clock_ms() + 1000) : 0;
	if (r < 0)
		return r;
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : TAKE_FD(fd);
}

static int spawn(const struct git_run *g, const char *git, struct child *c)
{
	char *argv[GIT_ARGS_MAX + ARRAY_LEN(always) + 2];
	AUTO_FREE struct env *env = calloc(1, sizeof(*env));
	AUTO_FD in = make_input(g->input);
	int out[2] = {-1, -1}, err[2] = {-1, -1}, fds[3], r = 0;
	size_t n = 0;

	if (in < 0 || !env)
		return in < 0 ? TAKE_FD(in) : -ENOMEM;
	argv[n++] = (char *)(uintptr_t) "git";
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		argv[n++] = (char *)(uintptr_t)always[i];
	for (size_t i = 0; i < GIT_ARGS_MAX && g->args[i]; i++)
		argv[n++] = (char *)(uintptr_t)g->args[i];
	argv[n] = NULL;
	env_make(env, g);
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
		c->pid = fork();
		if (c->pid == 0)
			in_child(git, argv, env->v, g->home, fds);
		r = c->pid < 0 ? -errno : 0;
	}
	own_close_fd(&out[1]);
	own_close_fd(&err[1]);
	if (r < 0) {
		own_close_fd(&out[0]);
		own_close_fd(&err[0]);
		return r;
	}
	c->out = out[0];
	c->err = err[0];
	return 0;
}

/* take() - what is there; 0 at the end, 1 when more may come, -EFBIG. Words beyond the bound are dropped. */
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

static int collect(const struct git_run *g, const struct child *c, struct buf *words)
{
	struct pollfd p[2] = {{.fd = c->out, .events = POLLIN}, {.fd = c->err, .events = POLLIN}};
	int r = 0;

	while (r >= 0 && (p[0].fd >= 0 || p[1].fd >= 0)) {
		int n = poll(p, 2, clock_left(g->deadline));

		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; n > 0 && r >= 0 && i < 2; i++) {
			if (p[i].fd < 0 || !p[i].revents)
				continue;
			r = take(p[i].fd, i ? words : g->output, i == 0);
			if (r == 0)
				p[i].fd = -1;
		}
	}
	return r < 0 ? r : 0;
}

/* await() - until it has ended; it is not reaped yet, so that its number stays its own */
static int await(const struct git_run *g, pid_t pid)
{
	AUTO_FD fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : io_wait(fd, POLLIN, g->deadline);
}

/* last_line() - of what git said, without "fatal: " */
static const char *last_line(struct buf *words)
{
	char *text = words->data, *line;

	while (words->len && strchr("\r\n ", text[words->len - 1]))
		text[--words->len] = '\0';
	line = text ? strrchr(text, '\n') : NULL;
	line = line ? line + 1 : text;
	if (!line)
		return "it failed";
	return strncmp(line, "fatal: ", 7) == 0 ? line + 7 : line;
}

int git_run(const struct git_run *g, struct err *e)
{
	const char *git = find_git();
	struct child c = {.out = -1, .err = -1};
	AUTO(buf) words;
	int r, status = 0;

	buf_init(&words, WORDS_MAX);
	if (!git)
		return err_set(e, ERR_UNAVAILABLE, -ENOENT, "git is not installed");
	r = spawn(g, git, &c);
	if (r < 0)
		return err_sys(e, r, "run git");
	r = collect(g, &c, &words);
	own_close_fd(&c.out);
	own_close_fd(&c.err);
	if (r == 0)
		r = await(g, c.pid);
	/* its session ends with it: helpers of git (ssh, remote-https) are in the same group */
	(void)kill(-c.pid, SIGKILL);
	if (r < 0)
		(void)kill(c.pid, SIGKILL);
	while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, r, "git took too long");
	if (r == -EFBIG)
		return err_set(e, ERR_LIMIT, r, "git gave more than is allowed");
	if (r < 0)
		return err_sys(e, r, "run git");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, ERR_UNAVAILABLE, -EHOSTUNREACH, "git: %s", last_line(&words));
	return 0;
}
