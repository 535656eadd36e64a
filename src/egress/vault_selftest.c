#include "egress/vault_jail.h"
#include "egress/vault.h"
#include "jail/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* One thing that the jail must not let pass; returns >= 0 when it did, else a negative errno. */
struct attempt {
	const char *name;
	bool resolver_too;
	bool control; /* must work */
	long (*call)(void);
};

static long try_open(void)
{
	return open("/etc/passwd", O_RDONLY);
}
static long try_exec(void)
{
	char *const argv[] = {(char[]){"sh"}, NULL};

	return execve("/bin/sh", argv, NULL);
}
static long try_fork(void)
{
	return fork();
}
static long try_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}
static long try_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
}
static long try_raw(void)
{
	return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1);
}
static long try_packet(void)
{
	return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}
static long try_udp(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}
static long try_bind(void)
{
	struct sockaddr sa = {.sa_family = AF_INET};
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return bind(s, &sa, sizeof(sa)) < 0 ? -errno : 0;
}
static long try_listen(void)
{
	return listen(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 1);
}
static long try_tcp(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}
static long try_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static long try_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1);
}
static long try_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? -errno
		       : 0;
}
static long try_mount(void)
{
	return syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL);
}
static long try_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}
static long try_kill(void)
{
	return kill(1, 0);
}
static long try_bpf(void)
{
	return syscall(SYS_bpf, 0, NULL, 0);
}
static long try_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL);
}
static long try_heap(void)
{
	void *p = malloc(1 << 20);

	if (!p)
		return -ENOMEM;
	memset(p, 1, 1 << 20);
	free(p);
	return 0;
}

static const struct attempt attempts[] = {
	{"heap memory", true, true, try_heap},
	{"a TCP socket", true, true, try_tcp},
	{"open a file", true, false, try_open},
	{"execute a program", true, false, try_exec},
	{"a new process", true, false, try_fork},
	{"a unix socket", true, false, try_unix},
	{"a netlink socket", true, false, try_netlink},
	{"a raw socket", true, false, try_raw},
	{"a packet socket", true, false, try_packet},
	{"a UDP socket", false, false, try_udp},
	{"bind", true, false, try_bind},
	{"listen", true, false, try_listen},
	{"ptrace", true, false, try_ptrace},
	{"become dumpable", true, false, try_dumpable},
	{"executable memory", true, false, try_code},
	{"mount", true, false, try_mount},
	{"a new user namespace", true, false, try_namespace},
	{"a signal", true, false, try_kill},
	{"bpf", true, false, try_bpf},
	{"io_uring", true, false, try_io_uring},
};

struct tally {
	unsigned passed, failed;
};

static void say(struct tally *t, bool ok, const char *where, const char *what, const char *how)
{
	t->passed += ok;
	t->failed += !ok;
	(void)dprintf(STDOUT_FILENO, "%s %u - %s: %s: %s\n", ok ? "ok" : "not ok",
		t->passed + t->failed, where, what, how);
}

static void NORETURN inside_of(const struct jail_table *table, const struct attempt *a, int out)
{
	struct err e = {0};
	long got;

	if (unshare(CLONE_NEWNS) < 0 || vault_jail(table, NULL, &e) < 0) {
		(void)dprintf(STDERR_FILENO, "jail of the %s: %s\n", table->name, e.msg);
		_exit(99);
	}
	errno = 0;
	got = a->call();
	got = got < 0 ? -(errno ? errno : EPERM) : 0;
	(void)!write(out, &got, sizeof(got));
	_exit(0);
}

static void try_one(struct tally *t, const struct jail_table *table, const struct attempt *a)
{
	char how[64];
	int p[2], status = 0;
	long got = 0;
	bool said, killed;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0) {
		say(t, false, table->name, a->name, "no pipe");
		return;
	}
	AUTO_FD in = p[0], out = p[1];
	pid = fork();
	if (pid == 0)
		inside_of(table, a, out);
	own_close_fd(&out);
	said = pid > 0 && read(in, &got, sizeof(got)) == sizeof(got);
	if (pid > 0)
		(void)waitpid(pid, &status, 0);
	killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	(void)snprintf(how, sizeof(how), "%s",
		killed	  ? "SIGSYS"
		: !said	  ? "not tried"
		: got < 0 ? strerrorname_np((int)-got)
			  : "worked");
	say(t, a->control ? said && got >= 0 : killed || (said && got < 0), table->name, a->name,
		how);
}

static int inside(void)
{
	struct tally t = {0};

	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		try_one(&t, &vault_table, &attempts[i]);
		if (attempts[i].resolver_too)
			try_one(&t, &resolver_table, &attempts[i]);
	}
	(void)dprintf(STDOUT_FILENO, "%u passed, %u failed\n", t.passed, t.failed);
	return t.failed ? 1 : 0;
}

static int outside(void)
{
	char self[PATH_MAX];
	char *const argv[] = {(char[]){"sbx-vault"}, (char[]){"--selftest-inside"}, NULL};
	const int fds[] = {-1, STDOUT_FILENO, STDERR_FILENO};
	struct jail_child c = {.path = self,
		.argv = argv,
		.fds = fds,
		.n_fds = ARRAY_LEN(fds),
		.map = {{geteuid(), geteuid(), getegid(), getegid()}},
		.n_maps = 1,
		.keep_caps = true,
		.host_net = true};
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	struct err e = {0};
	int pidfd = -1, status = 0;
	pid_t pid;

	if (n < 0)
		return 1;
	self[n] = '\0';
	if (jail_spawn(&c, &pid, &pidfd, &e) < 0) {
		(void)dprintf(STDOUT_FILENO, "not ok 1 - %s\n", e.msg);
		return 1;
	}
	close(pidfd);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

int vault_selftest(int argc, char **argv)
{
	if (argc != 2 || strncmp(argv[1], "--selftest-", 11) != 0)
		return -1;
	if (strcmp(argv[1], "--selftest-jail") == 0)
		return outside();
	return strcmp(argv[1], "--selftest-inside") == 0 ? inside() : 2;
}
