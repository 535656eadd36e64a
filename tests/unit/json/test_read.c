/* test_read.c - strict reading of one object: every fault is told once, with its place */
#include "check.h"
#include "json/json.h"
#include <errno.h>
#include <string.h>

static struct js *parse(const char *text)
{
	struct js *v = NULL;

	assert_int_equal(js_parse(text, strlen(text), 65536, &v, NULL), 0);
	return v;
}

static void test_all_there(void **state)
{
	AUTO_JS v = parse("{\"s\":\"x\",\"i\":5,\"b\":true,\"a\":[1],\"o\":{\"k\":1},\"n\":null}");
	struct js_reader rd;

	(void)state;
	js_read(&rd, v, "", NULL);
	assert_string_equal(js_want_str(&rd, "s", 1), "x");
	assert_int_equal(js_want_int(&rd, "i", 5, 5), 5);
	assert_true(js_take_bool(&rd, "b", false));
	assert_int_equal(js_len(js_take_array(&rd, "a", 1)), 1);
	assert_int_equal(js_len(js_take_object(&rd, "o")), 1);
	assert_string_equal(js_take_str(&rd, "n", 9, "other"), "other"); /* null is absent */
	assert_int_equal(js_take_int(&rd, "missing", 0, 9, 7), 7);
	assert_int_equal(js_done(&rd), 0);
}

/* read_one() - what reading @text with one of each getter says; @which chooses the getter for "k" */
static void fault(const char *text, char which, const char *want)
{
	AUTO_JS v = parse(text);
	struct err e = {0};
	struct js_reader rd;

	js_read(&rd, v, "top", &e);
	switch (which) {
	case 's':
		assert_string_equal(js_want_str(&rd, "k", 3), "");
		break;
	case 'i':
		assert_int_equal(js_want_int(&rd, "k", 1, 9), 1);
		break;
	case 'b':
		assert_false(js_take_bool(&rd, "k", false));
		break;
	case 'a':
		assert_null(js_take_array(&rd, "k", 1));
		break;
	case 'o':
		assert_null(js_take_object(&rd, "k"));
		break;
	default:
		break;
	}
	assert_true(js_done(&rd) < 0);
	assert_int_equal(e.code, ERR_INVALID);
	assert_string_equal(e.msg, want);
}

static void test_faults(void **state)
{
	(void)state;
	fault("[]", 's', "top: must be an object");
	fault("{}", 's', "top.k: is required");
	fault("{\"k\":null}", 's', "top.k: is required");
	fault("{\"k\":1}", 's', "top.k: must be a string");
	fault("{\"k\":\"abcd\"}", 's', "top.k: is too long");
	fault("{\"k\":\"5\"}", 'i', "top.k: must be an integer");
	fault("{\"k\":5.0}", 'i', "top.k: must be an integer");
	fault("{\"k\":10}", 'i', "top.k: 10 is not between 1 and 9");
	fault("{\"k\":-1}", 'i', "top.k: -1 is not between 1 and 9");
	fault("{\"k\":1}", 'b', "top.k: must be true or false");
	fault("{\"k\":{}}", 'a', "top.k: must be an array");
	fault("{\"k\":[1,2]}", 'a', "top.k: has too many items");
	fault("{\"k\":[]}", 'o', "top.k: must be an object");
	fault("{\"other\":1}", 'x', "top.other: is not known here");
	fault("{\"\\u001b[2J\":1}", 'x', "top.\\x1b[2J: is not known here");
}

static void test_the_first_fault_stays(void **state)
{
	AUTO_JS v = parse("{\"a\":1,\"b\":2}");
	struct err e = {0};
	struct js_reader rd;

	(void)state;
	js_read(&rd, v, "", &e);
	(void)js_want_str(&rd, "a", 9);
	(void)js_want_str(&rd, "b", 9);
	js_fault(&rd, "c", "later");
	assert_int_equal(js_done(&rd), -EINVAL);
	assert_string_equal(e.msg, "a: must be a string");
}

static void test_lax_lets_unknown_keys_be(void **state)
{
	AUTO_JS v = parse("{\"a\":1,\"b\":2}");
	struct js_reader rd;

	(void)state;
	js_read(&rd, v, "", NULL);
	assert_int_equal(js_take_int(&rd, "a", 0, 9, 0), 1);
	assert_int_equal(js_done_lax(&rd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_there),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_the_first_fault_stays),
		cmocka_unit_test(test_lax_lets_unknown_keys_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
