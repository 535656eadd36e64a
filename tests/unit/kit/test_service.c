/* test_service.c - service descriptors: the built-in ones load, and each fault has its place */
#include "check.h"
#include "base/io.h"
#include "kit/service.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char good[] =
	"name: x\ndescription: d\nenv: [X_TOKEN]\nsentinel: {prefix: x-, random: 30}\n"
	"slots:\n  - hosts: [api.x.test, '*.y.test:8443']\n    header: X-Api-Key\n"
	"    format: 'K %s'\n";

static int parse(const char *text, struct service **ret, struct err *e)
{
	*ret = NULL;
	return service_parse("x.yaml", text, strlen(text), ret, e);
}

static void reads(void **state)
{
	struct service *s;
	struct err e = {0};
	(void)state;

	assert_int_equal(parse(good, &s, &e), 0);
	assert_string_equal(s->name, "x");
	assert_string_equal(s->slots[0].header, "x-api-key");
	assert_int_equal(s->slots[0].kind, EGRESS_SLOT_HEADER);
	assert_string_equal(s->slots[0].hosts.v[1], "*.y.test:8443");
	assert_int_equal(s->random, 30);
	service_free(s);
}

/* with() - the good text with @from replaced by @to */
static void with(const char *from, const char *to, char dst[1024])
{
	const char *at = strstr(good, from);

	assert_non_null(at);
	(void)snprintf(dst, 1024, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

static void refused(void **state)
{
	static const struct {
		const char *from, *to, *where;
	} t[] = {
		{"name: x", "name: ../x", "x.yaml:1:7"},
		{"name: x", "nome: x", "x.yaml:1:1"},
		{"[X_TOKEN]", "[LD_PRELOAD]", "x.yaml:3:6"},
		{"[X_TOKEN]", "[x]", "x.yaml:3:6"},
		{"[X_TOKEN]", "[]", "x.yaml:3:6"},
		{"random: 30", "random: 8", "x.yaml:4:32"},
		{"X-Api-Key", "Host", "x.yaml:7:13"},
		{"X-Api-Key", "Transfer-Encoding", "x.yaml:7:13"},
		{"X-Api-Key", "\"a\\nb\"", "x.yaml:7:13"},
		{"'K %s'", "'K'", "x.yaml:8:13"},
		{"'K %s'", "'%s %s'", "x.yaml:8:13"},
		{"'K %s'", "'%n'", "x.yaml:8:13"},
		{"'K %s'", "\"a%s\\r\\nb\"", "x.yaml:8:13"},
		{"api.x.test", "'**'", "x.yaml:6:12"},
		{"api.x.test", "localhost", "x.yaml:6:12"},
		{"api.x.test", "'localhost:'", "x.yaml:6:12"},
		{"api.x.test", "'localhost:8x'", "x.yaml:6:12"},
		{"api.x.test", "'*.'", "x.yaml:6:12"},
		{"    header: X-Api-Key\n", "    basic: 'a:b'\n", "x.yaml:7:12"},
		{"    header: X-Api-Key\n", "", "x.yaml:6:5"},
		{"    header: X-Api-Key\n", "    header: a\n    query: b\n", "x.yaml:8:12"},
		{"slots:", "value: secret\nslots:", "x.yaml:5:1"},
		{"slots:", "bodies: replace\nslots:", "x.yaml:5:9"},
		{"slots:", "bodies: [pass]\nslots:", "x.yaml:5:9"},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct service *s;
		struct err e = {0};
		char text[1024];

		with(t[i].from, t[i].to, text);
		assert_true(parse(text, &s, &e) < 0);
		assert_null(s);
		if (strncmp(e.msg, t[i].where, strlen(t[i].where)) != 0)
			fail_msg("'%s': %s", t[i].to, e.msg);
	}
}

static void sentinels(void **state)
{
	uint8_t a[64], b[64];
	char one[128], two[128];
	struct service *s;
	struct err e = {0};
	(void)state;

	for (unsigned i = 0; i < 64; i++) {
		a[i] = (uint8_t)(i * 7);
		b[i] = (uint8_t)(i * 11 + 3);
	}
	assert_int_equal(parse(good, &s, &e), 0);
	assert_int_equal(service_sentinel(s, a, one, sizeof(one)), 0);
	assert_int_equal(service_sentinel(s, b, two, sizeof(two)), 0);
	assert_int_equal(strlen(one), 32);
	assert_memory_equal(one, "x-", 2);
	assert_string_not_equal(one, two);
	assert_true(service_sentinel(s, a, one, 32) < 0);
	service_free(s);
}

static void on_the_host_itself(void **state)
{
	struct service *s;
	struct err e = {0};
	char text[1024];
	(void)state;

	with("api.x.test", "'localhost:8443'", text);
	assert_int_equal(parse(text, &s, &e), 0);
	assert_string_equal(s->slots[0].hosts.v[0], "localhost:8443");
	service_free(s);
}

static void logins(void **state)
{
	static const struct {
		const char *more;
		bool ok;
	} t[] = {
		{"", true},
		{", id: id, claims: true, device: {path: /d, field: f}", true},
		{", claims: yes", false},
		{", device: {field: f}", false},
		{", device: {path: d}", false},
		{", device: {path: /d, x: y}", false},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct service *s;
		struct err e = {0};
		char text[1024];

		(void)snprintf(text, sizeof(text),
			"%s\noauth: {host: a.test, path: /token, access: access_token, refresh: "
			"r%s}\n",
			good, t[i].more);
		if (t[i].ok) {
			if (parse(text, &s, &e) < 0)
				fail_msg("%s", e.msg);
			assert_int_equal(s->oauth->claims, i == 1);
			assert_string_equal(i == 1 ? s->oauth->device_path : "/d", "/d");
			service_free(s);
			continue;
		}
		assert_true(parse(text, &s, &e) < 0);
		if (strncmp(e.msg, "x.yaml:10:", 10) != 0)
			fail_msg("%s", e.msg);
	}
}

static void built_in_ones(void **state)
{
	static const char *const named[] = {"anthropic", "openai", "google", "github", "gitlab",
		"npm", "pypi", "huggingface", "groq", "mistral", "openrouter", "xai", "slack",
		"discord", "aws", "dashscope"};
	struct service_set set;
	struct err e = {0};
	(void)state;

	if (service_set_load(SOURCE_ROOT, NULL, &set, &e) < 0)
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		assert_non_null(service_find(&set, named[i]));
	assert_null(service_find(&set, "nobody"));
	/* what is said in a body reaches a model; nobody else's hosts */
	for (size_t i = 0; i < set.n; i++)
		assert_int_equal(
			set.list[i]->pass_body, strstr(" anthropic openai google groq mistral "
						       "openrouter xai huggingface dashscope ",
							set.list[i]->name) != NULL);
	service_set_fini(&set);
}

static void own_ones_replace(void **state)
{
	char dir[] = "/tmp/sbx-service-XXXXXX", path[128], cmd[128];
	struct service_set set;
	struct err e = {0};
	FILE *f;
	(void)state;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/services", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/services/github.yaml", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs(
		"name: github\ndescription: d\nenv: [X]\nslots: [{hosts: [g.test], query: k}]\n",
		f);
	(void)fclose(f);
	assert_int_equal(service_set_load(SOURCE_ROOT, dir, &set, &e), 0);
	assert_string_equal(service_find(&set, "github")->slots[0].hosts.v[0], "g.test");
	service_set_fini(&set);
	f = fopen(path, "w"); /* another name than the file's: the whole set is refused */
	assert_non_null(f);
	(void)fputs(
		"name: other\ndescription: d\nenv: [X]\nslots: [{hosts: [g.test], query: k}]\n", f);
	(void)fclose(f);
	assert_true(service_set_load(SOURCE_ROOT, dir, &set, &e) < 0);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(refused),
		cmocka_unit_test(sentinels),
		cmocka_unit_test(on_the_host_itself),
		cmocka_unit_test(logins),
		cmocka_unit_test(built_in_ones),
		cmocka_unit_test(own_ones_replace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
