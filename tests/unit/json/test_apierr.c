/* test_apierr.c - an error survives the way through the API's body, and nonsense is still an error */
#include "check.h"
#include "json/apierr.h"
#include <errno.h>
#include <string.h>

static void test_round_trip(void **state)
{
	(void)state;
	for (int c = ERR_INVALID; c < ERR_CODE_COUNT; c++) {
		struct err e = {0}, back = {0};
		AUTO(buf) b;

		buf_init(&b, 4096);
		(void)err_set(&e, (enum err_code)c, -EIO, "it \"broke\"\n");
		err_hint(&e, "mend it");
		assert_int_equal(apierr_print(&e, &b), 0);
		assert_true(apierr_read(b.data, b.len, apierr_status(e.code), &back) < 0);
		assert_int_equal(back.code, c);
		assert_string_equal(back.msg, "it \"broke\"\n");
		assert_string_equal(back.hint, "mend it");
	}
}

static void test_nonsense(void **state)
{
	static const char *const bodies[] = {"", "<html>", "{}", "{\"error\":1}", "{\"error\":{}}",
		"{\"error\":{\"code\":1,\"message\":2}}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct err e = {0};

		assert_true(apierr_read(bodies[i], strlen(bodies[i]), 502, &e) < 0);
		assert_int_equal(e.code, ERR_INTERNAL);
		assert_true(e.msg[0]);
	}
}

static void test_status(void **state)
{
	(void)state;
	assert_int_equal(apierr_status(ERR_INVALID), 400);
	assert_int_equal(apierr_status(ERR_NOT_FOUND), 404);
	assert_int_equal(apierr_status(ERR_CONFLICT), 409);
	assert_int_equal(apierr_status((enum err_code)99), 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
