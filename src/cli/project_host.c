/* Commands of a project on the host: what a person approved a moment ago, and nothing else. */
#include "base/clock.h"
#include "cli/project.h"
#include "cli/report.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_MS 2000

/* child() - in a group of its own, so that a time that is over ends all it started */
static void __attribute__((noreturn)) child(const struct project *p, const struct js *c)
{
	const char *command = js_str(js_get(c, "command"));
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	sigemptyset(&none);
	(void)setpgid(0, 0);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	/* Results are on stdout; what it says is for a person. Ctrl-C comes to us, who pass it on. */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
		chdir(js_str(js_get(c, "workdir"))) < 0 || setenv("SBX_ENV_NAME", p->name, 1) < 0 ||
		setenv("SBX_ENV_PROJECT_DIR", p->dir, 1) < 0)
		_exit(126);
	(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* wait_for() - its end, within its time; 0 with *ret_status, -ETIMEDOUT, -EINTR for a signal to us */
static int wait_for(pid_t pid, int64_t deadline, int signals, int *ret_status)
{
	AUTO_FD pidfd = pidfd_open(pid, 0);
	struct pollfd f[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	int r = pidfd < 0 ? -errno : 0;

	while (r == 0) {
		int n = poll(f, ARRAY_LEN(f), clock_left(deadline));

		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n == 0)
			r = -ETIMEDOUT;
		else if (n > 0 && f[0].revents)
			break;
		else if (n > 0 && f[1].revents)
			r = -EINTR;
	}
	if (r < 0) {
		(void)kill(-pid, SIGTERM);
		f[1].fd = -1;
		if (pidfd < 0 || poll(f, 1, GRACE_MS) <= 0)
			(void)kill(-pid, SIGKILL);
	}
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
	(void)kill(-pid, SIGKILL); /* what it left behind on the host */
	return r;
}

static int judge(const struct js *c, int r, int status, struct err *e)
{
	const char *name = js_str(js_get(c, "name")), *command = js_str(js_get(c, "command"));

	if (!name)
		name = command;
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, r,
			"'%.200s' did not end within %lld s and was ended", name,
			(long long)js_int(js_get(c, "timeout_s"), 0));
	if (r < 0)
		return err_set(e, ERR_CONFLICT, r, "'%.200s' was interrupted", name);
	if (WIFSIGNALED(status))
		return err_set(e, ERR_UNAVAILABLE, -ECHILD, "'%.200s' was ended by signal %d", name,
			WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return err_set(e, ERR_UNAVAILABLE, -ECHILD, "'%.200s' ended with status %d", name,
			WEXITSTATUS(status));
	return 0;
}

static int run_one(const struct project *p, const struct js *c, struct err *e)
{
	int64_t deadline = clock_ms() + 1000 * js_int(js_get(c, "timeout_s"), 0);
	sigset_t set, old;
	AUTO_FD signals = -1;
	pid_t pid;
	int status = 0, r;

	report_note("on the host: %s", js_str(js_get(c, "command")));
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	pid = signals < 0 ? -1 : fork();
	if (pid == 0)
		child(p, c);
	if (pid < 0) {
		r = err_sys(e, -errno, "start a command on the host");
	} else {
		(void)setpgid(pid, pid);
		r = wait_for(pid, deadline, signals, &status);
		r = judge(c, r, status, e);
	}
	/* A signal that came stays pending: it ends us when it may. */
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return r;
}

int project_host(const struct project *p, const char *field, struct err *e)
{
	const struct js *list = js_get(p->env, field);
	int r = 0;

	for (size_t i = 0; i < js_len(list) && r == 0; i++)
		r = run_one(p, js_at(list, i), e);
	return r;
}
