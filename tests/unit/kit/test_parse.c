/* test_parse.c - every field of the schema, and the place and text of every fault */
#include "check.h"
#include "base/escape.h"
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
				   "  - {path: /opt/y, content: '', onlyIfMissing: false}\n"
				   "agentInstructions: {filename: AGENTS.md, content: |\n"
				   "  # hello}\n";
	static const char fixed[] =
		"agentInstructions: {filename: AGENTS.md, content: \"# hello\"}\n";
	char whole[2048];
	AUTO_KIT *k = NULL;
	struct err e;

	(void)state;
	/* a block scalar inside braces is no YAML: the parser's own fault has its place too */
	assert_int_equal(parse(text, &k, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "spec.yaml:22:"));
	(void)snprintf(whole, sizeof(whole), "%.*s%s",
		(int)(strstr(text, "agentInstructions") - text), text, fixed);
	assert_int_equal(parse(whole, &k, &e), 0);
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
	assert_string_equal(k->instructions_file, "AGENTS.md");
	assert_string_equal(k->instructions, "# hello");
	assert_int_equal(k->spec.len, strlen(whole));
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

struct wrong {
	const char *text, *fault;
};

static const struct wrong wrongs[] = {
	{"", "spec.yaml:1:1: the file is empty"},
	{"# nothing\n", "spec.yaml:1:1: the file is empty"},
	{"a", "spec.yaml:1:1: the kit must be a mapping"},
	{"[a]", "spec.yaml:1:1: the kit must be a mapping"},
	{"a: [", "spec.yaml:2:1: "},
	{"a:\n\tb: c\n", "spec.yaml:2:1: "},
	{"\xef\xbb\xbf" HEAD BOX, "spec.yaml:1:1: a byte order mark is not allowed"},
	{"a: \xff\n", "spec.yaml:"},
	{"a: \"x\\0y\"\n", "spec.yaml:1:4: a NUL character is not allowed"},
	{HEAD BOX "---\n" HEAD, "spec.yaml:5:1: a second document is not allowed"},
	{"%YAML 1.1\n---\n" HEAD BOX, "spec.yaml:1:1: directives are not allowed"},
	{"%TAG ! tag:x,2000:\n---\n" HEAD BOX, "spec.yaml:1:1: directives are not allowed"},
	{HEAD "description: &a x\n", "spec.yaml:4:14: anchors are not allowed"},
	{HEAD "sandbox: &a {command: [sh]}\n", "spec.yaml:4:10: anchors are not allowed"},
	{HEAD "sandbox: {command: &a [sh]}\n", "spec.yaml:4:20: anchors are not allowed"},
	{HEAD "description: *a\n", "spec.yaml:4:14: aliases are not allowed"},
	{HEAD "description: !!str x\n", "spec.yaml:4:14: tags are not allowed"},
	{HEAD "description: !x y\n", "spec.yaml:4:14: tags are not allowed"},
	{HEAD "sandbox: !!map {command: [sh]}\n", "spec.yaml:4:10: tags are not allowed"},
	{HEAD "sandbox: {command: !!seq [sh]}\n", "spec.yaml:4:20: tags are not allowed"},
	{HEAD "name: k\n" BOX, "spec.yaml:4:1: the key 'name' is here twice"},
	{HEAD BOX "environment: {variables: {A: x, A: y}}\n",
		"spec.yaml:5:33: the key 'A' is here twice"},
	{HEAD BOX "? [a]\n: b\n", "spec.yaml:5:3: a key must be plain text"},
	{HEAD BOX "nmae: x\n", "spec.yaml:5:1: unknown field 'nmae' in the kit"},
	{HEAD BOX "network: {}\n", "spec.yaml:5:1: unknown field 'network' in the kit"},
	{HEAD BOX "<<: {a: b}\n", "spec.yaml:5:1: unknown field '<<' in the kit"},
	/* required */
	{"kind: sandbox\nname: k\n" BOX, "spec.yaml:1:1: the kit has no field 'schemaVersion'"},
	{"schemaVersion: \"2\"\nname: k\n" BOX, "spec.yaml:1:1: the kit has no field 'kind'"},
	{"schemaVersion: \"2\"\nkind: sandbox\n" BOX, "spec.yaml:1:1: the kit has no field 'name'"},
	{HEAD, "spec.yaml:1:1: the kit has no field 'sandbox'"},
	/* values */
	{"schemaVersion: \"1\"\n", "spec.yaml:1:16: not supported yet: schemaVersion 1"},
	{"schemaVersion: \"3\"\n", "spec.yaml:1:16: not supported yet: schemaVersion 3"},
	{"schemaVersion: x\n", "spec.yaml:1:16: schemaVersion must be \"2\""},
	{"schemaVersion: [2]\n", "spec.yaml:1:16: schemaVersion must be text"},
	{"kind: mixin\n", "spec.yaml:1:7: not supported yet: kind mixin"},
	{"kind: agent\n", "spec.yaml:1:7: kind must be sandbox or mixin"},
	{"name: -rf\n", "spec.yaml:1:7: name must be 1 to 64 of a-z"},
	{"name: a/b\n", "spec.yaml:1:7: name must be 1 to 64 of a-z"},
	{"name: \"\"\n", "spec.yaml:1:7: name must be 1 to 64 of a-z"},
	{"name: A\n", "spec.yaml:1:7: name must be 1 to 64 of a-z"},
	{"name: a-\n", "spec.yaml:1:7: name must be 1 to 64 of a-z"},
	{"name:\n", "name has no value: quote it if text is meant"},
	{"version: ~\n", "spec.yaml:1:10: version has no value"},
	{"description: NULL\n", "spec.yaml:1:14: description has no value"},
	{"displayName: {}\n", "spec.yaml:1:14: displayName must be text"},
	{"description: a ${{ kit.args.x }}\n",
		"spec.yaml:1:14: not supported yet: kit arguments (${{ ... }})"},
	/* sandbox */
	{"sandbox: x\n", "spec.yaml:1:10: sandbox must be a mapping"},
	{"sandbox: {}\n", "spec.yaml:1:10: sandbox has neither entrypoint nor command"},
	{"sandbox: {image: \"\"}\n", "spec.yaml:1:18: sandbox.image is empty"},
	{"sandbox: {imag: x}\n", "spec.yaml:1:11: unknown field 'imag' in sandbox"},
	{"sandbox: {build: {context: .}}\n", "spec.yaml:1:11: not supported yet: build"},
	{"sandbox: {entrypoint: sh}\n",
		"spec.yaml:1:23: sandbox.entrypoint must be a list of text"},
	{"sandbox: {entrypoint: [[sh]]}\n", "spec.yaml:1:24: sandbox.entrypoint must be text"},
	{"sandbox: {entrypoint: [\"\"]}\n",
		"spec.yaml:1:23: sandbox.entrypoint begins with an empty"},
	{"sandbox: {command: sh}\n", "spec.yaml:1:20: sandbox.command must be a mapping"},
	{"sandbox: {command: {tty: [a]}}\n",
		"spec.yaml:1:21: unknown field 'tty' in sandbox.command"},
	{"sandbox: {command: {default: [a], interactive: []}}\n",
		"spec.yaml:1:10: sandbox.command.interactive is empty"},
	{"sandbox: {command: {default: a}}\n",
		"spec.yaml:1:30: sandbox.command.default must be a list of text"},
	{"sandbox: {resources: {cpu: 0}}\n",
		"spec.yaml:1:28: sandbox.resources.cpu must be a whole"},
	{"sandbox: {resources: {cpu: 1.5}}\n",
		"spec.yaml:1:28: sandbox.resources.cpu must be a whole"},
	{"sandbox: {resources: {cpu: -1}}\n",
		"spec.yaml:1:28: sandbox.resources.cpu must be a whole"},
	{"sandbox: {resources: {cpu: 99999999999999999999}}\n",
		"spec.yaml:1:28: sandbox.resources.cpu must be a whole"},
	{"sandbox: {resources: {memory: 1e3}}\n",
		"spec.yaml:1:31: sandbox.resources.memory must be"},
	{"sandbox: {resources: {memory: 0}}\n", "spec.yaml:1:31: sandbox.resources.memory must be"},
	{"sandbox: {resources: {memory: 4gb}}\n",
		"spec.yaml:1:31: sandbox.resources.memory must be"},
	{"sandbox: {resources: {memory: 99999999999g}}\n",
		"spec.yaml:1:31: sandbox.resources.memory must be"},
	{"sandbox: {resources: {gpu: \"1\"}}\n", "spec.yaml:1:23: not supported yet: gpu"},
	/* environment */
	{"environment: {variables: [A]}\n",
		"spec.yaml:1:26: environment.variables must be a mapping"},
	{"environment: {variables: {\"A=B\": x}}\n",
		"spec.yaml:1:27: 'A=B' is not a name for a variable"},
	{"environment: {variables: {\"A\\nB\": x}}\n", "spec.yaml:1:27: 'A\nB' is not a name"},
	{"environment: {variables: {\"\": x}}\n", "spec.yaml:1:27: '' is not a name"},
	{"environment: {variables: {1A: x}}\n", "spec.yaml:1:27: '1A' is not a name"},
	{"environment: {variables: {SBX_X: x}}\n",
		"spec.yaml:1:27: variables that begin with SBX_"},
	{"environment: {variables: {DOCKER_X: x}}\n",
		"spec.yaml:1:27: variables that begin with DOCK"},
	{"environment: {variables: {DASH_X: x}}\n",
		"spec.yaml:1:27: variables that begin with DASH_"},
	{"environment: {variables: {A: [x]}}\n", "spec.yaml:1:30: A must be text"},
	{"environment: {variables: {A: }}\n", "A has no value"},
	{"environment: {proxyManaged: [A]}\n", "spec.yaml:1:15: unknown field 'proxyManaged'"},
	/* setup */
	{"setup: {install: []}\n", "spec.yaml:1:9: not supported yet: install"},
	{"setup: {startup: []}\n", "spec.yaml:1:9: not supported yet: startup"},
	{"setup: {files: {}}\n", "spec.yaml:1:16: setup.files must be a list"},
	{"setup: {files: [x]}\n", "spec.yaml:1:17: setup.files must be a mapping"},
	{"setup: {files: [{content: x}]}\n", "spec.yaml:1:17: setup.files has no field 'path'"},
	{"setup: {files: [{path: /x}]}\n", "spec.yaml:1:17: setup.files has no field 'content'"},
	{"setup: {files: [{path: x, content: y}]}\n",
		"spec.yaml:1:24: setup.files path must be abs"},
	{"setup: {files: [{path: /../x, content: y}]}\n",
		"spec.yaml:1:24: setup.files path must be"},
	{"setup: {files: [{path: /a/.., content: y}]}\n",
		"spec.yaml:1:24: setup.files path must be"},
	{"setup: {files: [{path: /a/./b, content: y}]}\n",
		"spec.yaml:1:24: setup.files path must be"},
	{"setup: {files: [{path: //a, content: y}]}\n", "spec.yaml:1:24: setup.files path must be"},
	{"setup: {files: [{path: /a/, content: y}]}\n", "spec.yaml:1:24: setup.files path must be"},
	{"setup: {files: [{path: /, content: y}]}\n", "spec.yaml:1:24: setup.files path must be"},
	{"setup: {files: [{path: /x, mode: \"4755\", content: y}]}\n",
		"spec.yaml:1:34: setup.files mode must not have set-id"},
	{"setup: {files: [{path: /x, mode: rw, content: y}]}\n",
		"spec.yaml:1:34: setup.files mode must be octal"},
	{"setup: {files: [{path: /x, mode: 99999, content: y}]}\n",
		"spec.yaml:1:34: setup.files mode must be octal"},
	{"setup: {files: [{path: /x, onlyIfMissing: true, content: y}]}\n",
		"spec.yaml:1:43: not supported yet: onlyIfMissing"},
	{"setup: {files: [{path: /x, onlyIfMissing: \"false\", content: y}]}\n",
		"spec.yaml:1:43: onlyIfMissing must be true or false"},
	{"setup: {files: [{path: /x, content: a}, {path: /x, content: b}]}\n",
		"spec.yaml:1:41: setup.files has the path /x twice"},
	/* agentInstructions */
	{"agentInstructions: {content: x}\n",
		"spec.yaml:1:20: agentInstructions has no field 'filen"},
	{"agentInstructions: {filename: a/b}\n",
		"spec.yaml:1:31: agentInstructions.filename must be"},
	{"agentInstructions: {filename: ..}\n",
		"spec.yaml:1:31: agentInstructions.filename must be"},
};

static void test_faults(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
		struct kit *k = NULL;
		struct err e;
		int r = parse(wrongs[i].text, &k, &e);

		if (r >= 0 || !strstr(e.msg, wrongs[i].fault))
			fail_msg("case %zu: %s\n got: %s\nwant: %s", i, ESC(wrongs[i].text),
				r < 0 ? ESC(e.msg) : "no fault", ESC(wrongs[i].fault));
		assert_null(k);
		assert_int_equal(e.code, ERR_INVALID);
	}
}

static void test_not_yet(void **state)
{
	static const char *const fields[] = {"sourceURL", "licenses", "locked", "security",
		"extends", "mixins", "requires", "args", "permissions", "ports", "credentials",
		"volumes"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		char text[256], want[128];
		struct kit *k = NULL;
		struct err e;

		(void)snprintf(text, sizeof(text), HEAD BOX "%s: x\n", fields[i]);
		(void)snprintf(
			want, sizeof(want), "spec.yaml:5:1: not supported yet: %s", fields[i]);
		assert_int_equal(parse(text, &k, &e), -EINVAL);
		assert_string_equal(e.msg, want);
	}
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
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_not_yet),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_argv),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
