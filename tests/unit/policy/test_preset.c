/* test_preset.c - presets are sound data: every rule is taken, ids are unique, wildcards cover their domain */
#include "check.h"
#include "policy/pattern.h"
#include "policy/preset.h"
#include <string.h>

static struct policy *of(const char *name)
{
	const struct policy_preset *s = policy_preset_find(name);
	struct policy *p = policy_new();
	struct err e;

	assert_non_null(s);
	if (policy_preset_add(s, p, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(policy_seal(p), 0);
	return p;
}

static enum policy_decision tcp(const struct policy *p, const char *host, uint16_t port)
{
	struct policy_host h;
	const struct policy_request r = {.kind = POLICY_TCP, .host = &h, .port = port};
	struct policy_verdict v;

	assert_true(policy_host_parse(host, strlen(host), &h));
	policy_decide(p, &r, &v);
	return v.decision;
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(policy_preset_find("allow-all")->name, "open");
	assert_string_equal(policy_preset_find("deny-all")->name, "locked-down");
	assert_non_null(policy_preset_find(POLICY_PRESET_DEFAULT));
	assert_null(policy_preset_find("Balanced"));
	assert_null(policy_preset_find(""));
	assert_null(policy_preset_at(3));
}

static void test_ends(void **state)
{
	AUTO_POLICY *open = of("open");
	AUTO_POLICY *locked = of("locked-down");

	(void)state;
	assert_int_equal(tcp(open, "any.example.net", 12345), POLICY_ALLOW);
	assert_int_equal(tcp(open, "10.0.0.1", 80), POLICY_DENY);
	assert_int_equal(tcp(open, "169.254.169.254", 80), POLICY_DENY);
	assert_int_equal(tcp(open, "localhost", 80), POLICY_DENY);
	assert_int_equal(tcp(locked, "any.example.net", 443), POLICY_DENY);
	assert_int_equal(policy_rules(locked, 0), 0);
}

static void test_balanced(void **state)
{
	const struct policy_preset *s = policy_preset_find("balanced");
	AUTO_POLICY *p = of("balanced");
	char a[POLICY_ID_MAX + 1], b[POLICY_ID_MAX + 1];

	(void)state;
	assert_true(s->n > 50);
	assert_int_equal(policy_rules(p, 0), s->n);
	for (size_t i = 0; i < s->n; i++) {
		const struct policy_rule *r = policy_rule_at(p, 0, i);
		char below[POLICY_PATTERN_MAX];
		struct policy_pattern pat;

		assert_string_equal(r->resource, s->entries[i].resource); /* canonical already */
		assert_string_equal(r->origin, "preset balanced");
		assert_int_equal(
			policy_pattern_parse(r->resource, strlen(r->resource), &pat, NULL), 0);
		assert_int_not_equal(pat.port, 0);
		assert_int_equal(tcp(p, pat.host, pat.port), POLICY_ALLOW);
		if (pat.kind == POLICY_PATTERN_BELOW) {
			snprintf(below, sizeof(below), "a.b.%s", pat.host);
			assert_int_equal(tcp(p, below, pat.port), POLICY_ALLOW);
			snprintf(below, sizeof(below), "x%s", pat.host);
			assert_int_equal(tcp(p, below, pat.port), POLICY_DENY);
		}
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(
				policy_preset_id(s, i, a), policy_preset_id(s, j, b));
			assert_string_not_equal(s->entries[i].resource, s->entries[j].resource);
		}
	}
	assert_int_equal(tcp(p, "any.example.net", 443), POLICY_DENY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_balanced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
