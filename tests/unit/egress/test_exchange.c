/* Requests through a vault to real servers on loopback: HTTP/1 over TLS and plain, reuse, faults of servers */
#include "rig.h"

static void ok_script(struct origin_conn *c)
{
	while (origin_head(c))
		if (!origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Place: here\r\n"
				   "Connection: keep-alive\r\n\r\nhello"))
			return;
}

static void test_one_request(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/v1/x");
	struct origin o;
	struct answer a;
	struct rig r;

	(void)state;
	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", ok_script, NULL);
	rig_host(&r, "api.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "api.test.example");
	rig_configure(&r);
	q.query = "?a=b";
	rig_field(&q, "accept", "*/*");
	for (unsigned i = 0; i < 3; i++) {
		rig_ask(&r, &q, NULL, &a);
		assert_string_equal(a.text, "");
		assert_int_equal(a.status, 200);
		assert_true(a.done);
		assert_int_equal(a.body.len, 5);
		assert_memory_equal(a.body.data, "hello", 5);
		assert_int_equal(a.down, 5);
		assert_non_null(strstr(a.fields, "x-place: here\n"));
		assert_non_null(strstr(a.fields, "content-length: 5\n"));
		assert_null(strstr(a.fields, "connection:"));
		buf_fini(&a.body);
	}
	assert_int_equal(o.connections, 1); /* kept */
	assert_true(origin_saw(&o, "GET /v1/x?a=b HTTP/1.1\r\nhost: api.test.example\r\n"));
	assert_true(origin_saw(&o, "accept: */*\r\n"));
	rig_fini(&r);
	origin_stop(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
