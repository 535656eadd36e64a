#include "machine/selftest.h"
#include "base/err.h"
#include "jail/root.h"
#include "jail/libs.h"
#include "machine/drop.h"
#include "machine/emulated.h"
#include "machine/spawn.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PARK (-1) /* instead of an attempt: wait in the jail to be looked at */

struct tally {
	unsigned passed, failed;
	char self[PATH_MAX]; /* this program */
	struct jail_libs libs;
	struct jail_file file[JAIL_FILES_MAX];
	size_t n_files;
};

static void say(struct tally *t, bool ok, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void say(struct tally *t, bool ok, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	t->passed += ok;
	t->failed += !ok;
	(void)dprintf(
		STDOUT_FILENO, "%s %u - %s\n", ok ? "ok" : "not ok", t->passed + t->failed, text);
}

/* ---- inside of a jail: one attempt, its outcome to @out ---- */

static void NORETURN attempt(long which, int out, int park)
{
	int32_t got = 0;

	if (which == PARK) {
		(void)!write(out, &got, sizeof(got));
		(void)!read(park, &got, sizeof(got));
	} else if (which >= 0 && (size_t)which < selftest_n_attempts) {
		got = (int32_t)selftest_attempts[which].call();
		(void)!write(out, &got, sizeof(got));
	}
	_exit(0);
}

/* make_share() - a directory as hold_exports() makes it; or -errno */
static int make_share(void)
{
	AUTO_FD dir = open("/usr/bin", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 ? -errno : jail_hold(dir, false);
}

/* start_in_machine() - a process that closes the machine's jail around itself, then tries */
static pid_t start_in_machine(long which, int out, int park)
{
	struct jail_report report = {0};
	struct drop d = {.report = &report, .files = 256};
	struct err e = {0};
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	/* Its own mount namespace: the drop takes the root away. */
	if (unshare(CLONE_NEWNS) < 0)
		_exit(99);
	selftest_share = make_share();
	if (drop_rights(&d, &e) < 0) {
		(void)dprintf(STDERR_FILENO, "jail of the machine: %s\n", e.msg);
		_exit(99);
	}
	attempt(which, out, park);
}

/* start_in_engine() - this program in QEMU's place */
static pid_t start_in_engine(struct tally *t, long which, int out, int park)
{
	char number[32], outside[32];
	char *const argv[] = {
		(char[]){"sbx-machine"}, (char[]){"--selftest-attempt"}, number, outside, NULL};
	const int fds[] = {-1, out, STDERR_FILENO, park};
	struct emulated_program p = {.path = t->self,
		.argv = argv,
		.fds = fds,
		.n_fds = ARRAY_LEN(fds),
		.file = t->file,
		.n_files = t->n_files};
	struct jail_report report = {0};
	struct err e = {0};
	int pidfd = -1;
	pid_t pid;

	(void)snprintf(number, sizeof(number), "%ld", which);
	(void)snprintf(outside, sizeof(outside), "%d", selftest_outside_pid);
	if (emulated_spawn(&p, &pid, &pidfd, &report, &e) < 0) {
		(void)dprintf(STDERR_FILENO, "jail of the engine: %s\n", e.msg);
		return -1;
	}
	close(pidfd);
	return pid;
}

/* ---- outside: what came of it ---- */

static bool is_refusal(const struct attempt *a, int error)
{
	for (unsigned i = 0; i < ATTEMPT_ERRORS && a->refused[i]; i++)
		if (error == a->refused[i])
			return true;
	return false;
}

static void judge(struct tally *t, const char *where, const struct attempt *a, int status,
	bool said, int32_t got)
{
	if (a->control) {
		say(t, said && got >= 0, "%s: %s: returned %d", where, a->name, got);
		return;
	}
	/* int 0x80 on a kernel without ia32 is an ordinary fault */
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV))
		say(t, true, "%s: %s: %s", where, a->name,
			WTERMSIG(status) == SIGSYS ? "SIGSYS" : "SIGSEGV");
	else if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && said && got < 0 &&
		 is_refusal(a, -got))
		say(t, true, "%s: %s: %s", where, a->name, strerrorname_np(-got));
	else if (said)
		say(t, false, "%s: %s: returned %d", where, a->name, got);
	else
		say(t, false, "%s: %s: not tried (status 0x%x)", where, a->name, status);
}

static void try_one(struct tally *t, unsigned where, size_t i)
{
	int p[2], status = 0;
	int32_t got = 0;
	bool said;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0) {
		say(t, false, "no pipe");
		return;
	}
	AUTO_FD in = p[0], out = p[1];
	pid = where == IN_MACHINE ? start_in_machine((long)i, out, -1)
				  : start_in_engine(t, (long)i, out, -1);
	own_close_fd(&out);
	said = pid > 0 && read(in, &got, sizeof(got)) == sizeof(got);
	if (pid > 0)
		(void)waitpid(pid, &status, 0);
	judge(t, where == IN_MACHINE ? "machine" : "engine", &selftest_attempts[i], status, said,
		got);
}

/* ---- facts about a process that waits in the jail ---- */

static void check_status(struct tally *t, const char *where, int pid)
{
	static const char *const facts[] = {"NoNewPrivs:\t1", "Seccomp:\t2",
		"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
		"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000",
		"CapAmb:\t0000000000000000"};
	char path[64], text[8192];
	AUTO_FD fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	for (size_t i = 0; i < ARRAY_LEN(facts); i++)
		say(t, strstr(text, facts[i]) != NULL, "%s: %.*s %s", where,
			(int)strcspn(facts[i], ":"), facts[i], strchr(facts[i], '\t') + 1);
}

/* list() - the names in a directory of /proc, separated by blanks */
static void list(int pid, const char *what, char *dst, size_t cap)
{
	char path[64];
	size_t at = 0;
	struct dirent *d;
	DIR *dir;

	dst[0] = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
	dir = opendir(path);
	if (!dir) {
		(void)snprintf(dst, cap, "(%s)", strerror(errno));
		return;
	}
	while ((d = readdir(dir)) && at < cap)
		if (d->d_name[0] != '.')
			at += (size_t)snprintf(
				dst + at, cap - at, "%s%s", at ? " " : "", d->d_name);
	closedir(dir);
}

/* check_net() - the second line of two is a heading: "lo" must be all there is */
static void check_net(struct tally *t, const char *where, int pid)
{
	char path[64], line[256];
	unsigned devices = 0, lo = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/net/dev", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strchr(line, ':'))
			continue;
		devices++;
		lo += strncmp(line + strspn(line, " "), "lo:", 3) == 0;
	}
	if (f)
		fclose(f);
	say(t, devices == 1 && lo == 1, "%s: loopback is the only network device", where);
}

static bool has_host_dirs(const char *names)
{
	static const char *const bad[] = {
		"proc", "dev", "sys", "home", "root", "tmp", "run", "var"};
	char padded[600];

	(void)snprintf(padded, sizeof(padded), " %s ", names);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char word[16];

		(void)snprintf(word, sizeof(word), " %s ", bad[i]);
		if (strstr(padded, word))
			return true;
	}
	return names[0] == '(';
}

static void check_facts(struct tally *t, unsigned where, int pid)
{
	const char *name = where == IN_MACHINE ? "machine" : "engine";
	char names[512];

	check_status(t, name, pid);
	check_net(t, name, pid);
	list(pid, "root", names, sizeof(names));
	if (where == IN_MACHINE)
		say(t, !names[0], "%s: its root is empty: '%s'", name, names);
	else
		say(t, !has_host_dirs(names), "%s: its root holds '%s' only", name, names);
	if (where == IN_ENGINE) {
		list(pid, "fd", names, sizeof(names));
		say(t, strcmp(names, "0 1 2 3") == 0, "%s: its descriptors are '%s'", name, names);
	}
}

static void look_at(struct tally *t, unsigned where)
{
	const char *name = where == IN_MACHINE ? "machine" : "engine";
	int out[2], hold[2], number;
	int32_t got;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0) {
		say(t, false, "no pipe");
		return;
	}
	AUTO_FD out_r = out[0], out_w = out[1];
	if (pipe2(hold, O_CLOEXEC) < 0) {
		say(t, false, "no pipe");
		return;
	}
	AUTO_FD hold_r = hold[0], hold_w = hold[1];
	pid = where == IN_MACHINE ? start_in_machine(PARK, out_w, hold_r)
				  : start_in_engine(t, PARK, out_w, hold_r);
	own_close_fd(&out_w);
	AUTO_FD pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (pidfd < 0 || read(out_r, &got, sizeof(got)) != sizeof(got))
		say(t, false, "%s: its jail does not close", name);
	number = pidfd < 0 ? -1 : jail_proc_pid(pidfd);
	if (number > 0)
		check_facts(t, where, number);
	own_close_fd(&hold_w);
	if (pid > 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
}

/* loopback exists in every network namespace; it must not have been brought up */
static void check_loopback(struct tally *t)
{
	AUTO_FD s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq q = {.ifr_name = "lo"};
	bool known = s >= 0 && ioctl(s, SIOCGIFFLAGS, &q) == 0;

	say(t, known && !(q.ifr_flags & IFF_UP), "machine: loopback is down");
}

/* ---- the three roles ---- */

static int inside(struct tally *t)
{
	struct err e = {0};

	if (jail_libs_find(t->self, &t->libs, &e) < 0) {
		say(t, false, "engine: %s", e.msg);
		return 1;
	}
	for (size_t i = 0; i < t->libs.n; i++)
		t->file[t->n_files++] =
			(struct jail_file){t->libs.path[i] + 1, t->libs.path[i], -1};
	check_loopback(t);
	for (unsigned where = IN_MACHINE; where <= IN_ENGINE; where++) {
		look_at(t, where);
		for (size_t i = 0; i < selftest_n_attempts; i++)
			if (selftest_attempts[i].where & where)
				try_one(t, where, i);
	}
	(void)dprintf(STDOUT_FILENO, "%u passed, %u failed\n", t->passed, t->failed);
	return t->failed ? 1 : 0;
}

static int outside(struct tally *t)
{
	char number[32];
	char *const argv[] = {(char[]){"sbx-machine"}, (char[]){"--selftest-inside"}, number, NULL};
	const int fds[] = {-1, STDOUT_FILENO, STDERR_FILENO};
	struct jail_child c = {.path = t->self,
		.argv = argv,
		.fds = fds,
		.n_fds = ARRAY_LEN(fds),
		.keep_caps = true};
	struct err e = {0};
	int pidfd = -1, status = 0;
	pid_t pid;

	(void)snprintf(number, sizeof(number), "%d", getpid());
	c.n_maps = machine_users("selftest", c.map);
	if (jail_spawn(&c, &pid, &pidfd, &e) < 0) {
		say(t, false, "%s%s%s", e.msg, e.hint[0] ? "; " : "", e.hint);
		return 1;
	}
	AUTO_FD own_pidfd = pidfd;
	(void)own_pidfd;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

int selftest_main(int argc, char **argv)
{
	struct tally t = {0};
	ssize_t n;
	int r;

	if (argc < 2 || strncmp(argv[1], "--selftest-", 11) != 0)
		return -1;
	if (argc > 2)
		selftest_outside_pid = (int)strtol(argv[argc - 1], NULL, 10);
	if (argc == 4 && strcmp(argv[1], "--selftest-attempt") == 0)
		attempt(strtol(argv[2], NULL, 10), STDOUT_FILENO, 3);
	n = readlink("/proc/self/exe", t.self, sizeof(t.self) - 1);
	if (n < 0)
		return 1;
	if (argc == 2 && strcmp(argv[1], "--selftest-jail") == 0)
		return outside(&t);
	if (argc != 3 || strcmp(argv[1], "--selftest-inside") != 0)
		return 2;
	r = inside(&t);
	jail_libs_auto(&t.libs);
	return r;
}
