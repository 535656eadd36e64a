/* Requests through a vault to servers on loopback: HTTP/1 over TLS and plain, reuse, and servers that are wrong */
#include "rig.h"

static struct rig r;
static struct origin o;

static void begin(const char *alpn, void (*script)(struct origin_conn *c), void *ctx)
{
	rig_init(&r);
	origin_start(&o, r.ca, alpn, script, ctx);
	rig_host(&r, "api.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "api.test.example");
	rig_configure(&r);
}

static void end(void)
{
	rig_fini(&r);
	origin_stop(&o);
}

static void ok_script(struct origin_conn *c)
{
	while (origin_head(c))
		if (!origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Place: here\r\n"
				   "Connection: keep-alive\r\n\r\nhello"))
			return;
}

static void test_one_after_the_other(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/v1/x");
	struct answer a;

	(void)state;
	begin("http/1.1", ok_script, NULL);
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
	end();
}

static void echo_script(struct origin_conn *c)
{
	static char body[1 << 20];
	size_t n = 0, left;
	char line[16];

	if (!origin_head(c))
		return;
	if (strstr(c->head, "transfer-encoding: chunked\r\n")) {
		for (;;) {
			size_t at = 0;

			do
				if (!origin_exactly(c, line + at, 1))
					return;
			while (line[at++] != '\n' && at < sizeof(line));
			left = strtoul(line, NULL, 16);
			if (left + n > sizeof(body) || !origin_exactly(c, body + n, left) ||
				!origin_exactly(c, line, 2))
				return;
			n += left;
			if (left == 0)
				break;
		}
	} else {
		const char *at = strstr(c->head, "content-length: ");

		n = at ? strtoul(at + 16, NULL, 10) : 0;
		if (n > sizeof(body) || !origin_exactly(c, body, n))
			return;
	}
	if (!origin_say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
		return;
	for (size_t at = 0; at < n; at += left) {
		int len;

		left = n - at < 7000 ? n - at : 7000;
		len = snprintf(line, sizeof(line), "%zx\r\n", left);
		if (!origin_write(c, line, (size_t)len) || !origin_write(c, body + at, left) ||
			!origin_say(c, "\r\n"))
			return;
	}
	(void)origin_say(c, "0\r\nX-Sum: 7\r\n\r\n");
}

static void put_pieces(const char *p, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t n = len - at < 50000 ? len - at : 50000;

		assert_int_equal(egress_put_data(&r.out, p + at, n, at + n == len), 0);
		at += n;
	}
}

static void test_bodies_both_ways(void **state)
{
	enum { TOTAL = 900000 };
	struct egress_request q = rig_get("api.test.example", "/up");
	struct answer a;
	char *body = malloc(TOTAL);

	(void)state;
	for (size_t i = 0; i < TOTAL; i++)
		body[i] = (char)(i * 7 + i / 251);
	q.method = "PUT";
	rig_field(&q, "content-type", "application/octet-stream");
	for (unsigned known = 0; known < 2; known++) {
		begin("http/1.1", echo_script, NULL);
		rig_connect(&r);
		answer_init(&a);
		q.length = known ? TOTAL : EGRESS_LENGTH_UNKNOWN;
		assert_int_equal(egress_put_request(&r.out, &q, false), 0);
		put_pieces(body, TOTAL);
		rig_send(&r);
		rig_wait(&r, &a);
		assert_string_equal(a.text, "");
		assert_true(a.done);
		assert_int_equal(a.body.len, TOTAL);
		assert_memory_equal(a.body.data, body, TOTAL);
		assert_string_equal(a.trailers, "x-sum: 7\n");
		assert_int_equal(a.up, TOTAL);
		buf_fini(&a.body);
		end();
	}
	free(body);
}

static void test_small_bodies(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/up");
	struct answer a;

	(void)state;
	begin("http/1.1", echo_script, NULL);
	q.method = "POST";
	rig_field(&q, "content-type", "application/json");
	rig_ask(&r, &q, "{\"a\":1}", &a);
	assert_true(a.done);
	assert_memory_equal(a.body.data, "{\"a\":1}", 7);
	assert_true(origin_saw(&o, "content-length: 7\r\n"));
	buf_fini(&a.body);
	end();
}

static void test_a_front_that_lies_about_length(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/up");
	struct answer a;

	(void)state;
	begin("http/1.1", echo_script, NULL);
	rig_connect(&r);
	answer_init(&a);
	q.method = "PUT";
	q.length = 3;
	rig_field(&q, "content-type", "application/octet-stream");
	assert_int_equal(egress_put_request(&r.out, &q, false), 0);
	assert_int_equal(egress_put_data(&r.out, "hello", 5, true), 0);
	rig_send(&r);
	rig_wait(&r, &a);
	assert_true(a.closed);
	assert_int_equal(r.v.faults, 1);
	buf_fini(&a.body);
	end();
}

static atomic_size_t drained;

/* drain_script() - how many bytes of a body come, whatever was said of its length */
static void drain_script(struct origin_conn *c)
{
	static char some[65536];
	ssize_t n;

	if (!origin_head(c))
		return;
	while ((n = origin_read(c, some, sizeof(some))) > 0)
		atomic_fetch_add(&drained, (size_t)n);
}

/* A long frame may go out as it comes: what is over the declared length would be the next request there. */
static void test_a_front_that_lies_in_the_end(void **state)
{
	enum { SAID = 300000 };
	static char body[EGRESS_FRAME_MAX];
	struct egress_request q = rig_get("api.test.example", "/up");
	struct answer a;
	int64_t until = clock_ms() + 20000;
	size_t put = 0;

	(void)state;
	atomic_store(&drained, 0);
	begin("http/1.1", drain_script, NULL);
	rig_connect(&r);
	answer_init(&a);
	q.method = "PUT";
	q.length = SAID;
	rig_field(&q, "content-type", "application/octet-stream");
	assert_int_equal(egress_put_request(&r.out, &q, false), 0);
	for (; put + sizeof(body) <= SAID; put += sizeof(body))
		assert_int_equal(egress_put_data(&r.out, body, sizeof(body), false), 0);
	rig_send(&r);
	while (atomic_load(&drained) < put) {
		assert_true(clock_ms() < until);
		rig_turn(&r);
	}
	assert_int_equal(egress_put_data(&r.out, body, sizeof(body), false), 0);
	rig_send(&r);
	rig_wait(&r, &a);
	assert_true(a.closed);
	assert_int_equal(r.v.faults, 1);
	buf_fini(&a.body);
	end();
	assert_true(atomic_load(&drained) <= SAID);
}

static void text_script(struct origin_conn *c)
{
	if (origin_head(c))
		(void)origin_say(c, c->o->ctx);
}

/* one() - what comes of one server's answer */
static void one(const char *text, struct answer *a)
{
	struct egress_request q = rig_get("api.test.example", "/");
	union {
		const char *in;
		void *out;
	} ctx = {.in = text};

	begin("http/1.1", text_script, ctx.out);
	rig_ask(&r, &q, NULL, a);
	end();
}

static void test_answers_that_are_wrong(void **state)
{
	static const char *const bad[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: "
		"chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		"<html>an answer of HTTP/0.9</html>",
		"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
		"HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 "
		"Continue\r\n\r\n"
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 "
		"Continue\r\n\r\n"
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 "
		"Continue\r\n\r\n",
		"",
		"HTTP/1.1 200 OK\r\nConten",
	};
	struct answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		one(bad[i], &a);
		assert_true(a.failed);
		assert_int_equal(a.status, 502);
		assert_string_equal(a.code, "upstream");
		buf_fini(&a.body);
	}
}

static void test_answers_that_are_cut(void **state)
{
	static const char *const cut[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
	};
	struct answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
		one(cut[i], &a);
		assert_true(a.closed); /* so that nobody takes a part for the whole */
		assert_false(a.done);
		buf_fini(&a.body);
	}
}

static void test_answers_to_the_end_of_the_connection(void **state)
{
	struct answer a;

	(void)state;
	one("HTTP/1.1 200 OK\r\n\r\nall of it", &a);
	assert_true(a.done);
	assert_int_equal(a.body.len, 9);
	buf_fini(&a.body);
	one("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", &a);
	assert_true(a.done);
	assert_int_equal(a.interim, 1);
	assert_int_equal(a.status, 204);
	buf_fini(&a.body);
}

static void second_answer_script(struct origin_conn *c)
{
	/* The first connection brings an answer that nobody asked for. */
	while (origin_head(c))
		if (!origin_say(c, c->number == 1
					   ? "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
					     "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
					   : "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb"))
			return;
}

static void test_an_answer_too_many_poisons_nothing(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/");
	struct answer a;

	(void)state;
	begin("http/1.1", second_answer_script, NULL);
	rig_ask(&r, &q, NULL, &a);
	assert_memory_equal(a.body.data, "a", 1);
	buf_fini(&a.body);
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.body.len, 1);
	assert_memory_equal(a.body.data, "b", 1);
	buf_fini(&a.body);
	assert_int_equal(o.connections, 2);
	end();
}

static void late_answer_script(struct origin_conn *c)
{
	const bool first = c->number == 1;

	while (origin_head(c)) {
		if (!origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"))
			return;
		(void)usleep(50000);
		if (first)
			(void)!origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	}
}

/* The next request and an answer that nobody asked for are there in the same moment. */
static void test_a_late_answer_is_nobodys(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/");
	struct answer a;

	(void)state;
	begin("http/1.1", late_answer_script, NULL);
	for (unsigned i = 0; i < 2; i++) {
		rig_ask(&r, &q, NULL, &a);
		assert_int_equal(a.body.len, 4);
		assert_memory_equal(a.body.data, "good", 4);
		buf_fini(&a.body);
		(void)usleep(300000);
	}
	assert_int_equal(o.connections, 2);
	end();
}

static void once_script(struct origin_conn *c)
{
	/* Says that it keeps the connection, and closes it when the next request comes. */
	if (origin_head(c) && origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
		(void)!origin_head(c);
}

static void test_a_kept_connection_that_is_gone(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/");
	struct answer a;

	(void)state;
	begin("http/1.1", once_script, NULL);
	for (unsigned i = 0; i < 3; i++) {
		rig_ask(&r, &q, NULL, &a);
		assert_string_equal(a.text, "");
		assert_true(a.done);
		buf_fini(&a.body);
	}
	assert_int_equal(o.connections, 3);
	/* What may have had an effect is not said twice. */
	q.method = "POST";
	rig_ask(&r, &q, "x", &a);
	assert_int_equal(a.status, 502);
	buf_fini(&a.body);
	end();
}

static void test_a_certificate_for_another(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/");
	struct answer a;

	(void)state;
	begin("http/1.1", ok_script, NULL);
	o.leaf_name = "other.example";
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 502);
	assert_string_equal(a.code, "tls");
	assert_non_null(strstr(a.text, "the certificate is for another host"));
	assert_int_equal(o.requests, 0);
	buf_fini(&a.body);
	end();
}

static void test_policy_is_asked_again(void **state)
{
	static const struct {
		const char *host;
		int status;
		const char *code;
	} cases[] = {
		{"other.test.example", 403, "denied"},
		{"api.test.example", 200, ""},
		{"API.test.example", 400, "malformed"},
		{"api.test.example.", 400, "malformed"},
		{"metadata.test.example", 403, "address"},
		{"private.test.example", 403, "address"},
		{"loop.test.example", 403, "address"},
		{"mapped.test.example", 403, "address"},
		{"169.254.169.254", 403, "denied"},
		{"127.0.0.1", 403, "denied"},
		{"0x7f.1", 400, "malformed"},
	};
	static const struct {
		const char *name;
		struct egress_addr addr;
	} hosts[] = {
		{"metadata.test.example", {4, {169, 254, 169, 254}}},
		{"private.test.example", {4, {10, 0, 0, 1}}},
		{"loop.test.example", {4, {127, 0, 0, 1}}},
		{"mapped.test.example", {6, {[10] = 255, [11] = 255, [12] = 10, [15] = 1}}},
	};

	(void)state;
	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", ok_script, NULL);
	rig_host(&r, "api.test.example", 443, &o);
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		r.hosts[r.c.n_hosts++] = (struct egress_host){hosts[i].name, hosts[i].addr};
	rig_rule(&r, POLICY_ALLOW, "**");
	rig_rule(&r, POLICY_DENY, "other.test.example");
	rig_configure(&r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct egress_request q = rig_get(cases[i].host, "/");
		struct answer a;

		rig_ask(&r, &q, NULL, &a);
		if (a.status != cases[i].status || strcmp(a.code, cases[i].code) != 0)
			fail_msg("%s: %d %s %s", cases[i].host, a.status, a.code, a.text);
		buf_fini(&a.body);
	}
	assert_int_equal(o.connections, 1);
	end();
}

static void test_requests_that_are_not_canonical(void **state)
{
	static const struct {
		const char *method, *path, *query;
	} cases[] = {{"GET", "/a/../b", ""}, {"GET", "/%41", ""}, {"GET", "/a b", ""},
		{"GET", "/", "?a b"}, {"GET", "/", "?a#b"}, {"GET", "/", "x"}, {"get", "/", ""},
		{"GE T", "/", ""}, {"TRACE", "/", ""}, {"CONNECT", "/", ""}, {"GET", "a", ""}};

	(void)state;
	begin("http/1.1", ok_script, NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct egress_request q = rig_get("api.test.example", cases[i].path);
		struct answer a;

		q.method = cases[i].method;
		q.query = cases[i].query;
		rig_connect(&r);
		rig_ask(&r, &q, NULL, &a);
		assert_true(a.failed || a.closed);
		assert_int_not_equal(a.status, 200);
		buf_fini(&a.body);
	}
	assert_int_equal(o.connections, 0);
	end();
}

static void test_nothing_before_a_configuration(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/");
	struct answer a;

	(void)state;
	rig_init(&r);
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 503);
	buf_fini(&a.body);
	rig_fini(&r);
}

static void early_script(struct origin_conn *c)
{
	if (origin_head(c))
		(void)origin_say(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
}

static void test_an_early_answer(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/");
	struct answer a;

	(void)state;
	begin("http/1.1", early_script, NULL);
	rig_connect(&r);
	answer_init(&a);
	q.method = "PUT";
	q.length = EGRESS_LENGTH_UNKNOWN;
	rig_field(&q, "content-type", "application/octet-stream");
	assert_int_equal(egress_put_request(&r.out, &q, false), 0);
	assert_int_equal(egress_put_data(&r.out, "some", 4, false), 0);
	rig_send(&r);
	rig_wait(&r, &a);
	assert_int_equal(a.status, 413);
	assert_true(a.done);
	buf_fini(&a.body);
	/* The rest of the body is dropped; then the channel takes the next. */
	assert_int_equal(egress_put_data(&r.out, "more", 4, false), 0);
	assert_int_equal(egress_put_data(&r.out, "end", 3, true), 0);
	rig_send(&r);
	q = rig_get("api.test.example", "/");
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 413);
	buf_fini(&a.body);
	end();
}

static void test_giving_up(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/");
	unsigned fds = open_fds();

	(void)state;
	begin("http/1.1", once_script, NULL);
	for (unsigned i = 0; i < 20; i++) {
		rig_connect(&r);
		assert_int_equal(egress_put_request(&r.out, &q, true), 0);
		rig_send(&r);
		for (unsigned j = 0; j < i % 5; j++)
			rig_turn(&r);
	}
	close(r.fd);
	r.fd = -1;
	for (unsigned i = 0; i < 10; i++)
		rig_turn(&r);
	assert_int_equal(r.v.n_chans, 0);
	end();
	assert_int_equal(open_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_after_the_other),
		cmocka_unit_test(test_bodies_both_ways),
		cmocka_unit_test(test_small_bodies),
		cmocka_unit_test(test_a_front_that_lies_about_length),
		cmocka_unit_test(test_a_front_that_lies_in_the_end),
		cmocka_unit_test(test_answers_that_are_wrong),
		cmocka_unit_test(test_answers_that_are_cut),
		cmocka_unit_test(test_answers_to_the_end_of_the_connection),
		cmocka_unit_test(test_an_answer_too_many_poisons_nothing),
		cmocka_unit_test(test_a_late_answer_is_nobodys),
		cmocka_unit_test(test_a_kept_connection_that_is_gone),
		cmocka_unit_test(test_a_certificate_for_another),
		cmocka_unit_test(test_policy_is_asked_again),
		cmocka_unit_test(test_requests_that_are_not_canonical),
		cmocka_unit_test(test_nothing_before_a_configuration),
		cmocka_unit_test(test_an_early_answer),
		cmocka_unit_test(test_giving_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
