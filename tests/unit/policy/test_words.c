/* test_words.c - the words of decisions, sources, reasons and methods */
#include "check.h"
#include "policy/policy.h"
#include <errno.h>
#include <string.h>

static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i <= POLICY_ALLOW; i++) {
		enum policy_decision d = POLICY_DENY;

		assert_true(
			policy_decision_from(policy_decision_name((enum policy_decision)i), &d));
		assert_int_equal(d, i);
	}
	for (int i = 0; i < POLICY_SOURCE_COUNT; i++) {
		enum policy_source s = POLICY_SOURCE_ORG;

		assert_true(policy_source_from(policy_source_name((enum policy_source)i), &s));
		assert_int_equal(s, i);
	}
	assert_false(policy_decision_from("Allow", &(enum policy_decision){0}));
	assert_false(policy_source_from("", &(enum policy_source){0}));
	assert_string_equal(policy_decision_name((enum policy_decision)9), "deny");
	for (int i = 0; i < POLICY_REASON_COUNT; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(policy_reason_name((enum policy_reason)i),
				policy_reason_name((enum policy_reason)j));
}

static void test_methods(void **state)
{
	static const char *const bad[] = {
		"", ",", "GET,", ",GET", "GETX", "G", "ANY,GET", "GET POST", "GET;POST"};
	char text[POLICY_METHODS_TEXT];
	uint16_t m = 7;
	struct err e;

	(void)state;
	assert_int_equal(policy_methods_parse("get, Post", &m, &e), 0);
	assert_int_equal(m, POLICY_GET | POLICY_POST);
	assert_string_equal(policy_methods_text(m, text), "GET,POST");
	assert_int_equal(policy_methods_parse("any", &m, &e), 0);
	assert_int_equal(m, 0);
	assert_string_equal(policy_methods_text(0, text), "ANY");
	policy_methods_text(POLICY_METHODS, text);
	assert_int_equal(policy_methods_parse(text, &m, &e), 0);
	assert_int_equal(m, POLICY_METHODS);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(policy_methods_parse(bad[i], &m, &e), -EINVAL);
	assert_int_equal(policy_method_bit("get"), 0);
	assert_int_equal(policy_method_bit("GET"), POLICY_GET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_methods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
