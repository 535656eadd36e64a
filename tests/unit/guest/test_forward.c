/* test_forward.c - every name is refused, and nonsense gets no answer */
#include "guest/forward.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static const uint8_t query[] = {0x12, 0x34, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1, 3, 'w', 'w', 'w', 7,
	'e', 'x', 'a', 'm', 'p', 'l', 'e', 3, 'c', 'o', 'm', 0, 0, 1, 0, 1,
	/* EDNS */ 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0};

static void test_refused(void **state)
{
	uint8_t reply[FORWARD_DNS_MAX];
	size_t len = forward_refuse(query, sizeof(query), reply);

	(void)state;
	assert_int_equal(len, 33); /* header and question, without EDNS */
	assert_int_equal(reply[0], 0x12);
	assert_int_equal(reply[1], 0x34);
	assert_int_equal(reply[2], 0x81); /* response, recursion desired */
	assert_int_equal(reply[3], 5); /* REFUSED */
	assert_memory_equal(reply + 4, "\0\1\0\0\0\0\0\0", 8);
	assert_memory_equal(reply + 12, query + 12, 21);
}

static void test_nonsense(void **state)
{
	uint8_t q[sizeof(query)], reply[FORWARD_DNS_MAX];

	(void)state;
	for (size_t len = 0; len < 12; len++)
		assert_int_equal(forward_refuse(query, len, reply), 0);
	memcpy(q, query, sizeof(q));
	q[2] |= 0x80; /* a response */
	assert_int_equal(forward_refuse(q, sizeof(q), reply), 0);
	memcpy(q, query, sizeof(q));
	q[12] = 0xc0; /* a pointer; then a label beyond the end; then a cut question */
	assert_int_equal(forward_refuse(q, sizeof(q), reply), 12);
	q[12] = 63;
	assert_int_equal(forward_refuse(q, sizeof(q), reply), 12);
	assert_int_equal(forward_refuse(query, 31, reply), 12);
	assert_int_equal(reply[5], 0); /* and no question is claimed */
	memcpy(q, query, sizeof(q));
	q[5] = 2;
	assert_int_equal(forward_refuse(q, sizeof(q), reply), 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
