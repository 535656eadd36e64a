/* test_plan.c - plans read back: every field of the kits, plans of older versions, and what is refused */
#include "check.h"
#include "daemon/plan.h"
#include <stdio.h>
#include <string.h>

#define HEX "00000000000000000000000000000000000000000000000000000000000000ab"
#define OLD                                                                                        \
	"\"version\":1,\"name\":\"box\",\"agent\":\"shell\",\"isolation\":\"emulated\",\"cpus\":"  \
	"2,"                                                                                       \
	"\"memory_bytes\":2147483648,\"disk_bytes\":21474836480,\"cwd\":\"/tmp/a\","               \
	"\"user\":\"agent\",\"home\":\"/home/agent\",\"uid\":1000,\"gid\":1000,\"env\":{},"        \
	"\"argv\":[\"bash\"],\"argv_interactive\":[\"bash\"],\"notes\":[],"                        \
	"\"image\":{\"id\":\"242b43388b50e73e\",\"name\":\"default\",\"root_digest\":\"1e\","      \
	"\"kernel_digest\":\"51\",\"modules_digest\":\"aa\",\"kernel_version\":\"6.1\"},"          \
	"\"workspaces\":[]"

static int load(const char *kits, struct plan **ret, struct err *e)
{
	char text[16384];
	int n = snprintf(text, sizeof(text), "{" OLD "%s%s}", kits[0] ? "," : "", kits);

	assert_true(n > 0 && (size_t)n < sizeof(text));
	*e = (struct err){0};
	*ret = NULL;
	return plan_load(text, (size_t)n, ret, e);
}

static void test_all_fields(void **state)
{
	static const char text[] =
		"\"kits\":[{\"name\":\"shell\",\"origin\":\"shell\",\"builtin\":true,\"digest\":"
		"\"" HEX "\"},"
		"{\"name\":\"m\",\"version\":\"1.2\",\"origin\":\"/k/m\",\"builtin\":false,"
		"\"digest\":\"" HEX "\"}],\"kits_digest\":\"" HEX "\","
		"\"surface\":[\"network allow a.example\"],\"withheld\":[\"port 80/tcp\"],"
		"\"files\":{\"home\":\"" HEX "\"},"
		"\"network\":[{\"resource\":\"a.example\",\"decision\":\"allow\",\"kit\":\"m\","
		"\"phase\":\"install\"},"
		"{\"resource\":\"b.example\",\"decision\":\"deny\",\"kit\":\"m\"}],"
		"\"credentials\":[{\"service\":\"s\",\"kit\":\"m\",\"required\":true,"
		"\"description\":\"d\",\"phase\":\"runtime\",\"variables\":[\"K\"],"
		"\"injects\":[{\"domain\":\"a.example\",\"kit\":\"m\",\"header\":\"x-key\","
		"\"format\":\"%s\"},{\"domain\":\"g.example\",\"kit\":\"m\",\"username\":\"u\"}],"
		"\"env\":[\"HOST_K\"],\"file\":\"~/x\",\"parser\":\"json:a\",\"file_first\":true,"
		"\"oauth\":{\"host\":\"l.example\",\"path\":\"/"
		"t\",\"resource_hosts\":[\"a.example\"],"
		"\"access_token\":\"at\",\"refresh_token\":\"rt\",\"fields\":{\"a\":\"b\"},"
		"\"passthrough\":true}}],"
		"\"install\":[{\"command\":\"make\",\"user\":\"0\",\"kit\":\"m\"}],"
		"\"startup\":[{\"argv\":[\"srv\",\"-d\"],\"user\":\"1000\",\"background\":true,"
		"\"description\":\"x\",\"kit\":\"m\"}],"
		"\"volumes\":[{\"path\":\"/v\",\"tmpfs\":true,\"bytes\":4096,\"mode\":493,"
		"\"kit\":\"m\"}],"
		"\"ports\":[{\"container\":8080,\"host\":81,\"protocol\":\"tcp\",\"name\":\"web\","
		"\"kit\":\"m\"}],"
		"\"instructions\":{\"file\":\"A.md\",\"dir\":\"/tmp\"}";
	const struct plan_credential *c;
	struct plan *p;
	struct err e;

	(void)state;
	assert_int_equal(load(text, &p, &e), 0);
	assert_int_equal(p->n_kits, 2);
	assert_true(p->kits[0].builtin && !p->kits[0].version);
	assert_string_equal(p->kits[1].version, "1.2");
	assert_string_equal(p->kits[1].origin, "/k/m");
	assert_string_equal(p->kits_digest, HEX);
	assert_int_equal(js_len(p->surface), 1);
	assert_string_equal(js_str(js_at(p->withheld, 0)), "port 80/tcp");
	assert_int_equal(p->n_network, 2);
	assert_int_equal(p->network[0].phase, PLAN_INSTALL);
	assert_false(p->network[0].deny);
	assert_true(p->network[1].deny && p->network[1].phase == PLAN_ALWAYS);
	assert_int_equal(p->n_credentials, 1);
	c = p->credentials;
	assert_true(c->required && c->file_first && c->phase == PLAN_RUNTIME);
	assert_string_equal(js_str(js_at(c->variables, 0)), "K");
	assert_int_equal(c->n_injects, 2);
	assert_string_equal(c->injects[0].header, "x-key");
	assert_null(c->injects[1].header);
	assert_string_equal(c->injects[1].username, "u");
	assert_string_equal(js_str(js_at(c->env, 0)), "HOST_K");
	assert_string_equal(c->parser, "json:a");
	assert_true(c->oauth->passthrough);
	assert_string_equal(c->oauth->refresh, "rt");
	assert_string_equal(p->install[0].command, "make");
	assert_string_equal(js_str(js_at(p->startup[0].argv, 1)), "-d");
	assert_true(p->startup[0].background);
	assert_true(p->volumes[0].tmpfs && p->volumes[0].mode == 0755);
	assert_int_equal(p->ports[0].host, 81);
	assert_string_equal(p->instructions_dir, "/tmp");
	plan_free(p);
}

/* what was written before there were mixins is read as it always was */
static void test_older(void **state)
{
	struct plan *p;
	struct err e;

	(void)state;
	assert_int_equal(load("", &p, &e), 0);
	assert_null(p->kits_digest);
	assert_int_equal(p->n_kits + p->n_network + p->n_credentials + p->n_ports, 0);
	plan_free(p);
	assert_int_equal(
		load("\"kit\":{\"name\":\"shell\",\"version\":null,\"dir\":\"/k\"}", &p, &e), 0);
	assert_null(p->instructions_file);
	plan_free(p);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *fault;
	} cases[] = {
		{"\"kits\":[{\"name\":\"m\"}]", "kits[0].origin"},
		{"\"network\":[{\"resource\":\"a\",\"decision\":\"ask\",\"kit\":\"m\"}]",
			"network[0].decision"},
		{"\"network\":[{\"resource\":\"a\",\"decision\":\"deny\",\"kit\":\"m\",\"x\":1}]",
			"x"},
		{"\"network\":[{\"resource\":\"a\",\"decision\":\"deny\",\"kit\":\"m\","
		 "\"phase\":\"never\"}]",
			"network[0].phase"},
		{"\"network\":{}", "network"},
		{"\"credentials\":[{\"service\":\"s\",\"kit\":\"m\",\"variables\":[1]}]",
			"credentials[0].variables"},
		{"\"credentials\":[{\"service\":\"s\",\"kit\":\"m\",\"injects\":[{\"kit\":\"m\"}]}"
		 "]",
			"credentials[0].injects[0].domain"},
		{"\"credentials\":[{\"service\":\"s\",\"kit\":\"m\",\"oauth\":{\"host\":\"h\"}}]",
			"credentials[0].oauth.path"},
		{"\"startup\":[{\"argv\":[],\"user\":\"0\",\"kit\":\"m\"}]", "startup[0].argv"},
		{"\"volumes\":[{\"path\":\"v\",\"kit\":\"m\"}]", "volumes[0].path"},
		{"\"ports\":[{\"container\":0,\"kit\":\"m\"}]", "ports[0].container"},
		{"\"ports\":[{\"container\":1,\"protocol\":\"sctp\",\"kit\":\"m\"}]",
			"ports[0].protocol"},
		{"\"instructions\":{\"file\":\"a/b\",\"dir\":\"/x\"}", "instructions.file"},
		{"\"surface\":[1]", "surface"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct plan *p;
		struct err e;

		assert_true(load(cases[i].text, &p, &e) < 0);
		assert_null(p);
		if (!strstr(e.msg, cases[i].fault))
			fail_msg("got: %s\nwant: %s", e.msg, cases[i].fault);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_fields),
		cmocka_unit_test(test_older),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
