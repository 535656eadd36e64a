/* test_parse.c - what a start acts on, and what it refuses by name; limits of the text */
#include "check.h"
#include "kit/kit.h"
#include "kit/spec.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEAD "schemaVersion: \"2\"\nkind: sandbox\nname: k\n" /* 3 lines */
#define BOX  "sandbox: {command: [sh]}\n"

struct one {
	struct kit_tree tree;
	struct kit_spec *spec;
};

static void drop(struct one *o)
{
	kit_spec_free(o->spec);
	kit_tree_fini(&o->tree);
	*o = (struct one){0};
}

/* decode() - a kit of this spec.yaml alone */
static int decode(const char *file, const char *text, size_t len, struct one *o, struct err *e)
{
	const struct kit_entry spec = {
		.path = "spec.yaml", .bytes = text, .len = len, .mode = 0644};
	int r;

	drop(o);
	*e = (struct err){0};
	r = kit_tree_add(&o->tree, file, &spec, e);
	if (r == 0)
		r = kit_tree_seal(&o->tree, file, e);
	return r == 0 ? kit_decode(&o->tree, file, NULL, &o->spec, e) : r;
}

static int parse(const char *text, struct one *o, struct err *e)
{
	int r = decode("spec.yaml", text, strlen(text), o, e);

	return r == 0 ? kit_check_enforced(o->spec, e) : r;
}

static void test_not_yet(void **state)
{
	static const struct {
		const char *text, *fault;
	} cases[] = {
		{HEAD "sandbox: {command: [sh], resources: {gpu: \"1\"}}\n",
			"spec.yaml:4:38: not supported yet by run: sandbox.resources.gpu"},
		{HEAD BOX "credentials:\n- service: s\n  oauth:\n"
			  "    tokenEndpoint: {host: l.example, path: /t}\n"
			  "    resourceHosts: [a.example]\n    passthrough: true\n",
			"spec.yaml:8:5: not supported yet by run: oauth passthrough"},
	};
	struct one k = {0};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(parse(cases[i].text, &k, &e), -ENOTSUP);
		assert_string_equal(e.msg, cases[i].fault);
	}
	/* what asks for nothing may be there */
	assert_int_equal(
		parse(HEAD BOX "security: {privileged: false}\nlicenses: [MIT]\n", &k, &e), 0);
	/* what a start does comes after what is wrong */
	assert_int_equal(parse(HEAD BOX "volumes: []\nnmae: x\n", &k, &e), -EINVAL);
	assert_string_equal(e.msg, "spec.yaml:6:1: unknown field 'nmae' in the kit");
	drop(&k);
}

static void test_limits(void **state)
{
	size_t cap = KIT_SPEC_MAX + 16;
	char *text = malloc(cap);
	struct one k = {0};
	struct err e;

	(void)state;
	assert_non_null(text);
	/* 100 KB of '[' take libyaml many seconds when nobody stops it */
	memset(text, '[', 100000);
	assert_int_equal(decode("f", text, 100000, &k, &e), -EINVAL);
	assert_string_equal(e.msg, "f:1:33: nested deeper than 32 levels");
	memset(text, ' ', cap);
	assert_int_equal(decode("f", text, KIT_SPEC_MAX + 1, &k, &e), -EFBIG);
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
	assert_int_equal(decode("f", text, at, &k, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "more than 8192 values"));
	assert_null(k.spec);
	drop(&k);
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
		struct one k = {0};
		struct err e = {0};
		int r = decode("f", text, n, &k, &e);

		assert_true((r == 0) == (k.spec != NULL));
		assert_true(r == 0 || e.code != ERR_NONE);
		drop(&k);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_yet),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
