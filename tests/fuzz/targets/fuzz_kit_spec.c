/* fuzz_kit_spec.c - the whole schema of a kit, both versions, with arguments given */
#include "kit/run.h"
#include "kit/spec.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kit_pair given[] = {{"team", "a: [b]\n\"# c"}};
	const struct kit_entry spec = {
		.path = "spec.yaml", .bytes = (const char *)data, .len = size};
	const struct kit_entry file = {
		.path = "files/home/x", .bytes = "${{ kit.args.team }}", .len = 20};
	const struct kit_args args = {given, 1};
	AUTO(kit_tree) t = {0};
	struct err e = {0};

	if (size > KIT_SPEC_MAX || kit_tree_add(&t, "k", &spec, &e) < 0 ||
		kit_tree_add(&t, "k", &file, &e) < 0 || kit_tree_seal(&t, "k", &e) < 0)
		return 0;
	for (int with = 0; with < 2; with++) {
		AUTO_KIT_SPEC *s = NULL;
		AUTO_KIT *k = NULL;

		e = (struct err){0};
		if (kit_decode(&t, "k/spec.yaml", with ? &args : NULL, &s, &e) < 0) {
			/* every fault names a place */
			assert(strncmp(e.msg, "k/", 2) == 0 || e.code != ERR_INVALID);
			continue;
		}
		assert(s->schema == 1 || s->schema == 2);
		for (size_t i = 0; i < s->parts.n_vars; i++)
			assert(!kit_variable_reserved(s->parts.vars[i].name));
		assert((kit_of_spec(s, &k, &e) == 0) ==
			(s->kind == KIT_SANDBOX && !kit_unenforced(s) && k));
	}
	return 0;
}
