/* fuzz_kit_yaml.c - a kit's spec, as a stranger may have written it */
#include "kit/kit.h"
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_KIT *k = NULL;
	struct kit_strv argv;
	struct err e = {0};
	AUTO(buf) tar;
	int r = kit_parse("spec.yaml", (const char *)data, size, &k, &e);

	buf_init(&tar, 4U << 20);
	assert((r == 0) == (k != NULL));
	if (r < 0) {
		assert(e.code != ERR_NONE && e.msg[0]);
		return 0;
	}
	/* what was taken can be used */
	assert(kit_name_ok(k->name) && k->spec.len == size);
	for (int tty = 0; tty < 2; tty++)
		if (kit_argv(k, tty, NULL, 0, &argv) == 0) {
			assert(argv.n > 0 && !argv.v[argv.n]);
			kit_strv_fini(&argv);
		}
	(void)!kit_setup_tar(k, "/w", 1000, 1000, &tar, &e);
	return 0;
}
