#include "daemon/credentials.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

/* The operator's own command, with the operator's rights: it needs HOME, agents and the like. What it
 * prints on stderr is dropped: it might hold what must not stand in a log.
 */
static int start(const char *command, int out, pid_t *ret_pid)
{
	char sh[] = "/bin/sh", c[] = "-c";
	char *text = strdup(command), *argv[] = {sh, c, text, NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, all;
	int r;

	if (!text)
		return -ENOMEM;
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawnattr_init(&at);
	(void)posix_spawnattr_setsigmask(&at, &none);
	(void)posix_spawnattr_setsigdefault(&at, &all);
	(void)posix_spawnattr_setpgroup(&at, 0);
	(void)posix_spawnattr_setflags(
		&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	r = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, out, 1);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&fa, 2, "/dev/null", O_WRONLY, 0);
	if (r == 0)
		r = posix_spawn(ret_pid, argv[0], &fa, &at, argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	(void)posix_spawnattr_destroy(&at);
	free(text);
	return -r;
}

/* read_line() - to the end of the first line; what follows is not read */
static int read_line(int fd, struct buf *out, int64_t deadline)
{
	for (;;) {
		char chunk[1024], *nl;
		int r = io_wait(fd, POLLIN, deadline);
		ssize_t n = r < 0 ? r : read(fd, chunk, sizeof(chunk));

		if (r < 0)
			return r;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		nl = memchr(chunk, '\n', (size_t)n);
		r = buf_add(out, chunk, nl ? (size_t)(nl - chunk) : (size_t)n);
		explicit_bzero(chunk, sizeof(chunk));
		if (r < 0 || nl)
			return r;
	}
}

int credentials_run(const char *command, int64_t deadline, struct buf *out, struct err *e)
{
	AUTO_FD rd = -1;
	AUTO_FD wr = -1;
	int fds[2], status = 0, r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "run a command");
	rd = fds[0];
	wr = fds[1];
	r = start(command, wr, &pid);
	if (r < 0)
		return err_sys(e, r, "run a command");
	own_close_fd(&wr);
	r = read_line(rd, out, deadline);
	own_close_fd(&rd);
	if (r ==
		0) { /* it may still be writing what nobody reads: SIGPIPE ends it, or the deadline */
		siginfo_t si = {.si_pid = 0}; /* left unreaped: its group still has that number */

		while (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 &&
			si.si_pid == 0 && clock_ms() < deadline)
			(void)poll(NULL, 0, 10);
	}
	(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return err_sys(e, r, "run its command");
	while (out->len > 0 && (out->data[out->len - 1] == '\r' || out->data[out->len - 1] == ' '))
		out->data[--out->len] = '\0';
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return err_set(e, ERR_INTERNAL, -EIO, "its command failed with status %d",
			WEXITSTATUS(status));
	return 0;
}
