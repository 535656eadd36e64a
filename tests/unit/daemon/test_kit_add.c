/* test_kit_add.c - mixins for a sandbox that is there: another plan, its state kept, whatever ends in between */
#include "check.h"
#include "rig.h"
#include "base/io.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rig *rig;

#define NEED_RIG()                                                                                 \
	do {                                                                                       \
		if (!rig)                                                                          \
			SKIP("no rig here");                                                       \
	} while (0)

#define MIXIN "schemaVersion: \"2\"\nkind: mixin\n"

static void write_file(const char *below, const char *text)
{
	FILE *f = fopen(rig_path(rig, below), "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void make_kit(const char *dir, const char *spec)
{
	char path[128];

	assert_int_equal(mkdir(rig_path(rig, dir), 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/spec.yaml", dir);
	write_file(path, spec);
}

static int setup(void **state)
{
	(void)state;
	rig = rig_new();
	if (!rig)
		return 0;
	make_kit("one", MIXIN "name: one\nargs: {v: {default: \"1\"}}\n"
			      "environment: {variables: {A: \"one ${{ kit.args.v }}\"}}\n"
			      "setup: {files: [{path: /etc/one, content: x}]}\n");
	make_kit("two", MIXIN "name: two\nenvironment: {variables: {B: two}}\n"
			      "setup: {files: [{path: /etc/two, content: x}]}\n");
	make_kit("net", MIXIN "name: net\npermissions: {network: {allow: [a.example.com]}}\n");
	rig_up(rig);
	return 0;
}

static int teardown(void **state)
{
	int r = rig_free(rig);

	(void)state;
	rig = NULL;
	return r;
}

static void create(const char *name, const char *kit)
{
	const struct js *v;
	char body[1024];

	(void)snprintf(body, sizeof(body),
		"{\"name\":\"%s\",\"agent\":\"box\",\"kits\":[%s%s%s],\"memory_bytes\":268435456,"
		"\"disk_bytes\":1073741824,\"env\":{\"C\":\"c\"},\"workspaces\":[{\"path\":\"%s\"}]"
		"}",
		name, kit ? "\"" : "", kit ? rig_path(rig, kit) : "", kit ? "\"" : "",
		rig->workspace);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes", body, &v), 201);
}

/* add() - its status; @more are further members of the body */
static int add(
	const char *name, bool plan, const char *kit, const char *more, const struct js **ret)
{
	char body[1024], target[128];

	(void)snprintf(body, sizeof(body), "{\"kits\":[\"%s\"]%s}", rig_path(rig, kit), more);
	(void)snprintf(
		target, sizeof(target), "/v1/sandboxes/%s/kits%s", name, plan ? "?plan=1" : "");
	return rig_ask(rig, "POST", target, body, ret);
}

/* plan_of() - as it is shown; valid until the next request */
static const struct js *plan_of(const char *name)
{
	const struct js *v;
	char target[128];

	(void)snprintf(target, sizeof(target), "/v1/sandboxes/%s", name);
	assert_int_equal(rig_ask(rig, "GET", target, NULL, &v), 200);
	return js_get(v, "plan");
}

static bool has_file(const char *name, const char *file, const char *word)
{
	char below[160];
	AUTO(buf) b;

	(void)snprintf(below, sizeof(below), "state/sandboxes/%s/%s", rig_id(rig, name), file);
	buf_init(&b, 1U << 20);
	if (io_read_file(AT_FDCWD, rig_path(rig, below), &b) < 0)
		return false;
	return memmem(b.data, b.len, word, strlen(word)) != NULL;
}

static void test_before_the_first_start(void **state)
{
	const struct js *v;
	char hash[80];

	(void)state;
	NEED_RIG();
	create("new", "one");
	(void)snprintf(hash, sizeof(hash), "%s", rig_str(plan_of("new"), "kits_digest"));
	assert_int_equal(add("new", true, "two", "", &v), 200);
	assert_int_equal(js_len(js_get(v, "kits")), 3);
	assert_string_equal(rig_str(js_get(v, "env"), "B"), "two");
	assert_string_equal(rig_str(plan_of("new"), "kits_digest"), hash); /* nothing has changed */
	assert_int_equal(
		add("new", false, "two", ",\"kit_args\":[{\"name\":\"v\",\"value\":\"2\"}]", &v),
		200);
	assert_string_equal(rig_str(js_get(plan_of("new"), "env"), "A"), "one 2");
	assert_string_equal(rig_str(js_get(plan_of("new"), "env"), "B"), "two");
	assert_string_equal(rig_str(js_get(plan_of("new"), "env"), "C"), "c");
	/* all of it is put in by its first start */
	assert_true(has_file("new", "kit-setup.tar", "etc/one") &&
		    has_file("new", "kit-setup.tar", "etc/two"));
	assert_false(has_file("new", "kits-added", "plan_hash"));
	assert_false(has_file("new", "plan.json.former", "{"));
	/* and it is so for the next daemon */
	rig_kill(rig);
	rig_up(rig);
	assert_int_equal(js_len(js_get(plan_of("new"), "kits")), 3);
	assert_string_equal(rig_str(js_get(plan_of("new"), "env"), "A"), "one 2");
}

static void test_after_it(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	create("old", "one");
	rig_start(rig, "old");
	assert_int_equal(add("old", false, "two", "", &v), 200);
	assert_string_equal(rig_status(rig, "old"), "stopped");
	assert_string_equal(rig_str(js_get(plan_of("old"), "env"), "B"), "two");
	/* only what is new is put */
	assert_true(has_file("old", "kit-setup.tar", "etc/two"));
	assert_false(has_file("old", "kit-setup.tar", "etc/one"));
	assert_false(has_file("old", "kit-home.tar", "hello"));
	assert_true(has_file("old", "kits-added", "plan_hash"));
	assert_int_equal(add("old", false, "net", "", &v), 409); /* first the ones before */
	rig_start(rig, "old");
	assert_false(has_file("old", "kits-added", "plan_hash"));
	assert_false(has_file("old", "plan.json.former", "{"));
	assert_true(has_file("old", "put_", "etc/two"));
	assert_int_equal(add("old", false, "net", "", &v), 200);
	assert_int_equal(js_len(js_get(plan_of("old"), "kits")), 4);
}

static void test_refused(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	create("one", "one");
	assert_int_equal(add("none", false, "two", "", &v), 404);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/one/kits", "{}", &v), 400);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes/one/kits", "{\"kits\":[]}", &v), 400);
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/sandboxes/one/kits", "{\"kits\":[\"../x\"]}", &v), 400);
	assert_int_equal(add("one", false, "two", ",\"agent\":\"box\"", &v), 400);
	assert_int_equal(add("one", false, "one", "", &v), 409);
	assert_non_null(strstr(rig_str(js_get(v, "error"), "message"), "has these kits already"));
	/* what was approved and made is not what stands there now */
	write_file("one/spec.yaml",
		MIXIN "name: one\npermissions: {network: {allow: [\"b.example.com\"]}}\n");
	assert_int_equal(add("one", false, "two", "", &v), 409);
	assert_non_null(
		strstr(rig_str(js_get(v, "error"), "message"), "kit 'one' has changed since"));
	assert_int_equal(js_len(js_get(plan_of("one"), "kits")), 2);
}

static void test_approval(void **state)
{
	char more[160];
	const struct js *v;

	(void)state;
	NEED_RIG();
	create("ask", NULL);
	assert_int_equal(add("ask", true, "net", "", &v), 200);
	assert_int_equal(js_len(js_get(v, "asks")), 1);
	(void)snprintf(more, sizeof(more), ",\"approve\":\"%s\"", rig_str(v, "kits_digest"));
	assert_int_equal(add("ask", false, "net", "", &v), 200);
	assert_int_equal(js_len(js_get(plan_of("ask"), "withheld")), 1);
	assert_int_equal(js_len(js_get(plan_of("ask"), "network")), 0);
	create("yes", NULL);
	assert_int_equal(add("yes", false, "net", ",\"approve\":\"0000\"", &v), 409);
	assert_int_equal(add("yes", false, "net", more, &v), 200);
	assert_int_equal(js_len(js_get(plan_of("yes"), "withheld")), 0);
	assert_int_equal(js_len(js_get(plan_of("yes"), "network")), 1);
	/* what was approved for it stays so when another comes */
	assert_int_equal(add("yes", true, "two", "", &v), 200);
	assert_int_equal(js_len(js_get(v, "asks")), 0);
	assert_int_equal(js_len(js_get(v, "network")), 1);
}

/* cut() - as if the daemon had ended in the middle: the files of @hash lie beside, and the journal */
static void cut(const char *name, const char *hash, const char *text)
{
	char below[160], journal[256];

	(void)snprintf(
		below, sizeof(below), "state/sandboxes/%s/kit-setup.tar.next", rig_id(rig, name));
	write_file(below, text);
	(void)snprintf(
		below, sizeof(below), "state/sandboxes/%s/kits-adding.json", rig_id(rig, name));
	(void)snprintf(journal, sizeof(journal),
		"{\"files\":[\"kit-setup.tar\"],\"plan_hash\":\"%s\"}", hash);
	write_file(below, journal);
}

static void test_cut_off(void **state)
{
	const struct js *v;
	char hash[80];

	(void)state;
	NEED_RIG();
	create("cut", "one");
	/* the row does not have that plan: it did not come to pass */
	cut("cut", "0000", "half");
	assert_int_equal(add("cut", false, "two", "", &v), 200);
	assert_true(has_file("cut", "kit-setup.tar", "etc/two"));
	assert_false(has_file("cut", "kit-setup.tar.next", "half"));
	/* the row has it: it is finished */
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/cut", NULL, &v), 200);
	(void)snprintf(hash, sizeof(hash), "%s", rig_str(v, "plan_hash"));
	cut("cut", hash, "whole");
	assert_int_equal(add("cut", true, "net", "", &v), 200);
	rig_start(rig, "cut");
	assert_true(has_file("cut", "kit-setup.tar", "whole"));
	assert_false(has_file("cut", "kits-adding.json", "plan_hash"));
}

#define EACH(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_before_the_first_start),
		EACH(test_after_it),
		EACH(test_refused),
		EACH(test_approval),
		EACH(test_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
