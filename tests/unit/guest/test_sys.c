/* test_sys.c - processors are switched on by their files, up to the first that is missing */
#include "../check.h"
#include "guest/sys.h"
#include "base/own.h"
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/sbx-unit-sys-XXXXXX";

static void cpu_path(char path[PATH_MAX], unsigned i, const char *file)
{
	(void)snprintf(path, PATH_MAX, "%s/cpu%u%s", dir, i, file);
}

static void add_cpu(unsigned i, bool has_switch)
{
	char path[PATH_MAX];

	cpu_path(path, i, "");
	assert_int_equal(mkdir(path, 0700), 0);
	if (!has_switch)
		return;
	cpu_path(path, i, "/online");
	AUTO_FD fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "0", 1), 1);
}

static bool is_on(unsigned i)
{
	char path[PATH_MAX], c = '?';

	cpu_path(path, i, "/online");
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, &c, 1), 1);
	return c == '1';
}

static void test_cpus_on(void **state)
{
	(void)state;
	assert_int_equal(sys_cpus_on(dir), 0); /* nothing is there */
	add_cpu(0, false);
	assert_int_equal(sys_cpus_on(dir), 0); /* one processor: nothing to switch */
	add_cpu(1, true);
	add_cpu(2, true);
	add_cpu(4, true);
	assert_int_equal(sys_cpus_on(dir), 2);
	assert_true(is_on(1) && is_on(2) && !is_on(4));
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
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpus_on)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
