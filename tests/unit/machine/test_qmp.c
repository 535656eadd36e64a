/* test_qmp.c - QEMU's lines: what is taken from them, and what is refused */
#include "check.h"
#include "machine/qmp.h"
#include <string.h>

static enum qmp_kind parse(const char *line, struct qmp_msg *m)
{
	return qmp_parse(line, strlen(line), m);
}

static void test_what_qemu_says(void **state)
{
	struct qmp_msg m;

	(void)state;
	assert_int_equal(parse("{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2}}, "
			       "\"capabilities\": [\"oob\"]}}\r",
				 &m),
		QMP_GREETING);
	assert_int_equal(parse("{\"return\": {}}\r", &m), QMP_RETURN);
	assert_int_equal(
		parse("{\"return\": [1, -2.5e3, true, null, \"}\"], \"id\": 7}", &m), QMP_RETURN);
	assert_int_equal(
		parse("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}}",
			&m),
		QMP_ERROR);
	assert_string_equal(m.text, "no such thing");
	assert_int_equal(parse("{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": "
			       "\"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": "
			       "\"guest-shutdown\"}}",
				 &m),
		QMP_EVENT);
	assert_string_equal(m.text, "SHUTDOWN");
	assert_string_equal(m.detail, "guest-shutdown");
}

static void test_malformed(void **state)
{
	static const char *const lines[] = {"", "{", "}", "{}", "[]", "x", "null", "{\"return\"}",
		"{\"return\":}", "{\"return\": {}", "{\"return\": {}}}", "{\"return\": {}} {",
		"{\"return\": {},}", "{,\"return\": {}}", "{\"return\": \"}", "{\"return\": \"\\",
		"{\"a\": 1}", "{\"return\": {}, \"event\": \"X\"}", "{\"event\": 1}",
		"{\"event\": {}}", "{\"error\": \"text\"}", "{\"return\": \"a\nb\"}",
		"{\"event\": \"A\", \"event\": \"B\"}", "{\"event\": \"A\", \"data\": []}",
		"{\"return\": [}]}x", "\"return\""};
	struct qmp_msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		memset(&m, 0xff, sizeof(m));
		if (parse(lines[i], &m) != QMP_BAD)
			fail_msg("taken: %s", lines[i]);
		assert_int_equal(m.kind, QMP_BAD);
		assert_string_equal(m.text, "");
	}
}

static void test_bounds(void **state)
{
	char deep[256], wide[QMP_LINE_MAX + 2];
	struct qmp_msg m;

	(void)state;
	(void)snprintf(deep, sizeof(deep), "{\"return\": %.*s%.*s}", QMP_DEPTH_MAX,
		"[[[[[[[[[[[[[[[[[[[[", QMP_DEPTH_MAX, "]]]]]]]]]]]]]]]]]]]]");
	assert_int_equal(parse(deep, &m), QMP_RETURN);
	(void)snprintf(deep, sizeof(deep), "{\"return\": %.*s%.*s}", QMP_DEPTH_MAX + 1,
		"[[[[[[[[[[[[[[[[[[[[", QMP_DEPTH_MAX + 1, "]]]]]]]]]]]]]]]]]]]]");
	assert_int_equal(parse(deep, &m), QMP_BAD);
	memset(wide, ' ', sizeof(wide));
	memcpy(wide, "{\"return\":1", 11);
	wide[sizeof(wide) - 1] = '}';
	assert_int_equal(qmp_parse(wide, sizeof(wide), &m), QMP_BAD);
	wide[QMP_LINE_MAX - 1] = '}';
	assert_int_equal(qmp_parse(wide, QMP_LINE_MAX, &m), QMP_RETURN);
}

static void test_long_texts_are_cut(void **state)
{
	char line[600];
	struct qmp_msg m;

	(void)state;
	(void)snprintf(line, sizeof(line), "{\"event\": \"%0500d\"}", 1);
	assert_int_equal(parse(line, &m), QMP_EVENT);
	assert_int_equal(strlen(m.text), QMP_TEXT_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_qemu_says),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_long_texts_are_cut),
	};

	return cmocka_run_group_tests_name("machine_qmp", tests, NULL, NULL);
}
