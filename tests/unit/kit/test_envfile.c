/* test_envfile.c - sbxenv.yaml: every field, merging, placeholders, the lines of a plan, and one fault, one place */
#include "check.h"
#include "kit/envfile.h"
#include <errno.h>
#include <string.h>

#define HEAD "schemaVersion: \"1\"\nagent: shell\n" /* 2 lines */

static const char whole[] =
	"schemaVersion: \"1\"\nname: web\nagent: claude\nworkspace: ./src\n"
	"additionalWorkspaces: [../lib, {path: /data, readOnly: true}]\n"
	"kits: [lint, ./kits/a, {source: ./kits/b, args: {v: \"${{ env.args.v }}\"}}]\n"
	"args: {v: {default: \"1\", enum: [\"1\", \"2\"], description: d}, off: }\n"
	"env: {A: \"x ${{ env.args.v }}\", B: \"$${{ env.args.v }}\", C: \"${{env.projectDir}}|${{ "
	"env.fileDir "
	"}}\"}\n"
	"sandboxOptions: {template: img, memory: 2g, cpus: 2, disk: 20g, pullPolicy: never}\n"
	"secrets: {one: {value: s3cret}, two: {command: pass two, refresh: 5m}}\n"
	"bindings:\nregistries:\nmcp:\n"
	"ports: [\"8080:80\", {sandbox: 3000}, {sandbox: 53, host: 5353, hostIP: \"::1\", "
	"protocol: udp}]\n"
	"lifecycle:\n  initialize: [{name: n, command: make, workdir: sub, timeout: 90s}]\n"
	"  postCreate: [{command: \"a\\nb\"}]\n  preRemove: [{command: c}]\n";

static int resolve(const char *const *texts, size_t n, const struct kit_pair *args, size_t n_args,
	struct js **ret, struct err *e)
{
	struct envfile files[ENVFILES_MAX + 1];
	static const char *const names[] = {"a.yaml", "b.yaml"};
	static const char *const dirs[] = {"/p", "/q"};
	struct envfile_request q = {
		.files = files, .n = n, .project = "/p", .args = args, .n_args = n_args};

	for (size_t i = 0; i < n; i++)
		files[i] = (struct envfile){names[i % 2], dirs[i % 2], texts[i], strlen(texts[i])};
	*e = (struct err){0};
	return envfile_resolve(&q, ret, e);
}

static struct js *good(const char *text, const struct kit_pair *args, size_t n_args)
{
	struct js *env = NULL;
	struct err e;

	if (resolve(&text, 1, args, n_args, &env, &e) < 0)
		fail_msg("%s", e.msg);
	return env;
}

static void assert_json(const struct js *v, const char *expected)
{
	AUTO(buf) b = {0};

	buf_init(&b, 1 << 20);
	assert_int_equal(js_canonical(v, &b), 0);
	assert_string_equal(buf_str(&b), expected);
}

static void test_every_field(void **state)
{
	AUTO_JS env = good(whole, NULL, 0);

	(void)state;
	assert_json(env,
		"{\"additional\":[{\"path\":\"/p/../lib\",\"read_only\":false},{\"path\":\"/"
		"data\",\"read_only\":"
		"true}],\"agent\":\"claude\",\"cpus\":2,\"disk\":\"20g\",\"env\":{\"A\":\"x "
		"1\",\"B\":\"${{ "
		"env.args.v "
		"}}\",\"C\":\"/p|/"
		"p\"},\"initialize\":[{\"command\":\"make\",\"name\":\"n\",\"timeout_"
		"s\":90,\"workdir\":\"/p/"
		"sub\"}],\"kits\":[{\"args\":{},\"source\":\"lint\"},{\"args\":{},"
		"\"source\":\"/p/./kits/a\"},{\"args\":{\"v\":\"1\"},\"source\":\"/p/./kits/"
		"b\"}],\"memory\":\"2g\",\"name\":\"web\",\"ports\":[\"8080:80\",\"3000\",\"[::1]:"
		"5353:53/"
		"udp\"],\"postCreate\":[{\"command\":\"a\\nb\",\"timeout_s\":600,\"workdir\":\"/"
		"p\"}],\"preRemove\":[{\"command\":\"c\",\"timeout_s\":600,\"workdir\":\"/"
		"p\"}],\"pull\":\"never\",\"secrets\":{\"one\":{\"value\":\"s3cret\"},\"two\":{"
		"\"command\":\"pass "
		"two\",\"refresh_s\":300}},\"template\":\"img\",\"workspace\":{\"path\":\"/p/./"
		"src\",\"read_only\":false}}");
}

static void test_given_arguments(void **state)
{
	const struct kit_pair two[] = {{"v", "2"}}, bad[] = {{"v", "3"}}, none[] = {{"w", "1"}};
	const char *required =
		HEAD "args: {n: {required: true}}\nenv: {A: \"${{ env.args.n }}\"}\n";
	const struct kit_pair evil[] = {{"n", "x\"}\nagent: other # ${{ env.projectDir }}"}};
	const char *text = whole;
	AUTO_JS env = good(whole, two, 1);
	struct js *no = NULL;
	struct err e;

	(void)state;
	assert_string_equal(js_str(js_get(js_get(env, "env"), "A")), "x 2");
	assert_int_equal(resolve(&text, 1, bad, 1, &no, &e), -EINVAL);
	assert_string_equal(e.msg, "argument 'v' may not be '3'; see its enum");
	assert_int_equal(resolve(&text, 1, none, 1, &no, &e), -EINVAL);
	assert_string_equal(e.msg, "no file has an argument 'w'");
	assert_int_equal(resolve(&required, 1, NULL, 0, &no, &e), -EINVAL);
	assert_string_equal(e.msg, "argument 'n' is required");
	/* A value is text: neither structure nor a placeholder, and a control character is refused. */
	assert_int_equal(
		resolve(&required, 1, (const struct kit_pair[]){{"n", "a\x01"}}, 1, &no, &e),
		-EINVAL);
	js_free(env);
	env = good(required, evil, 1);
	assert_string_equal(js_str(js_get(env, "agent")), "shell");
	assert_string_equal(js_str(js_get(js_get(env, "env"), "A")), evil[0].value);
	assert_null(no);
}

static void test_merging(void **state)
{
	const char *const texts[] = {
		"schemaVersion: \"1\"\nagent: shell\nkits: [x, y]\nenv: {A: \"1\", B: "
		"\"2\"}\nworkspace: {path: a}\n"
		"secrets: {s: {value: v}}\nports: [\"80\"]\nargs: {m: {default: one}}\n"
		"sandboxOptions: {memory: 1g, cpus: 1}\nlifecycle: {initialize: [{command: c}]}\n",
		"schemaVersion: \"1\"\nagent: claude\nkits: [y, z]\nenv: {B: \"${{ env.args.m "
		"}}\", C: \"4\"}\n"
		"workspace: {path: b}\nsecrets: {s: {command: c}}\nports: [\"80\", \"81\"]\n"
		"args: {m: {default: two}}\nsandboxOptions: {memory: 2g}\n"
		"lifecycle: {initialize: [{command: c}, {command: d}]}\n"};
	AUTO_JS env = NULL;
	struct err e;

	(void)state;
	if (resolve(texts, 2, NULL, 0, &env, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(js_str(js_get(env, "agent")), "claude");
	assert_json(js_get(env, "env"), "{\"A\":\"1\",\"B\":\"two\",\"C\":\"4\"}");
	assert_json(js_get(env, "kits"), "[{\"args\":{},\"source\":\"x\"},{\"args\":{},\"source\":"
					 "\"y\"},{\"args\":{},\"source\":\"z\"}]");
	assert_json(js_get(env, "workspace"), "{\"path\":\"/q/b\",\"read_only\":false}");
	assert_json(js_get(env, "secrets"), "{\"s\":{\"command\":\"c\"}}");
	assert_json(js_get(env, "ports"), "[\"80\",\"81\"]");
	assert_string_equal(js_str(js_get(env, "memory")), "2g");
	assert_int_equal(js_int(js_get(env, "cpus"), 0), 1);
	assert_int_equal(js_len(js_get(env, "initialize")), 2);
}

static const struct wrong {
	const char *text, *fault;
} wrongs[] = {
	{"", "a.yaml:1:1: the file is empty"},
	{"[a]", "a.yaml:1:1: the file must be a mapping"},
	{"agent: shell\n", "a.yaml:1:1: schemaVersion is missing; it is \"1\""},
	{"schemaVersion: \"2\"\n", "a.yaml:1:16: schemaVersion must be \"1\""},
	{"schemaVersion: \"1\"\n", "a.yaml:1:1: agent is missing"},
	{HEAD "agent: x\n", "a.yaml:3:1: the key 'agent' is here twice"},
	{HEAD "what: x\n", "a.yaml:3:1: unknown field 'what'"},
	{HEAD "lifecycle: {start: []}\n", "a.yaml:3:13: unknown field 'start' in lifecycle"},
	{HEAD "name: [x]\n", "a.yaml:3:7: name must be text"},
	{HEAD "name: \"a\\nb\"\n", "a.yaml:3:7: name has a control character"},
	{HEAD "workspace: \"\"\n", "a.yaml:3:12: workspace is empty"},
	{HEAD "workspace: {readOnly: true}\n", "a.yaml:3:12: workspace needs a path"},
	{HEAD "workspace: {path: x, clone: true}\n",
		"a.yaml:3:29: workspace.clone is not supported yet"},
	{HEAD "workspace: ~/x\n", "a.yaml:3:12: workspace: '~' is not expanded; write the path"},
	{HEAD "additionalWorkspaces: x\n", "a.yaml:3:23: additionalWorkspaces must be a list"},
	{HEAD "additionalWorkspaces: [{path: x, clone: false}]\n",
		"a.yaml:3:34: unknown field 'clone' in additionalWorkspaces"},
	{HEAD "additionalWorkspaces: [{path: x, readOnly: yes}]\n",
		"a.yaml:3:44: additionalWorkspaces.readOnly must be true or false"},
	{HEAD "kits: [{args: {a: b}}]\n", "a.yaml:3:8: kits needs a source"},
	{HEAD "kits: [--name]\n", "a.yaml:3:8: kits: '--name' is no reference of a kit"},
	{HEAD "kits: [{source: a, args: {\"x=y\": b}}]\n",
		"a.yaml:3:27: kits.args: 'x=y' is no name of an argument"},
	{HEAD "env: {LD_PRELOAD: x}\n", NULL},
	{HEAD "env: {\"A B\": x}\n", "a.yaml:3:7: env: 'A B' is no name of a variable"},
	{HEAD "env: {A: \"${{ env.args.x }}\"}\n", "a.yaml:3:10: there is no argument 'x'"},
	{HEAD "args: {x: }\nenv: {A: \"${{ env.args.x }}\"}\n",
		"a.yaml:4:10: argument 'x' has no value: --env-arg x=VALUE"},
	{HEAD "env: {A: \"${{ env.home }}\"}\n", "a.yaml:3:10: there is no placeholder 'env.home'"},
	{HEAD "env: {A: \"${{ x\"}\n",
		"a.yaml:3:10: '${{' is not closed; a literal one is written '$${{'"},
	{HEAD "env: {A: \"${{ }}\"}\n", "a.yaml:3:10: '${{ … }}' does not hold a name"},
	{HEAD "args: {\"a b\": }\n", "a.yaml:3:8: 'a b' is no name for an argument"},
	{HEAD "args: {a: {default: x, required: true}}\n",
		"a.yaml:3:11: argument 'a' has a default, or is required, not both"},
	{HEAD "args: {a: {type: x}}\n", "a.yaml:3:12: unknown field 'type' in args"},
	{HEAD "sandboxOptions: {cpus: -1}\n",
		"a.yaml:3:24: sandboxOptions.cpus must be a number up to 1024"},
	{HEAD "sandboxOptions: {pullPolicy: often}\n",
		"a.yaml:3:30: sandboxOptions.pullPolicy must be always, missing or never"},
	{HEAD "sandboxOptions: {skills: off}\n",
		"a.yaml:3:26: sandboxOptions.skills is not supported yet"},
	{HEAD "secrets: {a: {}}\n", "a.yaml:3:14: secrets.a needs a value or a command"},
	{HEAD "secrets: {a: {value: x, command: y}}\n",
		"a.yaml:3:14: secrets.a needs a value or a command"},
	{HEAD "secrets: {a: {ref: x}}\n", "a.yaml:3:20: secrets.a.ref is not supported yet"},
	{HEAD "secrets: {a: {value: x, refresh: 5m}}\n",
		"a.yaml:3:14: secrets.a: refresh is for a command"},
	{HEAD "secrets: {a: {command: x, refresh: 5s}}\n",
		"a.yaml:3:14: secrets.a: refresh is a minute at least"},
	{HEAD "secrets: {../a: {value: x}}\n",
		"a.yaml:3:11: secrets: '../a' is no name of a service"},
	{HEAD "ports: [{host: 80}]\n", "a.yaml:3:9: ports needs a port of the sandbox, 1 to 65535"},
	{HEAD "ports: [{sandbox: 70000}]\n",
		"a.yaml:3:19: ports.sandbox must be a number up to 65535"},
	{HEAD "ports: [--publish]\n", "a.yaml:3:9: ports: '--publish' is no port"},
	{HEAD "ports: [{sandbox: 80, hostIP: \"x y\"}]\n",
		"a.yaml:3:9: ports: 'x y' is no address"},
	{HEAD "ports: [{sandbox: 80, protocol: icmp}]\n",
		"a.yaml:3:9: ports: protocol is tcp or udp"},
	{HEAD "lifecycle: {initialize: [{name: x}]}\n",
		"a.yaml:3:26: lifecycle.initialize needs a command"},
	{HEAD "lifecycle: {initialize: [{command: [a]}]}\n",
		"a.yaml:3:36: lifecycle.initialize.command must be text"},
	{HEAD "lifecycle: {initialize: [{command: a, timeout: 2d}]}\n",
		"a.yaml:3:48: lifecycle.initialize.timeout must be a time up to a day, as 90s, 5m "
		"or 1h"},
	{HEAD "bindings: {github: {}}\n", "a.yaml:3:11: bindings is not supported yet"},
	{HEAD "registries: {ghcr.io: {}}\n", "a.yaml:3:13: registries is not supported yet"},
	{HEAD "mcp: {servers: []}\n", "a.yaml:3:6: mcp is not supported yet"},
	{HEAD "env: &a {A: *a}\n", NULL},
	{HEAD "env: !!map {A: b}\n", NULL},
	{HEAD "---\nagent: x\n", NULL},
	{HEAD "env: {<<: {A: b}}\n", NULL},
};

static void test_the_zoo(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
		struct js *env = NULL;
		struct err e;
		int r = resolve(&wrongs[i].text, 1, NULL, 0, &env, &e);

		if (r >= 0)
			fail_msg("accepted: %s", wrongs[i].text);
		assert_null(env);
		if (wrongs[i].fault)
			assert_string_equal(e.msg, wrongs[i].fault);
		else
			assert_memory_equal(e.msg, "a.yaml:", 7);
		if (strstr(e.msg, "not supported"))
			assert_int_equal(r, -ENOTSUP);
	}
}

static void test_limits(void **state)
{
	static char long_text[ENVFILE_VALUE_MAX + 100];
	const char *many[ENVFILES_MAX + 1], *text = long_text;
	struct js *env = NULL;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = HEAD;
	assert_int_equal(resolve(many, ENVFILES_MAX + 1, NULL, 0, &env, &e), -E2BIG);
	assert_int_equal(resolve(many, ENVFILES_MAX, NULL, 0, &env, &e), 0);
	js_free(env);
	env = NULL;
	(void)snprintf(long_text, sizeof(long_text), HEAD "name: %0*d\n", ENVFILE_VALUE_MAX + 2, 1);
	assert_int_equal(resolve(&text, 1, NULL, 0, &env, &e), -EINVAL);
	assert_string_equal(e.msg, "a.yaml:3:7: name is longer than 8192 bytes");
}

/* line_of() - the line with this text; NULL: none */
static const struct js *line_of(const struct js *lines, const char *text)
{
	for (size_t i = 0; i < js_len(lines); i++)
		if (strcmp(js_str(js_get(js_at(lines, i), "text")), text) == 0)
			return js_at(lines, i);
	return NULL;
}

static void assert_line(const struct js *lines, const char *text, bool opens, bool host)
{
	const struct js *line = line_of(lines, text);

	if (!line)
		fail_msg("no line: %s", text);
	assert_int_equal(js_bool(js_get(line, "opens")), opens);
	assert_int_equal(js_bool(js_get(line, "host")), host);
}

static void test_lines(void **state)
{
	AUTO_JS env = good(whole, NULL, 0);
	AUTO_JS lines = NULL;
	AUTO(buf) b = {0};

	(void)state;
	assert_int_equal(envfile_lines(env, "/p", &lines), 0);
	assert_line(lines, "agent claude", false, false);
	assert_line(lines, "workspace /p/./src", false, false);
	assert_line(lines, "share /data (read-only)", true, false);
	assert_line(lines, "kit /p/./kits/b v=1", false, false);
	assert_line(lines, "variable A=x 1", false, false);
	assert_line(lines, "image img", true, false);
	assert_line(lines, "memory 2g", false, false);
	assert_line(lines, "cpus 2", false, false);
	assert_line(lines, "secret one: the value in the file", true, false);
	assert_line(lines, "host command for secret two: pass two (again every 300 s)", true, true);
	assert_line(lines, "port 8080:80", true, false);
	assert_line(lines, "host command before it is made: make (in /p/sub, at most 90 s)", true,
		true);
	assert_line(
		lines, "host command after it was made: a\nb (in /p, at most 600 s)", true, true);
	assert_line(
		lines, "host command before it is removed: c (in /p, at most 600 s)", true, true);
	buf_init(&b, 1 << 20);
	assert_int_equal(js_print(lines, &b), 0);
	assert_null(strstr(buf_str(&b), "s3cret"));
}

static void test_withholding(void **state)
{
	AUTO_JS env = good(whole, NULL, 0);
	AUTO_JS lines = NULL;
	AUTO_JS less = NULL;

	(void)state;
	assert_int_equal(envfile_lines(env, "/p", &lines), 0);
	for (size_t i = 0; i < js_len(lines); i++) {
		const struct js *line = js_at(lines, i);
		AUTO_JS copy = js_object();

		if (!js_bool(js_get(line, "opens")) ||
			strcmp(js_str(js_get(line, "text")), "port 3000") == 0)
			continue;
		assert_false(js_set_str(copy, "field", js_str(js_get(line, "field"))));
		assert_false(js_set_str(copy, "key", js_str(js_get(line, "key"))));
		if (!less)
			less = js_array();
		assert_false(js_add(less, TAKE(copy)));
	}
	assert_int_equal(envfile_withhold(env, less), 0);
	assert_json(js_get(env, "ports"), "[\"3000\"]");
	assert_json(js_get(env, "secrets"), "{}");
	assert_json(js_get(env, "additional"), "[{\"path\":\"/p/../lib\",\"read_only\":false}]");
	assert_int_equal(js_len(js_get(env, "initialize")), 0);
	assert_int_equal(js_len(js_get(env, "preRemove")), 0);
	assert_null(js_get(env, "template"));
	assert_int_equal(js_len(js_get(env, "kits")), 3);
	assert_string_equal(js_str(js_get(js_get(env, "env"), "A")), "x 1");
}

static void test_inside(void **state)
{
	(void)state;
	assert_true(envfile_inside("/p", "/p"));
	assert_true(envfile_inside("/p/x", "/p"));
	assert_false(envfile_inside("/px", "/p"));
	assert_false(envfile_inside("/", "/p"));
	assert_true(envfile_inside("/x", "/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_given_arguments),
		cmocka_unit_test(test_merging),
		cmocka_unit_test(test_the_zoo),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_withholding),
		cmocka_unit_test(test_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
