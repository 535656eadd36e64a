/* test_paths.c - where things are, and that a directory somebody else may change is refused */
#include "check.h"
#include "base/paths.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char home[PATH_MAX];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(home, sizeof(home), "/tmp/sbx-test-paths-XXXXXX");
	unsetenv("SBX_STATE_DIR");
	unsetenv("SBX_CACHE_DIR");
	unsetenv("SBX_LIBEXEC_DIR");
	unsetenv("SBX_DATA_DIR");
	unsetenv("XDG_STATE_HOME");
	unsetenv("XDG_CACHE_HOME");
	if (!mkdtemp(home) || setenv("HOME", home, 1) < 0)
		return -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(home);
}

static void expect_path(const char *got, const char *rest)
{
	char want[PATH_MAX];

	assert_int_equal(paths_join(want, home, rest), 0);
	assert_string_equal(got, want);
}

static void test_defaults(void **state)
{
	struct paths p;
	struct err e = {0};

	(void)state;
	assert_int_equal(paths_find(&p, &e), 0);
	expect_path(p.state, ".local/state/sbx");
	expect_path(p.cache, ".cache/sbx");
	assert_int_equal(p.libexec[0], '/');
	assert_int_equal(p.data[0], '/');
	assert_int_equal(access(p.state, F_OK), -1); /* looking makes nothing */
}

static void test_variables_in_order(void **state)
{
	struct paths p;
	struct err e = {0};

	(void)state;
	setenv("XDG_STATE_HOME", "/x/state", 1);
	setenv("XDG_CACHE_HOME", "relative", 1); /* not absolute: not used */
	assert_int_equal(paths_find(&p, &e), 0);
	assert_string_equal(p.state, "/x/state/sbx");
	expect_path(p.cache, ".cache/sbx");
	setenv("SBX_STATE_DIR", "/own", 1);
	setenv("SBX_LIBEXEC_DIR", "/le", 1);
	setenv("SBX_DATA_DIR", "/da", 1);
	assert_int_equal(paths_find(&p, &e), 0);
	assert_string_equal(p.state, "/own");
	assert_string_equal(p.libexec, "/le");
	assert_string_equal(p.data, "/da");
	setenv("SBX_STATE_DIR", "own", 1);
	assert_int_equal(paths_find(&p, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "SBX_STATE_DIR"));
}

static void test_too_long(void **state)
{
	char big[PATH_MAX + 10], dst[PATH_MAX];
	struct paths p;
	struct err e = {0};

	(void)state;
	memset(big, 'a', sizeof(big) - 1);
	big[0] = '/';
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(paths_join(dst, big, "b"), -ENAMETOOLONG);
	assert_int_equal(paths_mkdir(big, &e), -ENAMETOOLONG);
	setenv("SBX_STATE_DIR", big, 1);
	e = (struct err){0};
	assert_true(paths_find(&p, &e) < 0);
	assert_int_not_equal(e.code, ERR_NONE); /* a person is told why */
	unsetenv("SBX_STATE_DIR");
	setenv("XDG_STATE_HOME", big, 1);
	e = (struct err){0};
	assert_true(paths_find(&p, &e) < 0);
	assert_int_not_equal(e.code, ERR_NONE);
	unsetenv("XDG_STATE_HOME");
	setenv("HOME", big, 1);
	e = (struct err){0};
	assert_true(paths_find(&p, &e) < 0);
	assert_int_not_equal(e.code, ERR_NONE);
}

static void test_mkdir(void **state)
{
	char a[PATH_MAX], ab[PATH_MAX];
	struct err e = {0};
	struct stat st;

	(void)state;
	assert_int_equal(paths_join(a, home, "a"), 0);
	assert_int_equal(paths_join(ab, a, "b"), 0);
	assert_int_equal(paths_mkdir(ab, &e), 0);
	assert_int_equal(paths_mkdir(ab, &e), 0);
	assert_int_equal(lstat(a, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(chmod(ab, 0777), 0);
	assert_int_equal(paths_mkdir(ab, &e), -EPERM);
	assert_int_equal(e.code, ERR_DENIED);
	assert_int_equal(chmod(ab, 0755), 0);
	assert_int_equal(paths_mkdir(ab, &e), 0);
	assert_int_equal(rmdir(ab), 0);
	assert_int_equal(symlink("/tmp", ab), 0);
	assert_true(paths_mkdir(ab, &e) < 0);
	assert_int_equal(unlink(ab), 0);
	assert_int_equal(rmdir(a), 0);
}

static void test_mkdir_of_another_user(void **state)
{
	char a[PATH_MAX];
	struct err e = {0};

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can give a directory to another user");
	assert_int_equal(paths_join(a, home, "a"), 0);
	assert_int_equal(mkdir(a, 0700), 0);
	assert_int_equal(chown(a, 65534, 65534), 0);
	assert_int_equal(paths_mkdir(a, &e), -EPERM);
	assert_non_null(strstr(e.msg, "another user"));
	assert_int_equal(rmdir(a), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(test_variables_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mkdir, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mkdir_of_another_user, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
