#include "cli/args.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#define WORDS_MAX 40

/* split() - words separated by '|' into argv; an empty word is an empty argument */
static int split(char *line, char *argv[WORDS_MAX + 1])
{
	int n = 0;

	for (char *p = line; p && n < WORDS_MAX;) {
		char *bar = strchr(p, '|');

		argv[n++] = p;
		if (bar)
			*bar++ = '\0';
		p = bar;
	}
	argv[n] = NULL;
	return n;
}

static int run_line(const char *text, bool create, struct run_args *a, struct err *e)
{
	static char line[1024]; /* the results borrow from it */
	static char *argv[WORDS_MAX + 1];

	*e = (struct err){0};
	assert_true(strlen(text) < sizeof(line));
	memcpy(line, text, strlen(text) + 1);
	return run_args_parse(split(line, argv), argv, ARGS_SILENT, create, a, e);
}

static void run_good(void **state)
{
	struct run_args a;
	struct err e;

	(void)state;
	assert_int_equal(run_line("sbx run|shell", false, &a, &e), 0);
	assert_string_equal(a.agent, "shell");
	assert_int_equal(a.n_workspaces, 0);
	assert_int_equal(a.keys.seq[0], 0x1c);
	run_args_fini(&a);

	assert_int_equal(run_line("sbx run|claude|--kit|./k|.|../lib:ro|--name|box|--kit=x|-m|2g|"
				  "--cpus|4|--disk|10g|-e|A=1|--env-file|f|-t|img|--isolation|"
				  "emulated|--detach-keys|ctrl-a|-q|--json|-d",
				 false, &a, &e),
		0);
	assert_string_equal(a.agent, "claude");
	assert_int_equal(a.n_workspaces, 2);
	assert_string_equal(a.workspaces[0].path, ".");
	assert_true(a.workspaces[1].read_only);
	assert_int_equal(a.n_kits, 2);
	assert_string_equal(a.kits[1], "x");
	assert_string_equal(a.name, "box");
	assert_int_equal(a.memory, 2LL << 30);
	assert_int_equal(a.disk, 10LL << 30);
	assert_int_equal(a.cpus, 4);
	assert_true(a.cpus_given && a.quiet && a.json && a.detached && !a.plan);
	assert_int_equal(a.env.list.n, 1);
	assert_int_equal(a.env.n_files, 1);
	assert_string_equal(a.template_image, "img");
	assert_string_equal(a.isolation, "emulated");
	assert_int_equal(a.keys.seq[0], 1);
	run_args_fini(&a);

	assert_int_equal(
		run_line("sbx create|shell|--deny|**|--allow=a.com,b.com|--deny-network|c.com",
			true, &a, &e),
		0);
	assert_int_equal(a.n_rules, 3);
	assert_string_equal(a.rules[0].decision, "deny");
	assert_string_equal(a.rules[0].resource, "**");
	assert_string_equal(a.rules[1].decision, "allow");
	assert_string_equal(a.rules[1].resource, "a.com,b.com");
	assert_string_equal(a.rules[2].decision, "deny");
	run_args_fini(&a);

	assert_int_equal(run_line("sbx run|--name|box", false, &a, &e), 0);
	assert_null(a.agent);
	run_args_fini(&a);
}

static void run_agent_args(void **state)
{
	struct run_args a;
	struct err e;

	(void)state;
	assert_int_equal(run_line("sbx run|shell|.|--|-c|--name|x||--", false, &a, &e), 0);
	assert_int_equal(a.n_workspaces, 1);
	assert_int_equal(a.n_args, 5);
	assert_string_equal(a.args[0], "-c");
	assert_string_equal(a.args[1], "--name");
	assert_string_equal(a.args[3], "");
	assert_string_equal(a.args[4], "--");
	assert_null(a.name);
	run_args_fini(&a);
	assert_int_equal(run_line("sbx run|shell|--name|bx|--|make", false, &a, &e), 0);
	assert_int_equal(a.n_args, 1);
	assert_string_equal(a.args[0], "make");
	run_args_fini(&a);
	assert_int_equal(run_line("sbx run|shell|--", false, &a, &e), 0);
	assert_int_equal(a.n_args, 0);
	run_args_fini(&a);
	/* "--" directly after the verb: there is no agent then */
	assert_int_equal(run_line("sbx run|--|shell", false, &a, &e), -22);
	assert_int_equal(run_line("sbx run|--name|bx|--|-p|hello", false, &a, &e), 0);
	assert_int_equal(a.n_args, 2);
	run_args_fini(&a);
}

static void run_bad(void **state)
{
	static const char *const lines[] = {"sbx run", "sbx run|", "sbx run|shell|",
		"sbx run|shell|:ro", "sbx run|shell|--name|../x", "sbx run|shell|--name|",
		"sbx run|shell|--name|-rf", "sbx run|shell|--name|default",
		"sbx run|shell|--cpus|-1", "sbx run|shell|--cpus|1025", "sbx run|shell|--cpus|x",
		"sbx run|shell|-m|0", "sbx run|shell|-m|4x", "sbx run|shell|-m|999999999999g",
		"sbx run|shell|--disk|", "sbx run|shell|--isolation|vm", "sbx run|shell|-e|",
		"sbx run|shell|-e|=x", "sbx run|shell|--kit|", "sbx run|shell|--detach-keys|ctrl-",
		"sbx run|shell|-t|", "sbx run|shell|--allow|", "sbx run|shell|--unknown",
		"sbx run|shell|-Z", "sbx run|shell|--name", "sbx run|shell|--env-file|",
		"sbx "
		"run|shell|--name|"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	struct run_args a;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		assert_int_equal(run_line(lines[i], false, &a, &e), -22);
		assert_int_equal(e.code, ERR_INVALID);
		assert_true(e.msg[0] != '\0');
	}
	assert_int_equal(run_line("sbx create|--name|box", true, &a, &e), -22);
	assert_int_equal(run_line("sbx create|shell|--|make", true, &a, &e), -22);
}

static int exec_line(const char *text, struct exec_args *a, struct err *e)
{
	static char line[1024];
	static char *argv[WORDS_MAX + 1];

	*e = (struct err){0};
	memcpy(line, text, strlen(text) + 1);
	return exec_args_parse(split(line, argv), argv, ARGS_SILENT, a, e);
}

static void exec_good(void **state)
{
	static const struct {
		const char *line;
		size_t argc;
		const char *argv[4];
	} rows[] = {{"sbx exec|box|ls|-l", 2, {"ls", "-l"}},
		{"sbx exec|box|--|ls|-l", 2, {"ls", "-l"}}, {"sbx exec|-it|box|sh", 1, {"sh"}},
		{"sbx exec|box|-it|sh|-i", 2, {"sh", "-i"}},
		{"sbx exec|box|echo||--|x", 4, {"echo", "", "--", "x"}},
		{"sbx exec|box||x", 2, {"", "x"}}, {"sbx exec|box|--|--help", 1, {"--help"}},
		{"sbx exec|box|make|--json", 2, {"make", "--json"}}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct exec_args a;
		struct err e;

		assert_int_equal(exec_line(rows[i].line, &a, &e), 0);
		assert_string_equal(a.name, "box");
		assert_int_equal(a.argc, rows[i].argc);
		for (size_t k = 0; k < a.argc; k++)
			assert_string_equal(a.argv[k], rows[i].argv[k]);
		assert_false(a.json);
		assert_int_equal(a.keys.len, 0); /* ctrl-\ is the command's */
		exec_args_fini(&a);
	}
}

static void exec_options_and_faults(void **state)
{
	static const char *const bad[] = {"sbx exec", "sbx exec|box", "sbx exec|box|--",
		"sbx exec|x_y|ls", "sbx exec|-rf|ls", "sbx exec|../x|ls", "sbx exec||ls",
		"sbx exec|-w|rel|box|ls", "sbx exec|-u||box|ls", "sbx exec|-e|1=2|box|ls",
		"sbx exec|-d|box|ls"};
	struct exec_args a;
	struct err e;

	(void)state;
	assert_int_equal(exec_line("sbx exec|-i|-u|1000:1000|-w|/tmp|-e|A=b|--env-file|x|"
				   "--detach-keys|ctrl-p,ctrl-q|box|true",
				 &a, &e),
		0);
	assert_true(a.interactive && !a.tty);
	assert_string_equal(a.user, "1000:1000");
	assert_string_equal(a.cwd, "/tmp");
	assert_int_equal(a.keys.len, 2);
	exec_args_fini(&a);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(exec_line(bad[i], &a, &e), -22);
		assert_int_equal(e.code, ERR_INVALID);
	}
}

static int plain_line(
	const char *text, const struct plain_form *f, struct plain_args *a, struct err *e)
{
	static char line[1024];
	static char *argv[WORDS_MAX + 1];

	*e = (struct err){0};
	memcpy(line, text, strlen(text) + 1);
	return plain_args_parse(split(line, argv), argv, ARGS_SILENT, f, a, e);
}

static void plain(void **state)
{
	const struct plain_form form = {.options = OPT_JSON | OPT_FORCE | OPT_TIMEOUT | OPT_TAIL,
		.min_words = 1,
		.max_words = 3,
		.words = "NAME...",
		.doc = "",
		.names = true};
	static const char *const bad[] = {"sbx rm", "sbx rm|a1|b1|c1|d1", "sbx rm|-q|a1",
		"sbx rm|a", "sbx rm|--time|-1|a1", "sbx rm|-t|3601|a1", "sbx rm|--tail|x|a1",
		"sbx rm|../x", "sbx rm|--", "sbx rm||a1", "sbx rm|--all"};
	struct plain_args a;
	struct err e;

	(void)state;
	assert_int_equal(plain_line("sbx rm|a1|--json|-f|b1|-t|5|-n|7", &form, &a, &e), 0);
	assert_int_equal(a.n_words, 2);
	assert_string_equal(a.words[1], "b1");
	assert_int_equal(a.given, OPT_JSON | OPT_FORCE | OPT_TIMEOUT | OPT_TAIL);
	assert_int_equal(a.timeout_ms, 5000);
	assert_int_equal(a.tail, 7);
	plain_args_fini(&a);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(plain_line(bad[i], &form, &a, &e), -22);
		assert_true(e.msg[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(run_good),
		cmocka_unit_test(run_agent_args), cmocka_unit_test(run_bad),
		cmocka_unit_test(exec_good), cmocka_unit_test(exec_options_and_faults),
		cmocka_unit_test(plain)};

	return cmocka_run_group_tests_name("cli/args", tests, NULL, NULL);
}
