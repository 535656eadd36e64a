/* test_user.c - users out of files that may hold anything */
#include "guest/user.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static char etc[64];

static void write_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", etc, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	fclose(f);
}

static int start(void **state)
{
	(void)state;
	strcpy(etc, "/tmp/sbx-etc-XXXXXX");
	return mkdtemp(etc) ? 0 : -1;
}

static int stop(void **state)
{
	char cmd[128];

	(void)state;
	(void)snprintf(cmd, sizeof(cmd), "rm -r %s", etc);
	return system(cmd);
}

static const struct agent_setup setup = {
	.user = "agent", .uid = 1000, .gid = 1000, .home = "/home/agent"};

static void test_entries(void **state)
{
	struct user u;
	struct err e;

	(void)state;
	write_file("passwd", "root:x:0:0:root:/root:/bin/bash\n"
			     "junk\nbad:x:-1:0::/:/bin/sh\nworse:x:99999999999:1::/:/x\n"
			     "agent:x:1000:1001:A:/home/a:/bin/zsh\nlast:x:5:6::rel:\n");
	write_file("group", "root:x:0:\nagent:x:1001:\ndocker:x:999:joe,agent\n"
			    "other:x:998:agents,joe\nbroken\nself:x:1001:agent\n");
	assert_int_equal(user_find(etc, "", &setup, &u, &e), 0);
	assert_int_equal(u.uid, 1000);
	assert_int_equal(u.gid, 1001);
	assert_string_equal(u.home, "/home/a");
	assert_string_equal(u.shell, "/bin/zsh");
	assert_int_equal(u.n_groups, 2);
	assert_int_equal(u.groups[0], 1001);
	assert_int_equal(u.groups[1], 999);
	assert_int_equal(user_find(etc, "0", &setup, &u, &e), 0);
	assert_string_equal(u.name, "root");
	assert_int_equal(user_find(etc, "1000:7", &setup, &u, &e), 0);
	assert_string_equal(u.name, "agent");
	assert_int_equal(u.gid, 7);
	assert_int_equal(user_find(etc, "4242", &setup, &u, &e), 0);
	assert_int_equal(u.uid, 4242);
	assert_int_equal(u.gid, 4242);
	assert_string_equal(u.home, "/");
	assert_int_equal(user_find(etc, "last", &setup, &u, &e), 0);
	assert_string_equal(u.home, "/");
	assert_string_equal(u.shell, "/bin/sh");
}

static void test_refused(void **state)
{
	static const char *const invalid[] = {
		"1:", "1x", "1:2:3", "4294967295", "99999999999", "0x1"};
	struct user u = {.uid = 77};
	struct err e;

	(void)state;
	write_file("passwd", "bad:x:-1:0::/:/bin/sh\n");
	for (size_t i = 0; i < ARRAY_LEN(invalid); i++)
		assert_int_equal(user_find(etc, invalid[i], &setup, &u, &e), -EINVAL);
	assert_int_equal(user_find(etc, "bad", &setup, &u, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "bad"));
	assert_int_equal(user_find(etc, "nobody", &setup, &u, &e), -ENOENT);
	assert_int_equal(u.uid, 77);
}

static void test_files_gone(void **state)
{
	struct user u;
	struct err e;

	(void)state;
	assert_int_equal(user_find(etc, "", &setup, &u, &e), 0);
	assert_int_equal(u.uid, 1000);
	assert_string_equal(u.home, "/home/agent");
	assert_int_equal(user_find(etc, "root", &setup, &u, &e), 0);
	assert_int_equal(u.uid, 0);
	assert_int_equal(u.n_groups, 1);
	assert_int_equal(user_find(etc, "1000", &setup, &u, &e), 0);
	assert_string_equal(u.name, "agent");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_entries, start, stop),
		cmocka_unit_test_setup_teardown(test_refused, start, stop),
		cmocka_unit_test_setup_teardown(test_files_gone, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
