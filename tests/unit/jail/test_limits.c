/* test_limits.c - resource limits, cgroups, Landlock and the report */
#include "check.h"
#include "jail/cgroup.h"
#include "jail/drop.h"
#include "jail/landlock.h"
#include "jail/report.h"
#include "jail/rlimit.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* in_child() - what cannot be undone is done by a process of its own */
static int in_child(int (*fn)(void))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int lower_then_raise(void)
{
	const struct jail_rlimit low[] = {{RLIMIT_NOFILE, 50}}, high[] = {{RLIMIT_NOFILE, 100}};
	struct rlimit l;

	if (jail_rlimit_set(low, 1) < 0 || getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_max != 50)
		return 1;
	/* more than the hard limit: the hard limit, and no error */
	if (jail_rlimit_set(high, 1) < 0 || getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur != 50)
		return 2;
	return 0;
}

static void test_limits_only_go_down(void **state)
{
	(void)state;
	assert_int_equal(in_child(lower_then_raise), 0);
}

static void test_cgroup(void **state)
{
	const struct jail_cgroup_limits l = {
		.cpu_percent = 150, .memory_bytes = 64 << 20, .pids = 20};
	struct jail_cgroup g, found;
	struct err e = {0};
	char path[300];
	struct stat st;
	pid_t pid;

	(void)state;
	assert_int_equal(jail_cgroup_make("unit-test", &l, &g, &e), 0);
	if (!g.version) {
		assert_true(g.note[0]); /* said, never silent */
		SKIP(g.note);
	}
	jail_cgroup_find("unit-test", &found);
	assert_int_equal(found.version, g.version);
	assert_int_equal(found.n_dirs, g.n_dirs);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		for (;;)
			(void)pause();
	assert_int_equal(jail_cgroup_attach(&g, pid), 0);
	assert_int_equal(jail_cgroup_remove(&g), -EBUSY);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(jail_cgroup_remove(&g), 0);
	for (unsigned i = 0; i < g.n_dirs; i++) {
		(void)snprintf(path, sizeof(path), "%s", g.dir[i]);
		assert_int_equal(stat(path, &st), -1);
	}
	assert_int_equal(jail_cgroup_remove(&g), 0); /* again: nothing to do */
}

/* hungry() - more than its group may have, on pages of its own */
static int hungry(int go)
{
	size_t size = 256U << 20;
	volatile char *p = malloc(size);
	char c;

	if (read(go, &c, 1) != 1 || !p)
		_exit(1);
	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	_exit(0);
}

static void test_cgroup_oom_kills(void **state)
{
	const struct jail_cgroup_limits l = {.memory_bytes = 64 << 20, .pids = 20};
	struct jail_cgroup g;
	struct err e = {0};
	int go[2], status = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(jail_cgroup_make("unit-test-oom", &l, &g, &e), 0);
	if (!g.version || strstr(g.note, "memory")) {
		(void)jail_cgroup_remove(&g);
		SKIP(g.note);
	}
	assert_int_equal(jail_cgroup_oom_kills(&g), 0);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		hungry(go[0]);
	assert_int_equal(jail_cgroup_attach(&g, pid), 0);
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_int_equal(jail_cgroup_oom_kills(&g), 1);
	assert_int_equal(jail_cgroup_remove(&g), 0);
	assert_int_equal(jail_cgroup_oom_kills(&g), 0);
	close(go[0]);
	close(go[1]);
}

static void test_cgroup_names(void **state)
{
	const struct jail_cgroup_limits l = {.memory_bytes = 1};
	struct jail_cgroup g;
	struct err e = {0};

	(void)state;
	assert_int_equal(jail_cgroup_make("../x", &l, &g, &e), -EINVAL);
	assert_int_equal(jail_cgroup_make("a b", &l, &g, &e), -EINVAL);
}

static char share[64];

static int stay_beneath(void)
{
	struct jail_beneath b = {.fd = open(share, O_PATH | O_DIRECTORY | O_CLOEXEC)};
	int rules = jail_landlock_make(&b, 1), fd;

	if (b.fd < 0 || rules < 0 || jail_no_new_privs() < 0 || jail_landlock_enter(rules) < 0)
		return 1;
	if (openat(b.fd, "inside", O_RDONLY) < 0)
		return 2;
	if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
		return 3;
	/* read-only: no writing beneath either */
	fd = openat(b.fd, "inside", O_WRONLY);
	if (fd >= 0 || errno != EACCES)
		return 4;
	if (mkdirat(b.fd, "new", 0700) == 0)
		return 5;
	return 0;
}

static int write_beneath(void)
{
	struct jail_beneath b = {
		.fd = open(share, O_PATH | O_DIRECTORY | O_CLOEXEC), .write = true};
	int rules = jail_landlock_make(&b, 1);

	if (b.fd < 0 || rules < 0 || jail_no_new_privs() < 0 || jail_landlock_enter(rules) < 0)
		return 1;
	if (openat(b.fd, "inside", O_RDWR) < 0 || mkdirat(b.fd, "new", 0700) < 0)
		return 2;
	if (unlinkat(b.fd, "new", AT_REMOVEDIR) < 0)
		return 3;
	if (mknodat(b.fd, "pipe", S_IFIFO | 0600, 0) == 0)
		return 4;
	return 0;
}

static void test_landlock(void **state)
{
	char path[96];
	int fd;

	(void)state;
	if (!jail_landlock_abi()) {
		assert_int_equal(jail_landlock_make(NULL, 0), -EOPNOTSUPP);
		SKIP("this kernel has no Landlock");
	}
	(void)snprintf(share, sizeof(share), "/tmp/sbx-landlock-XXXXXX");
	assert_non_null(mkdtemp(share));
	(void)snprintf(path, sizeof(path), "%s/inside", share);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(in_child(stay_beneath), 0);
	assert_int_equal(in_child(write_beneath), 0);
	(void)unlink(path);
	assert_int_equal(rmdir(share), 0);
}

static void test_report(void **state)
{
	struct jail_report r = {0};
	char text[256], small[24];

	(void)state;
	jail_report_add(&r, "machine", "seccomp", true, "%u calls", 60u);
	jail_report_add(&r, "machine", "landlock", false, "not in this kernel");
	jail_report_print(&r, text, sizeof(text));
	assert_string_equal(text, "machine seccomp yes 60 calls\n"
				  "machine landlock no not in this kernel\n");
	jail_report_print(&r, small, sizeof(small)); /* cut, terminated */
	assert_int_equal(strlen(small), sizeof(small) - 1);
	for (unsigned i = 0; i < 2 * JAIL_REPORT_LINES; i++)
		jail_report_add(&r, "machine", "x", true, "y");
	assert_int_equal(r.n, JAIL_REPORT_LINES);
}

static void test_what_may_be_missing(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("SBX_JAIL_ALLOW_MISSING"), 0);
	assert_true(jail_may_miss("landlock"));
	assert_false(jail_may_miss("cgroup"));
	assert_int_equal(setenv("SBX_JAIL_ALLOW_MISSING", "x,cgroup", 1), 0);
	assert_true(jail_may_miss("cgroup"));
	assert_false(jail_may_miss("cgrou"));
	assert_false(jail_may_miss("seccomp"));
	assert_int_equal(unsetenv("SBX_JAIL_ALLOW_MISSING"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits_only_go_down),
		cmocka_unit_test(test_cgroup),
		cmocka_unit_test(test_cgroup_oom_kills),
		cmocka_unit_test(test_cgroup_names),
		cmocka_unit_test(test_landlock),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_what_may_be_missing),
	};

	return cmocka_run_group_tests_name("jail_limits", tests, NULL, NULL);
}
