/* test_kits.c - kits in the plans that the daemon makes: one agent, mixins, arguments, files */
#include "check.h"
#include "rig.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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
			      "environment: {variables: {A: \"one ${{ kit.args.v }}\", B: b}}\n"
			      "setup: {files: [{path: /etc/one, content: \"${WORKDIR}\"}]}\n");
	make_kit("two", MIXIN "name: two\nenvironment: {variables: {A: two}}\n");
	make_kit("agent", "schemaVersion: \"2\"\nkind: sandbox\nname: mine\nextends: box\n"
			  "sandbox: {command: {default: [-d], interactive: [-i]}}\n");
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

/* plan() - of a Create with these members beside sizes and workspace; its status */
static int plan(const char *members, const struct js **ret)
{
	char body[2048];

	(void)snprintf(body, sizeof(body),
		"{%s,\"memory_bytes\":268435456,\"disk_bytes\":1073741824,"
		"\"workspaces\":[{\"path\":\"%s\"}]}",
		members, rig->workspace);
	return rig_ask(rig, "POST", "/v1/sandboxes?plan=1", body, ret);
}

static const char *word(const struct js *v, const char *key, size_t i)
{
	const char *s = js_str(js_at(js_get(v, key), i));

	return s ? s : "";
}

static void test_mixins_in_order(void **state)
{
	char text[512], first[65];
	const struct js *p, *kits;

	(void)state;
	NEED_RIG();
	(void)snprintf(text, sizeof(text),
		"\"agent\":\"box\",\"kits\":[\"%s\",{\"path\":\"%s\"}],"
		"\"kit_args\":[{\"name\":\"one.v\",\"value\":\"7\"}],\"env\":{\"C\":\"c\"}",
		rig_path(rig, "one"), rig_path(rig, "two"));
	assert_int_equal(plan(text, &p), 200);
	kits = js_get(p, "kits");
	assert_int_equal(js_len(kits), 3);
	assert_string_equal(rig_str(js_at(kits, 0), "name"), "box");
	assert_true(js_bool(js_get(js_at(kits, 0), "builtin")));
	assert_false(js_bool(js_get(js_at(kits, 1), "builtin")));
	assert_string_equal(rig_str(js_at(kits, 2), "origin"), rig_path(rig, "two"));
	/* the later wins, and what the person says over all */
	assert_string_equal(rig_str(js_get(p, "env"), "A"), "two");
	assert_string_equal(rig_str(js_get(p, "env"), "B"), "b");
	assert_string_equal(rig_str(js_get(p, "env"), "C"), "c");
	assert_non_null(js_get(js_get(p, "files"), "home"));
	assert_non_null(js_get(js_get(p, "files"), "setup"));
	assert_null(js_get(js_get(p, "files"), "workspace"));
	(void)snprintf(first, sizeof(first), "%s", rig_str(p, "kits_digest"));
	assert_int_equal(strlen(first), 64);
	/* the digest is of all they say: another value of an argument is another plan */
	text[strlen(text) - strlen("7\"}],\"env\":{\"C\":\"c\"}")] = '8';
	assert_int_equal(plan(text, &p), 200);
	assert_string_not_equal(rig_str(p, "kits_digest"), first);
	(void)snprintf(text, sizeof(text),
		"\"agent\":\"box\",\"kits\":[\"%s\"],"
		"\"kit_args\":[{\"name\":\"v\",\"value\":\"7\"}]",
		rig_path(rig, "one"));
	assert_int_equal(plan(text, &p), 200);
	assert_string_equal(rig_str(js_get(p, "env"), "A"), "one 7");
}

/* where a copy is from is believed as far as the cache says so, too */
static void test_claimed_origins(void **state)
{
	static const char *const origins[] = {"git+https://h/x", "oci://h.example/x:1",
		"git+https://h/x#ref=0123456789abcdef0123456789abcdef01234567", "/etc"};
	char text[512];
	const struct js *v;

	(void)state;
	NEED_RIG();
	for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
		(void)snprintf(text, sizeof(text),
			"\"agent\":\"box\",\"kits\":[{\"path\":\"%s\",\"origin\":\"%s\"}]",
			rig_path(rig, "two"), origins[i]);
		assert_int_equal(plan(text, &v), 403);
		assert_string_equal(rig_str(js_get(v, "error"), "code"), "denied");
	}
}

static void test_agent_of_a_directory(void **state)
{
	const struct js *p;
	char text[256];

	(void)state;
	NEED_RIG();
	(void)snprintf(text, sizeof(text), "\"agent\":\"%s\"", rig_path(rig, "agent"));
	assert_int_equal(plan(text, &p), 200);
	assert_string_equal(rig_str(p, "agent"), "mine");
	assert_string_equal(word(p, "argv", 0), "run"); /* what it extends says the program */
	assert_string_equal(word(p, "argv", 1), "-d");
	assert_string_equal(word(p, "argv_interactive", 1), "-i");
	assert_int_equal(js_len(js_get(p, "kits")), 2);
}

static void test_files_are_written(void **state)
{
	char body[1024];
	struct stat st;

	(void)state;
	NEED_RIG();
	(void)snprintf(body, sizeof(body),
		"{\"agent\":\"box\",\"name\":\"filed\",\"kits\":[\"%s\"],\"memory_bytes\":"
		"268435456,"
		"\"disk_bytes\":1073741824,\"workspaces\":[{\"path\":\"%s\"}]}",
		rig_path(rig, "one"), rig->workspace);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes", body, NULL), 201);
	(void)snprintf(
		body, sizeof(body), "state/sandboxes/%s/kit-setup.tar", rig_id(rig, "filed"));
	assert_int_equal(stat(rig_path(rig, body), &st), 0);
	assert_true(st.st_size > 0);
	(void)snprintf(
		body, sizeof(body), "state/sandboxes/%s/kit-workspace.tar", rig_id(rig, "filed"));
	assert_int_equal(stat(rig_path(rig, body), &st), -1);
}

/* decide() - of a check; "RULE-SOURCE DECISION ORIGIN" */
static const char *decide(const char *box, const char *target)
{
	static char text[256];
	const struct js *v;
	char body[256];

	(void)snprintf(body, sizeof(body),
		"{\"sandbox\":\"%s\",\"kind\":\"tcp\",\"target\":\"%s\"}", box, target);
	if (rig_ask(rig, "POST", "/v1/policy/check", body, &v) != 200)
		fail_msg("%s", rig_str(js_get(v, "error"), "message"));
	(void)snprintf(text, sizeof(text), "%s %s %s", rig_str(js_get(v, "rule"), "source"),
		rig_str(v, "decision"), rig_str(js_get(v, "rule"), "origin"));
	return text;
}

/* create() - with the kits (references as JSON) on top of "box"; @approve: what a plan has shown before */
static int create(const char *name, const char *kits, const char *approve, const struct js **ret)
{
	char body[2048];

	(void)snprintf(body, sizeof(body),
		"{\"agent\":\"box\",\"name\":\"%s\",\"kits\":[%s],\"approve\":\"%s\","
		"\"memory_bytes\":268435456,\"disk_bytes\":1073741824,\"workspaces\":[{\"path\":\"%"
		"s\"}]}",
		name, kits, approve, rig->workspace);
	return rig_ask(rig, "POST", "/v1/sandboxes", body, ret);
}

static const struct js *look(const char *kits)
{
	const struct js *p;
	char text[1024];

	(void)snprintf(text, sizeof(text), "\"agent\":\"box\",\"kits\":[%s]", kits);
	assert_int_equal(plan(text, &p), 200);
	return p;
}

static void create_approved(const char *name, const char *kits)
{
	char digest[65];
	const struct js *v;

	(void)snprintf(digest, sizeof(digest), "%s", rig_str(look(kits), "kits_digest"));
	if (create(name, kits, digest, &v) != 201)
		fail_msg("%s", rig_str(js_get(v, "error"), "message"));
}

static const char *quoted(const char *below)
{
	static char bufs[2][256];
	static unsigned i;
	char *b = bufs[i++ % 2];

	(void)snprintf(b, 256, "\"%s\"", rig_path(rig, below));
	return b;
}

static void test_network(void **state)
{
	char kits[1024];

	(void)state;
	NEED_RIG();
	make_kit("net",
		MIXIN "name: net\npermissions: {network: {allow: [kit.example, both.example], "
		      "deny: [never.example], install: {allow: [once.example]}}}\n");
	make_kit("net2", MIXIN "name: net2\npermissions: {network: {allow: [never.example], deny: "
			       "[both.example]}}\n");
	(void)snprintf(kits, sizeof(kits), "%s,%s", quoted("net"), quoted("net2"));
	create_approved("netted", kits);
	assert_string_equal(decide("netted", "kit.example:443"), "kit allow kit net");
	/* a denial wins, whoever says it and whatever comes after */
	assert_string_equal(decide("netted", "both.example:443"), "kit deny kit net2");
	assert_string_equal(decide("netted", "never.example:443"), "kit deny kit net");
	/* what holds only while it installs does not hold now */
	assert_null(strstr(decide("netted", "once.example:443"), "allow"));
}

static void test_a_service_of_a_kit(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	make_kit("cred", MIXIN
		"name: cred\ncredentials: [{service: lintsvc, apiKey: {name: LINT_KEY, inject: "
		"[{domain: api.lint.example, header: x-lint}]}}]\n");
	assert_int_equal(rig_ask_as(rig, "PUT", "/v1/secrets/lintsvc", "application/octet-stream",
				 "value", &v),
		404);
	create_approved("cred", quoted("cred"));
	/* now there is one that wants it */
	assert_int_equal(rig_ask_as(rig, "PUT", "/v1/secrets/lintsvc?sandbox=cred",
				 "application/octet-stream", "value", &v),
		200);
	assert_int_equal(strlen(rig_str(v, "stand_in")), 40);
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/cred", NULL, &v), 200);
	v = js_get(js_get(v, "network"), "credentials");
	assert_string_equal(js_str(js_at(v, 0)), "lintsvc");
}

#define NARROW                                                                                     \
	MIXIN "name: grow\npermissions: {network: {allow: [a.example], deny: [bad.example]}}\n"
#define WIDER                                                                                      \
	MIXIN "name: grow\npermissions: {network: {allow: [a.example, b.example]}}\n"              \
	      "credentials: [{service: forge, apiKey: {inject: [{domain: evil.example, header: "   \
	      "x}], "                                                                              \
	      "name: FORGE2}}]\nenvironment: {variables: {NODE_OPTIONS: x}}\n"

static bool holds(const struct js *plan_, const char *key, const char *line)
{
	const struct js *list = js_get(plan_, key);

	for (size_t i = 0; i < js_len(list); i++)
		if (strcmp(word(plan_, key, i), line) == 0)
			return true;
	return false;
}

/* nothing that a kit from elsewhere opens is open before somebody has said so, for these very kits */
static void test_withheld(void **state)
{
	const struct js *v;
	char kits[256];

	(void)state;
	NEED_RIG();
	make_kit("grow", NARROW);
	(void)snprintf(kits, sizeof(kits), "%s", quoted("grow"));
	assert_int_equal(create("grow1", kits, "", NULL), 201);
	assert_null(strstr(decide("grow1", "a.example:443"), "kit allow"));
	assert_string_equal(decide("grow1", "bad.example:443"), "kit deny kit grow");
	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/grow1", NULL, &v), 200);
	assert_true(holds(js_get(v, "plan"), "withheld", "network allow a.example"));
	assert_non_null(strstr(word(v, "notes", 0), "1 thing that its kits ask for is withheld"));
	/* another digest than theirs is no approval */
	assert_int_equal(
		create("grow2", kits,
			"00000000000000000000000000000000000000000000000000000000000000ab", &v),
		409);
	create_approved("grow2", kits);
	assert_string_equal(decide("grow2", "a.example:443"), "kit allow kit grow");
	/* asked once */
	v = look(kits);
	assert_null(js_get(v, "asks"));
	assert_true(holds(v, "surface", "network allow a.example"));
	assert_int_equal(create("grow3", kits, "", NULL), 201);
	assert_string_equal(decide("grow3", "a.example:443"), "kit allow kit grow");
	/* and what was made before stays as it was */
	assert_null(strstr(decide("grow1", "a.example:443"), "kit allow"));
}

/* a kit that was changed after it was approved: only what it asks for now counts, and what it denied holds */
static void test_widened(void **state)
{
	const struct js *v;
	char kits[256];

	(void)state;
	NEED_RIG();
	write_file("grow/spec.yaml", WIDER);
	(void)snprintf(kits, sizeof(kits), "%s", quoted("grow"));
	v = look(kits);
	assert_false(holds(v, "asks", "network allow a.example"));
	assert_true(holds(v, "asks", "network allow b.example"));
	assert_true(holds(v, "asks", "dropped: network deny bad.example"));
	assert_true(holds(v, "asks", "variable NODE_OPTIONS=x"));
	assert_false(holds(v, "withheld", "variable NODE_OPTIONS=x"));
	assert_true(holds(v, "withheld", "credential forge to evil.example x: %s"));
	assert_true(holds(v, "withheld", "dropped: network deny bad.example"));
	assert_null(js_get(v, "credentials"));
	assert_int_equal(create("wide1", kits, "", NULL), 201);
	assert_string_equal(decide("wide1", "a.example:443"), "kit allow kit grow");
	assert_null(strstr(decide("wide1", "b.example:443"), "kit allow"));
	assert_string_equal(
		decide("wide1", "bad.example:443"), "kit deny kit (as approved before)");
	create_approved("wide2", kits);
	assert_string_equal(decide("wide2", "b.example:443"), "kit allow kit grow");
	assert_null(strstr(decide("wide2", "bad.example:443"), "kit"));
	/* what denies more asks for nothing, and to drop it later does */
	write_file("grow/spec.yaml",
		MIXIN "name: grow\npermissions: {network: {deny: [c.example]}}\n");
	assert_null(js_get(look(kits), "asks"));
	assert_int_equal(create("wide3", kits, "", NULL), 201);
	write_file("grow/spec.yaml", WIDER);
	v = look(kits);
	assert_int_equal(js_len(js_get(v, "asks")), 1);
	assert_true(holds(v, "asks", "dropped: network deny c.example"));
}

static void test_approvals_are_listed_and_taken_back(void **state)
{
	const struct js *v;
	char target[128], kits[256];

	(void)state;
	NEED_RIG();
	assert_int_equal(rig_ask(rig, "GET", "/v1/kits/approvals", NULL, &v), 200);
	for (size_t i = 0; i < js_len(js_get(v, "approvals")); i++) {
		const struct js *one = js_at(js_get(v, "approvals"), i);

		if (strcmp(rig_str(js_at(js_get(one, "kits"), 0), "name"), "grow") != 0)
			continue;
		assert_string_equal(rig_str(one, "agent"), "box");
		assert_true(holds(one, "lines", "network allow b.example"));
		assert_int_equal(strlen(rig_str(one, "digest")), 64);
		(void)snprintf(target, sizeof(target), "/v1/kits/approvals/%s", rig_str(one, "id"));
	}
	rig_kill(rig); /* it is written down */
	rig_up(rig);
	assert_int_equal(rig_ask(rig, "DELETE", target, NULL, NULL), 204);
	assert_int_equal(rig_ask(rig, "DELETE", target, NULL, NULL), 404);
	(void)snprintf(kits, sizeof(kits), "%s", quoted("grow"));
	assert_true(holds(look(kits), "asks", "network allow a.example"));
}

static void test_refused(void **state)
{
	static const struct {
		const char *members, *fault;
	} cases[] = {
		{"\"agent\":\"./x\"", "agent: './x' is neither a name nor an absolute path"},
		{"\"agent\":\"box\",\"kits\":[\"git+https://h/x\"]",
			"kits: 'git+https://h/x' is neither a name"},
		{"\"agent\":\"box\",\"kits\":[\"none\"]", "agent or kit 'none' not found"},
		{"\"agent\":\"box\",\"kits\":[{\"origin\":\"x\"}]", "kits[0].path"},
		{"\"agent\":\"box\",\"kit_args\":[{\"name\":\"v\",\"value\":\"7\"}]",
			"no kit has an argument 'v'"},
		{"\"agent\":\"box\",\"kits\":[\"box\"]", "is an agent, and there is one already"},
	};
	const struct js *answer;

	(void)state;
	NEED_RIG();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *said;

		assert_true(plan(cases[i].members, &answer) >= 400);
		said = rig_str(js_get(answer, "error"), "message");
		if (!strstr(said, cases[i].fault))
			fail_msg("got: %s\nwant: %s", said, cases[i].fault);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mixins_in_order),
		cmocka_unit_test(test_claimed_origins),
		cmocka_unit_test(test_agent_of_a_directory),
		cmocka_unit_test(test_files_are_written),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_a_service_of_a_kit),
		cmocka_unit_test(test_withheld),
		cmocka_unit_test(test_widened),
		cmocka_unit_test(test_approvals_are_listed_and_taken_back),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
