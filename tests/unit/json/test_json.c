/* test_json.c - what is taken, what is refused, and that equal values print equally */
#include "check.h"
#include "json/json.h"
#include <errno.h>
#include <string.h>

static int parse(const char *text, struct js **ret)
{
	struct err e = {0};
	int r = js_parse(text, strlen(text), 1 << 20, ret, &e);

	assert_int_equal(r < 0, e.code != ERR_NONE);
	return r;
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"", " ", "1", "\"x\"", "null", "{", "[", "{]", "[1,]",
		"{\"a\":1,}", "{\"a\":1}x", "{} {}", "[1] 2", "{\"a\":1,\"a\":2}",
		"{\"b\":{\"a\":1,\"a\":1}}", "{'a':1}", "{a:1}", "[01]", "[+1]", "[.5]", "[1e400]",
		"[99999999999999999999]", "[NaN]", "[Infinity]", "[\"\xff\"]", "[\"\xc0\xaf\"]",
		"[\"\xed\xa0\x80\"]", "[\"\\ud800\"]", "[\"\\u0000\"]", "[\"a\nb\"]", "[\"\\x41\"]",
		"// c\n[]", "[1]/**/", "\xef\xbb\xbf[]", "[tru]", "[\"a]"};
	struct js *v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int r = parse(bad[i], &v);

		if (r >= 0)
			print_error("'%s' was taken\n", bad[i]);
		assert_int_equal(r, -EINVAL);
	}
}

static void nested(char *text, unsigned levels, char open, char close)
{
	memset(text, open, levels);
	memset(text + levels, close, levels);
	text[2 * levels] = '\0';
}

static void test_depth(void **state)
{
	static char text[400001];
	struct js *v;

	(void)state;
	nested(text, JS_DEPTH_MAX, '[', ']');
	assert_int_equal(parse(text, &v), 0);
	js_free(v);
	nested(text, JS_DEPTH_MAX + 1, '[', ']');
	assert_int_equal(parse(text, &v), -EFBIG);
	nested(text, 200000, '[', ']');
	assert_int_equal(parse(text, &v), -EFBIG);
	/* brackets inside strings do not count */
	nested(text + 2, 100, '[', ']');
	text[0] = '[';
	text[1] = '"';
	strcpy(text + 2 + 200, "\\\"[\"]");
	assert_int_equal(parse(text, &v), 0);
	js_free(v);
}

static void test_number_of_values(void **state)
{
	static char text[2 * JS_VALUES_MAX + 16];
	struct js *v;
	size_t n = 0;

	(void)state;
	text[n++] = '[';
	for (unsigned i = 0; i < JS_VALUES_MAX; i++) {
		text[n++] = '1';
		text[n++] = ',';
	}
	text[n - 1] = ']';
	assert_int_equal(js_parse(text, n, sizeof(text), &v, NULL), -EFBIG);
	text[n - 5] = ']';
	assert_int_equal(js_parse(text, n - 4, sizeof(text), &v, NULL), 0);
	js_free(v);
	assert_int_equal(js_parse(text, n - 4, n - 5, &v, NULL), -EFBIG);
}

static void test_integers_are_exact(void **state)
{
	AUTO_JS v = NULL;

	(void)state;
	assert_int_equal(parse("[9223372036854775807,-9223372036854775808,1.0]", &v), 0);
	assert_true(js_int(js_at(v, 0), 0) == INT64_MAX);
	assert_true(js_int(js_at(v, 1), 0) == INT64_MIN);
	assert_true(js_int(js_at(v, 2), 42) == 42);
	assert_null(js_at(v, 3));
	assert_null(js_get(v, "a"));
}

static void canonical(const char *text, const char *want)
{
	AUTO_JS v = NULL;
	AUTO(buf) b;

	buf_init(&b, 4096);
	assert_int_equal(parse(text, &v), 0);
	assert_int_equal(js_canonical(v, &b), 0);
	assert_string_equal(buf_str(&b), want);
}

static void test_canonical(void **state)
{
	(void)state;
	canonical("{ \"b\" : [ 1 , 2 ], \"a\" : {\"d\":null,\"c\":true} }",
		"{\"a\":{\"c\":true,\"d\":null},\"b\":[1,2]}");
	canonical("{\"a\":\"\\u0041\\u00e9\\/\"}", "{\"a\":\"A\xc3\xa9/\"}");
}

static void test_print_fits_or_is_not_there(void **state)
{
	AUTO_JS v = NULL;
	AUTO(buf) b;

	(void)state;
	buf_init(&b, 8);
	assert_int_equal(buf_add(&b, "x", 1), 0);
	assert_int_equal(parse("[1,2,3,4]", &v), 0);
	assert_int_equal(js_print(v, &b), -ENOBUFS);
	assert_int_equal(b.len, 1);
	assert_int_equal(js_print(NULL, &b), -ENOMEM);
}

static void test_building(void **state)
{
	AUTO_JS o = js_object();
	AUTO_JS a = js_array();
	AUTO(buf) b;
	bool bad = false;

	(void)state;
	bad |= js_set_str(o, "s", "a\xff\"");
	bad |= js_set_str(o, "null", NULL);
	bad |= js_set_strn(o, "nul", "a\0b", 3);
	bad |= js_set_int(o, "i", -5);
	bad |= js_set_bool(o, "t", true);
	bad |= js_add_str(a, "x");
	bad |= js_add(a, js_object());
	bad |= js_set(o, "a", TAKE(a));
	bad |= js_set_copy(o, "c", js_get(o, "i"));
	bad |= js_set_copy(o, "d", NULL);
	assert_false(bad);
	js_del(o, "t");
	buf_init(&b, 4096);
	assert_int_equal(js_print(o, &b), 0);
	assert_string_equal(buf_str(&b),
		"{\"s\":\"a\xef\xbf\xbd\\\"\",\"null\":null,\"nul\":\"a\\u0000b\",\"i\":-5,"
		"\"a\":[\"x\",{}],\"c\":-5,\"d\":null}");
	/* what has failed is told by whoever comes next */
	assert_true(js_set_int(NULL, "x", 1));
	assert_true(js_set(o, "x", NULL));
	assert_true(js_add(NULL, js_object()));
}

static void test_utf8(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},
		{"plain", "plain"},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"a\xffz", "a\xef\xbf\xbdz"},
		{"\xc3", "\xef\xbf\xbd"},
		{"\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
		{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) b;

		buf_init(&b, 64);
		assert_int_equal(js_utf8(&b, cases[i].in, strlen(cases[i].in)), 0);
		assert_string_equal(buf_str(&b), cases[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_number_of_values),
		cmocka_unit_test(test_integers_are_exact),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_print_fits_or_is_not_there),
		cmocka_unit_test(test_building),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
