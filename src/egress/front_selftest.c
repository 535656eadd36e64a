#include "egress/front_selftest.h"
#include "egress/front_drop.h"
#include "jail/spawn.h"
#include "machine/selftest.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

struct tally {
	unsigned passed, failed;
};

static void say(struct tally *t, bool ok, const char *what, const char *how)
{
	t->passed += ok;
	t->failed += !ok;
	(void)dprintf(STDOUT_FILENO, "%s %u - front: %s: %s\n", ok ? "ok" : "not ok",
		t->passed + t->failed, what, how);
}

static void NORETURN inside_of(const struct attempt *a, int out)
{
	struct jail_report report = {0};
	struct err e = {0};
	int32_t got;

	/* Its own mount namespace: the drop takes the root away. */
	if (unshare(CLONE_NEWNS) < 0 || front_drop_rights(&report, &e) < 0) {
		(void)dprintf(STDERR_FILENO, "jail of the front: %s\n", e.msg);
		_exit(99);
	}
	got = (int32_t)a->call();
	(void)!write(out, &got, sizeof(got));
	_exit(0);
}

static void judge(struct tally *t, const struct attempt *a, int status, bool said, int32_t got)
{
	char how[64];

	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV)) {
		say(t, !a->control, a->name, WTERMSIG(status) == SIGSYS ? "SIGSYS" : "SIGSEGV");
		return;
	}
	(void)snprintf(how, sizeof(how), "%s",
		!said	  ? "not tried"
		: got < 0 ? strerrorname_np(-got)
			  : "worked");
	say(t, said && (a->control ? got >= 0 : got < 0), a->name, how);
}

static void try_one(struct tally *t, const struct attempt *a)
{
	int p[2], status = 0;
	int32_t got = 0;
	bool said;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0) {
		say(t, false, a->name, "no pipe");
		return;
	}
	AUTO_FD in = p[0], out = p[1];
	pid = fork();
	if (pid == 0)
		inside_of(a, out);
	own_close_fd(&out);
	said = pid > 0 && read(in, &got, sizeof(got)) == sizeof(got);
	if (pid > 0)
		(void)waitpid(pid, &status, 0);
	judge(t, a, status, said, got);
}

static int inside(void)
{
	struct tally t = {0};

	for (size_t i = 0; i < selftest_n_attempts; i++)
		if (selftest_attempts[i].where & IN_MACHINE)
			try_one(&t, &selftest_attempts[i]);
	(void)dprintf(STDOUT_FILENO, "%u passed, %u failed\n", t.passed, t.failed);
	return t.failed ? 1 : 0;
}

static int outside(void)
{
	char self[PATH_MAX], number[32];
	char *const argv[] = {(char[]){"sbx-front"}, (char[]){"--selftest-inside"}, number, NULL};
	const int fds[] = {-1, STDOUT_FILENO, STDERR_FILENO};
	struct jail_child c = {.path = self,
		.argv = argv,
		.fds = fds,
		.n_fds = ARRAY_LEN(fds),
		.map = {{geteuid(), geteuid(), getegid(), getegid()}},
		.n_maps = 1,
		.keep_caps = true};
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct err e = {0};
	int pidfd = -1, status = 0;
	pid_t pid;

	if (n < 0)
		return 1;
	self[n] = '\0';
	(void)snprintf(number, sizeof(number), "%d", getpid());
	if (jail_spawn(&c, &pid, &pidfd, &e) < 0) {
		(void)dprintf(STDOUT_FILENO, "not ok 1 - %s\n", e.msg);
		return 1;
	}
	close(pidfd);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

int front_selftest_main(int argc, char **argv)
{
	if (argc < 2 || strncmp(argv[1], "--selftest-", 11) != 0)
		return -1;
	if (argc == 2 && strcmp(argv[1], "--selftest-jail") == 0)
		return outside();
	if (argc != 3 || strcmp(argv[1], "--selftest-inside") != 0)
		return 2;
	selftest_outside_pid = (int)strtol(argv[2], NULL, 10);
	return inside();
}
