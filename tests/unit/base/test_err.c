/* test_err.c - an error gains context, keeps its code, and is cut without breaking */
#include "check.h"
#include "base/err.h"
#include <errno.h>
#include <string.h>

static void test_set_and_wrap(void **state)
{
	struct err e = {0};

	(void)state;
	assert_int_equal(err_set(&e, ERR_CONFLICT, -EEXIST, "sandbox '%s' exists", "a1"), -EEXIST);
	err_hint(&e, "choose another name");
	assert_int_equal(err_wrap(&e, -EIO, "create"), -EIO);
	assert_string_equal(e.msg, "create: sandbox 'a1' exists");
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(e.num, -EEXIST);
	assert_string_equal(e.hint, "choose another name");
}

static void test_wrap_of_nothing_sets(void **state)
{
	struct err e = {0};

	(void)state;
	assert_int_equal(err_wrap(&e, -ENOENT, "open '%s'", "x"), -ENOENT);
	assert_string_equal(e.msg, "open 'x': No such file or directory");
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_int_equal(e.num, -ENOENT);
}

static void test_set_forgets_the_old_hint(void **state)
{
	struct err e = {0};

	(void)state;
	err_set(&e, ERR_INVALID, -EINVAL, "one");
	err_hint(&e, "old");
	err_set(&e, ERR_LIMIT, -ENOSPC, "two");
	assert_string_equal(e.hint, "");
	assert_string_equal(e.msg, "two");
}

static void test_none_wanted(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, ERR_INVALID, -EINVAL, "x"), -EINVAL);
	assert_int_equal(err_sys(NULL, -EIO, "x"), -EIO);
	assert_int_equal(err_wrap(NULL, -EPERM, "x"), -EPERM);
	err_hint(NULL, "x");
}

static void test_is_cut(void **state)
{
	char big[2 * ERR_MSG_MAX];
	struct err e = {0};

	(void)state;
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, ERR_INVALID, -EINVAL, "%s", big);
	assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
	err_wrap(&e, -EINVAL, "context");
	assert_int_equal(strncmp(e.msg, "context: aaa", 12), 0);
	assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
	assert_string_equal(e.msg + ERR_MSG_MAX - 4, "...");
	err_hint(&e, "%s", big);
	assert_int_equal(strlen(e.hint), ERR_HINT_MAX - 1);
}

static void test_names_go_there_and_back(void **state)
{
	(void)state;
	for (int c = ERR_INVALID; c < ERR_CODE_COUNT; c++)
		assert_int_equal(err_code_from_name(err_code_name((enum err_code)c)), c);
	assert_int_equal(err_code_from_name("no such word"), ERR_INTERNAL);
	assert_string_equal(err_code_name((enum err_code)77), "internal");
}

static void test_codes_of_errnos(void **state)
{
	(void)state;
	assert_int_equal(err_code_from_errno(-ENOENT), ERR_NOT_FOUND);
	assert_int_equal(err_code_from_errno(-EEXIST), ERR_CONFLICT);
	assert_int_equal(err_code_from_errno(-EACCES), ERR_DENIED);
	assert_int_equal(err_code_from_errno(-ELOOP), ERR_INVALID);
	assert_int_equal(err_code_from_errno(-ETIMEDOUT), ERR_TIMEOUT);
	assert_int_equal(err_code_from_errno(-ENOSPC), ERR_LIMIT);
	assert_int_equal(err_code_from_errno(-ECONNREFUSED), ERR_UNAVAILABLE);
	assert_int_equal(err_code_from_errno(-EIO), ERR_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_and_wrap),
		cmocka_unit_test(test_wrap_of_nothing_sets),
		cmocka_unit_test(test_set_forgets_the_old_hint),
		cmocka_unit_test(test_none_wanted),
		cmocka_unit_test(test_is_cut),
		cmocka_unit_test(test_names_go_there_and_back),
		cmocka_unit_test(test_codes_of_errnos),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
