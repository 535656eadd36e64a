/* test_write.c - what is written is what the parser reads; what it would refuse cannot be written */
#include "check.h"
#include "drive.h"
#include "http/write.h"
#include <errno.h>

static void test_round_trip(void **state)
{
	struct http_parser *p = http_parser_new(HTTP_REQUEST);
	struct outcome o;
	AUTO(buf) b;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(http_put_request(&b, "POST", "/v1/x?y=1"), 0);
	assert_int_equal(http_put_field(&b, "Host", "sbx"), 0);
	assert_int_equal(http_put_field(&b, "Transfer-Encoding", "chunked"), 0);
	assert_int_equal(http_put_end(&b), 0);
	assert_int_equal(http_put_chunk(&b, "hello ", 6), 0);
	assert_int_equal(http_put_chunk(&b, "", 0), 0);
	assert_int_equal(http_put_chunk(&b, "world, this is longer than sixteen", 34), 0);
	assert_int_equal(http_put_last_chunk(&b), 0);
	o = drive(p, b.data, b.len, 3);
	assert_int_equal(o.last, HTTP_END);
	assert_string_equal(o.body, "hello world, this is longer than sixteen");
	assert_string_equal(http_head(p)->target, "/v1/x?y=1");
	http_parser_free(p);
}

static void test_refusals(void **state)
{
	AUTO(buf) b;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(http_put_request(&b, "GE T", "/"), -EINVAL);
	assert_int_equal(http_put_request(&b, "", "/"), -EINVAL);
	assert_int_equal(http_put_request(&b, "GET", ""), -EINVAL);
	assert_int_equal(http_put_request(&b, "GET", "/a b"), -EINVAL);
	assert_int_equal(http_put_request(&b, "GET", "/\r\nX: y"), -EINVAL);
	assert_int_equal(http_put_field(&b, "A", "b\r\nC: d"), -EINVAL);
	assert_int_equal(http_put_field(&b, "A", "b\n"), -EINVAL);
	assert_int_equal(http_put_field(&b, "A:", "b"), -EINVAL);
	assert_int_equal(http_put_field(&b, "A ", "b"), -EINVAL);
	assert_int_equal(http_put_field(&b, "", "b"), -EINVAL);
	assert_int_equal(http_put_field(&b, "A", " b"), -EINVAL);
	assert_int_equal(http_put_field(&b, "A", "b\t"), -EINVAL);
	assert_int_equal(http_put_status(&b, 99), -EINVAL);
	assert_int_equal(http_put_status(&b, 1000), -EINVAL);
	assert_int_equal(b.len, 0);
}

static void test_a_chunk_is_whole_or_not_there(void **state)
{
	AUTO(buf) b;

	(void)state;
	buf_init(&b, 12);
	assert_int_equal(http_put_chunk(&b, "0123456789", 10), -ENOBUFS);
	assert_int_equal(b.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_a_chunk_is_whole_or_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
