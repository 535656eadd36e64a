/* test_rules.c - rules out of JSON and out of the organisation's file; registries of the host's clients */
#include "check.h"
#include "daemon/clients.h"
#include "daemon/rules.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_one(const char *text, struct rules *out, struct err *e)
{
	AUTO_JS v = NULL;

	assert_int_equal(js_parse(text, strlen(text), JS_TEXT_MAX, &v, e), 0);
	return rules_read(v, "", out, e);
}

static void test_json(void **state)
{
	AUTO(rules) all = {0};
	AUTO(rules) again = {0};
	struct err e;

	(void)state;
	assert_int_equal(
		read_one("{\"decision\":\"allow\",\"resource\":\"A.com., *.b.com:443\"}", &all, &e),
		0);
	assert_int_equal(all.n, 2);
	assert_string_equal(all.v[0].resource, "a.com");
	assert_string_equal(all.v[1].resource, "*.b.com:443");
	assert_int_equal(
		read_one("{\"decision\":\"deny\",\"resource\":\"c.com\",\"methods\":\"post\","
			 "\"path\":\"/x/**\"}",
			&all, &e),
		0);
	assert_int_equal(all.v[2].methods, POLICY_POST);
	for (size_t i = 0; i < all.n; i++) {
		AUTO_JS v = rules_write(&all.v[i]);

		assert_int_equal(rules_read(v, "", &again, &e), 0);
		assert_true(rules_same(&all.v[i], &again.v[i]));
	}
	assert_false(rules_same(&all.v[0], &all.v[1]));
}

static void test_bad_json(void **state)
{
	static const struct {
		const char *text, *why;
	} t[] = {{"{}", "decision"}, {"{\"decision\":\"allow\"}", "resource"},
		{"{\"decision\":\"maybe\",\"resource\":\"a.com\"}", "allow, ask or deny"},
		{"{\"decision\":\"allow\",\"resource\":\"\"}", "resource"},
		{"{\"decision\":\"allow\",\"resource\":\"*\"}", "'**'"},
		{"{\"decision\":\"allow\",\"resource\":\"*.com\"}", "top level"},
		{"{\"decision\":\"allow\",\"resource\":\"localhost\"}", "localhost:PORT"},
		{"{\"decision\":\"allow\",\"resource\":\"a.com,\"}", "','"},
		{"{\"decision\":\"allow\",\"resource\":\"a.com\",\"methods\":\"GETX\"}", "GETX"},
		{"{\"decision\":\"allow\",\"resource\":\"a.com\",\"path\":\"x\"}", "'/'"},
		{"{\"decision\":\"allow\",\"resource\":\"a.com\",\"odd\":1}", "odd"},
		{"{\"decision\":\"allow\",\"resource\":\"10.0.0.0/8\",\"methods\":\"GET\"}",
			"range"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		AUTO(rules) all = {0};
		struct err e = {0};

		if (read_one(t[i].text, &all, &e) >= 0)
			fail_msg("%s was taken", t[i].text);
		if (!strstr(e.msg, t[i].why))
			fail_msg("%s: %s", t[i].text, e.msg);
	}
}

static void test_org(void **state)
{
	static const char text[] = "version: 1\n"
				   "allow:\n"
				   "  - '**.corp.example.com:443'\n"
				   "  - resource: api.example.com\n"
				   "    methods: [GET, head]\n"
				   "    path: /v1/**\n"
				   "  - {resource: ws.example.com, websocket: true}\n"
				   "deny:\n"
				   "  - '**.io'\n"
				   "ask:\n"
				   "  - {resource: g.example.com, grpc: a.B/*}\n"
				   "bypass: [pin.example.com]\n";
	AUTO_POLICY *p = NULL;
	struct err e = {0};

	(void)state;
	if (rules_org_parse("org.yaml", text, strlen(text), &p, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(policy_rules(p, 0), 5);
	assert_string_equal(policy_rule_at(p, 0, 0)->id, "org.1");
	assert_string_equal(policy_rule_at(p, 0, 1)->path, "/v1/**");
	assert_int_equal(policy_rule_at(p, 0, 1)->methods, POLICY_GET | POLICY_HEAD);
	assert_true(policy_rule_at(p, 0, 2)->websocket);
	assert_int_equal(policy_rule_at(p, 0, 3)->decision, POLICY_DENY);
	assert_string_equal(policy_rule_at(p, 0, 4)->grpc, "a.B/*");
	assert_int_equal(policy_rule_at(p, 0, 4)->source, POLICY_SOURCE_ORG);
	assert_string_equal(policy_bypass_at(p, 0, 0), "pin.example.com");
}

static void test_bad_org(void **state)
{
	static const struct {
		const char *text, *why;
	} t[] = {{"allow: [a.com]\n", "version"}, {"version: 2\n", "version must be 1"},
		{"- a\n", "mapping"}, {"version: 1\nallow: a.com\n", "list"},
		{"version: 1\npermit: [a.com]\n", "permit"},
		{"version: 1\nallow: ['*']\n", "org.yaml:2:9"},
		{"version: 1\nallow:\n  - {path: /x}\n", "resource"},
		{"version: 1\nallow:\n  - {resource: a.com, paths: /x}\n", "paths"},
		{"version: 1\nallow:\n  - {resource: a.com, websocket: yes}\n", "true or false"},
		{"version: 1\nallow:\n  - {resource: a.com, methods: [GETX]}\n", "GETX"},
		{"version: 1\nallow:\n  - [a.com]\n", "mapping with"},
		{"version: 1\nbypass: ['**']\n", "org.yaml:2:10"},
		{"version: 1\nallow: [&a x.com, *a]\n", "anchor"},
		{"version: 1\nversion: 1\n", "version"}, {"", "org.yaml"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		AUTO_POLICY *p = NULL;
		struct err e = {0};

		if (rules_org_parse("org.yaml", t[i].text, strlen(t[i].text), &p, &e) >= 0)
			fail_msg("'%s' was taken", t[i].text);
		assert_null(p);
		if (!strstr(e.msg, t[i].why))
			fail_msg("'%s': %s", t[i].text, e.msg);
	}
}

static void test_scan(void **state)
{
	static const char text[] = "# registry=https://comment.example.com/\n"
				   "registry=https://npm.example.com/path/\n"
				   "@scope:registry = http://user:p%40ss@scoped.example.com:4873\n"
				   "//npm.example.com/:_authToken=https\n"
				   "other=https://unrelated.example.com/\n"
				   "registry=https://npm.example.com/again\n"
				   "registry=https://127.0.0.1:4873/\n"
				   "registry=http://localhost:4873/\n"
				   "registry=http://169.254.169.254/\n"
				   "registry=http://10.1.2.3:4873/\n"
				   "registry=http://[2606:4700::1]:8080/x\n"
				   "registry=https://${HOST}/\n"
				   "registry=https://*.example.com/\n"
				   "registry=https://\n"
				   "registry=https";
	static const char *const keys[] = {"registry", NULL};
	static const char *const want[] = {"npm.example.com:443", "scoped.example.com:4873",
		"10.1.2.3:4873", "[2606:4700::1]:8080"};
	struct client_host found[CLIENTS_MAX];
	size_t n;

	(void)state;
	n = clients_scan("npm", text, keys, found, 0);
	assert_int_equal(n, ARRAY_LEN(want));
	for (size_t i = 0; i < n; i++)
		assert_string_equal(found[i].resource, want[i]);
}

static void write_file(const char *root, const char *dir, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", root, dir);
	for (char *s = path + 1; *s; s++)
		if (*s == '/') {
			*s = '\0';
			(void)mkdir(path, 0700);
			*s = '/';
		}
	(void)mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s%s/%s", root, dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static bool has(const struct client_host *all, size_t n, const char *client, const char *resource)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(all[i].client, client) == 0 && strcmp(all[i].resource, resource) == 0)
			return true;
	return false;
}

static void test_find(void **state)
{
	struct client_host all[CLIENTS_MAX];
	char root[] = "/tmp/sbx-test-clients-XXXXXX", home[64], fifo[96];
	static const char *const made[] = {"/etc/apt/sources.list",
		"/etc/apt/sources.list.d/a.sources", "/etc/apt/sources.list.d", "/etc/apt", "/etc",
		"/home/u/.config/pip/pip.conf", "/home/u/.config/pip", "/home/u/.config",
		"/home/u/.cargo/config.toml", "/home/u/.cargo", "/home/u", "/home", ""};
	size_t n;

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(home, sizeof(home), "%s/home/u", root);
	write_file(root, "/etc/apt", "sources.list",
		"deb [signed-by=/x] http://apt.example.com/debian stable main\n"
		"#deb http://off.example.com/ x\n");
	write_file(root, "/etc/apt/sources.list.d", "a.sources",
		"Types: deb\nURIs: https://two.example.com/d\n");
	write_file(home, "/.config/pip", "pip.conf",
		"[global]\nindex-url = https://pip.example.com/simple\n");
	write_file(home, "/.cargo", "config.toml",
		"[source.x]\nregistry = \"sparse+https://cargo.example.com/i/\"\n");
	snprintf(fifo, sizeof(fifo), "%s/.npmrc", home);
	assert_int_equal(mkfifo(fifo, 0600), 0); /* must not hold us up */
	assert_int_equal(setenv("GOPROXY", "https://go.example.com,direct", 1), 0);
	assert_int_equal(unsetenv("PIP_INDEX_URL"), 0);
	n = clients_find(root, home, all);
	assert_true(has(all, n, "apt", "apt.example.com:80"));
	assert_true(has(all, n, "apt", "two.example.com:443"));
	assert_false(has(all, n, "apt", "off.example.com:80"));
	assert_true(has(all, n, "pip", "pip.example.com:443"));
	assert_true(has(all, n, "cargo", "cargo.example.com:443"));
	assert_true(has(all, n, "go", "go.example.com:443"));
	for (size_t i = 0; i < n; i++) {
		const struct policy_rule r = {.id = "x",
			.resource = all[i].resource,
			.origin = "x",
			.decision = POLICY_ALLOW,
			.source = POLICY_SOURCE_USER};

		assert_int_equal(policy_check_rule(&r, NULL), 0);
	}
	(void)unlink(fifo);
	for (size_t k = 0; k < ARRAY_LEN(made); k++) {
		char path[160];

		snprintf(path, sizeof(path), "%s%s", root, made[k]);
		(void)remove(path);
	}
	assert_int_equal(access(root, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_bad_json),
		cmocka_unit_test(test_org),
		cmocka_unit_test(test_bad_org),
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
