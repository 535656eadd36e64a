/* test_buf.c - a buffer never passes its maximum, stays terminated, and changes nothing on failure */
#include "check.h"
#include "base/buf.h"
#include <errno.h>
#include <string.h>

static void test_empty(void **state)
{
	AUTO(buf) b;
	char *s;

	(void)state;
	buf_init(&b, 8);
	assert_string_equal(buf_str(&b), "");
	assert_null(b.data);
	buf_clear(&b);
	s = buf_take(&b);
	assert_string_equal(s, "");
	free(s);
	buf_fini(NULL);
}

static void test_fills_to_its_maximum_and_no_further(void **state)
{
	AUTO(buf) b;
	char *room;

	(void)state;
	buf_init(&b, 8);
	assert_int_equal(buf_add(&b, "12345678", 8), 0);
	assert_string_equal(buf_str(&b), "12345678");
	assert_int_equal(buf_add(&b, "9", 1), -ENOBUFS);
	assert_int_equal(buf_addf(&b, "%d", 9), -ENOBUFS);
	assert_int_equal(buf_room(&b, SIZE_MAX, &room), -ENOBUFS);
	assert_int_equal(b.len, 8);
	assert_string_equal(buf_str(&b), "12345678");
	assert_int_equal(buf_add(&b, NULL, 0), 0);
}

static void test_grows_through_every_size(void **state)
{
	AUTO(buf) b;

	(void)state;
	buf_init(&b, 5000);
	for (unsigned i = 0; i < 5000; i++) {
		char c = (char)('a' + i % 26);

		assert_int_equal(buf_add(&b, &c, 1), 0);
		assert_int_equal(b.data[b.len], 0);
		assert_true(b.cap <= b.max + 1);
	}
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(b.data[i], 'a' + i % 26);
	assert_int_equal(buf_add(&b, "x", 1), -ENOBUFS);
}

static void test_format(void **state)
{
	AUTO(buf) b;

	(void)state;
	buf_init(&b, 400);
	assert_int_equal(buf_addf(&b, "%s-%d", "a", 7), 0);
	assert_int_equal(buf_addf(&b, "%0300d", 0), 0);
	assert_int_equal(b.len, 303);
	assert_int_equal(strncmp(b.data, "a-70000", 4), 0);
	assert_int_equal(buf_addf(&b, "%0300d", 0), -ENOBUFS);
	assert_int_equal(b.len, 303);
}

static void test_eat(void **state)
{
	AUTO(buf) b;

	(void)state;
	buf_init(&b, 16);
	assert_int_equal(buf_add(&b, "0123456789", 10), 0);
	buf_eat(&b, 0);
	buf_eat(&b, 4);
	assert_string_equal(buf_str(&b), "456789");
	assert_int_equal(buf_add(&b, "abcdefghij", 10), 0);
	assert_string_equal(buf_str(&b), "456789abcdefghij");
	buf_eat(&b, 16);
	assert_int_equal(b.len, 0);
	assert_string_equal(buf_str(&b), "");
}

static void test_take_leaves_it_usable(void **state)
{
	AUTO(buf) b;
	char *s;

	(void)state;
	buf_init(&b, 16);
	assert_int_equal(buf_add(&b, "one", 3), 0);
	s = buf_take(&b);
	assert_string_equal(s, "one");
	free(s);
	assert_int_equal(buf_add(&b, "two", 3), 0);
	assert_string_equal(buf_str(&b), "two");
}

static void test_room_then_grew(void **state)
{
	AUTO(buf) b;
	char *room;

	(void)state;
	buf_init(&b, 64);
	assert_int_equal(buf_room(&b, 64, &room), 0);
	memset(room, 'z', 64);
	assert_int_equal(b.len, 0);
	buf_grew(&b, 10);
	assert_string_equal(buf_str(&b), "zzzzzzzzzz");
	buf_grew(&b, 0);
	assert_int_equal(b.len, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_fills_to_its_maximum_and_no_further),
		cmocka_unit_test(test_grows_through_every_size),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_eat),
		cmocka_unit_test(test_take_leaves_it_usable),
		cmocka_unit_test(test_room_then_grew),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
