/* test_parse.c - what a start acts on: each field arrives, every other is refused by name */
#include "check.h"
#include "kit/kit.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEAD "schemaVersion: \"2\"\nkind: sandbox\nname: k\n" /* 3 lines */
#define BOX  "sandbox: {command: [sh]}\n"

static int parse(const char *text, struct kit **ret, struct err *e)
{
	*e = (struct err){0};
	return kit_parse("spec.yaml", text, strlen(text), ret, e);
}

static void test_all_fields(void **state)
{
	static const char text[] = "schemaVersion: \"2\"\n"
				   "kind: sandbox\n"
				   "name: my-kit\n"
				   "version: 1.0.0\n"
				   "displayName: \"My kit\"\n"
				   "description: does this\n"
				   "sandbox:\n"
				   "  image: other\n"
				   "  entrypoint: [tool, --flag]\n"
				   "  command:\n"
				   "    default: [a, 'b c']\n"
				   "    interactive: [i]\n"
				   "  resources: {cpu: 4, memory: 3G}\n"
				   "environment:\n"
				   "  variables: {A: \"1\", B_2: no, C: \"\"}\n"
				   "setup:\n"
				   "  files:\n"
				   "  - path: /etc/x.conf\n"
				   "    content: \"dir ${WORKDIR}/a ${OTHER}\"\n"
				   "    mode: \"0600\"\n"
				   "  - {path: /opt/y, content: '', onlyIfMissing: false}\n";
	AUTO_KIT *k = NULL;
	struct err e;

	(void)state;
	assert_int_equal(parse(text, &k, &e), 0);
	assert_string_equal(k->name, "my-kit");
	assert_string_equal(k->version, "1.0.0");
	assert_string_equal(k->display_name, "My kit");
	assert_string_equal(k->description, "does this");
	assert_string_equal(k->image, "other");
	assert_int_equal(k->entrypoint.n, 2);
	assert_string_equal(k->entrypoint.v[1], "--flag");
	assert_int_equal(k->command.n, 2);
	assert_string_equal(k->command.v[1], "b c");
	assert_null(k->command.v[2]);
	assert_true(k->has_interactive);
	assert_string_equal(k->interactive.v[0], "i");
	assert_int_equal(k->cpus, 4);
	assert_int_equal(k->memory_bytes, 3ULL << 30);
	assert_int_equal(k->n_vars, 3);
	assert_string_equal(k->vars[1].name, "B_2");
	assert_string_equal(k->vars[1].value, "no"); /* text stays text */
	assert_string_equal(k->vars[2].value, "");
	assert_int_equal(k->n_files, 2);
	assert_string_equal(k->files[0].path, "/etc/x.conf");
	assert_int_equal(k->files[0].mode, 0600);
	assert_int_equal(k->files[1].mode, 0644);
	assert_int_equal(k->files[1].len, 0);
	assert_int_equal(k->spec.len, strlen(text));
}

static void test_least(void **state)
{
	AUTO_KIT *k = NULL;
	struct err e;

	(void)state;
	assert_int_equal(parse(HEAD BOX, &k, &e), 0);
	assert_null(k->image);
	assert_null(k->description);
	assert_false(k->has_interactive);
	assert_int_equal(k->cpus, 0);
	assert_int_equal(k->memory_bytes, 0);
	assert_int_equal(k->home_tar.len, 0);
}

static void test_not_yet(void **state)
{
	static const struct {
		const char *text, *fault;
	} cases[] = {
		{"volumes: [{path: /x}]\n", "spec.yaml:5:1: not supported yet by run: volumes"},
		{"setup: {install: [{command: x}]}\n",
			"spec.yaml:5:9: not supported yet by run: setup.install"},
		{"setup: {files: [{path: /x, content: y, onlyIfMissing: true}]}\n",
			"spec.yaml:5:17: not supported yet by run: onlyIfMissing"},
		{"security: {privileged: true}\n",
			"spec.yaml:5:24: not supported yet by run: security.privileged"},
		{"extends: shell\n", "spec.yaml:5:1: not supported yet by run: extends"},
		{"permissions: {network: {allow: [a.example]}}\n",
			"spec.yaml:5:1: not supported yet by run: permissions"},
		{"agentInstructions: {filename: A.md}\n",
			"spec.yaml:5:1: not supported yet by run: agentInstructions"},
	};
	struct kit *k = NULL;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[512];

		(void)snprintf(text, sizeof(text), HEAD BOX "%s", cases[i].text);
		assert_int_equal(parse(text, &k, &e), -ENOTSUP);
		assert_string_equal(e.msg, cases[i].fault);
		assert_null(k);
	}
	/* what asks for nothing may be there */
	assert_int_equal(
		parse(HEAD BOX "security: {privileged: false}\nlicenses: [MIT]\n", &k, &e), 0);
	kit_free(k);
	k = NULL;
	/* what a start does comes after what is wrong */
	assert_int_equal(parse(HEAD BOX "volumes: []\nnmae: x\n", &k, &e), -EINVAL);
	assert_string_equal(e.msg, "spec.yaml:6:1: unknown field 'nmae' in the kit");
	assert_int_equal(parse("schemaVersion: \"1\"\nkind: mixin\nname: m\n", &k, &e), -EINVAL);
	assert_string_equal(e.msg, "spec.yaml:3:7: 'm' is a mixin: it extends an agent");
}

static void test_limits(void **state)
{
	size_t cap = KIT_SPEC_MAX + 16;
	char *text = malloc(cap);
	struct kit *k = NULL;
	struct err e;

	(void)state;
	assert_non_null(text);
	/* 100 KB of '[' take libyaml many seconds when nobody stops it */
	memset(text, '[', 100000);
	assert_int_equal(kit_parse("f", text, 100000, &k, &e), -EINVAL);
	assert_string_equal(e.msg, "f:1:33: nested deeper than 32 levels");
	memset(text, ' ', cap);
	assert_int_equal(kit_parse("f", text, KIT_SPEC_MAX + 1, &k, &e), -EFBIG);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_string_equal(e.msg, "f:1:1: larger than 256 KiB");
	/* one list with 257 entries */
	memcpy(text, "a: [", 4);
	for (size_t i = 0; i < 257; i++)
		memcpy(text + 4 + 2 * i, "x,", 2);
	memcpy(text + 4 + 514, "]\n", 3);
	assert_int_equal(parse(text, &k, &e), -EINVAL);
	assert_string_equal(e.msg, "spec.yaml:1:517: more than 256 entries");
	/* many lists of lists: the number of values is bounded, whatever the shape */
	size_t at = 0;
	for (int i = 0; i < 250; i++) {
		at += (size_t)snprintf(text + at, cap - at, "k%d: [", i);
		for (int j = 0; j < 200; j++)
			text[at++] = j % 2 ? ',' : 'x';
		at += (size_t)snprintf(text + at, cap - at, "]\n");
	}
	assert_int_equal(kit_parse("f", text, at, &k, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "more than 8192 values"));
	assert_null(k);
	free(text);
}

/* no prefix of a good kit may do worse than fail */
static void test_cut_anywhere(void **state)
{
	static const char text[] =
		HEAD "sandbox:\n  command: [a, \"b\\n\"]\n  resources: {cpu: 1}\n"
		     "setup: {files: [{path: /x, content: |\n  y\n}]}\n";

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		struct kit *k = NULL;
		struct err e = {0};
		int r = kit_parse("f", text, n, &k, &e);

		assert_true((r == 0) == (k != NULL));
		assert_true(r == 0 || e.code != ERR_NONE);
		kit_free(k);
	}
}

static void check_argv(const struct kit *k, bool tty, char *const *args, size_t n, const char *want)
{
	struct kit_strv s;
	char got[256] = "";
	size_t at = 0;

	assert_int_equal(kit_argv(k, tty, args, n, &s), 0);
	for (size_t i = 0; i < s.n; i++)
		at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%s", i ? " " : "", s.v[i]);
	assert_null(s.v[s.n]);
	assert_string_equal(got, want);
	kit_strv_fini(&s);
}

static void test_argv(void **state)
{
	char dash[] = "-x", word[] = "make";
	char *flags[] = {dash, word}, *words[] = {word, dash};
	AUTO_KIT *k = NULL, *plain = NULL;
	struct err e;

	(void)state;
	assert_int_equal(parse(HEAD "sandbox: {entrypoint: [t], command: {default: [-d], "
				    "interactive: [-i, -j]}}\n",
				 &k, &e),
		0);
	check_argv(k, false, NULL, 0, "t -d");
	check_argv(k, true, NULL, 0, "t -i -j");
	check_argv(k, false, flags, 2, "t -d -x make");
	check_argv(k, true, words, 2, "t make -x");
	assert_int_equal(parse(HEAD BOX, &plain, &e), 0);
	check_argv(plain, true, NULL, 0, "sh"); /* the default serves terminals too */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_fields),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_not_yet),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_argv),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
