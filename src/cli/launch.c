#include "cli/launch.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define READY_MS 20000

static int no_daemon(int num, struct err *e)
{
	(void)err_set(e, ERR_UNAVAILABLE, num, "the daemon is not running");
	err_hint(e, "sbx daemon start");
	return num;
}

/* is_ours() - what we say holds tokens and paths, what comes back is acted on: a state directory that
 * another user could make first must not hand both to him
 */
static bool is_ours(int s)
{
	struct ucred c = {0};
	socklen_t len = sizeof(c);

	return getsockopt(s, SOL_SOCKET, SO_PEERCRED, &c, &len) == 0 && len == sizeof(c) &&
	       c.uid == geteuid();
}

int launch_connect(const struct paths *p, struct err *e)
{
	AUTO_FD dir = open(p->state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD s = -1;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int r;

	if (dir < 0)
		return errno == ENOENT ? no_daemon(-ENOENT, e)
				       : err_sys(e, -errno, "open '%s'", p->state);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s < 0)
		return err_sys(e, -errno, "make a socket");
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/" LAUNCH_SOCKET, dir);
	/* A unix socket connects at once or not at all; EAGAIN is a full backlog. */
	for (int64_t until = clock_ms() + 5000;;) {
		if (connect(s, (struct sockaddr *)&sa, sizeof(sa)) == 0)
			return is_ours(s) ? TAKE_FD(s)
					  : err_set(e, ERR_DENIED, -EPERM,
						    "the daemon at '%s' belongs to another user",
						    p->state);
		r = -errno;
		if (r == -EINTR || (r == -EAGAIN && clock_ms() < until)) {
			(void)poll(NULL, 0, 5);
			continue;
		}
		break;
	}
	if (r == -ENOENT || r == -ECONNREFUSED)
		return no_daemon(r, e);
	return err_sys(e, r, "connect to the daemon at '%s/" LAUNCH_SOCKET "'", p->state);
}

static NORETURN void become_daemon(const char *program, int ready)
{
	char fd_text[16];
	sigset_t none;
	int null;

	/* Nothing of the terminal and of the caller's descriptors goes with it. */
	if (setsid() < 0 || chdir("/") < 0)
		_exit(127);
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(127);
	if (ready != 3 && dup2(ready, 3) < 0)
		_exit(127);
	if (ready == 3 && fcntl(3, F_SETFD, 0) < 0)
		_exit(127);
	(void)close_range(4, ~0U, 0);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)snprintf(fd_text, sizeof(fd_text), "3");
	execl(program, "sbxd", "--ready-fd", fd_text, (char *)NULL);
	dprintf(3, "start '%s': %s\n", program, strerror(errno));
	_exit(127);
}

/* spawn() - as a grandchild, so that nobody has to wait for it */
static int spawn(const char *program, int ready)
{
	pid_t pid = fork();
	int status = 0;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			become_daemon(program, ready);
		_exit(pid < 0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status == 0 ? 0 : -EAGAIN;
}

static int await_ready(int fd, struct err *e)
{
	int64_t deadline = clock_ms() + READY_MS;
	char line[ERR_MSG_MAX / 2];
	size_t len = 0;

	for (;;) {
		int r = io_wait(fd, POLLIN, deadline);
		ssize_t n;

		if (r < 0) {
			(void)err_set(
				e, ERR_TIMEOUT, r, "it was not ready within %d s", READY_MS / 1000);
			return r;
		}
		n = read(fd, line + len, sizeof(line) - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || len + (size_t)n == sizeof(line) - 1 ||
			memchr(line + len, '\n', (size_t)n)) {
			line[len + (n > 0 ? (size_t)n : 0)] = '\0';
			break;
		}
		len += (size_t)n;
	}
	line[strcspn(line, "\n")] = '\0';
	if (strcmp(line, "ok") == 0)
		return 0;
	if (strstr(line, "another sbxd")) /* it holds the lock: setup.c of the daemon */
		return err_set(e, ERR_CONFLICT, -EBUSY, "%s", line);
	return err_set(e, ERR_UNAVAILABLE, -ECHILD, "%s", line[0] ? line : "it ended at once");
}

int launch_daemon(const struct paths *p, struct err *e)
{
	char program[PATH_MAX];
	AUTO_FD ours = -1;
	int fds[2], r = paths_join(program, p->libexec, "sbxd");

	if (r == 0)
		r = paths_mkdir(p->state, e);
	if (r == 0 && access(program, X_OK) < 0) {
		r = err_sys(e, -errno, "find '%s'", program);
		err_hint(e, "the installation is incomplete; SBX_LIBEXEC_DIR names another place");
	}
	if (r == 0 && pipe2(fds, O_CLOEXEC) < 0)
		r = err_sys(e, -errno, "make a pipe");
	if (r < 0)
		return err_wrap(e, r, "start the daemon");
	ours = fds[0];
	r = spawn(program, fds[1]);
	close(fds[1]);
	r = r < 0 ? err_sys(e, r, "fork") : await_ready(ours, e);
	if (r == 0)
		return 0;
	if (!e->hint[0])
		err_hint(e, "its log is %.200s/sbxd.log", p->state);
	return err_wrap(e, r, "start the daemon");
}
