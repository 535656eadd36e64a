/* test_encode.c - the bytes of CONFIG: whole, strict, bounded */
#include "check.h"
#include "base/wire.h"
#include "policy/policy.h"
#include <errno.h>
#include <string.h>

static struct policy *sample(void)
{
	struct policy *p = policy_new();
	const struct policy_rule rules[] = {{.id = "1",
						    .resource = "**.x.com:443",
						    .origin = "you",
						    .decision = POLICY_ALLOW,
						    .source = POLICY_SOURCE_USER},
		{.id = "2",
			.resource = "x.com",
			.origin = "kit a",
			.decision = POLICY_DENY,
			.source = POLICY_SOURCE_KIT,
			.methods = POLICY_POST,
			.path = "/a/**"},
		{.id = "3",
			.resource = "g.com",
			.origin = "you",
			.decision = POLICY_ASK,
			.source = POLICY_SOURCE_SANDBOX,
			.grpc = "a.B/*"},
		{.id = "4",
			.resource = "[2001:db8::/32]:1",
			.origin = "org",
			.decision = POLICY_ALLOW,
			.source = POLICY_SOURCE_ORG},
		{.id = "5",
			.resource = "w.com",
			.origin = "you",
			.decision = POLICY_ALLOW,
			.source = POLICY_SOURCE_USER,
			.websocket = true,
			.path = "/ws"}};

	assert_non_null(p);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		assert_int_equal(policy_add(p, &rules[i], NULL), 0);
	assert_int_equal(policy_add_bypass(p, "pin.org", NULL), 0);
	assert_int_equal(policy_seal(p), 0);
	return p;
}

static void encode(const struct policy *p, struct buf *b)
{
	buf_init(b, POLICY_BYTES_MAX);
	assert_int_equal(policy_encode(p, b), 0);
}

static void test_round(void **state)
{
	AUTO_POLICY *p = sample();
	AUTO_POLICY *q = NULL;
	AUTO(buf) b;

	(void)state;
	encode(p, &b);
	assert_int_equal(policy_decode(b.data, b.len, &q), 0);
	assert_int_equal(policy_rules(q, 0), 5);
	for (size_t i = 0; i < 5; i++) {
		const struct policy_rule *x = policy_rule_at(p, 0, i), *y = policy_rule_at(q, 0, i);

		assert_string_equal(x->id, y->id);
		assert_string_equal(x->resource, y->resource);
		assert_string_equal(x->origin, y->origin);
		assert_string_equal(x->path ? x->path : "-", y->path ? y->path : "-");
		assert_string_equal(x->grpc ? x->grpc : "-", y->grpc ? y->grpc : "-");
		assert_int_equal(x->methods, y->methods);
		assert_int_equal(x->source, y->source);
		assert_int_equal(x->decision, y->decision);
		assert_int_equal(x->websocket, y->websocket);
	}
	assert_string_equal(policy_bypass_at(q, 0, 0), "pin.org");
}

static void test_truncated_and_changed(void **state)
{
	AUTO_POLICY *p = sample();
	AUTO(buf) b;
	unsigned taken = 0;

	(void)state;
	encode(p, &b);
	for (size_t n = 0; n < b.len; n++) {
		AUTO_POLICY *q = NULL;

		assert_int_equal(policy_decode(b.data, n, &q), -EBADMSG);
		assert_null(q);
	}
	assert_int_equal(buf_add(&b, "", 1), 0);
	{
		AUTO_POLICY *q = NULL;

		assert_int_equal(policy_decode(b.data, b.len, &q), -EBADMSG);
	}
	b.len--;
	/* one byte changed: refused, or another policy whose bytes are exactly these */
	for (size_t n = 0; n < b.len; n++)
		for (unsigned bit = 0; bit < 8; bit++) {
			AUTO_POLICY *q = NULL;
			AUTO(buf) again;

			buf_init(&again, POLICY_BYTES_MAX);
			b.data[n] = (char)(b.data[n] ^ 1 << bit);
			if (policy_decode(b.data, b.len, &q) == 0) {
				assert_int_equal(policy_encode(q, &again), 0);
				assert_int_equal(again.len, b.len);
				assert_memory_equal(again.data, b.data, b.len);
				taken++;
			}
			b.data[n] = (char)(b.data[n] ^ 1 << bit);
		}
	assert_true(taken > 0);
}

static void test_counts_are_not_believed(void **state)
{
	uint8_t bytes[64];
	struct wire_w w = wire_writer(bytes, sizeof(bytes));
	AUTO_POLICY *q = NULL;

	(void)state;
	wire_put_u32(&w, 0x50584253U);
	wire_put_u16(&w, 1);
	wire_put_u8(&w, 1);
	wire_put_u8(&w, 0);
	wire_put_u32(&w, 0);
	wire_put_u32(&w, 0xffffffff);
	assert_int_equal(policy_decode(bytes, w.pos, &q), -EBADMSG);
	bytes[6] = 0; /* no layer */
	assert_int_equal(policy_decode(bytes, w.pos, &q), -EBADMSG);
	bytes[6] = 9;
	assert_int_equal(policy_decode(bytes, w.pos, &q), -EBADMSG);
}

static void test_limits(void **state)
{
	AUTO_POLICY *p = policy_new();
	AUTO_POLICY *q = NULL;
	AUTO(buf) b;
	char id[16], host[64];
	struct policy_rule r = {.id = id,
		.resource = host,
		.origin = "t",
		.decision = POLICY_ALLOW,
		.source = POLICY_SOURCE_USER};
	struct err e;

	(void)state;
	for (unsigned i = 0; i < POLICY_RULES_MAX; i++) {
		snprintf(id, sizeof(id), "%u", i);
		snprintf(host, sizeof(host), "h%u.example.com", i);
		assert_int_equal(policy_add(p, &r, NULL), 0);
	}
	assert_int_equal(policy_add(p, &r, &e), -ENOSPC);
	for (unsigned i = 0; i < POLICY_BYPASS_MAX; i++)
		assert_int_equal(policy_add_bypass(p, host, NULL), 0);
	assert_int_equal(policy_add_bypass(p, host, NULL), -ENOSPC);
	assert_int_equal(policy_seal(p), 0);
	encode(p, &b);
	assert_int_equal(policy_decode(b.data, b.len, &q), 0);
	assert_int_equal(policy_rules(q, 0), POLICY_RULES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_truncated_and_changed),
		cmocka_unit_test(test_counts_are_not_believed),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
