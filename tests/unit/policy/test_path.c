/* test_path.c - one canonical path; what servers read differently is told (HX-07) */
#include "check.h"
#include "policy/path.h"
#include <string.h>

enum {
	D = POLICY_PATH_DOTS,
	S = POLICY_PATH_SLASHES,
	SEP = POLICY_PATH_SEPARATOR,
	PAR = POLICY_PATH_PARAMETER,
	DBL = POLICY_PATH_DOUBLE,
	CTL = POLICY_PATH_CONTROL,
	ENC = POLICY_PATH_ENCODING,
	DEL = POLICY_PATH_DELIMITER
};

#define R "/repos/o/r"

static const struct {
	const char *in, *out; /* NULL: bad */
	unsigned flags;
} table[] = {
	{"/", "/", 0},
	{"*", "*", 0},
	{R, R, 0},
	{R "/", R "/", 0},
	{R "/issues/1", R "/issues/1", 0},
	{"/repos/o/%72", R, 0},
	{"/%7Euser", "/~user", 0},
	{"/%7euser", "/~user", 0},
	{"/a%2db", "/a-b", 0},
	{"/a%20b", "/a%20b", 0},
	{"/a%c3%a9", "/a%C3%A9", 0},
	{"/a\xc3\xa9", "/a%C3%A9", 0},
	{"/a|b{c}", "/a%7Cb%7Bc%7D", 0},
	{"/a\"b<c>^`", "/a%22b%3Cc%3E%5E%60", 0},
	{"/a%25", "/a%25", 0},
	{"/100%25-sure", "/100%25-sure", 0},
	{"/@scope%2fname", "/@scope%2Fname", SEP},
	{"/a+b:c@d,e=f&g!$'()*", "/a+b:c@d,e=f&g!$'()*", 0},
	{"/...", "/...", 0},
	{"/.git/config", "/.git/config", 0},
	{"/a/..b/.c", "/a/..b/.c", 0},
	{"/a/b..", "/a/b..", 0},
	/* dot segments */
	{R "/../x", "/repos/o/x", D},
	{R "/..", "/repos/o/", D},
	{R "/.", R "/", D},
	{R "/./x", R "/x", D},
	{"/..", "/", D},
	{"/.", "/", D},
	{"/../../x", "/x", D},
	{R "/%2e%2e/x", "/repos/o/x", D},
	{R "/%2E./x", "/repos/o/x", D},
	{R "/.%2e/x", "/repos/o/x", D},
	{R "/%2e/x", R "/x", D},
	{"/a/b/../../../c", "/c", D},
	/* separators */
	{R "/..%2fx", R "/..%2Fx", SEP},
	{R "/%2e%2e%2fx", R "/..%2Fx", SEP},
	{R "%2f..%2fx", R "%2F..%2Fx", SEP},
	{R "/..%5cx", R "/..%5Cx", SEP},
	{R "%5C..%5Cx", R "%5C..%5Cx", SEP},
	{R "/..\\x", NULL, 0},
	{"\\repos", NULL, 0},
	{R "/%ef%bc%8f..", R "/%EF%BC%8F..", SEP},
	{R "/%ef%bc%8e%ef%bc%8e/x", R "/%EF%BC%8E%EF%BC%8E/x", SEP},
	{R "/\xef\xbc\x8e\xef\xbc\x8e/x", R "/%EF%BC%8E%EF%BC%8E/x", SEP},
	{R "/%e2%88%95x", R "/%E2%88%95x", SEP},
	/* empty segments */
	{"//repos/o/r", "//repos/o/r", S},
	{"/repos//o/r", "/repos//o/r", S},
	{R "//", R "//", S},
	{"//", "//", S},
	{R "//../x", R "/x", D | S},
	/* parameters */
	{R ";x", R ";x", PAR},
	{R "/..;/x", R "/..;/x", PAR},
	{R "/..;a=b/x", R "/..;a=b/x", PAR},
	{R "/;/x", R "/;/x", PAR},
	{R "%3bx", R "%3Bx", PAR},
	{R "/.;/x", R "/.;/x", PAR},
	/* twice */
	{R "/%252e%252e/x", R "/%252e%252e/x", DBL},
	{R "/%252E", R "/%252E", DBL},
	{R "/%25%32%65", R "/%252e", DBL},
	{R "/%252f", R "/%252f", DBL},
	{R "/%25252e", R "/%25252e", DBL},
	{R "/%25%32f", R "/%252f", DBL},
	/* control characters */
	{R "%00", NULL, 0},
	{R "%00.png", NULL, 0},
	{R "%0d%0aHost:x", R "%0D%0AHost:x", CTL},
	{R "%09", R "%09", CTL},
	{R "%7f", R "%7F", CTL},
	{R "/%c2%85", R "/%C2%85", CTL},
	{R "\r\n", NULL, 0},
	{R "\x01", NULL, 0},
	{R " x", NULL, 0},
	{R "\t", NULL, 0},
	{R "\x7f", NULL, 0},
	/* encodings */
	{R "/%c0%ae%c0%ae/x", R "/%C0%AE%C0%AE/x", ENC},
	{R "/%c0%af", R "/%C0%AF", ENC},
	{R "/%e0%80%ae", R "/%E0%80%AE", ENC},
	{R "/%f0%80%80%ae", R "/%F0%80%80%AE", ENC},
	{R "/%ff", R "/%FF", ENC},
	{R "/%c3", R "/%C3", ENC},
	{R "/%c3x", R "/%C3x", ENC},
	{R "/%ed%a0%80", R "/%ED%A0%80", ENC},
	{R "/%u002e", NULL, 0},
	{R "/\xff", NULL, 0},
	{R "/\xc0\xae", NULL, 0},
	/* delimiters, broken escapes, forms */
	{R "%3fx", R "%3Fx", DEL},
	{R "%23x", R "%23x", DEL},
	{R "?x", NULL, 0},
	{R "#x", NULL, 0},
	{R "%", NULL, 0},
	{R "%2", NULL, 0},
	{R "%2g", NULL, 0},
	{R "%%32e", NULL, 0},
	{"", NULL, 0},
	{"repos", NULL, 0},
	{"https://evil.test/x", NULL, 0},
	{"**", NULL, 0},
	{"*/", NULL, 0},
};

static void test_canon(void **state)
{
	char out[512], again[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		size_t len = 0, len2;
		unsigned flags = 0, flags2;
		enum policy_path_result r = policy_path_canon(
			table[i].in, strlen(table[i].in), out, sizeof(out), &len, &flags);

		if ((r == POLICY_PATH_OK) != !!table[i].out)
			fail_msg("'%s' was %s", table[i].in, r ? "bad" : "taken");
		if (r != POLICY_PATH_OK)
			continue;
		if (strcmp(out, table[i].out) != 0 || flags != table[i].flags)
			fail_msg("'%s' gave '%s' with flags %x", table[i].in, out, flags);
		assert_int_equal(len, strlen(out));
		r = policy_path_canon(out, len, again, sizeof(again), &len2, &flags2);
		assert_int_equal(r, POLICY_PATH_OK);
		assert_string_equal(again, out);
		assert_int_equal(flags2 & ~flags, 0); /* nothing new is odd about it */
		assert_true(*policy_path_flag_text(flags));
	}
}

static void test_limits(void **state)
{
	char in[64], out[64];
	size_t len;
	unsigned flags;

	(void)state;
	memset(in, 'a', sizeof(in));
	in[0] = '/';
	assert_int_equal(policy_path_canon(in, 63, out, 64, &len, &flags), POLICY_PATH_OK);
	assert_int_equal(policy_path_canon(in, 64, out, 64, &len, &flags), POLICY_PATH_BAD);
	in[62] = '|'; /* grows to three */
	assert_int_equal(policy_path_canon(in, 63, out, 64, &len, &flags), POLICY_PATH_BAD);
	assert_int_equal(policy_path_canon("/a\0b", 4, out, 64, &len, &flags), POLICY_PATH_BAD);
}

static void test_patterns(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool allow, deny; /* matched by an allow, by a denial */
	} t[] = {
		{"/", "/", true, true},
		{"/", "/a", false, false},
		{R, R, true, true},
		{R, R "/", false, true},
		{R, "/repos/o/R", false, true},
		{R, R "2", false, false},
		{R "/**", R "/x", true, true},
		{R "/**", R "/x/y/", true, true},
		{R "/**", R, true, true},
		{R "/**", R "/", true, true},
		{R "/**", R "2", false, false},
		{R "/**", R "2/x", false, false},
		{R "/**", "/repos/o/R/x", false, true},
		{R "/**", "/repos/o", false, false},
		{R "/*", R "/x", true, true},
		{R "/*", R "/", false, false},
		{R "/*", R "/x/y", false, false},
		{R "/*", R "/x/", false, true},
		{"/*/o/r", R, true, true},
		{"/**/r", R, true, true},
		{"/**/r", "/r", true, true},
		{"/**/r", "/x/r/y", false, false},
		{"/**/r/**", "/x/r/y", true, true},
		{"/a/**/b/**/c", "/a/b/c", true, true},
		{"/a/**/b/**/c", "/a/x/b/y/z/c", true, true},
		{"/a/**/b/**/c", "/a/b/x/b", false, false},
		{"/a/**/b/**/c", "/a/b/c/b/c/c", true, true},
		{"/**", "/", true, true},
		{"/**", "/x/y", true, true},
		{"/**", "*", false, false},
		{"/v*/x", "/v1/x", true, true},
		{"/v*/x", "/v/x", true, true},
		{"/v*/x", "/w/x", false, false},
		{"/*.git", "/a.git", true, true},
		{"/*.git", "/a.git/x", false, false},
		{"/*-*.tgz", "/a-1.tgz", true, true},
		{"/a", "/a;x", false, false},
	};
	static const char *const bad[] = {"", "a", "/a/", "//", "/a//b", "/./a", "/a/..", "/a%20",
		"/a?x", "/a#", "/a;b", "/a b", "/a\\b", "/a**", "/***", "/**a", "/a\n", "/\xc3\xa9",
		"/a\"", "/a[b]"};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		if (policy_path_pattern_check(t[i].pattern, &e) < 0)
			fail_msg("%s", e.msg);
		if (policy_path_matches(t[i].pattern, t[i].path, false) != t[i].allow ||
			policy_path_matches(t[i].pattern, t[i].path, true) != t[i].deny)
			fail_msg("%s on %s", t[i].pattern, t[i].path);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (policy_path_pattern_check(bad[i], &e) == 0)
			fail_msg("'%s' was taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canon),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_patterns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
