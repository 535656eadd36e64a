/* test_property.c - what holds for all policies and requests: the index changes nothing, a child
 * never has more than its parent, encoding loses nothing (SA-01)
 */
#include "check.h"
#include "naive.h"
#include "random.h"
#include <stdlib.h>
#include <string.h>

static unsigned rounds(void)
{
	const char *s = getenv("SBX_TEST_ROUNDS");

	return s ? (unsigned)atoi(s) : 4000;
}

static void same(struct policy_verdict a, struct policy_verdict b, const struct policy_request *r,
	unsigned seed)
{
	const char *ra = a.rule ? a.rule->id : "-", *rb = b.rule ? b.rule->id : "-";

	if (a.decision == b.decision && a.reason == b.reason && a.inspect == b.inspect &&
		strcmp(ra, rb) == 0)
		return;
	fail_msg("seed %u, kind %d %s:%u %s: %s by %s (%s%s), naive %s by %s (%s%s)", seed,
		(int)r->kind, r->host ? r->host->name : "-", r->port, r->path,
		policy_decision_name(a.decision), ra, policy_reason_name(a.reason),
		a.inspect ? ", inspect" : "", policy_decision_name(b.decision), rb,
		policy_reason_name(b.reason), b.inspect ? ", inspect" : "");
}

static void test_naive(void **state)
{
	unsigned seen[POLICY_REASON_COUNT] = {0}, decisions[3] = {0};

	(void)state;
	for (unsigned seed = 1; seed <= rounds(); seed++) {
		struct dice d = {seed};
		AUTO_POLICY *p = random_policy(&d, seed % 7 ? 12 : 60);

		assert_int_equal(policy_seal(p), 0);
		for (int i = 0; i < 25; i++) {
			struct random_request q;
			struct policy_verdict v;

			random_request(&d, &q);
			policy_decide(p, &q.r, &v);
			same(v, naive_decide(p, &q.r), &q.r, seed);
			seen[v.reason]++;
			decisions[v.decision]++;
		}
	}
	for (int i = 0; i < POLICY_REASON_COUNT; i++)
		assert_true(seen[i] > 0); /* the dice reach every reason */
	assert_true(decisions[0] && decisions[1] && decisions[2]);
}

/* child allowed => parent allowed, over three generations; and the wire form judges the same */
static void test_child_and_wire(void **state)
{
	unsigned allowed = 0;

	(void)state;
	for (unsigned seed = 1; seed <= rounds() / 4; seed++) {
		struct dice d = {seed * 7919};
		AUTO_POLICY *a = random_policy(&d, 20);
		AUTO_POLICY *b = random_policy(&d, 20);
		AUTO_POLICY *c = random_policy(&d, 20);
		AUTO_POLICY *wire = NULL;
		struct buf first, again;

		assert_int_equal(policy_seal(a), 0);
		assert_int_equal(policy_inherit(b, a, NULL), 0);
		assert_int_equal(policy_seal(b), 0);
		assert_int_equal(policy_inherit(c, b, NULL), 0);
		assert_int_equal(policy_seal(c), 0);
		buf_init(&first, POLICY_BYTES_MAX);
		buf_init(&again, POLICY_BYTES_MAX);
		assert_int_equal(policy_encode(c, &first), 0);
		assert_int_equal(policy_decode(first.data, first.len, &wire), 0);
		assert_int_equal(policy_encode(wire, &again), 0);
		assert_int_equal(first.len, again.len);
		assert_memory_equal(first.data, again.data, first.len);
		for (int i = 0; i < 50; i++) {
			struct random_request q;
			struct policy_verdict va, vb, vc, vw;

			random_request(&d, &q);
			policy_decide(a, &q.r, &va);
			policy_decide(b, &q.r, &vb);
			policy_decide(c, &q.r, &vc);
			policy_decide(wire, &q.r, &vw);
			assert_true(vc.decision <= vb.decision && vb.decision <= va.decision);
			assert_true(vc.bypass <= vb.bypass && vb.bypass <= va.bypass);
			same(vc, vw, &q.r, seed);
			assert_int_equal(vc.bypass, vw.bypass);
			assert_int_equal(vc.source, vw.source);
			allowed += vc.decision == POLICY_ALLOW;
		}
		buf_fini(&first);
		buf_fini(&again);
	}
	assert_true(allowed > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_naive),
		cmocka_unit_test(test_child_and_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
