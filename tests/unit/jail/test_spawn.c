/* test_spawn.c - a spawned program has what it was given and nothing else */
#include "check.h"
#include "base/io.h"
#include "jail/libs.h"
#include "jail/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* run() - "sh -c @script" in a jail that keeps the host's files; its output in @out */
static int run(struct jail_child *c, const char *script, char *out, size_t cap, int *ret_status,
	struct err *e)
{
	char *const argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)script, NULL};
	int p[2], fds[3], pidfd = -1, r;
	size_t at = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	fds[0] = -1;
	fds[1] = fds[2] = p[1];
	c->path = "/bin/sh";
	c->argv = argv;
	if (!c->fds) {
		c->fds = fds;
		c->n_fds = 3;
	}
	c->map[0] = (struct jail_map){geteuid(), geteuid(), getegid(), getegid()};
	c->n_maps = 1;
	r = jail_spawn(c, &pid, &pidfd, e);
	close(p[1]);
	if (r == 0) {
		while (at < cap - 1 && (n = read(p[0], out + at, cap - 1 - at)) > 0)
			at += (size_t)n;
		out[at] = 0;
		assert_int_equal(waitpid(pid, ret_status, 0), pid);
		close(pidfd);
	}
	close(p[0]);
	return r;
}

static bool may_make_namespaces(void)
{
	struct jail_child c = {0};
	struct err e = {0};
	char out[64];
	int status;

	return run(&c, "exit 0", out, sizeof(out), &status, &e) == 0;
}

#define NEED_NAMESPACES                                                                            \
	do {                                                                                       \
		if (!may_make_namespaces())                                                        \
			SKIP("this host does not allow user namespaces");                          \
	} while (0)

static void test_namespaces_and_capabilities(void **state)
{
	struct jail_child c = {0};
	struct err e = {0};
	char out[2048];
	int status;

	(void)state;
	NEED_NAMESPACES;
	assert_int_equal(
		run(&c,
			"echo pid=$$; grep -E '^(Cap|NoNewPrivs)' /proc/self/status; "
			"grep -c : /proc/self/net/dev; cat /proc/sys/kernel/hostname; umask; pwd",
			out, sizeof(out), &status, &e),
		0);
	assert_int_equal(status, 0);
	assert_non_null(strstr(out, "pid=1\n"));
	assert_non_null(strstr(out, "CapEff:\t0000000000000000"));
	assert_non_null(strstr(out, "CapBnd:\t0000000000000000"));
	assert_non_null(strstr(out, "NoNewPrivs:\t1"));
	assert_non_null(strstr(out, "\n1\nsbx\n0077\n/\n"));
}

static void test_kept_capabilities(void **state)
{
	struct jail_child c = {.keep_caps = true};
	struct err e = {0};
	char out[256];
	int status;

	(void)state;
	NEED_NAMESPACES;
	assert_int_equal(
		run(&c, "grep CapEff /proc/self/status; exit 3", out, sizeof(out), &status, &e), 0);
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_null(strstr(out, "0000000000000000"));
}

static void test_descriptors_and_environment(void **state)
{
	struct jail_child c = {0};
	struct err e = {0};
	char out[512];
	int status, extra = open("/dev/null", O_RDONLY); /* deliberately not close-on-exec */

	(void)state;
	NEED_NAMESPACES;
	assert_true(extra >= 0);
	assert_int_equal(setenv("SBX_TEST_SECRET", "here", 1), 0);
	assert_int_equal(
		run(&c,
			"for f in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$f ] && echo fd$f; "
			"done; [ -e /proc/self/fd/1000 ] && echo fd1000; "
			"echo env=$SBX_TEST_SECRET; readlink /proc/self/fd/0",
			out, sizeof(out), &status, &e),
		0);
	close(extra);
	assert_string_equal(out, "fd0\nfd1\nfd2\nenv=\n/dev/null\n");
}

static void test_descriptors_swap_places(void **state)
{
	struct jail_child c = {0};
	struct err e = {0};
	int a[2], b[2], status;
	char out[64], got = 0;

	(void)state;
	NEED_NAMESPACES;
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	/* Number i gets what may stand on another number of the list. */
	c.fds = (int[]){-1, -1, -1, b[1], a[1], -1, b[1]};
	c.n_fds = 7;
	assert_int_equal(
		run(&c, "printf a >&4; printf b >&3; printf c >&6; [ ! -e /proc/self/fd/5 ]", out,
			sizeof(out), &status, &e),
		0);
	assert_int_equal(status, 0);
	assert_int_equal(read(a[0], &got, 1), 1);
	assert_int_equal(got, 'a');
	assert_int_equal(read(b[0], out, 2), 2);
	assert_memory_equal(out, "bc", 2);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

static void test_limits(void **state)
{
	const struct jail_rlimit limits[] = {{RLIMIT_NOFILE, 40}, {RLIMIT_CORE, 0}};
	struct jail_child c = {.limit = limits, .n_limits = ARRAY_LEN(limits)};
	struct err e = {0};
	char out[128];
	int status;

	(void)state;
	NEED_NAMESPACES;
	assert_int_equal(
		run(&c, "ulimit -Sn; ulimit -Hn; ulimit -Hc", out, sizeof(out), &status, &e), 0);
	assert_string_equal(out, "40\n40\n0\n");
}

static void test_minimal_root(void **state)
{
	AUTO_FD text = open("/etc/hostname", O_RDONLY | O_CLOEXEC);
	struct jail_libs libs = {0};
	struct jail_file file[JAIL_FILES_MAX];
	struct jail_root root = {.file = file};
	struct jail_child c = {.root = &root};
	struct err e = {0};
	char out[512];
	int status;

	(void)state;
	NEED_NAMESPACES;
	if (text < 0)
		text = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	assert_int_equal(jail_libs_find("/bin/sh", &libs, &e), 0);
	for (size_t i = 0; i < libs.n; i++)
		file[root.n_files++] = (struct jail_file){libs.path[i] + 1, libs.path[i], -1};
	file[root.n_files++] = (struct jail_file){"some/where/copy", NULL, text};
	assert_int_equal(run(&c,
				 "[ -e /proc ] || echo noproc; [ -e /etc ] || echo noetc; "
				 "[ -r /some/where/copy ] && echo copied; "
				 "echo x 2>/dev/null >/new || echo readonly; echo /*",
				 out, sizeof(out), &status, &e),
		0);
	assert_non_null(strstr(out, "noproc\nnoetc\ncopied\n"));
	assert_non_null(strstr(out, "readonly\n"));
	assert_null(strstr(out, "home"));
	jail_libs_auto(&libs);
}

static void test_errors_name_their_step(void **state)
{
	struct jail_file file = {"x", "/does/not/exist", -1};
	struct jail_root root = {&file, 1};
	struct jail_child c = {.root = &root};
	struct err e = {0};
	char out[64];
	int status;
	unsigned before;

	(void)state;
	NEED_NAMESPACES;
	before = open_fds();
	assert_int_equal(run(&c, "exit 0", out, sizeof(out), &status, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "open the files of the new root"));
	assert_int_equal(open_fds(), before);
	/* the child is gone and waited for */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_missing_program(void **state)
{
	char *const argv[] = {(char[]){"x"}, NULL};
	struct jail_child c = {.path = "/does/not/exist", .argv = argv, .n_maps = 1};
	struct err e = {0};
	int pidfd;
	pid_t pid;

	(void)state;
	assert_int_equal(jail_spawn(&c, &pid, &pidfd, &e), -ENOENT);
	assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void test_death_of_pid_1_takes_all(void **state)
{
	struct jail_child c = {0};
	struct err e = {0};
	char *const argv[] = {(char[]){"sh"}, (char[]){"-c"},
		(char[]){"setsid sh -c 'sleep 1000' & echo up; read x"}, NULL};
	int out[2], in[2], fds[3], pidfd = -1, status;
	char text[4];
	pid_t pid;

	(void)state;
	NEED_NAMESPACES;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	fds[0] = in[0];
	fds[1] = fds[2] = out[1];
	c = (struct jail_child){.path = "/bin/sh",
		.argv = argv,
		.fds = fds,
		.n_fds = 3,
		.map = {{geteuid(), geteuid(), getegid(), getegid()}},
		.n_maps = 1};
	assert_int_equal(jail_spawn(&c, &pid, &pidfd, &e), 0);
	close(out[1]);
	assert_int_equal(io_read_full(out[0], text, 3, IO_FOREVER), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* the pipe ends only when the sleeper in its own session is gone as well */
	assert_int_equal(read(out[0], text, 1), 0);
	close(out[0]);
	close(in[0]);
	close(in[1]);
	close(pidfd);
}

/* held() - in a mount namespace of its own, as the machine does it: what is possible with a held
 * directory; one character a question
 */
static void held(int dir, const char *top, char out[8])
{
	int rw = jail_hold(dir, false), ro = jail_hold(dir, true), up, moved;
	struct stat here, above;
	char other[128];

	up = openat(rw, "../..", O_PATH | O_DIRECTORY);
	out[0] = fstat(rw, &here) == 0 && fstat(up, &above) == 0 && here.st_ino == above.st_ino
			 ? 'y'
			 : 'n';
	out[1] = openat(rw, "new", O_WRONLY | O_CREAT, 0600) >= 0 ? 'y' : 'n';
	out[2] = openat(ro, "new", O_WRONLY) < 0 && errno == EROFS ? 'y' : 'n';
	out[3] = openat(ro, "new", O_RDONLY) >= 0 ? 'y' : 'n';
	(void)snprintf(other, sizeof(other), "%s.moved", top);
	out[4] = rename(top, other) == 0 && mkdir(top, 0700) == 0 ? 'y' : 'n';
	/* the kernel names the place it has now: the very same directory, so all is well */
	moved = jail_hold(dir, false);
	out[5] = moved >= 0 ? 'y' : 'n';
	out[6] = unlinkat(moved, "new", 0) == 0 && rmdir(other) == 0 && jail_hold(dir, false) < 0
			 ? 'y'
			 : 'n';
	out[7] = 0;
}

static void test_a_held_directory_has_no_way_up(void **state)
{
	char top[] = "/tmp/sbx-hold-XXXXXX", out[8] = "";
	int p[2], status = 0, dir;
	pid_t pid;

	(void)state;
	NEED_NAMESPACES;
	assert_non_null(mkdtemp(top));
	dir = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) == 0)
			held(dir, top, out);
		_exit(write(p[1], out, sizeof(out)) != sizeof(out));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(p[0], out, sizeof(out)), sizeof(out));
	assert_string_equal(out, "yyyyyyy");
	assert_int_equal(rmdir(top), 0);
	close(dir);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_namespaces_and_capabilities),
		cmocka_unit_test(test_kept_capabilities),
		cmocka_unit_test(test_descriptors_and_environment),
		cmocka_unit_test(test_descriptors_swap_places),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_minimal_root),
		cmocka_unit_test(test_errors_name_their_step),
		cmocka_unit_test(test_missing_program),
		cmocka_unit_test(test_death_of_pid_1_takes_all),
		cmocka_unit_test(test_a_held_directory_has_no_way_up),
	};

	return cmocka_run_group_tests_name("jail_spawn", tests, NULL, NULL);
}
