/* test_target.c - segments and parameters, and the spellings that are refused */
#include "check.h"
#include "http/target.h"
#include <string.h>

static void test_split(void **state)
{
	struct http_target t;

	(void)state;
	assert_true(http_target_split(&t, "/v1/sandboxes/a%20b/logs?kind=console&tail=5&x"));
	assert_int_equal(t.n_segments, 4);
	assert_string_equal(t.segment[0], "v1");
	assert_string_equal(t.segment[2], "a b");
	assert_string_equal(t.segment[3], "logs");
	assert_string_equal(http_target_param(&t, "kind"), "console");
	assert_string_equal(http_target_param(&t, "tail"), "5");
	assert_string_equal(http_target_param(&t, "x"), "");
	assert_null(http_target_param(&t, "y"));
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"", "v1", "/", "//", "/v1/", "/v1//x", "/v1/.", "/v1/..",
		"/v1/../x", "/v1/%2e%2e", "/v1/%2E", "/v1/a%2fb", "/v1/%00", "/v1/%0a", "/v1/%7f",
		"/v1/%", "/v1/%4", "/v1/%zz", "/v1?", "/v1?&", "/v1?=x", "/v1?a=1&a=2", "/v1?a=%00",
		"/v1?a=1&", "/1/2/3/4/5/6/7/8/9"};
	struct http_target t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (http_target_split(&t, bad[i]))
			print_error("%s was taken\n", bad[i]);
		assert_false(http_target_split(&t, bad[i]));
	}
}

static void test_too_long(void **state)
{
	char text[4096];
	struct http_target t;

	(void)state;
	for (size_t n = 2000; n < 2100; n++) {
		text[0] = '/';
		memset(text + 1, 'a', n);
		text[n + 1] = '\0';
		assert_int_equal(http_target_split(&t, text), n < sizeof(t.text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
