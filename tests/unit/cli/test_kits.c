/* test_kits.c - values that kits of schema 1 find on this host; the kits of a sandbox that is there */
#include "check.h"
#include "cli/birth_kits.h"
#include "cli/needs.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char home[] = "/tmp/sbx-needs-XXXXXX";

static void write_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", home, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(home))
		return -1;
	write_file("key", "  of-the-file\n");
	write_file("json", "{\"a\":{\"b\":\"of-json\",\"n\":17,\"t\":true,\"o\":{},\"l\":[1]}}");
	write_file("bad", "{\"a\":");
	write_file("lines", "one\ntwo\n");
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"key", "json", "bad", "lines", "args"};
	char path[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", home, names[i]);
		(void)remove(path);
	}
	return remove(home);
}

static struct js *parse(const char *text)
{
	struct js *v = NULL;
	struct err e = {0};

	if (js_parse(text, strlen(text), 65536, &v, &e) < 0)
		fail_msg("%s", e.msg);
	return v;
}

/* source() - what comes of a credential: the value, "-" for none, or the fault */
static const char *source(const char *credential)
{
	static char told[512];
	AUTO_JS c = parse(credential);
	struct err e = {0};
	AUTO(buf) out;
	int r;

	buf_init(&out, 8192);
	r = needs_source(c, home, &out, &e);
	(void)snprintf(told, sizeof(told), "%s", r < 0 ? e.msg : r == 0 ? "-" : buf_str(&out));
	return told;
}

static void test_sources(void **state)
{
	(void)state;
	assert_int_equal(setenv("NEEDS_A", "of-a", 1), 0);
	assert_int_equal(setenv("NEEDS_EMPTY", "", 1), 0);
	assert_string_equal(source("{\"service\":\"s\"}"), "-");
	assert_string_equal(
		source("{\"env\":[\"NEEDS_NONE\",\"NEEDS_EMPTY\",\"NEEDS_A\"]}"), "of-a");
	assert_string_equal(source("{\"file\":\"~/key\"}"), "of-the-file");
	assert_string_equal(source("{\"env\":[\"NEEDS_A\"],\"file\":\"~/key\"}"), "of-a");
	assert_string_equal(
		source("{\"env\":[\"NEEDS_A\"],\"file\":\"~/key\",\"file_first\":true}"),
		"of-the-file");
	assert_string_equal(
		source("{\"env\":[\"NEEDS_A\"],\"file\":\"~/none\",\"file_first\":true}"), "of-a");
	assert_string_equal(source("{\"file\":\"~/json\",\"parser\":\"json:a.b\"}"), "of-json");
	assert_string_equal(source("{\"file\":\"~/json\",\"parser\":\"json:a.n\"}"), "17");
	assert_string_equal(source("{\"file\":\"~/json\",\"parser\":\"json:a.t\"}"), "true");
}

/* what comes first and cannot be read is not replaced by what comes second */
static void test_sources_refused(void **state)
{
	static const struct {
		const char *credential, *fault;
	} cases[] = {
		{"{\"file\":\"~/json\",\"parser\":\"json:a.x\",\"file_first\":true,"
		 "\"env\":[\"NEEDS_A\"]}",
			"/json: field 'a.x' not found in JSON"},
		{"{\"file\":\"~/bad\",\"parser\":\"json:a\",\"file_first\":true,"
		 "\"env\":[\"NEEDS_A\"]}",
			"/bad: "},
		{"{\"file\":\"~/json\",\"parser\":\"json:a.o\"}", "neither text, number nor truth"},
		{"{\"file\":\"~/json\",\"parser\":\"json:a.l\"}", "neither text, number nor truth"},
		{"{\"file\":\"~/key\",\"parser\":\"yaml:a\"}", "unknown parser 'yaml:a'"},
		{"{\"file\":\"~/lines\"}", "holds no value that can be used"},
		{"{\"file\":\"relative\"}", "no absolute path"},
		{"{\"file\":\"~/\"}", "is no regular file"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (!strstr(source(cases[i].credential), cases[i].fault))
			fail_msg("got: %s\nwant: %s", source(cases[i].credential), cases[i].fault);
}

static void test_has(void **state)
{
	AUTO_JS all =
		parse("{\"secrets\":[{\"name\":\"a\",\"sandbox\":null},"
		      "{\"name\":\"b\",\"sandbox\":\"box\"},{\"name\":\"c.oauth\",\"sandbox\":"
		      "\"box\"}]}");

	(void)state;
	assert_true(needs_has(all, "a", "any"));
	assert_true(needs_has(all, "b", "box"));
	assert_false(needs_has(all, "b", "other"));
	assert_true(needs_has(all, "c", "box")); /* a login is as good */
	assert_false(needs_has(all, "d", "box"));
}

#define KIT(name, digest) "{\"name\":\"" name "\",\"digest\":\"" digest "\"}"
#define BOX(d, kits)	  "{\"name\":\"box\",\"plan\":{\"kits_digest\":\"" d "\",\"kits\":[" kits "]}}"
#define PLAN(d, kits)	  "{\"kits_digest\":\"" d "\",\"kits\":[" kits "]}"

static void test_compare(void **state)
{
	AUTO_JS box = parse(BOX("1", KIT("shell", "a") "," KIT("lint", "b")));
	AUTO_JS same = parse(PLAN("1", KIT("shell", "a") "," KIT("lint", "b")));
	AUTO_JS changed = parse(PLAN("2", KIT("shell", "a") "," KIT("lint", "c")));
	AUTO_JS more = parse(PLAN("3", KIT("shell", "a") "," KIT("lint", "b") "," KIT("db", "d")));
	AUTO_JS less = parse(PLAN("4", KIT("shell", "a")));
	AUTO_JS other = parse(PLAN("5", KIT("shell", "a") "," KIT("fmt", "b")));
	struct err e = {0};

	(void)state;
	assert_int_equal(birth_kits_compare(box, same, &e), 0);
	assert_int_equal(birth_kits_compare(box, changed, &e), 0);
	assert_int_equal(birth_kits_compare(box, more, &e), -EEXIST);
	assert_string_equal(e.msg,
		"sandbox 'box' was made with the kits shell, lint, not with shell, lint, db");
	assert_int_equal(birth_kits_compare(box, less, &e), -EEXIST);
	assert_int_equal(birth_kits_compare(box, other, &e), -EEXIST);
}

static void test_args_file(void **state)
{
	struct env_list list = {0};
	struct err e = {0};
	char path[256];

	(void)state;
	write_file("args", "# of the kits\n\nlint.level=strict\nv=1\nv=2\n");
	(void)snprintf(path, sizeof(path), "%s/args", home);
	assert_int_equal(birth_kits_args_file(&list, path, &e), 0);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.v[1].text, "v=2");
	env_fini(&list);
	list = (struct env_list){0};
	/* a name alone is no way to take a variable of this host */
	write_file("args", "a=b\nHOME\n");
	assert_int_equal(birth_kits_args_file(&list, path, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "line 2: not NAME=VALUE"));
	env_fini(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_sources_refused),
		cmocka_unit_test(test_has),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_args_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
