/* test_class.c - the byte classes, rebuilt from the words of RFC 9110 and ours */
#include "check.h"
#include "http/internal.h"
#include <string.h>

static void test_every_byte(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		unsigned char c = (unsigned char)i;
		bool digit = c >= '0' && c <= '9';
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool hex = digit || (c && strchr("abcdefABCDEF", c));
		bool visible = c > 0x20 && c < 0x7f;

		assert_int_equal(http_is(c, HTTP_C_DIGIT), digit);
		assert_int_equal(http_is(c, HTTP_C_HEX), hex);
		assert_int_equal(http_is(c, HTTP_C_TOKEN),
			digit || letter || (c && strchr("!#$%&'*+-.^_`|~", c)));
		assert_int_equal(
			http_is(c, HTTP_C_VALUE), visible || c == ' ' || c == '\t' || c >= 0x80);
		assert_int_equal(http_is(c, HTTP_C_TARGET), visible && !strchr("\"#<>\\", c));
		assert_int_equal(
			http_is(c, HTTP_C_HOST), digit || letter || (c && strchr("-._", c)));
		assert_int_equal(http_is(c, HTTP_C_IPV6), hex || c == ':' || c == '.');
		assert_int_equal(
			http_is(c, HTTP_C_SEGMENT), (visible || c == ' ' || c >= 0x80) && c != '/');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_byte)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
