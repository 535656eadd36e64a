/* test_escape.c - nothing that moves a cursor, hides or reorders text comes out */
#include "check.h"
#include "base/escape.h"
#include <stdlib.h>
#include <string.h>

static const char *esc(const char *s, size_t len)
{
	static char out[4096];

	return escape_text(out, sizeof(out), s, len);
}
#define LIT(s) esc((s), sizeof(s) - 1)

static void test_plain_text_stays(void **state)
{
	(void)state;
	assert_string_equal(LIT("Grüße, 世界 🙂 ~"), "Grüße, 世界 🙂 ~");
	assert_string_equal(LIT(""), "");
	assert_string_equal(escape_str((char[8]){0}, 8, NULL), "");
}

static void test_controls(void **state)
{
	(void)state;
	assert_string_equal(LIT("a\nb\tc\rd"), "a\\nb\\tc\\rd");
	assert_string_equal(LIT("\x1b[2J\x07\x7f"), "\\x1b[2J\\x07\\x7f");
	assert_string_equal(LIT("a\0b"), "a\\x00b");
	assert_string_equal(LIT("\xc2\x9b"
				"31m"),
		"\\u{9b}31m"); /* C1 CSI */
	assert_string_equal(LIT("a\\nb"), "a\\\\nb");
}

static void test_hidden_and_reordering(void **state)
{
	(void)state;
	assert_string_equal(LIT("\u202eabc"), "\\u{202e}abc");
	assert_string_equal(LIT("a\u2066b"), "a\\u{2066}b");
	assert_string_equal(LIT("a\u200bb"), "a\\u{200b}b");
	assert_string_equal(LIT("a\u2028b"), "a\\u{2028}b");
	assert_string_equal(LIT("\ufeff"), "\\u{feff}");
	assert_string_equal(LIT("\u00ad"), "\\u{ad}");
	assert_string_equal(LIT("\U000e0041"), "\\u{e0041}");
}

static void test_broken_utf8(void **state)
{
	(void)state;
	assert_string_equal(LIT("\xff\xfe"), "\\xff\\xfe");
	assert_string_equal(LIT("\xc0\xaf"), "\\xc0\\xaf"); /* overlong */
	assert_string_equal(LIT("\xe2\x82"), "\\xe2\\x82"); /* cut */
	assert_string_equal(LIT("\xed\xa0\x80"), "\\xed\\xa0\\x80"); /* surrogate */
	assert_string_equal(LIT("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
	assert_string_equal(LIT("\x80x"), "\\x80x");
}

static void test_twice_is_once(void **state)
{
	char once[64], twice[64];

	(void)state;
	(void)escape_str(once, sizeof(once), "a\\n\nb\x1b");
	assert_string_equal(once, "a\\\\n\\nb\\x1b");
	assert_string_equal(escape_again(twice, sizeof(twice), once), once);
	assert_string_equal(escape_again(twice, sizeof(twice), "\x1b[2J\\"), "\\x1b[2J\\");
	assert_string_equal(escape_again(twice, sizeof(twice), NULL), "");
}

static void test_cut_is_shown(void **state)
{
	char out[10];

	(void)state;
	assert_string_equal(escape_str(out, sizeof(out), "123456789"), "123456789");
	assert_string_equal(escape_str(out, sizeof(out), "1234567890"), "123456...");
	assert_string_equal(escape_str(out, sizeof(out), "12345\x1b\x1b"), "12345...");
	assert_string_equal(escape_str(out, 1, "12345"), "");
	assert_ptr_equal(escape_text(NULL, 0, "abc", 3), NULL);
}

/* Whatever the bytes and the room: terminated, valid UTF-8, no control, nothing past the end. */
static void test_any_bytes(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char in[24], out[64];
		size_t len, cap = 1 + (unsigned)rand_r(&seed) % 60;

		for (len = 0; len < (unsigned)rand_r(&seed) % 24; len++)
			in[len] = (char)rand_r(&seed);
		memset(out, 0x5a, sizeof(out));
		escape_text(out, cap, in, len);
		assert_true(strnlen(out, cap) < cap);
		assert_int_equal(out[cap], 0x5a);
		for (size_t i = 0, n = strlen(out); i < n;) {
			unsigned cp = 0;
			size_t k = utf8_decode(out + i, n - i, &cp);

			assert_true(k > 0);
			assert_true(cp >= 0x20 && !(cp >= 0x7f && cp < 0xa0));
			i += k;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_text_stays),
		cmocka_unit_test(test_controls),
		cmocka_unit_test(test_hidden_and_reordering),
		cmocka_unit_test(test_broken_utf8),
		cmocka_unit_test(test_twice_is_once),
		cmocka_unit_test(test_cut_is_shown),
		cmocka_unit_test(test_any_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
