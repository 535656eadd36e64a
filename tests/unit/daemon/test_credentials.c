/* test_credentials.c - commands that print secrets: their deadline, their first line, when they are due again */
#include "check.h"
#include "base/clock.h"
#include "daemon/credentials.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int run(const char *command, int64_t ms, struct buf *out, struct err *e)
{
	buf_init(out, 1024);
	*e = (struct err){0};
	return credentials_run(command, clock_ms() + ms, out, e);
}

static void first_line(void **state)
{
	struct buf out;
	struct err e;
	(void)state;

	assert_int_equal(run("printf 'one\\r\\ntwo\\n'", 20000, &out, &e), 0);
	assert_string_equal(buf_str(&out), "one");
	buf_fini(&out);
	assert_int_equal(run("printf one", 20000, &out, &e), 0);
	assert_string_equal(buf_str(&out), "one");
	buf_fini(&out);
	assert_true(run("echo x; exit 3", 20000, &out, &e) < 0);
	assert_non_null(strstr(e.msg, "status 3"));
	buf_fini(&out);
	assert_true(run("head -c 100000 /dev/zero", 20000, &out, &e) < 0);
	buf_fini(&out);
}

/* What it started ends with it, and nobody waits for it any longer than was said. */
static void deadline(void **state)
{
	int64_t from = clock_ms();
	struct buf out;
	struct err e;
	(void)state;

	assert_int_equal(run("sleep 600 & sleep 600; echo late", 300, &out, &e), -ETIMEDOUT);
	assert_true(clock_ms() - from < 20000);
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

static void due(void **state)
{
	struct secret_entry *x = calloc(1, sizeof(*x));
	int64_t at = 1000000, minute = 60000;
	unsigned n = 0;
	(void)state;

	assert_non_null(x);
	x->created_ms = at;
	x->refresh_s = 120;
	assert_false(credentials_due(x, at, at + 10 * minute)); /* a value does not grow old */
	x->command[0] = 'x';
	assert_false(credentials_due(x, at, at + 2 * minute - 1));
	assert_true(credentials_due(x, at, at + 2 * minute));
	/* rounds of any length: each period once, none missed */
	for (int64_t now = at, step = 1; now < at + 200 * minute; step = step * 7 % 90001 + 1) {
		n += credentials_due(x, now, now + step);
		now += step;
	}
	assert_int_equal(n, 100);
	/* a clock that was set back asks nothing anew by itself */
	assert_false(credentials_due(x, at - minute, at - 1));
	x->refresh_s = 0; /* never more often than once a minute */
	assert_false(credentials_due(x, at, at + minute - 1));
	assert_true(credentials_due(x, at, at + minute));
	free(x);
}

/* ---- what kits add ---- */

static struct service_set kits_set;

static void have_forge(struct service_set *set)
{
	static const char text[] =
		"name: forge\ndescription: d\nenv: [FORGE_TOKEN]\n"
		"sentinel: {prefix: fg_, random: 40}\n"
		"slots: [{hosts: [forge.test], header: x-forge, format: \"k %s\"}]\n";
	struct service *v;
	struct err e = {0};

	*set = (struct service_set){.n = 0};
	assert_int_equal(service_parse("f", text, strlen(text), &v, &e), 0);
	assert_int_equal(service_set_put(set, v, &e), 0);
}

static struct plan *plan_with(const char *credentials)
{
	char text[8192];
	struct plan *p;
	struct err e = {0};
	int n = snprintf(text, sizeof(text),
		"{\"version\":1,\"name\":\"box\",\"agent\":\"shell\",\"isolation\":\"emulated\","
		"\"cpus\":2,\"memory_bytes\":2147483648,\"disk_bytes\":21474836480,\"cwd\":\"/a\","
		"\"user\":\"agent\",\"home\":\"/home/agent\",\"uid\":1000,\"gid\":1000,\"env\":{},"
		"\"argv\":[],\"argv_interactive\":[],\"notes\":[],\"image\":{\"id\":\"aa\","
		"\"name\":\"default\",\"root_digest\":\"1e\",\"kernel_digest\":\"51\","
		"\"modules_digest\":\"aa\",\"kernel_version\":\"6.1\"},\"workspaces\":[],"
		"\"credentials\":%s}",
		credentials);

	assert_true(n > 0 && (size_t)n < sizeof(text));
	if (plan_load(text, (size_t)n, &p, &e) < 0)
		fail_msg("%s", e.msg);
	return p;
}

static const struct service *with(const char *credentials, bool installing, const char *name)
{
	struct plan *p = plan_with(credentials);
	struct err e = {0};
	const struct service *v;

	service_set_fini(&kits_set);
	have_forge(&kits_set);
	assert_int_equal(credentials_add_kits(p, installing, &kits_set, &e), 0);
	plan_free(p);
	v = service_find(&kits_set, name);
	assert_non_null(v);
	return v;
}

/* slot() - the @i-th as "kind host header format username" */
static const char *slot(const struct service *v, size_t i)
{
	static char text[256];
	const struct service_slot *s = &v->slots[i];

	(void)snprintf(text, sizeof(text), "%d %s %s %s %s", s->kind, s->hosts.v[0],
		s->header ? s->header : "-", s->format ? s->format : "-",
		s->username ? s->username : "-");
	return text;
}

static void kits_add_to_a_service(void **state)
{
	const struct service *v =
		with("[{\"service\":\"forge\",\"kit\":\"m\",\"variables\":[\"FORGE_TOKEN\",\"F2\"],"
		     "\"injects\":[{\"domain\":\"a.test\",\"kit\":\"m\"},"
		     "{\"domain\":\"forge.test\",\"kit\":\"m\",\"header\":\"x-forge\",\"format\":"
		     "\"%s\"},"
		     "{\"domain\":\"git.test\",\"kit\":\"m\",\"username\":\"u\"}]}]",
			false, "forge");

	(void)state;
	assert_int_equal(v->env.n, 2);
	assert_string_equal(v->env.v[1], "F2");
	assert_int_equal(v->n_slots, 3); /* what the service has for that host and field stays */
	assert_string_equal(slot(v, 0), "1 forge.test x-forge k %s -");
	assert_string_equal(slot(v, 1), "1 a.test x-forge k %s -");
	assert_string_equal(slot(v, 2), "2 git.test - - u");
	assert_string_equal(v->prefix, "fg_");
}

static void kits_make_a_service(void **state)
{
	const struct service *v = with(
		"[{\"service\":\"lint\",\"kit\":\"m\",\"variables\":[\"LINT\"],"
		"\"injects\":[{\"domain\":\"a.test\",\"kit\":\"m\",\"header\":\"x-k\",\"format\":"
		"\"t %s\"},"
		"{\"domain\":\"b.test\",\"kit\":\"m\"}],"
		"\"oauth\":{\"host\":\"l.test\",\"path\":\"/t\",\"resource_hosts\":[\"r.test\"],"
		"\"access_token\":\"at-stand-in\",\"refresh_token\":\"rt-stand-in\","
		"\"fields\":{\"accessToken\":\"tok\"}}}]",
		false, "lint");
	char text[200];

	(void)state;
	assert_int_equal(v->n_slots, 2);
	assert_string_equal(slot(v, 0), "1 a.test x-k t %s -");
	/* who does not say where gets what the first place says */
	assert_string_equal(slot(v, 1), "1 b.test x-k t %s -");
	assert_int_equal(service_sentinel(v, (const uint8_t[64]){0}, text, sizeof(text)), 0);
	assert_int_equal(strlen(text), 40);
	assert_string_equal(v->oauth->access_field, "tok");
	assert_string_equal(v->oauth->refresh_field, "refresh_token");
	assert_string_equal(v->oauth->access_text, "at-stand-in");
	assert_string_equal(v->oauth->hosts.v[0], "r.test");
}

static void kits_phases(void **state)
{
#define PHASED(p)                                                                                  \
	"[{\"service\":\"forge\",\"kit\":\"m\",\"phase\":\"" p "\",\"injects\":"                   \
	"[{\"domain\":\"a.test\",\"kit\":\"m\"}]}]"
	(void)state;
	assert_int_equal(with(PHASED("install"), true, "forge")->n_slots, 2);
	assert_int_equal(with(PHASED("install"), false, "forge")->n_slots, 0);
	assert_int_equal(with(PHASED("runtime"), false, "forge")->n_slots, 2);
	assert_int_equal(with(PHASED("runtime"), true, "forge")->n_slots, 0);
	/* nor has it a variable then: the guest was set up with those of the time after it */
	assert_int_equal(with(PHASED("runtime"), true, "forge")->env.n, 0);
	assert_int_equal(with(PHASED("runtime"), false, "forge")->env.n, 1);
	service_set_fini(&kits_set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kits_add_to_a_service),
		cmocka_unit_test(kits_make_a_service),
		cmocka_unit_test(kits_phases),
		cmocka_unit_test(first_line),
		cmocka_unit_test(deadline),
		cmocka_unit_test(due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
