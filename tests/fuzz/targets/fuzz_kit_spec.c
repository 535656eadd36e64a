/* fuzz_kit_spec.c - the whole schema of a kit, both versions, with arguments given; then as part of a plan */
#include "kit/plan.h"
#include "kit/spec.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* in_plan() - what was decoded can be composed, shown, asked about and written for the agent */
static void in_plan(const struct kit_spec *s, const struct kit_spec *agent)
{
	const struct kit_member own = {.spec = s, .origin = "o"},
				a = {.spec = agent, .builtin = true};
	AUTO(kit_surface) asks = {0}, more = {0};
	AUTO(buf) once, twice, want;
	AUTO_KIT_PLAN *p = NULL;
	AUTO_JS json = NULL;
	AUTO_JS one = kit_spec_json(s);
	struct err e = {0};
	int r = s->kind == KIT_MIXIN ? kit_compose(&a, 1, &own, 1, &p, &e)
				     : kit_compose(&own, 1, NULL, 0, &p, &e);

	buf_init(&once, 4 << 20);
	buf_init(&twice, 4 << 20);
	buf_init(&want, 4 << 20);
	assert(one);
	if (r < 0) {
		assert(e.msg[0]);
		return;
	}
	json = kit_plan_json(p);
	assert(json && kit_plan_surface(p, &asks) == 0);
	assert(kit_surface_widens(&asks, &asks, &more) == 0 && more.n == 0);
	if (!p->instructions_file.text)
		return;
	assert(kit_memory_main(p, "mine\n", &once) == 0);
	assert(kit_memory_main(p, buf_str(&once), &twice) == 0);
	assert(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
}

static struct kit_spec *agent(struct kit_tree *t)
{
	static const char text[] =
		"schemaVersion: \"2\"\nkind: sandbox\nname: the-agent\n"
		"sandbox: {command: [sh]}\nagentInstructions: {filename: A.md}\n";
	const struct kit_entry spec = {.path = "spec.yaml", .bytes = text, .len = sizeof(text) - 1};
	struct kit_spec *s = NULL;
	struct err e = {0};

	assert(kit_tree_add(t, "a", &spec, &e) == 0 && kit_tree_seal(t, "a", &e) == 0);
	assert(kit_decode(t, "a/spec.yaml", NULL, &s, &e) == 0);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kit_pair given[] = {{"team", "a: [b]\n\"# c"}};
	const struct kit_entry spec = {
		.path = "spec.yaml", .bytes = (const char *)data, .len = size};
	const struct kit_entry file = {
		.path = "files/home/x", .bytes = "${{ kit.args.team }}", .len = 20};
	const struct kit_args args = {given, 1};
	AUTO(kit_tree) t = {0}, at = {0};
	AUTO_KIT_SPEC *a = agent(&at);
	struct err e = {0};

	if (size > KIT_SPEC_MAX || kit_tree_add(&t, "k", &spec, &e) < 0 ||
		kit_tree_add(&t, "k", &file, &e) < 0 || kit_tree_seal(&t, "k", &e) < 0)
		return 0;
	for (int with = 0; with < 2; with++) {
		AUTO_KIT_SPEC *s = NULL;

		e = (struct err){0};
		if (kit_decode(&t, "k/spec.yaml", with ? &args : NULL, &s, &e) < 0) {
			/* every fault names a place */
			assert(strncmp(e.msg, "k/", 2) == 0 || e.code != ERR_INVALID);
			continue;
		}
		assert(s->schema == 1 || s->schema == 2);
		for (size_t i = 0; i < s->parts.n_vars; i++)
			assert(!kit_variable_reserved(s->parts.vars[i].name));
		in_plan(s, a);
	}
	return 0;
}
