/* test_decide.c - policy_decide(): what the rules of docs/policy.md say, case by case */
#include "check.h"
#include "policy/path.h"
#include "policy/policy.h"
#include <errno.h>
#include <string.h>
#include <time.h>

struct spec {
	const char *resource;
	enum policy_decision decision;
	enum policy_source source;
	uint16_t methods;
	const char *path, *grpc;
	bool websocket;
};

#define ALLOW(r)                                                                                   \
	{                                                                                          \
		r, POLICY_ALLOW, POLICY_SOURCE_USER                                                \
	}
#define DENY(r)                                                                                    \
	{                                                                                          \
		r, POLICY_DENY, POLICY_SOURCE_USER                                                 \
	}
#define ASK(r)                                                                                     \
	{                                                                                          \
		r, POLICY_ASK, POLICY_SOURCE_USER                                                  \
	}
#define POLICY(...)                                                                                \
	make((const struct spec[]){__VA_ARGS__},                                                   \
		sizeof((const struct spec[]){__VA_ARGS__}) / sizeof(struct spec))

static struct policy *build(const struct spec *s, size_t n)
{
	struct policy *p = policy_new();

	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		char id[16];
		struct err e;
		const struct policy_rule r = {.id = id,
			.resource = s[i].resource,
			.origin = "test",
			.decision = s[i].decision,
			.source = s[i].source,
			.methods = s[i].methods,
			.path = s[i].path,
			.grpc = s[i].grpc,
			.websocket = s[i].websocket};

		snprintf(id, sizeof(id), "r%zu", i);
		if (policy_add(p, &r, &e) < 0)
			fail_msg("%s", e.msg);
	}
	return p;
}

static struct policy *make(const struct spec *s, size_t n)
{
	struct policy *p = build(s, n);

	assert_int_equal(policy_seal(p), 0);
	return p;
}

/* ask() - "HOST[@ADDRESS]:PORT", or "@ADDRESS:PORT"; port 0: a look-up */
static struct policy_verdict ask(const struct policy *p, enum policy_kind kind, const char *target,
	const char *method, const char *path)
{
	char text[300], out[POLICY_PATH_MAX + 1];
	struct policy_request r = {.kind = kind, .method = method};
	struct policy_verdict v;
	struct policy_host h;
	char *at, *colon;
	size_t len;

	snprintf(text, sizeof(text), "%s", target);
	colon = strrchr(text, ':');
	assert_non_null(colon);
	*colon = '\0';
	r.port = (uint16_t)atoi(colon + 1);
	at = strchr(text, '@');
	if (at) {
		*at++ = '\0';
		assert_true(policy_address_parse(at, strlen(at), &r.address));
	}
	if (text[0]) {
		assert_true(policy_host_parse(text, strlen(text), &h));
		r.host = &h;
	}
	if (path) {
		assert_int_equal(policy_path_canon(
					 path, strlen(path), out, sizeof(out), &len, &r.path_flags),
			POLICY_PATH_OK);
		r.path = out;
	}
	policy_decide(p, &r, &v);
	return v;
}

static struct policy_verdict tcp(const struct policy *p, const char *target)
{
	return ask(p, POLICY_TCP, target, NULL, NULL);
}

static struct policy_verdict http(
	const struct policy *p, const char *target, const char *method, const char *path)
{
	return ask(p, POLICY_HTTP, target, method, path);
}

#define IS(v, d, why, id_) check_verdict((v), POLICY_##d, POLICY_REASON_##why, id_, __LINE__)

static void check_verdict(struct policy_verdict v, enum policy_decision d, enum policy_reason why,
	const char *id, int line)
{
	const char *got = v.rule ? v.rule->id : "-";

	if (v.decision != d || v.reason != why || strcmp(got, id) != 0)
		fail_msg("line %d: %s by %s, %s", line, policy_decision_name(v.decision), got,
			policy_reason_name(v.reason));
}

static void test_deny_wins(void **state)
{
	AUTO_POLICY *p = POLICY(ALLOW("a.x.com"), DENY("**.x.com"), ALLOW("y.com"),
		DENY("y.com:22"), ALLOW("10.0.0.0/8"), DENY("10.0.0.7"), ALLOW("**"));

	(void)state;
	IS(tcp(p, "a.x.com:443"), DENY, RULE, "r1");
	IS(tcp(p, "x.com:443"), DENY, RULE, "r1");
	IS(tcp(p, "y.com:443"), ALLOW, RULE, "r2");
	IS(tcp(p, "y.com:22"), DENY, RULE, "r3");
	IS(tcp(p, "@10.0.0.6:80"), ALLOW, RULE, "r4");
	IS(tcp(p, "@10.0.0.7:80"), DENY, RULE, "r5");
	IS(tcp(p, "y.com@10.0.0.7:80"), DENY, RULE, "r5"); /* also for an allowed name */
	IS(tcp(p, "other.org:1"), ALLOW, RULE, "r6");
}

static void test_default_is_deny(void **state)
{
	AUTO_POLICY *none = make(NULL, 0);
	AUTO_POLICY *p = POLICY(ALLOW("x.com:443"));

	(void)state;
	IS(tcp(none, "x.com:443"), DENY, DEFAULT, "-");
	IS(tcp(p, "x.com:80"), DENY, DEFAULT, "-");
	IS(tcp(p, "@93.184.216.34:443"), DENY, DEFAULT, "-");
	IS(tcp(p, "x.com@93.184.216.34:443"), ALLOW, RULE, "r0");
	IS(ask(p, POLICY_DNS, "x.com:0", NULL, NULL), ALLOW, RULE, "r0");
	IS(ask(p, POLICY_DNS, "y.com:0", NULL, NULL), DENY, DEFAULT, "-");
	IS(ask(p, POLICY_DNS, "a.x.com:0", NULL, NULL), DENY, DEFAULT, "-");
}

static void test_addresses_must_be_named(void **state)
{
	AUTO_POLICY *p = POLICY(ALLOW("**"), ALLOW("0.0.0.0/0"), ALLOW("10.0.0.0/8"),
		ALLOW("169.254.0.0/16"), ALLOW("100.100.100.200"), ALLOW("localhost:8080"));
	AUTO_POLICY *wide = POLICY(ALLOW("**"), ALLOW("::/0"), ALLOW("127.0.0.0/8"),
		ALLOW("169.254.169.0/24"), ALLOW("224.0.0.0/4"));

	(void)state;
	IS(tcp(p, "@8.8.8.8:53"), ALLOW, RULE, "r0");
	IS(tcp(p, "x.com@10.1.2.3:443"), ALLOW, RULE, "r2");
	IS(tcp(p, "x.com@192.168.1.1:443"), DENY, ADDRESS, "-");
	IS(tcp(p, "@192.168.1.1:443"), DENY, ADDRESS, "-");
	IS(tcp(p, "@169.254.1.1:80"), ALLOW, RULE, "r3");
	IS(tcp(p, "@169.254.169.254:80"), DENY, METADATA, "-");
	IS(tcp(p, "x.com@169.254.169.254:80"), DENY, METADATA, "-");
	IS(tcp(p, "@100.100.100.200:80"), ALLOW, RULE, "r4");
	IS(tcp(p, "@64:ff9b::a9fe:a9fe:80"), DENY, METADATA, "-");
	IS(tcp(wide, "@169.254.169.254:80"), DENY, METADATA, "-");
	IS(tcp(wide, "@224.0.0.1:80"), ALLOW, RULE, "r4");
	/* the host's loopback: by its own name only, in all its spellings */
	IS(tcp(p, "localhost:8080"), ALLOW, RULE, "r5");
	IS(tcp(p, "host.docker.internal:8080"), ALLOW, RULE, "r5");
	IS(tcp(p, "@198.18.0.254:8080"), ALLOW, RULE, "r5");
	IS(tcp(p, "127.0.0.1:8080"), ALLOW, RULE, "r5");
	IS(tcp(p, "host.sbx.internal@fd53:6278::fe:8080"), ALLOW, RULE, "r5");
	IS(tcp(p, "localhost:8081"), DENY, LOCAL, "-");
	IS(tcp(p, "x.com@127.0.0.1:8081"), DENY, LOCAL, "-"); /* rebinding */
	IS(tcp(wide, "@127.0.0.1:80"), DENY, LOCAL, "-");
	IS(tcp(wide, "@127.0.0.2:80"), ALLOW, RULE, "r2");
	/* what means the way out itself */
	IS(tcp(p, "gateway.sbx.internal:3128"), DENY, INSIDE, "-");
	IS(tcp(p, "@198.18.0.1:3128"), DENY, INSIDE, "-");
	IS(ask(p, POLICY_DNS, "x.sbx.internal:0", NULL, NULL), DENY, INSIDE, "-");
}

/* A denied name's address is known to nobody: `**` is for names then. */
static void test_a_bare_address_beside_denied_names(void **state)
{
	static const char *const others[] = {"evil.com", "**.evil.com", "*.evil.com:443"};
	AUTO_POLICY *open = POLICY(ALLOW("**"), DENY("9.9.9.9"));
	AUTO_POLICY *named = POLICY(ALLOW("**"), DENY("evil.com"), ALLOW("45.77.1.0/24"));
	AUTO_POLICY *wide = POLICY(ALLOW("**"), DENY("evil.com"), ALLOW("0.0.0.0/0"));
	struct policy_verdict v;

	(void)state;
	assert_int_equal(tcp(open, "45.77.2.1:22").decision, POLICY_ALLOW);
	assert_int_equal(tcp(named, "45.77.1.1:22").decision, POLICY_ALLOW);
	v = tcp(named, "45.77.2.1:22");
	assert_int_equal(v.decision, POLICY_DENY);
	assert_int_equal(v.reason, POLICY_REASON_ADDRESS);
	assert_int_equal(tcp(named, "@45.77.2.1:22").decision, POLICY_DENY);
	assert_int_equal(http(named, "45.77.2.1:443", "GET", "/").decision, POLICY_DENY);
	assert_int_equal(tcp(named, "good.com@45.77.2.1:22").decision, POLICY_ALLOW);
	assert_int_equal(tcp(named, "good.com:22").decision, POLICY_ALLOW);
	assert_int_equal(tcp(wide, "45.77.2.1:22").decision, POLICY_ALLOW);
	assert_int_equal(ask(named, POLICY_DNS, "45.77.2.1:0", NULL, NULL).decision, POLICY_ALLOW);
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		AUTO_POLICY *denies = POLICY(ALLOW("**"), DENY(others[i]));
		AUTO_POLICY *asks = POLICY(ASK(others[i]), ALLOW("**"));
		AUTO_POLICY *narrows = POLICY(
			ALLOW("**"), {others[i], POLICY_DENY, POLICY_SOURCE_USER, POLICY_POST});

		assert_int_equal(tcp(denies, "45.77.2.1:22").decision, POLICY_DENY);
		assert_int_equal(tcp(asks, "45.77.2.1:22").decision, POLICY_DENY);
		assert_int_equal(tcp(narrows, "45.77.2.1:22").decision, POLICY_DENY);
	}
}

static void test_answers(void **state)
{
	AUTO_POLICY *p =
		POLICY(ALLOW("**"), ALLOW("10.0.0.0/8:22"), ALLOW("localhost:1"), DENY("10.0.0.9"));
	static const struct {
		const char *address;
		bool ok;
	} t[] = {{"8.8.8.8", true}, {"10.0.0.1", true}, {"10.0.0.9", false}, {"192.168.0.1", false},
		{"127.0.0.1", false}, {"::1", false}, {"198.18.0.254", false},
		{"198.18.0.1", false}, {"169.254.169.254", false}, {"::ffff:10.0.0.1", true},
		{"fe80::1", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct policy_address a;

		assert_true(policy_address_parse(t[i].address, strlen(t[i].address), &a));
		if (policy_may_answer(p, &a) != t[i].ok)
			fail_msg("%s", t[i].address);
	}
}

static void test_contradictions(void **state)
{
	AUTO_POLICY *p = POLICY(ALLOW("**"), ALLOW("localhost:80"), ALLOW("10.0.0.0/8"));
	struct policy_verdict v;
	struct policy_request r = {.kind = POLICY_TCP, .port = 80};

	(void)state;
	IS(tcp(p, "10.0.0.1@10.0.0.2:80"), DENY, BAD, "-");
	IS(tcp(p, "localhost@10.0.0.2:80"), DENY, BAD, "-");
	IS(tcp(p, "x.com:0"), DENY, BAD, "-");
	IS(http(p, "x.com:80", NULL, "/"), DENY, BAD, "-");
	IS(http(p, "x.com:80", "", "/"), DENY, BAD, "-");
	IS(http(p, "x.com:80", "GET", NULL), DENY, BAD, "-");
	policy_decide(p, &r, &v); /* neither host nor address */
	IS(v, DENY, BAD, "-");
	r.kind = (enum policy_kind)99;
	policy_decide(p, &r, &v);
	IS(v, DENY, BAD, "-");
}

static void test_methods_and_paths(void **state)
{
	AUTO_POLICY *p = POLICY({"api.x.com", POLICY_ALLOW, POLICY_SOURCE_USER,
					POLICY_GET | POLICY_HEAD, "/repos/o/r/**"},
		{"api.x.com", POLICY_DENY, POLICY_SOURCE_USER, 0, "/repos/o/r/secret"});

	(void)state;
	IS(http(p, "api.x.com:443", "GET", "/repos/o/r"), ALLOW, RULE, "r0");
	IS(http(p, "api.x.com:443", "GET", "/repos/o/r/issues"), ALLOW, RULE, "r0");
	IS(http(p, "api.x.com:443", "POST", "/repos/o/r/issues"), DENY, HTTP, "-");
	IS(http(p, "api.x.com:443", "get", "/repos/o/r/issues"), DENY, HTTP, "-");
	IS(http(p, "api.x.com:443", "GETX", "/repos/o/r/issues"), DENY, HTTP, "-");
	IS(http(p, "api.x.com:443", "GET", "/repos/o/R/issues"), DENY, HTTP, "-");
	IS(http(p, "api.x.com:443", "GET", "/repos/o/r2"), DENY, HTTP, "-");
	IS(http(p, "api.x.com:443", "GET", "/repos/o/r/SECRET"), DENY, RULE, "r1");
	IS(http(p, "api.x.com:443", "GET", "/repos/o/r/secret/"), DENY, RULE, "r1");
	IS(http(p, "y.x.com:443", "GET", "/repos/o/r"), DENY, DEFAULT, "-");
	/* two readings: refused, since rules look at the path */
	IS(http(p, "api.x.com:443", "GET", "/repos/o/r/%2e%2e/r/x"), DENY, PATH, "r1");
	IS(http(p, "api.x.com:443", "GET", "/repos/o/r/..;/x"), DENY, PATH, "r1");
	IS(http(p, "api.x.com:443", "GET", "/repos/o/r//x"), DENY, PATH, "r1");
	/* flows */
	assert_true(tcp(p, "api.x.com:443").inspect);
	IS(tcp(p, "api.x.com:443"), ALLOW, RULE, "r0");
	IS(ask(p, POLICY_TUNNEL, "api.x.com:443", NULL, NULL), DENY, UNSEEN, "r0");
	IS(ask(p, POLICY_DNS, "api.x.com:0", NULL, NULL), ALLOW, RULE, "r0");
	IS(ask(p, POLICY_WEBSOCKET, "api.x.com:443", NULL, "/repos/o/r"), DENY, HTTP, "-");
}

static void test_host_allow_with_http_deny(void **state)
{
	AUTO_POLICY *p = POLICY(ALLOW("x.com"), ALLOW("z.com"),
		{"x.com:443", POLICY_DENY, POLICY_SOURCE_USER, POLICY_POST, NULL},
		{"z.com", POLICY_ALLOW, POLICY_SOURCE_USER, POLICY_GET, "/a/**"}, DENY("w.com"),
		{"w.com", POLICY_ALLOW, POLICY_SOURCE_USER, POLICY_GET, NULL});

	(void)state;
	IS(http(p, "x.com:443", "GET", "/"), ALLOW, RULE, "r0");
	IS(http(p, "x.com:443", "POST", "/"), DENY, RULE, "r2");
	IS(http(p, "x.com:443", "post", "/"), DENY, RULE, "r2");
	IS(http(p, "x.com:443", "POSTPOSTPOSTPOSTPOST", "/"), ALLOW, RULE, "r0");
	IS(http(p, "x.com:443", "GET", "/a//b"), ALLOW, RULE, "r0"); /* no rule looks at paths */
	IS(http(p, "x.com:80", "POST", "/"), ALLOW, RULE, "r0");
	IS(ask(p, POLICY_TUNNEL, "x.com:443", NULL, NULL), DENY, UNSEEN, "r0");
	IS(ask(p, POLICY_TUNNEL, "x.com:80", NULL, NULL), ALLOW, RULE, "r0");
	/* an allow of requests beside one of the host changes nothing */
	IS(http(p, "z.com:443", "POST", "/b//c"), ALLOW, RULE, "r1");
	IS(ask(p, POLICY_TUNNEL, "z.com:443", NULL, NULL), ALLOW, RULE, "r1");
	/* nor does it reopen a denied host */
	IS(http(p, "w.com:443", "GET", "/"), DENY, RULE, "r4");
	IS(tcp(p, "w.com:443"), DENY, RULE, "r4");
}

static void test_websocket_and_grpc(void **state)
{
	AUTO_POLICY *p =
		POLICY({"ws.com", POLICY_ALLOW, POLICY_SOURCE_USER, 0, "/chat/*", NULL, true},
			{"g.com", POLICY_ALLOW, POLICY_SOURCE_USER, 0, NULL, "a.b.Greeter/*"},
			{"g.com", POLICY_DENY, POLICY_SOURCE_USER, 0, NULL, "a.b.Greeter/Shutdown"},
			ALLOW("all.com"),
			{"all.com", POLICY_DENY, POLICY_SOURCE_USER, POLICY_GET, "/no/**"},
			{"post.com", POLICY_ALLOW, POLICY_SOURCE_USER, POLICY_POST, NULL});

	(void)state;
	IS(ask(p, POLICY_WEBSOCKET, "ws.com:443", NULL, "/chat/1"), ALLOW, RULE, "r0");
	IS(ask(p, POLICY_WEBSOCKET, "ws.com:443", NULL, "/x"), DENY, HTTP, "-");
	IS(http(p, "ws.com:443", "GET", "/chat/1"), DENY, HTTP, "-");
	IS(ask(p, POLICY_GRPC, "g.com:443", NULL, "/a.b.Greeter/Hello"), ALLOW, RULE, "r1");
	IS(ask(p, POLICY_GRPC, "g.com:443", NULL, "/a.b.Greeter/Shutdown"), DENY, RULE, "r2");
	IS(ask(p, POLICY_GRPC, "g.com:443", NULL, "/a.b.Other/Hello"), DENY, HTTP, "-");
	IS(ask(p, POLICY_GRPC, "g.com:443", NULL, "/a.b.Greeter/x/y"), DENY, HTTP, "-");
	IS(http(p, "g.com:443", "POST", "/a.b.Greeter/Hello"), DENY, HTTP, "-");
	IS(http(p, "g.com:443", "POST", "/a.b.Greeter/Shutdown"), DENY, RULE, "r2");
	IS(ask(p, POLICY_WEBSOCKET, "all.com:443", NULL, "/yes"), ALLOW, RULE, "r3");
	IS(ask(p, POLICY_WEBSOCKET, "all.com:443", NULL, "/no/x"), DENY, RULE, "r4");
	IS(ask(p, POLICY_GRPC, "post.com:443", NULL, "/a.B/C"), ALLOW, RULE, "r5");
}

/* look_up() - what a look-up of @name gets */
static enum policy_decision look_up(const struct policy *p, const char *name)
{
	struct policy_host h;
	const struct policy_request r = {.kind = POLICY_DNS, .host = &h};
	struct policy_verdict v;

	assert_true(policy_host_parse(name, strlen(name), &h));
	policy_decide(p, &r, &v);
	return v.decision;
}

static void test_ask(void **state)
{
	AUTO_POLICY *p = POLICY(ALLOW("**.x.com"), ASK("up.x.com"), ASK("**"),
		{"y.com", POLICY_ALLOW, POLICY_SOURCE_USER, POLICY_GET, NULL}, DENY("z.com"),
		{"**", POLICY_ASK, POLICY_SOURCE_USER, POLICY_DELETE, NULL}, ASK("w.net"),
		ASK("**.v.net"));

	(void)state;
	IS(tcp(p, "a.x.com:443"), ALLOW, RULE, "r0");
	assert_true(tcp(p, "a.x.com:443").inspect); /* for r5 */
	IS(http(p, "a.x.com:443", "DELETE", "/"), ASK, RULE, "r5");
	IS(tcp(p, "up.x.com:443"), ASK, RULE, "r1");
	IS(tcp(p, "other.org:443"), ALLOW, RULE, "r5"); /* each request is judged */
	IS(http(p, "other.org:443", "GET", "/"), ASK, RULE, "r2");
	IS(http(p, "y.com:443", "GET", "/"), ALLOW, RULE, "r3");
	IS(http(p, "y.com:443", "PUT", "/"), ASK, RULE, "r2");
	IS(tcp(p, "z.com:443"), DENY, RULE, "r4");
	IS(tcp(p, "@10.0.0.1:443"), DENY, ADDRESS, "-"); /* a catch-all names no address */
	assert_int_equal(look_up(p, "q.org"), POLICY_ASK); /* not before the answer */
	assert_int_equal(look_up(p, "a.v.net"), POLICY_ASK);
	/* a name that stands in a rule tells nobody anything */
	assert_int_equal(look_up(p, "w.net"), POLICY_ALLOW);
	assert_int_equal(look_up(p, "a.x.com"), POLICY_ALLOW);
	assert_int_equal(look_up(p, "z.com"), POLICY_DENY);
}

static void test_governed(void **state)
{
	struct policy *b =
		build((const struct spec[]){{"**.corp.com", POLICY_ALLOW, POLICY_SOURCE_ORG},
			      {"x.com", POLICY_ALLOW, POLICY_SOURCE_USER},
			      {"a.corp.com", POLICY_DENY, POLICY_SOURCE_SANDBOX},
			      {"b.corp.com", POLICY_ASK, POLICY_SOURCE_KIT},
			      {"y.com", POLICY_ASK, POLICY_SOURCE_USER},
			      {"**", POLICY_ASK, POLICY_SOURCE_USER}},
			6);
	AUTO_POLICY *p = b;

	(void)state;
	policy_govern(b);
	assert_int_equal(policy_seal(b), 0);
	IS(tcp(p, "c.corp.com:443"), ALLOW, RULE, "r0");
	IS(tcp(p, "x.com:443"), DENY, GOVERNED, "-");
	IS(tcp(p, "a.corp.com:443"), DENY, RULE, "r2");
	IS(tcp(p, "b.corp.com:443"), ASK, RULE, "r3");
	IS(tcp(p, "y.com:443"), DENY, DEFAULT, "-");
}

static void test_parent_is_a_conjunction(void **state)
{
	AUTO_POLICY *parent = POLICY(ALLOW("**.x.com"), DENY("no.x.com"), ASK("q.x.com"),
		{"i.x.com", POLICY_DENY, POLICY_SOURCE_USER, POLICY_POST, NULL});
	struct policy *c = build((const struct spec[]){ALLOW("**.x.com"), ALLOW("y.com")}, 2);
	AUTO_POLICY *p = c;
	AUTO_POLICY *deep = build((const struct spec[]){ALLOW("**")}, 1);

	(void)state;
	assert_int_equal(policy_inherit(c, parent, NULL), 0);
	assert_int_equal(policy_seal(c), 0);
	IS(tcp(p, "a.x.com:443"), ALLOW, RULE, "r0");
	IS(tcp(p, "y.com:443"), DENY, DEFAULT, "-");
	IS(tcp(p, "no.x.com:443"), DENY, RULE, "r1");
	assert_int_equal(tcp(p, "no.x.com:443").source, POLICY_SOURCE_PARENT);
	IS(tcp(p, "q.x.com:443"), ASK, RULE, "r2");
	assert_true(tcp(p, "i.x.com:443").inspect);
	IS(ask(p, POLICY_TUNNEL, "i.x.com:443", NULL, NULL), DENY, UNSEEN, "r0");
	IS(ask(p, POLICY_DNS, "y.com:0", NULL, NULL), DENY, DEFAULT, "-");
	assert_int_equal(policy_layers(p), 2);
	assert_int_equal(policy_inherit(deep, p, NULL), 0);
	assert_int_equal(policy_layers(deep), 3);
	for (int i = 0; i < 2; i++)
		assert_int_equal(policy_inherit(deep, p, NULL), 0);
	assert_int_equal(policy_inherit(deep, p, NULL), -ENOSPC);
}

static void test_bypass(void **state)
{
	struct policy *b =
		build((const struct spec[]){ALLOW("**"),
			      {"api.x.com", POLICY_DENY, POLICY_SOURCE_USER, POLICY_POST, NULL}},
			2);
	AUTO_POLICY *p = b;
	struct err e;

	(void)state;
	assert_int_equal(policy_add_bypass(b, "**.X.com.:443", &e), 0);
	assert_int_equal(policy_add_bypass(b, "pin?.x.org", &e), 0);
	assert_int_equal(policy_add_bypass(b, "**", &e), -EINVAL);
	assert_int_equal(policy_add_bypass(b, "10.0.0.0/8", &e), -EINVAL);
	assert_int_equal(policy_seal(b), 0);
	assert_string_equal(policy_bypass_at(p, 0, 0), "**.x.com:443");
	assert_true(tcp(p, "a.x.com:443").bypass);
	assert_true(tcp(p, "x.com:443").bypass);
	assert_false(tcp(p, "x.com:8443").bypass);
	assert_false(tcp(p, "ax.com:443").bypass);
	assert_true(tcp(p, "pin1.x.org:1").bypass);
	/* rules about requests are stronger than the wish not to look */
	IS(ask(p, POLICY_TUNNEL, "api.x.com:443", NULL, NULL), DENY, UNSEEN, "r0");
	IS(ask(p, POLICY_TUNNEL, "a.x.com:443", NULL, NULL), ALLOW, RULE, "r0");
}

static void test_bad_rules(void **state)
{
	static const struct spec bad[] = {ALLOW("*.com"), ASK("**.org"), ALLOW("localhost"),
		ALLOW("127.0.0.1"), ALLOW("*"),
		{"10.0.0.0/8", POLICY_ALLOW, POLICY_SOURCE_USER, POLICY_GET},
		{"x.com", POLICY_ALLOW, POLICY_SOURCE_USER, POLICY_GET, "no-slash"},
		{"x.com", POLICY_ALLOW, POLICY_SOURCE_USER, 0, NULL, "no.slash"},
		{"x.com", POLICY_ALLOW, POLICY_SOURCE_USER, 0, NULL, "a/b/c"},
		{"x.com", POLICY_ALLOW, POLICY_SOURCE_USER, 0, NULL, "a/"},
		{"x.com", POLICY_ALLOW, POLICY_SOURCE_USER, POLICY_GET, NULL, "a/b"},
		{"x.com", POLICY_ALLOW, POLICY_SOURCE_USER, 0, NULL, "a/b", true},
		{"x.com", POLICY_ALLOW, POLICY_SOURCE_USER, POLICY_GET, NULL, NULL, true},
		{"x.com", POLICY_ALLOW, POLICY_SOURCE_USER, 512},
		{"x.com", POLICY_ALLOW, POLICY_SOURCE_PARENT},
		{"x.com", (enum policy_decision)7, POLICY_SOURCE_USER}};
	static const struct spec fine[] = {DENY("*.com"), DENY("localhost"), ALLOW("**.internal"),
		{"10.0.0.1:80", POLICY_ALLOW, POLICY_SOURCE_USER, POLICY_GET},
		{"localhost:80", POLICY_ALLOW, POLICY_SOURCE_USER, POLICY_GET, "/a"},
		{"**", POLICY_DENY, POLICY_SOURCE_USER, POLICY_POST}};
	static const char *const ids[] = {"", "a b", "a\n", "\xc3\xa9",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	struct policy_rule r = {.id = "a", .origin = "test"};
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) + sizeof(fine) / sizeof(fine[0]); i++) {
		const size_t n = sizeof(bad) / sizeof(bad[0]);
		const struct spec *s = i < n ? &bad[i] : &fine[i - n];

		r.resource = s->resource;
		r.decision = s->decision;
		r.source = s->source;
		r.methods = s->methods;
		r.path = s->path;
		r.grpc = s->grpc;
		r.websocket = s->websocket;
		if (policy_check_rule(&r, &e) != (i < n ? -EINVAL : 0))
			fail_msg("%s rule %zu (%s)", i < n ? "bad" : "fine", i, s->resource);
	}
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		r.id = ids[i];
		assert_int_equal(policy_check_rule(&r, &e), -EINVAL);
	}
	r.id = "a";
	r.origin = "x\x1b[2J";
	assert_int_equal(policy_check_rule(&r, &e), -EINVAL);
}

static void test_speed(void **state)
{
	AUTO_POLICY *p = policy_new();
	struct policy_request r = {
		.kind = POLICY_HTTP, .port = 443, .method = "GET", .path = "/a/b"};
	struct timespec a, b;
	struct policy_verdict v;
	struct policy_host h;
	char id[32], host[64];
	double ns;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		struct policy_rule rule = {.id = id,
			.resource = host,
			.origin = "t",
			.decision = i % 10 ? POLICY_ALLOW : POLICY_DENY,
			.source = POLICY_SOURCE_USER};

		snprintf(id, sizeof(id), "r%d", i);
		snprintf(host, sizeof(host),
			i % 3 == 0   ? "**.d%d.example.com"
			: i % 3 == 1 ? "h%d.example.com:443"
				     : "10.%d.0.0/16",
			i % 256 * (i % 3 == 2) + i * (i % 3 != 2));
		assert_int_equal(policy_add(p, &rule, NULL), 0);
	}
	assert_int_equal(policy_seal(p), 0);
	assert_true(policy_host_parse("a.b.d999.example.com", 20, &h));
	r.host = &h;
	assert_true(policy_address_parse("93.184.216.34", 13, &r.address));
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (int i = 0; i < 100000; i++)
		policy_decide(p, &r, &v);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 1e5;
	print_message("%.0f ns a decision with 1,000 rules\n", ns);
	IS(v, ALLOW, RULE, "r999");
	assert_true(
		ns < 20000); /* generous: sanitizers, a busy machine; a scan would be far beyond */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deny_wins),
		cmocka_unit_test(test_default_is_deny),
		cmocka_unit_test(test_addresses_must_be_named),
		cmocka_unit_test(test_a_bare_address_beside_denied_names),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_methods_and_paths),
		cmocka_unit_test(test_host_allow_with_http_deny),
		cmocka_unit_test(test_websocket_and_grpc),
		cmocka_unit_test(test_ask),
		cmocka_unit_test(test_governed),
		cmocka_unit_test(test_parent_is_a_conjunction),
		cmocka_unit_test(test_bypass),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_speed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
