/* test_cachedir.c - old files go, the newest and the one named stay; unfinished ones by their maker */
#include "../check.h"
#include "base/cachedir.h"
#include "base/own.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[] = "/tmp/sbx-unit-cachedir-XXXXXX";

static void path_of(char path[PATH_MAX], const char *name)
{
	(void)snprintf(path, PATH_MAX, "%s/%s", dir, name);
}

static void add(const char *name, int seconds_ago)
{
	struct timespec times[2];
	char path[PATH_MAX];

	path_of(path, name);
	AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(clock_gettime(CLOCK_REALTIME, &times[0]), 0);
	times[0].tv_sec -= seconds_ago;
	times[1] = times[0];
	assert_int_equal(futimens(fd, times), 0);
}

static bool has(const char *name)
{
	char path[PATH_MAX];

	path_of(path, name);
	return access(path, F_OK) == 0;
}

/* dead_pid() - of a process that was there and is gone */
static pid_t dead_pid(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void test_newest_stay(void **state)
{
	char path[PATH_MAX];

	(void)state;
	for (int i = 0; i < 6; i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "f%d", i);
		add(name, i * 100);
	}
	path_of(path, "d");
	assert_int_equal(mkdir(path, 0700), 0); /* not ours to judge */
	cachedir_prune(dir, "f5", 2);
	assert_true(has("f0") && has("f1") && has("f5") && has("d"));
	assert_false(has("f2") || has("f3") || has("f4"));
	cachedir_prune(dir, NULL, 0);
	assert_false(has("f0") || has("f1") || has("f5"));
	assert_true(has("d"));
}

static void test_unfinished(void **state)
{
	char gone[64], gone_new[64], ours[PATH_MAX], path[PATH_MAX];

	(void)state;
	path_of(path, "x.img");
	assert_int_equal(cachedir_tmp(ours, path), 0);
	add(strrchr(ours, '/') + 1, 100000);
	(void)snprintf(gone, sizeof(gone), "x.img.%d.tmp", (int)dead_pid());
	add(gone, 100000);
	(void)snprintf(gone_new, sizeof(gone_new), "y.img.%d.tmp", (int)dead_pid());
	add(gone_new, 1);
	add("z.tmp", 100000); /* no number: a file like any other */
	cachedir_prune(dir, NULL, 10);
	assert_false(has(gone));
	assert_true(has(gone_new)); /* perhaps of another container */
	assert_int_equal(access(ours, F_OK), 0);
	assert_true(has("z.tmp"));
}

static void test_names(void **state)
{
	char dst[PATH_MAX], path[PATH_MAX], want[64];

	(void)state;
	assert_int_equal(cachedir_tmp(dst, "a"), 0);
	(void)snprintf(want, sizeof(want), "a.%d.tmp", (int)getpid());
	assert_string_equal(dst, want);
	memset(path, 'x', sizeof(path));
	path[PATH_MAX - 4] = '\0';
	assert_int_equal(cachedir_tmp(dst, path), -ENAMETOOLONG);
	cachedir_prune("/none/there", NULL, 1); /* nothing to do */
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[PATH_MAX + 16];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest_stay),
		cmocka_unit_test(test_unfinished),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
