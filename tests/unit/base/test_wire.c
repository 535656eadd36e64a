/* test_wire.c - the cursor: little-endian, bounded, and silent after its first error */
#include "check.h"
#include "base/wire.h"
#include <string.h>

static void test_numbers(void **state)
{
	uint8_t bytes[15];
	struct wire_w w = wire_writer(bytes, sizeof(bytes));
	struct wire_r r;

	(void)state;
	wire_put_u8(&w, 0xab);
	wire_put_u16(&w, 0x1234);
	wire_put_u32(&w, 0xdeadbeef);
	wire_put_u64(&w, 0x0102030405060708);
	assert_false(w.bad);
	assert_int_equal(w.pos, 15);
	assert_memory_equal(
		bytes, "\xab\x34\x12\xef\xbe\xad\xde\x08\x07\x06\x05\x04\x03\x02\x01", 15);
	r = wire_reader(bytes, sizeof(bytes));
	assert_int_equal(wire_get_u8(&r), 0xab);
	assert_int_equal(wire_get_u16(&r), 0x1234);
	assert_int_equal(wire_get_u32(&r), 0xdeadbeef);
	assert_false(wire_done(&r));
	assert_int_equal(wire_left(&r), 8);
	assert_true(wire_get_u64(&r) == 0x0102030405060708);
	assert_true(wire_done(&r));
}

static void test_every_truncation_is_bad_and_zero(void **state)
{
	static const uint8_t bytes[8] = {1, 1, 1, 1, 1, 1, 1, 1};

	(void)state;
	for (size_t n = 0; n < 8; n++) {
		struct wire_r r = wire_reader(bytes, n);

		assert_true(wire_get_u64(&r) == 0);
		assert_true(r.bad);
		assert_int_equal(wire_left(&r), 0);
		assert_int_equal(wire_get_u8(&r), 0); /* sticky, although a byte may be there */
		assert_false(wire_done(&r));
	}
}

static void test_strings(void **state)
{
	static const uint8_t bytes[] = {3, 0, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0};
	struct wire_r r = wire_reader(bytes, sizeof(bytes));
	size_t len = 99;
	const char *s;

	(void)state;
	s = wire_get_str(&r, 3, &len);
	assert_non_null(s);
	assert_int_equal(len, 3);
	assert_memory_equal(s, "abc", 3);
	assert_non_null(wire_get_str(&r, 3, &len));
	assert_int_equal(len, 0);
	assert_true(wire_done(&r));
}

static void test_bad_strings(void **state)
{
	static const struct {
		uint8_t bytes[8];
		size_t len, max;
	} bad[] = {
		{{4, 0, 0, 0, 'a', 'b', 'c', 'd'}, 8, 3}, /* above the maximum */
		{{5, 0, 0, 0, 'a', 'b', 'c', 'd'}, 8, 64}, /* more than there is */
		{{0xff, 0xff, 0xff, 0xff, 'a', 'b', 'c', 'd'}, 8, SIZE_MAX},
		{{4, 0, 0, 0, 'a', 0, 'c', 'd'}, 8, 64}, /* a NUL inside */
		{{1, 0, 0}, 3, 64}, /* half a length */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct wire_r r = wire_reader(bad[i].bytes, bad[i].len);
		struct wire_r z = r;
		char dst[65] = "old";

		assert_null(wire_get_str(&r, bad[i].max, NULL));
		assert_true(r.bad);
		wire_get_strz(&z, dst, bad[i].max < sizeof(dst) ? bad[i].max + 1 : sizeof(dst));
		assert_true(z.bad);
		assert_string_equal(dst, "");
	}
}

static void test_strz_fits_exactly(void **state)
{
	static const uint8_t bytes[] = {3, 0, 0, 0, 'a', 'b', 'c'};
	struct wire_r r = wire_reader(bytes, sizeof(bytes));
	char dst[4];

	(void)state;
	wire_get_strz(&r, dst, sizeof(dst));
	assert_string_equal(dst, "abc");
	assert_true(wire_done(&r));
	r = wire_reader(bytes, sizeof(bytes));
	wire_get_strz(&r, dst, 3);
	assert_true(r.bad);
}

static void test_writer_stops_at_its_end(void **state)
{
	uint8_t bytes[8] = {0};
	struct wire_w w = wire_writer(bytes, 6);

	(void)state;
	wire_put_str(&w, "ab");
	assert_false(w.bad);
	wire_put_u8(&w, 9);
	assert_true(w.bad);
	assert_int_equal(w.pos, 6);
	assert_int_equal(bytes[6], 0);
	w = wire_writer(bytes, 6);
	wire_put_str(&w, "abc"); /* its length fits, its bytes do not */
	assert_true(w.bad);
	w = wire_writer(bytes, 8);
	wire_put_str(&w, NULL);
	wire_put_bytes(&w, NULL, 0);
	assert_false(w.bad);
	assert_int_equal(w.pos, 4);
}

static void test_no_bytes_at_all(void **state)
{
	struct wire_r r = wire_reader(NULL, 0);

	(void)state;
	assert_true(wire_done(&r));
	assert_null(wire_get_bytes(&r, 1));
	assert_true(r.bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_every_truncation_is_bad_and_zero),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_bad_strings),
		cmocka_unit_test(test_strz_fits_exactly),
		cmocka_unit_test(test_writer_stops_at_its_end),
		cmocka_unit_test(test_no_bytes_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
