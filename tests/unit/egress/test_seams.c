/* What happens between two configurations, and in the answers that are neither head nor body */
#include "rig.h"
#include "http/ws.h"

#define STAND_IN "sbx-standin-aaaaaaaaaaaaaaaaaaaaaaaa"
#define SECRET	 "real-secret-0123456789"

static struct rig r;
static struct origin o;

static void begin(const char *host, void (*script)(struct origin_conn *c))
{
	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", script, NULL);
	rig_host(&r, host, 443, &o);
	rig_rule(&r, POLICY_ALLOW, host);
	rig_slot(&r, "token", STAND_IN, EGRESS_SLOT_HEADER, host, "authorization", "Bearer %s", "");
	rig_configure(&r);
	rig_secret(&r, "token", SECRET);
	rig_connect(&r);
}

static void end(void)
{
	rig_fini(&r);
	origin_stop(&o);
}

static void say_secret(const char *name, const char *value)
{
	const struct egress_msg m = {.op = EGRESS_OP_SECRET,
		.name = name,
		.yes = value != NULL,
		.blob = (const uint8_t *)value,
		.blob_len = value ? strlen(value) : 0};

	assert_int_equal(vault_secret(&r.v, &m), 0);
}

static void turns(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		rig_turn(&r);
}

static void head_script(struct origin_conn *c)
{
	while (origin_head(c))
		if (!origin_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			return;
}

/* slow() - a request whose body takes its time; what happens meanwhile is @meanwhile's */
static void slow(void (*meanwhile)(void), struct answer *a)
{
	struct egress_request q = rig_get("api.test.example", "/x");

	begin("api.test.example", head_script);
	q.method = "POST";
	q.length = 4;
	rig_field(&q, "content-type", "application/json");
	rig_field(&q, "authorization", "Bearer " STAND_IN);
	answer_init(a);
	assert_int_equal(egress_put_request(&r.out, &q, false), 0);
	assert_int_equal(egress_put_data(&r.out, "{", 1, false), 0);
	rig_send(&r);
	turns(5);
	meanwhile();
	turns(2);
	assert_int_equal(egress_put_data(&r.out, "  }", 3, true), 0);
	rig_send(&r);
	rig_wait(&r, a);
}

static void nothing(void)
{
}

static void take_away(void)
{
	say_secret("token", NULL);
}

static void rotate(void)
{
	say_secret("token", "another-secret-987654");
}

static void unbind(void)
{
	r.c.n_credentials = 0;
	rig_configure(&r);
}

static void test_a_body_that_takes_its_time(void **state)
{
	struct answer a;

	(void)state;
	slow(nothing, &a);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(o.seen, SECRET));
	end();
	slow(take_away, &a);
	assert_true(a.failed);
	assert_string_equal(a.code, "credential_missing");
	assert_null(strstr(o.seen, SECRET));
	end();
	slow(rotate, &a);
	assert_int_equal(a.status, 200);
	assert_null(strstr(o.seen, SECRET));
	assert_non_null(strstr(o.seen, "Bearer another-secret-987654"));
	end();
	slow(unbind, &a);
	assert_true(a.failed || a.closed);
	assert_null(strstr(o.seen, SECRET));
	end();
}

/* ---- WebSocket with a credential ---- */

static void ws_script(struct origin_conn *c)
{
	char answer[300], accept[WS_ACCEPT_CAP], key[64] = "", b[64];
	const char *at;

	if (!origin_head(c))
		return;
	at = strstr(c->head, "sec-websocket-key: ");
	if (at)
		(void)sscanf(at + 19, "%60[^\r]", key);
	ws_accept(key, accept);
	(void)snprintf(answer, sizeof(answer),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\n\r\n",
		accept);
	/* "real" is how the secret begins: a message that ends so is not held back */
	if (!origin_say(c, answer) || !origin_say(c, "\x81\x04real") ||
		!origin_say(c, "\x81\x1ayou:real-secret-01"))
		return;
	(void)poll(NULL, 0, 50);
	if (!origin_say(c, "23456789") || origin_read(c, b, sizeof(b)) < 0)
		return;
}

static void wait_bytes(struct answer *a, size_t n)
{
	int64_t until = clock_ms() + 5000;

	while (a->body.len < n && !a->closed) {
		assert_true(clock_ms() < until);
		rig_turn(&r);
		(void)rig_take(&r, a);
	}
}

static void test_frames_are_looked_into(void **state)
{
	struct egress_request q = rig_get("ws.test.example", "/chat");
	struct answer a;

	(void)state;
	begin("ws.test.example", ws_script);
	q.kind = EGRESS_WEBSOCKET;
	q.length = EGRESS_LENGTH_UNKNOWN;
	rig_field(&q, "sec-websocket-extensions", "permessage-deflate");
	answer_init(&a);
	assert_int_equal(egress_put_request(&r.out, &q, false), 0);
	rig_send(&r);
	wait_bytes(&a, 6);
	assert_memory_equal(a.body.data, "\x81\x04real", 6);
	wait_bytes(&a, 6 + 2 + 26);
	assert_non_null(strstr(o.seen, SECRET));
	assert_null(strstr(o.seen, "deflate"));
	assert_null(memmem(a.body.data, a.body.len, "secret", 6));
	assert_memory_equal(a.body.data + 6, "\x81\x1ayou:***", 9);
	/* Another secret's end is nothing to it, its own is. */
	say_secret("other", NULL);
	turns(5);
	(void)rig_take(&r, &a);
	assert_false(a.closed);
	say_secret("token", NULL);
	rig_wait(&r, &a);
	assert_true(a.closed);
	buf_fini(&a.body);
	end();
}

/* ---- heads ---- */

static void early_script(struct origin_conn *c)
{
	if (!origin_head(c) ||
		!origin_say(c, "HTTP/1.1 103 Early Hints\r\nLink: </" SECRET ">\r\n\r\n"
			       "HTTP/1.1 200 OK\r\nX-Echo: " SECRET
			       "\r\nContent-Encoding: identity\r\nContent-Encoding: gzip\r\n"
			       "Content-Length: 2\r\n\r\nok"))
		return;
	(void)origin_head(c);
}

static void test_every_head_is_looked_into(void **state)
{
	struct egress_request q = rig_get("api.test.example", "/x");
	struct answer a;

	(void)state;
	begin("api.test.example", early_script);
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.interim, 1);
	assert_non_null(strstr(a.early, "link: </*"));
	assert_null(strstr(a.early, SECRET));
	/* Coded twice: what cannot be looked into does not pass. */
	assert_true(a.failed);
	assert_string_equal(a.code, "coding");
	buf_fini(&a.body);
	end();
}

/* ---- a tunnel to a host that gets a credential meanwhile ---- */

static void quiet_script(struct origin_conn *c)
{
	char b[64];

	if (origin_say(c, "hi"))
		(void)origin_read(c, b, sizeof(b));
}

static void test_a_tunnel_to_a_host_that_is_managed_now(void **state)
{
	const struct egress_tunnel t = {
		.kind = EGRESS_RAW, .host = "api.test.example", .port = 443};
	struct answer a;

	(void)state;
	rig_init(&r);
	origin_start(&o, NULL, NULL, quiet_script, NULL);
	rig_host(&r, "api.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "api.test.example");
	rig_configure(&r);
	rig_connect(&r);
	answer_init(&a);
	assert_int_equal(egress_put_tunnel(&r.out, &t), 0);
	rig_send(&r);
	wait_bytes(&a, 2);
	rig_slot(&r, "token", STAND_IN, EGRESS_SLOT_HEADER, "api.test.example", "authorization",
		"Bearer %s", "");
	rig_configure(&r);
	rig_wait(&r, &a);
	assert_true(a.closed);
	buf_fini(&a.body);
	end();
}

/* ---- rules that change while a connection is made ---- */

static void test_an_address_is_judged_by_the_rules_of_now(void **state)
{
	struct egress_request q = rig_get("in.test.example", "/x");
	const struct egress_addr inner = {.family = 4, .bytes = {10, 1, 2, 3}};
	struct answer a;

	(void)state;
	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", head_script, NULL);
	rig_host(&r, "in.test.example", 443, &o);
	r.hosts[0].addr = inner;
	r.redirects[0].from = inner;
	rig_rule(&r, POLICY_ALLOW, "in.test.example");
	rig_rule(&r, POLICY_ALLOW, "10.0.0.0/8");
	rig_configure(&r);
	rig_ask(&r, &q, NULL, &a);
	assert_int_equal(a.status, 200);
	rig_connect(&r);
	answer_init(&a);
	o.seen[0] = '\0';
	rig_configure(&r); /* kept connections go */
	q.path = "/again";
	assert_int_equal(egress_put_request(&r.out, &q, true), 0);
	rig_send(&r);
	/* As soon as somebody sets out, the rule for the address is gone. */
	for (unsigned i = 0; i < 100 && !(r.v.ups && !r.v.ups->dead); i++)
		rig_turn(&r);
	assert_non_null(r.v.ups);
	assert_int_not_equal(r.v.ups->state, UP_READY);
	policy_free(r.policy);
	r.policy = policy_new();
	rig_rule(&r, POLICY_ALLOW, "in.test.example");
	rig_configure(&r);
	rig_wait(&r, &a);
	assert_true(a.failed || a.closed);
	assert_null(strstr(o.seen, "/again"));
	buf_fini(&a.body);
	end();
}

/* ---- names under a question ---- */

static enum egress_type look_up(const char *name)
{
	int64_t until = clock_ms() + 5000;
	struct egress_frame f;
	size_t used;
	char *room;
	ssize_t n;

	rig_connect(&r);
	assert_int_equal(egress_put_resolve(&r.out, 1, name), 0);
	rig_send(&r);
	while (egress_next_frame(r.in.data, r.in.len, &used, &f) != FRAME_GOT) {
		assert_true(clock_ms() < until);
		rig_turn(&r);
		assert_int_equal(buf_room(&r.in, 4096, &room), 0);
		n = recv(r.fd, room, 4096, 0);
		if (n > 0)
			buf_grew(&r.in, (size_t)n);
	}
	return f.type;
}

static void test_a_name_that_was_asked_for(void **state)
{
	(void)state;
	rig_init(&r);
	rig_host(&r, "a.test.example", 443, NULL);
	rig_host(&r, "b.other.example", 443, NULL);
	rig_rule(&r, POLICY_ASK, "**.test.example");
	rig_configure(&r);
	/* the front has asked; without a rule nothing is looked up */
	assert_int_equal(look_up("a.test.example"), EGRESS_ANSWER);
	assert_int_equal(look_up("b.other.example"), EGRESS_FAILED);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_body_that_takes_its_time),
		cmocka_unit_test(test_frames_are_looked_into),
		cmocka_unit_test(test_every_head_is_looked_into),
		cmocka_unit_test(test_a_tunnel_to_a_host_that_is_managed_now),
		cmocka_unit_test(test_an_address_is_judged_by_the_rules_of_now),
		cmocka_unit_test(test_a_name_that_was_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
