#include "daemon/child.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

int child_find(const char *program, char dst[256])
{
	static const char *const dirs[] = {
		"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"};

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (snprintf(dst, 256, "%s/%s", dirs[i], program) < 256 && access(dst, X_OK) == 0)
			return 0;
	return -ENOENT;
}

static int spawn(const char *path, const char *const *argv, int out, pid_t *ret_pid)
{
	static char env_path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", env_lang[] = "LC_ALL=C";
	char *const env[] = {env_path, env_lang, NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawn_file_actions_init(&fa);
	if (r != 0)
		return -r;
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
		r = posix_spawn_file_actions_adddup2(&fa, out, 2);
	if (r == 0)
		r = posix_spawn(ret_pid, path, &fa, &at, (char *const *)(uintptr_t)argv, env);
	(void)posix_spawn_file_actions_destroy(&fa);
	(void)posix_spawnattr_destroy(&at);
	return -r;
}

/* collect() - read until the pipe closes; what does not fit is read and dropped */
static int collect(int fd, struct buf *out, int64_t deadline)
{
	for (;;) {
		char chunk[4096];
		int r = io_wait(fd, POLLIN, deadline);
		ssize_t n;

		if (r < 0)
			return r;
		n = read(fd, chunk, sizeof(chunk));
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && out->len + (size_t)n <= out->max && buf_add(out, chunk, (size_t)n) < 0)
			return -ENOMEM;
	}
}

static void last_line(const struct buf *b, char dst[200])
{
	const char *s = buf_str(b), *end = s + b->len, *from;

	while (end > s && (end[-1] == '\n' || end[-1] == ' '))
		end--;
	for (from = end; from > s && from[-1] != '\n';)
		from--;
	(void)escape_text(dst, 200, from, (size_t)(end - from));
}

int child_run(const char *const *argv, int64_t deadline, struct buf *output, struct err *e)
{
	AUTO_FD rd = -1;
	AUTO_FD wr = -1;
	AUTO(buf) own = {0};
	char path[256], line[200];
	int fds[2], status = 0, r = child_find(argv[0], path);
	pid_t pid;

	if (r < 0)
		return err_set(e, ERR_UNAVAILABLE, r, "the program '%s' is not installed", argv[0]);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, -errno, "run %s", argv[0]);
	rd = fds[0];
	wr = fds[1];
	buf_init(&own, 16384);
	if (!output)
		output = &own;
	r = spawn(path, argv, wr, &pid);
	if (r < 0)
		return err_sys(e, r, "run %s", argv[0]);
	own_close_fd(&wr);
	r = collect(rd, output, deadline);
	if (r < 0)
		(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return err_sys(e, r, "run %s", argv[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	last_line(output, line);
	return err_set(e, ERR_INTERNAL, -EIO, "%s failed (status %d)%s%s", argv[0],
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
		line[0] ? ": " : "", line);
}
