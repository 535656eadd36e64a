/* test_policy.c - policy over the API: rules, presets, check, the organisation's file, what survives */
#include "check.h"
#include "rig.h"
#include "base/clock.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rig *rig;

static int setup(void **state)
{
	(void)state;
	rig = rig_new();
	if (rig) {
		setenv("SBX_ORG_POLICY", rig_path(rig, "org.yaml"), 1);
		rig_up(rig);
	}
	return 0;
}

static int teardown(void **state)
{
	int r;

	(void)state;
	if (rig)
		(void)unlink(rig_path(rig, "org.yaml"));
	r = rig_free(rig);
	rig = NULL;
	return r;
}

#define NEED_RIG()                                                                                 \
	do {                                                                                       \
		if (!rig)                                                                          \
			SKIP("no rig here");                                                       \
	} while (0)

/* check() - "decision reason rule" of a target; @more: further members of the question */
static const char *check(const char *target, const char *more)
{
	static char said[4][160];
	static unsigned next;
	char body[512], *dst = said[next++ % 4];
	const struct js *v;
	int status;

	snprintf(body, sizeof(body), "{\"target\":\"%s\"%s%s}", target, more[0] ? "," : "", more);
	status = rig_ask(rig, "POST", "/v1/policy/check", body, &v);
	if (status != 200)
		snprintf(dst, 160, "%d", status);
	else
		snprintf(dst, 160, "%s %s %s", rig_str(v, "decision"), rig_str(v, "reason"),
			js_get(v, "rule") ? rig_str(js_get(v, "rule"), "id") : "");
	return dst;
}

static int rule(const char *decision, const char *resource, const char *query, char *ret_id)
{
	char body[256], target[128];
	const struct js *v;
	int status;

	snprintf(body, sizeof(body), "{\"decision\":\"%s\",\"resource\":\"%s\"}", decision,
		resource);
	snprintf(target, sizeof(target), "/v1/policy/rules%s", query);
	status = rig_ask(rig, "POST", target, body, &v);
	if (ret_id && status == 201)
		snprintf(ret_id, 32, "%s", rig_str(js_at(js_get(v, "rules"), 0), "id"));
	return status;
}

static int preset(const char *name)
{
	char body[64];
	const struct js *v;

	snprintf(body, sizeof(body), "{\"preset\":\"%s\"}", name);
	return rig_ask(rig, "PUT", "/v1/policy/preset", body, &v);
}

static void test_rules(void **state)
{
	const struct js *v;
	char id[32], again[32], target[64];

	(void)state;
	NEED_RIG();
	assert_string_equal(check("x.example.com", ""), "deny default-deny ");
	assert_int_equal(rule("allow", "x.example.com:443", "", id), 201);
	assert_int_equal(rule("allow", "X.example.com.:443", "", again), 201);
	assert_string_equal(id, again); /* the same again is the same rule */
	assert_string_equal(check("x.example.com", ""), "allow rule r1");
	assert_string_equal(check("x.example.com:80", ""), "deny default-deny ");
	assert_string_equal(check("https://x.example.com/a?b", ""), "allow rule r1");
	assert_int_equal(rule("deny", "**.example.com", "", NULL), 201);
	assert_string_equal(check("x.example.com", ""), "deny rule r2");
	rig_kill(rig);
	rig_up(rig);
	assert_string_equal(check("x.example.com", ""), "deny rule r2");
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/policy/rules/r2", NULL, &v), 204);
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/policy/rules/r2", NULL, &v), 404);
	assert_string_equal(check("x.example.com", ""), "allow rule r1");
	for (int i = 0; i < 4; i++) {
		static const char *const odd[] = {"r0", "r1x", "balanced.ai.1", "1"};

		snprintf(target, sizeof(target), "/v1/policy/rules/%s", odd[i]);
		assert_int_equal(rig_ask(rig, "DELETE", target, NULL, &v), 404);
	}
	assert_int_equal(rule("allow", "*", "", NULL), 400);
	assert_int_equal(rule("allow", "x.example.com:0443", "", NULL), 400);
	assert_int_equal(rule("permit", "x.example.com", "", NULL), 400);
	assert_int_equal(rule("allow", "x.example.com", "?sandbox=nobody", NULL), 404);
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/policy", NULL, &v), 204);
	assert_string_equal(check("x.example.com", ""), "deny default-deny ");
}

static void test_presets(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	assert_int_equal(rig_ask(rig, "GET", "/v1/policy", NULL, &v), 200);
	assert_string_equal(rig_str(v, "preset"), "balanced");
	assert_false(js_bool(js_get(v, "preset_chosen")));
	assert_true(js_len(js_get(v, "rules")) > 50);
	assert_string_equal(check("api.anthropic.com", ""), "allow rule balanced.ai.1");
	assert_int_equal(preset("deny-all"), 200);
	assert_string_equal(check("api.anthropic.com", ""), "deny default-deny ");
	assert_int_equal(preset("allow-all"), 200);
	assert_string_equal(check("anything.example.net:1", ""), "allow rule open.all.1");
	assert_string_equal(check("10.0.0.1", ""), "deny address ");
	assert_string_equal(check("localhost:80", ""), "deny host-loopback ");
	assert_string_equal(
		check("x.example.com", "\"address\":\"169.254.169.254\""), "deny metadata ");
	rig_kill(rig);
	rig_up(rig);
	assert_int_equal(rig_ask(rig, "GET", "/v1/policy", NULL, &v), 200);
	assert_string_equal(rig_str(v, "preset"), "open");
	assert_int_equal(preset("none"), 400);
	assert_string_equal(check("0x7f.1", ""), "400");
	assert_string_equal(check("x.example.com:0", ""), "400");
	assert_string_equal(check("ftp://x.example.com/", ""), "400");
	assert_string_equal(check("x.example.com", "\"path\":\"/a%00\""), "400");
	assert_string_equal(check("x.example.com", "\"kind\":\"udp\""), "400");
}

static void test_requests(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	assert_int_equal(rig_ask(rig, "POST", "/v1/policy/rules",
				 "{\"decision\":\"allow\",\"resource\":\"api.example.com\","
				 "\"methods\":\"GET\",\"path\":\"/repos/o/r/**\"}",
				 &v),
		201);
	assert_string_equal(check("https://api.example.com/repos/o/r/x?q", ""), "allow rule r1");
	assert_string_equal(check("https://api.example.com/repos/o/r/x", "\"method\":\"POST\""),
		"deny no-http-rule ");
	assert_string_equal(
		check("api.example.com", "\"path\":\"/repos/o/r/..;/x\""), "deny ambiguous-path ");
	assert_string_equal(check("api.example.com", ""), "allow rule r1");
	assert_string_equal(
		check("api.example.com", "\"kind\":\"tunnel\""), "deny not-inspectable r1");
	assert_string_equal(check("wss://api.example.com/repos/o/r", ""), "deny no-http-rule ");
	assert_string_equal(check("api.example.com", "\"kind\":\"dns\""), "allow rule r1");
}

static void test_sandboxes(void **state)
{
	const struct js *v;
	char body[640];

	(void)state;
	NEED_RIG();
	rig_create(rig, "one");
	assert_int_equal(rule("allow", "own.example.com", "?sandbox=one", NULL), 201);
	assert_string_equal(check("own.example.com", ""), "deny default-deny ");
	assert_string_equal(check("own.example.com", "\"sandbox\":\"one\""), "allow rule r1");
	assert_string_equal(check("own.example.com", "\"sandbox\":\"two\""), "404");
	/* what a sandbox is created with is part of its plan */
	snprintf(body, sizeof(body),
		"{\"name\":\"two\",\"agent\":\"box\",\"memory_bytes\":268435456,\"workspaces\":[{"
		"\"path\":\"%s\"}],"
		"\"policy\":["
		"{\"decision\":\"deny\",\"resource\":\"**\"}]}",
		rig->workspace);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes", body, &v), 201);
	assert_string_equal(check("api.anthropic.com", "\"sandbox\":\"two\""), "deny rule plan.1");
	assert_int_equal(rule("allow", "api.anthropic.com", "?sandbox=two", NULL), 201);
	assert_string_equal(check("api.anthropic.com", "\"sandbox\":\"two\""), "deny rule plan.1");
	snprintf(body, sizeof(body),
		"{\"name\":\"three\",\"agent\":\"box\",\"memory_bytes\":268435456,\"workspaces\":[{"
		"\"path\":\"%s\"}],"
		"\"policy\":["
		"{\"decision\":\"allow\",\"resource\":\"*.com\"}]}",
		rig->workspace);
	assert_int_equal(rig_ask(rig, "POST", "/v1/sandboxes", body, &v), 400);
	/* its rules go with it: a new one of that name begins anew */
	assert_int_equal(rig_ask(rig, "DELETE", "/v1/sandboxes/one", NULL, &v), 204);
	rig_create(rig, "one");
	assert_string_equal(check("own.example.com", "\"sandbox\":\"one\""), "deny default-deny ");
}

static void write_org(const char *text)
{
	FILE *f = fopen(rig_path(rig, "org.tmp"), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(rig_path(rig, "org.tmp"), 0644), 0);
	assert_int_equal(rename(rig_path(rig, "org.tmp"), rig_path(rig, "org.yaml")), 0);
}

static void test_organisation(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	assert_int_equal(rule("allow", "mine.example.com", "", NULL), 201);
	assert_int_equal(rule("deny", "bad.corp.example.com", "", NULL), 201);
	write_org("version: 1\nallow: ['**.corp.example.com']\n");
	assert_string_equal(check("a.corp.example.com", ""), "allow rule org.1");
	assert_string_equal(check("bad.corp.example.com", ""), "deny rule r2");
	assert_string_equal(check("mine.example.com", ""), "deny governed ");
	/* invalid: closed, and it says so */
	write_org("version: 1\nallow: '**'\n");
	assert_string_equal(check("a.corp.example.com", ""), "deny rule org.invalid");
	assert_int_equal(rig_ask(rig, "GET", "/v1/policy", NULL, &v), 200);
	assert_non_null(strstr(rig_str(js_get(v, "organisation"), "fault"), "org.yaml:2:"));
	assert_true(js_bool(js_get(v, "governed")));
	/* a file that others may write to is nobody's policy */
	write_org("version: 1\nallow: ['**.corp.example.com']\n");
	assert_int_equal(chmod(rig_path(rig, "org.yaml"), 0666), 0);
	assert_string_equal(check("a.corp.example.com", ""), "deny rule org.invalid");
	assert_int_equal(unlink(rig_path(rig, "org.yaml")), 0);
	assert_string_equal(check("mine.example.com", ""), "allow rule r1");
}

static void test_lost_database_closes(void **state)
{
	FILE *f;

	(void)state;
	NEED_RIG();
	assert_int_equal(preset("open"), 200);
	rig_kill(rig);
	f = fopen(rig_path(rig, "state/state.db"), "r+");
	assert_non_null(f);
	fputs("this is no database any more", f);
	fclose(f);
	rig_up(rig);
	assert_string_equal(check("api.anthropic.com", ""), "deny rule lost");
	rig_kill(rig); /* still so */
	rig_up(rig);
	assert_string_equal(check("api.anthropic.com", ""), "deny rule lost");
	assert_int_equal(preset("balanced"), 200);
	assert_string_equal(check("api.anthropic.com", ""), "allow rule balanced.ai.1");
}

static void test_approvals_api(void **state)
{
	const struct js *v;

	(void)state;
	NEED_RIG();
	assert_int_equal(rig_ask(rig, "GET", "/v1/approvals", NULL, &v), 200);
	assert_int_equal(js_len(js_get(v, "approvals")), 0);
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/approvals/1", "{\"decision\":\"allow\"}", &v), 404);
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/approvals/1", "{\"decision\":\"perhaps\"}", &v), 400);
	assert_int_equal(
		rig_ask(rig, "POST", "/v1/approvals/x", "{\"decision\":\"deny\"}", &v), 404);
}

/* ---- sandboxes that run ---- */

static pid_t front_pid(void)
{
	const struct js *v;

	assert_int_equal(rig_ask(rig, "GET", "/v1/sandboxes/box", NULL, &v), 200);
	v = js_get(js_get(v, "network"), "front");
	return strcmp(rig_str(v, "state"), "running") == 0 ? (pid_t)js_int(js_get(v, "pid"), 0) : 0;
}

/* front_saw() - how often @line stands in what the front was told since it was started */
static unsigned front_saw(const char *line)
{
	char below[128], text[64];
	unsigned n = 0;
	FILE *f;

	snprintf(below, sizeof(below), "state/sandboxes/%s/front.seen", rig_id(rig, "box"));
	f = fopen(rig_path(rig, below), "re");
	while (f && fgets(text, sizeof(text), f))
		n += strncmp(text, line, strlen(line)) == 0;
	if (f)
		fclose(f);
	return n;
}

static void test_change_reaches_or_closes(void **state)
{
	int64_t begin, deadline;
	unsigned before;
	pid_t front;

	(void)state;
	NEED_RIG();
	rig_create(rig, "box");
	rig_start(rig, "box");
	before = front_saw("config");
	begin = clock_ms();
	assert_int_equal(rule("allow", "new.example.com", "", NULL), 201);
	assert_int_equal(front_saw("config"), before + 1); /* in force when it is answered */
	print_message("%lld ms from rule to sandbox\n", (long long)(clock_ms() - begin));
	assert_true(clock_ms() - begin < 1000);
	assert_int_equal(rule("allow", "new.example.com", "?sandbox=box", NULL), 201);
	assert_int_equal(front_saw("config"), before + 2);
	/* one that does not listen does not go on under the old rules */
	front = front_pid();
	assert_true(front > 0);
	assert_int_equal(kill(front, SIGSTOP), 0);
	assert_int_equal(rule("deny", "new.example.com", "", NULL), 201);
	deadline = clock_ms() + 5000;
	while ((front_pid() == front || front_saw("config") != 1) && clock_ms() < deadline)
		usleep(10000);
	assert_int_not_equal(front_pid(), front);
	assert_int_equal(front_saw("config"), 1); /* a new one, and it knows */
}

static void test_question(void **state)
{
	int64_t deadline;
	const struct js *v = NULL;
	char target[64];
	FILE *f;

	(void)state;
	NEED_RIG();
	f = fopen(rig_path(rig, "libexec/front.mode"), "we");
	assert_non_null(f);
	assert_true(fputs("ask", f) >= 0);
	fclose(f);
	rig_create(rig, "box");
	rig_start(rig, "box");
	deadline = clock_ms() + 5000;
	do {
		assert_int_equal(rig_ask(rig, "GET", "/v1/approvals", NULL, &v), 200);
		v = js_at(js_get(v, "approvals"), 0);
	} while (!v && clock_ms() < deadline && usleep(10000) == 0);
	assert_non_null(v);
	assert_string_equal(rig_str(v, "sandbox"), "box");
	assert_string_equal(rig_str(v, "host"), "example.com");
	assert_string_equal(rig_str(v, "method"), "GET");
	assert_true(js_int(js_get(v, "seconds_left"), 0) > 60);
	snprintf(target, sizeof(target), "/v1/approvals/%lld",
		(long long)js_int(js_get(v, "id"), 0));
	assert_int_equal(rig_ask(rig, "POST", target,
				 "{\"decision\":\"allow\",\"remember\":\"sandbox\"}", &v),
		204);
	assert_int_equal(rig_ask(rig, "POST", target, "{\"decision\":\"deny\"}", &v), 404);
	deadline = clock_ms() + 5000;
	while (front_saw("verdict 1") == 0 && clock_ms() < deadline)
		usleep(10000);
	assert_int_equal(front_saw("verdict 1"), 1);
	assert_string_equal(check("example.com:443", "\"sandbox\":\"box\""), "allow rule r1");
	assert_string_equal(check("example.com:443", ""), "deny default-deny ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_presets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sandboxes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_organisation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_database_closes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_approvals_api, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change_reaches_or_closes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_question, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
