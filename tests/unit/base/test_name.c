/* test_name.c - what may be a name, and that a name made from any text is one */
#include "check.h"
#include "base/name.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define X63 "a23456789012345678901234567890123456789012345678901234567890123"

static void test_good(void **state)
{
	static const char *const good[] = {
		"ab", "a1", "A-b.c", "0-0", "claude-my.project", X63, "a--b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct err e = {0};

		assert_int_equal(name_check(good[i], &e), 0);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {"", "a", "../x", "a/b", "..", "-rf", "a-", ".a", "a.",
		"a..b", X63 "4", "a b", "a\nb", "a\x1b[2J", "a\xc3\xa4", "default", "a_b", "--",
		"a$b", "a:b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = {0};

		assert_int_equal(name_check(bad[i], &e), -EINVAL);
		assert_int_equal(e.code, ERR_INVALID);
		assert_true(e.msg[0]);
		assert_int_equal(name_check(bad[i], NULL), -EINVAL);
	}
}

static void test_from_text(void **state)
{
	char name[NAME_MAX_LEN + 1];

	(void)state;
	name_from(name, "claude", "My Project");
	assert_string_equal(name, "claude-My-Project");
	name_from(name, "claude", "..a..b..");
	assert_string_equal(name, "claude-a.b");
	name_from(name, "shell", "");
	assert_string_equal(name, "shell");
	name_from(name, "shell", "///");
	assert_string_equal(name, "shell");
}

/* The prefix is an agent's name, so it is plain; the text is a directory's name: any bytes. */
static void test_from_any_text(void **state)
{
	unsigned seed = 7;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char text[120], name[NAME_MAX_LEN + 1];
		struct err e = {0};
		size_t len;

		for (len = 0; len < (unsigned)rand_r(&seed) % 119; len++) {
			text[len] = (char)rand_r(&seed);
			if (rand_r(&seed) % 3 == 0)
				text[len] = "-.a"[rand_r(&seed) % 3];
			if (!text[len])
				break;
		}
		text[len] = '\0';
		name_from(name, "demo", text);
		if (name_check(name, &e) < 0)
			fail_msg("'%s' from '%s': %s", name, text, e.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_from_text),
		cmocka_unit_test(test_from_any_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
