/* fuzz_kit_yaml.c - a kit's spec, as a stranger may have written it; then what a start makes of it */
#include "kit/put.h"
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct kit_spec *s)
{
	const struct kit_member own = {.spec = s, .origin = "o"};
	const struct kit_owner owner = {1000, 1000};
	AUTO_KIT_PLAN *p = NULL;
	struct err e = {0};
	AUTO(buf) tar;

	buf_init(&tar, 4U << 20);
	if (s->kind != KIT_SANDBOX || s->extends.text)
		return;
	if (kit_compose(&own, 1, NULL, 0, &p, &e) < 0) {
		assert(e.code != ERR_NONE && e.msg[0]);
		return;
	}
	assert(p->entrypoint.n + p->command.n > 0);
	for (int missing = 0; missing < 2; missing++)
		(void)!kit_setup_tar(&p->parts, missing, "/w", owner, &tar);
	(void)!kit_memory_tar(p, owner, &tar);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct kit_entry spec = {
		.path = "spec.yaml", .bytes = (const char *)data, .len = size, .mode = 0644};
	AUTO_KIT_SPEC *s = NULL;
	AUTO(kit_tree) t = {0};
	struct err e = {0};
	int r = kit_tree_add(&t, "k", &spec, &e);

	if (r == 0)
		r = kit_tree_seal(&t, "k", &e);
	if (r == 0)
		r = kit_decode(&t, "spec.yaml", NULL, &s, &e);
	assert((r == 0) == (s != NULL));
	if (r < 0) {
		assert(e.code != ERR_NONE && e.msg[0]);
		return 0;
	}
	assert(kit_name_ok(s->name.text));
	use(s);
	return 0;
}
