/* test_pattern.c - resources: what they mean, how they are written, what is refused (HX-03, NW-17) */
#include "check.h"
#include "policy/pattern.h"
#include "policy/internal.h"
#include <errno.h>
#include <string.h>

static int parse(const char *text, struct policy_pattern *p, struct err *e)
{
	return policy_pattern_parse(text, strlen(text), p, e);
}

static void test_canonical(void **state)
{
	static const struct {
		const char *text, *canonical;
	} table[] = {
		{"example.com", "example.com"},
		{"Example.COM.", "example.com"},
		{"example.com:443", "example.com:443"},
		{"example.com.:443", "example.com:443"},
		{"example.com:*", "example.com"},
		{"*.example.com", "*.example.com"},
		{"*.EXAMPLE.com.", "*.example.com"},
		{"**.example.com:80", "**.example.com:80"},
		{"**", "**"},
		{"**:443", "**:443"},
		{"api?.x.com", "api?.x.com"},
		{"api[12].x.com:8443", "api[12].x.com:8443"},
		{"api[!1].x.com", "api[!1].x.com"},
		{"api[a-f0-9].x.com", "api[a-f0-9].x.com"},
		{"[12].x.com", "[12].x.com"},
		{"[12].x.com:443", "[12].x.com:443"},
		{"crl*.d.com", "crl*.d.com"},
		{"a.*.b.com", "a.*.b.com"},
		{"*.*.b.com", "*.*.b.com"},
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"10.0.0.0/8:5432", "10.0.0.0/8:5432"},
		{"10.0.0.7", "10.0.0.7"},
		{"10.0.0.7/32", "10.0.0.7"},
		{"10.0.0.7:22", "10.0.0.7:22"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"[2001:db8::/32]", "2001:db8::/32"},
		{"[2001:db8::/32]:443", "[2001:db8::/32]:443"},
		{"[2001:DB8::1]", "[2001:db8::1]"},
		{"2001:db8::1/128", "[2001:db8::1]"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443"},
		{"localhost:11434", "localhost:11434"},
		{"host.docker.internal:11434", "localhost:11434"},
		{"host.sbx.internal:1", "localhost:1"},
		{"127.0.0.1:11434", "localhost:11434"},
		{"[::1]:11434", "localhost:11434"},
		{"localhost", "localhost"},
		{"127.0.0.0/8", "127.0.0.0/8"},
		{"x.com:1", "x.com:1"},
		{"x.com:65535", "x.com:65535"},
		{"*.com", "*.com"},
		{"_srv.x.com", "_srv.x.com"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		char text[POLICY_PATTERN_MAX], twice[POLICY_PATTERN_MAX];
		struct policy_pattern p, q;
		struct err e = {0};

		if (parse(table[i].text, &p, &e) < 0)
			fail_msg("%s", e.msg);
		assert_string_equal(policy_pattern_text(&p, text), table[i].canonical);
		assert_int_equal(parse(text, &q, NULL), 0);
		assert_string_equal(policy_pattern_text(&q, twice), text);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} table[] = {
		{"", "empty"},
		{"*", "'**' for everything"},
		{"*:443", "'**' for everything"},
		{"https://example.com", "URL"},
		{"https://example.com/", "URL"},
		{"example.com/path", "no range"},
		{"user@example.com", "'@'"},
		{"example.com:0", "port"},
		{"example.com:65536", "port"},
		{"example.com:0443", "port"},
		{"example.com:+443", "port"},
		{"example.com:443x", "port"},
		{"example.com:", "port"},
		{"example.com:80-90", "port"},
		{":443", "no host"},
		{"example.com:443:22", "IPv6"},
		{":443:22", "IPv6"},
		{"2001:db8::1", "brackets"},
		{"::1", "brackets"},
		{"fe80::1%eth0", "brackets"},
		{"[fe80::1%eth0]", "plain spelling"},
		{"[::1]443", "after ']'"},
		{"[::1]:", "port"},
		{"[10.0.0.1]", "glob"},
		{"::ffff:10.0.0.0/104", "IPv4"},
		{"[::ffff:10.0.0.1]:80", "IPv4"},
		{"10.0.0.1/8", "beyond its range"},
		{"10.0.0.0/33", "longer"},
		{"10.0.0.0/", "length"},
		{"10.0.0.0/08", "length"},
		{"10.0.0.0/-8", "length"},
		{"10.0.0.0/8/8", "length"},
		{"2001:db8::/129", "longer"},
		{"2001:db8::1/32", "beyond"},
		{"10/8", "no range"},
		{"127.1", "no host name"},
		{"0x7f.1", "no host name"},
		{"2130706433", "no host name"},
		{"10.0.0.1.", "no host name"},
		{"**.10.0.0.1", "before an address"},
		{"*.10.0.0.1", "end in a host name"},
		{"**.localhost", "own name"},
		{"example.c*", "last label"},
		{"example.*", "last label"},
		{"*.*", "last label"},
		{"a.**.example.com", "elsewhere"},
		{"**example.com", "glob"},
		{"a**.example.com", "glob"},
		{"**.*.example.com", "after '**.'"},
		{"**.", "elsewhere"},
		{"*.", "last label"},
		{"*..example.com", "empty label"},
		{"api[.x.com", "glob"},
		{"api].x.com", "glob"},
		{"api[].x.com", "glob"},
		{"api[!].x.com", "glob"},
		{"api[z-a].x.com", "glob"},
		{"api[1.x.com", "glob"},
		{"exa mple.com", "spaces"},
		{"ex\tample.com", "spaces"},
		{"ex\xc3\xa4mple.com", "ASCII"},
		{"-x.com", "no host name"},
		{"x..com", "no host name"},
		{"x.com,", "no host name"},
		{"x%2ecom", "no host name"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct policy_pattern p;
		struct err e = {0};

		if (parse(table[i].text, &p, &e) != -EINVAL)
			fail_msg("'%s' was taken", table[i].text);
		if (!strstr(e.msg, table[i].why))
			fail_msg("%s (no '%s')", e.msg, table[i].why);
	}
}

static void test_lists(void **state)
{
	static const char *const broken[] = {
		",", "a.com,", ",a.com", "a.com,,b.com", "a.com b.com", " "};
	const char *at = " a.com , *.B.com,10.0.0.0/8:1 ";
	struct policy_pattern p;
	char text[POLICY_PATTERN_MAX];
	struct err e;
	int r;

	(void)state;
	assert_int_equal(policy_pattern_next(&at, &p, NULL), 1);
	assert_string_equal(policy_pattern_text(&p, text), "a.com");
	assert_int_equal(policy_pattern_next(&at, &p, NULL), 1);
	assert_string_equal(policy_pattern_text(&p, text), "*.b.com");
	assert_int_equal(policy_pattern_next(&at, &p, NULL), 1);
	assert_string_equal(policy_pattern_text(&p, text), "10.0.0.0/8:1");
	assert_int_equal(policy_pattern_next(&at, &p, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		at = broken[i];
		while ((r = policy_pattern_next(&at, &p, &e)) > 0)
			;
		assert_int_equal(r, -EINVAL);
	}
}

static void test_names(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool hit;
	} table[] = {
		{"x.com", "x.com", true},
		{"x.com", "a.x.com", false},
		{"x.com", "ax.com", false},
		{"*.x.com", "a.x.com", true},
		{"*.x.com", "x.com", false},
		{"*.x.com", "a.b.x.com", false},
		{"*.x.com", "ax.com", false},
		{"**.x.com", "x.com", true},
		{"**.x.com", "a.x.com", true},
		{"**.x.com", "a.b.c.x.com", true},
		{"**.x.com", "ax.com", false},
		{"**.x.com", "x.com.evil.com", false},
		{"api?.x.com", "api1.x.com", true},
		{"api?.x.com", "api.x.com", false},
		{"api?.x.com", "api12.x.com", false},
		{"api?.x.com", "api..x.com", false},
		{"api[12].x.com", "api2.x.com", true},
		{"api[12].x.com", "api3.x.com", false},
		{"api[!1].x.com", "api2.x.com", true},
		{"api[!1].x.com", "api1.x.com", false},
		{"api[a-f].x.com", "apie.x.com", true},
		{"api[a-f].x.com", "apig.x.com", false},
		{"api[a-].x.com", "api-x.x.com", false},
		{"crl*.d.com", "crl.d.com", true},
		{"crl*.d.com", "crl42.d.com", true},
		{"crl*.d.com", "crl.4.d.com", false},
		{"*a*b*.d.com", "xxaxxbxx.d.com", true},
		{"*a*b*.d.com", "xxbxxaxx.d.com", false},
		{"a.*.b.com", "a.q.b.com", true},
		{"a.*.b.com", "a.q.r.b.com", false},
		{"a.*.b.com", "a.b.com", false},
		{"*.*.b.com", "p.q.b.com", true},
		{"*.*.b.com", "q.b.com", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct policy_pattern p;
		struct policy_host h;
		struct err e;

		if (parse(table[i].pattern, &p, &e) < 0)
			fail_msg("%s", e.msg);
		if (!policy_host_parse(table[i].name, strlen(table[i].name), &h))
			continue; /* "api..x.com": no name at all */
		if (policy_pattern_hits(&p, &h, 443) != table[i].hit)
			fail_msg("%s on %s", table[i].pattern, table[i].name);
	}
}

static void test_broad(void **state)
{
	static const char *const broad[] = {"*.com", "**.com", "**.io:443", "a*.net", "*.*.org"};
	static const char *const fine[] = {"**.x.com", "**.internal", "*.test", "**.corp", "com"};
	struct policy_pattern p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broad); i++) {
		assert_int_equal(parse(broad[i], &p, NULL), 0);
		assert_true(p.broad);
	}
	for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
		assert_int_equal(parse(fine[i], &p, NULL), 0);
		assert_false(p.broad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_broad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
