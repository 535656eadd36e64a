/* test_host.c - one canonical host, everything odd refused (HX-01) */
#include "check.h"
#include "policy/host.h"
#include <string.h>

#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *text, *canonical; /* NULL: refused */
} table[] = {
	{"github.test", "github.test"},
	{"GITHUB.TEST", "github.test"},
	{"GitHub.Test", "github.test"},
	{"github.test.", "github.test"},
	{"GITHUB.TEST.", "github.test"},
	{"evil-github.test", "evil-github.test"},
	{"github.test.evil.test", "github.test.evil.test"},
	{"githubXtest", "githubxtest"},
	{"a", "a"},
	{"a.b.c.d.e.f", "a.b.c.d.e.f"},
	{"_dmarc.x.test", "_dmarc.x.test"},
	{"a_b.x.test", "a_b.x.test"},
	{"r3---sn-4g5.x.test", "r3---sn-4g5.x.test"},
	{"xn--bcher-kva.test", "xn--bcher-kva.test"},
	{"XN--BCHER-KVA.test", "xn--bcher-kva.test"},
	{"1.test", "1.test"},
	{"3com.test", "3com.test"},
	{"1.2.3.4.test", "1.2.3.4.test"},
	{"a.1x", "a.1x"},
	{"a.0y", "a.0y"},
	{L63 ".test", L63 ".test"},
	{L63 "." L63 "." L63 "." L61, L63 "." L63 "." L63 "." L61}, /* 253 bytes */
	{L63 "." L63 "." L63 "." L61 ".", L63 "." L63 "." L63 "." L61},
	{"localhost", "localhost"},
	{"LocalHost.", "localhost"},
	{"host.docker.internal", "localhost"},
	{"host.sbx.internal", "localhost"},
	{"10.0.0.1", "10.0.0.1"},
	{"[::1]", "::1"},
	{"::1", "::1"},
	{"[2001:DB8::1]", "2001:db8::1"},
	{"[::ffff:10.0.0.1]", "10.0.0.1"},
	/* refused */
	{"", NULL},
	{".", NULL},
	{"..", NULL},
	{".github.test", NULL},
	{"github..test", NULL},
	{"github.test..", NULL},
	{"github.test@evil.test", NULL},
	{"user:pw@github.test", NULL},
	{"evil.test#@github.test", NULL},
	{"github.test:443", NULL},
	{"github.test/", NULL},
	{"github.test\\evil", NULL},
	{"github.test?x", NULL},
	{"github.test%00", NULL},
	{"github%2etest", NULL},
	{"github.test ", NULL},
	{" github.test", NULL},
	{"github.test\t", NULL},
	{"github\ttest", NULL},
	{"github.test\r\n", NULL},
	{"github.test\n", NULL},
	{"g\xc3\xbcthub.test", NULL}, /* u-umlaut */
	{"githu\xd0\xb1.test", NULL}, /* Cyrillic */
	{"\xd0\xb3ithub.test", NULL},
	{"github\xef\xbc\x8etest", NULL}, /* fullwidth dot */
	{"github\xe3\x80\x82test", NULL}, /* ideographic full stop */
	{"\xef\xbd\x87ithub.test", NULL}, /* fullwidth g */
	{"git\xc2\xadhub.test", NULL}, /* soft hyphen */
	{"git\xe2\x80\x8bhub.test", NULL}, /* zero width space */
	{"git\xe2\x80\xaehub.test", NULL}, /* right to left */
	{"github.test\x7f", NULL},
	{"git\x01hub.test", NULL},
	{L63 "a.test", NULL}, /* 64 */
	{L63 "." L63 "." L63 "." L61 "a", NULL}, /* 254 */
	{"-github.test", NULL},
	{"github-.test", NULL},
	{"a.-b.test", NULL},
	{"-", NULL},
	{"xn--.test", NULL},
	{"xn--a_b.test", NULL},
	{"a.te_st", NULL},
	{"*.github.test", NULL},
	{"git*hub.test", NULL},
	{"git,hub.test", NULL},
	{"github.test,evil.test", NULL},
	{"'github.test'", NULL},
	{"\"github.test\"", NULL},
	{"(github.test)", NULL},
	{"github.test;x", NULL},
	{"github!.test", NULL},
	{"git+hub.test", NULL},
	{"git=hub.test", NULL},
	{"github.test&x", NULL},
	{"<github.test>", NULL},
	{"$github.test", NULL},
	{"~github.test", NULL},
	{"[github.test]", NULL},
	{"[10.0.0.1]", NULL},
	{"[::1", NULL},
	{"::1]", NULL},
	{"[]", NULL},
	{"[::1%25lo]", NULL},
	{"[v1.x]", NULL},
	{"evil.1", NULL},
	{"evil.0x1", NULL},
	{"evil.0x", NULL},
	{"1.2.3.08", NULL},
	{"10.0.0.1.", NULL},
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct policy_host h = {0}, again;
		bool ok = policy_host_parse(table[i].text, strlen(table[i].text), &h);

		if (ok != !!table[i].canonical)
			fail_msg("'%s' was %s as '%s'", table[i].text, ok ? "taken" : "refused",
				h.name);
		if (!ok) {
			assert_int_equal(h.kind, POLICY_HOST_NONE); /* untouched */
			continue;
		}
		assert_string_equal(h.name, table[i].canonical);
		assert_int_equal(h.len, strlen(h.name));
		assert_true(policy_host_parse(h.name, h.len, &again));
		assert_string_equal(again.name, h.name);
		assert_int_equal(again.kind, h.kind);
	}
	assert_false(policy_host_parse("a\0b.test", 8, &(struct policy_host){0}));
}

static void test_kinds(void **state)
{
	struct policy_host h;

	(void)state;
	assert_true(policy_host_parse("host.docker.internal.", 21, &h));
	assert_int_equal(h.kind, POLICY_HOST_LOCAL);
	assert_true(policy_host_parse("10.0.0.1", 8, &h));
	assert_int_equal(h.kind, POLICY_HOST_ADDRESS);
	assert_int_equal(h.address.family, 4);
	assert_true(policy_host_parse("gateway.sbx.internal", 20, &h));
	assert_true(policy_host_inside(&h));
	assert_true(policy_host_parse("sbx.internal", 12, &h));
	assert_true(policy_host_inside(&h));
	assert_true(policy_host_parse("xsbx.internal", 13, &h));
	assert_false(policy_host_inside(&h));
	assert_int_equal(h.address.family, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
