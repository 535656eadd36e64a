#include "cli/birth.h"
#include "cli/guard.h"
#include "cli/join.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct js *parse(const char *text)
{
	struct js *v = NULL;
	struct err e = {0};

	assert_int_equal(js_parse(text, strlen(text), 1 << 20, &v, &e), 0);
	return v;
}

static const char boxes_text[] =
	"[{\"name\":\"shell-proj\",\"agent\":\"shell\",\"workspaces\":[{\"path\":\"/a/proj\"}]},"
	"{\"name\":\"shell-proj-2\",\"agent\":\"shell\",\"workspaces\":[{\"path\":\"/b/proj\"}]},"
	"{\"name\":\"demo-proj\",\"agent\":\"other\",\"workspaces\":[{\"path\":\"/a/proj\"}]},"
	"{\"name\":\"kit-proj\",\"agent\":\"my-kit\",\"workspaces\":[{\"path\":\"/a/proj\"}]},"
	"{\"name\":\"shell\",\"agent\":\"shell\",\"workspaces\":[]}]";

static void default_names(void **state)
{
	static const struct {
		const char *agent;
		bool is_kit;
		const char *primary;
		int at; /* -1: new */
		const char *name;
	} rows[] = {
		{"shell", false, "/a/proj", 0, NULL}, /* the same folder: found again */
		{"shell", false, "/b/proj", 1, NULL},
		{"shell", false, "/c/proj", -1, "shell-proj-3"}, /* another folder of that name */
		{"demo", false, "/a/proj", -1, "demo-proj-2"}, /* the name has another agent */
		{"/x/kit", true, "/a/proj", 3, NULL}, /* a kit is not known by its own name here */
		{"claude", false, "/a/my proj!", -1, "claude-my-proj"},
		{"shell", false, "", -1, "shell-2"}, /* without a folder: always a new one */
		{"shell", false, "/", -1, "shell-2"},
	};
	AUTO_JS boxes = parse(boxes_text);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char name[NAME_MAX_LEN + 1] = "";
		struct err e = {0};
		int at = birth_choose(
			boxes, rows[i].agent, rows[i].is_kit, rows[i].primary, name, &e);

		if (at != rows[i].at || (rows[i].name && strcmp(name, rows[i].name) != 0))
			fail_msg("%s %s: %d '%s'", rows[i].agent, rows[i].primary, at, name);
		if (at < 0)
			assert_int_equal(name_check(name, &e), 0);
	}
}

static void long_and_strange_names(void **state)
{
	AUTO_JS none = parse("[]");
	char name[NAME_MAX_LEN + 1], path[400] = "/";
	struct err e = {0};

	(void)state;
	memset(path + 1, 'x', 300);
	assert_int_equal(birth_choose(none, "shell", false, path, name, &e), -1);
	assert_int_equal(name_check(name, &e), 0);
	for (const char *const *p =
			(const char *const[]){"/\x1b[2J", "/..", "/-", "/\xff\xfe", "/a..b", NULL};
		*p; p++) {
		assert_int_equal(birth_choose(none, "shell", false, *p, name, &e), -1);
		assert_int_equal(name_check(name, &e), 0);
	}
}

static void every_name_taken(void **state)
{
	struct js *a = js_array();
	char name[NAME_MAX_LEN + 1];
	struct err e = {0};

	(void)state;
	for (int i = 1; i <= 999; i++) {
		struct js *o = js_object();

		(void)snprintf(name, sizeof(name), i == 1 ? "shell-w" : "shell-w-%d", i);
		assert_false(js_set_str(o, "name", name));
		assert_false(js_add(a, o));
	}
	assert_true(birth_choose(a, "shell", false, "/w", name, &e) < -1);
	assert_int_equal(e.code, ERR_LIMIT);
	js_free(a);
}

static void agent_arguments(void **state)
{
	static char bash[] = "bash", l[] = "-l", c[] = "-c", x[] = "x", make[] = "make";
	char *usual_v[] = {bash, l, NULL}, *dash[] = {c, x, NULL}, *bare[] = {make, c, NULL};
	const struct agent_strv usual = {.v = usual_v, .n = 2};
	struct agent_strv got;
	struct err e = {0};

	(void)state;
	assert_int_equal(join_argv(&usual, NULL, 0, &got, &e), 0);
	assert_int_equal(got.n, 2);
	agent_strv_fini(&got);
	assert_int_equal(join_argv(&usual, dash, 2, &got, &e), 0);
	assert_int_equal(got.n, 4);
	assert_string_equal(got.v[0], "bash");
	assert_string_equal(got.v[3], "x");
	agent_strv_fini(&got);
	assert_int_equal(join_argv(&usual, bare, 2, &got, &e), 0);
	assert_int_equal(got.n, 2);
	assert_string_equal(got.v[0], "make");
	assert_string_equal(got.v[1], "-c");
	assert_null(got.v[2]);
	agent_strv_fini(&got);
}

static void odd_boxes(void **state)
{
	AUTO_JS v = parse("{\"name\":7,\"workspaces\":\"x\",\"argv\":[\"a\",1],\"env\":null}");
	struct agent_strv s = {0};
	struct err e = {0};
	struct guard g;

	(void)state;
	assert_string_equal(box_str(v, "name"), "");
	assert_string_equal(box_primary(v), "");
	assert_int_equal(box_strv(v, "argv", &s, &e), -71);
	assert_int_equal(box_strv(v, "none", &s, &e), 0);
	assert_int_equal(s.n, 0);
	agent_strv_fini(&s);
	guard_fill(&g, v);
	assert_int_equal(g.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(default_names),
		cmocka_unit_test(long_and_strange_names), cmocka_unit_test(every_name_taken),
		cmocka_unit_test(agent_arguments), cmocka_unit_test(odd_boxes)};

	return cmocka_run_group_tests_name("cli/birth", tests, NULL, NULL);
}
