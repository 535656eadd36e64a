/* fuzz_kit_zip.c - a kit's ZIP file, as a stranger may have made it */
#include "kit/spec.h"
#include "kit/zip.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(kit_tree) t = {0}, again = {0};
	AUTO_KIT_SPEC *s = NULL;
	struct err e = {0};
	AUTO(buf) a, b, zip;

	buf_init(&a, 2 * KIT_TREE_BYTES_MAX);
	buf_init(&b, 2 * KIT_TREE_BYTES_MAX);
	buf_init(&zip, 2 * KIT_TREE_BYTES_MAX);
	if (kit_zip_read(&t, data, size, "k.zip", &e) < 0) {
		assert(e.code != ERR_NONE && e.msg[0]);
		return 0;
	}
	for (size_t i = 0; i < t.n; i++) {
		const struct kit_entry *f = &t.v[i];

		assert(f->path[0] != '/' && !strstr(f->path, "/../") &&
			strncmp(f->path, "../", 3) != 0);
		assert(i == 0 || strcmp(t.v[i - 1].path, f->path) < 0);
		assert(f->type != KIT_LINK || strncmp(f->path, "files/home/", 11) == 0);
	}
	/* what was read can be written, and is then the same kit */
	assert(kit_tree_bytes(&t, &a) == 0 && kit_zip_write(&t, &zip) == 0);
	if (zip.len <= KIT_ZIP_MAX) {
		assert(kit_zip_read(&again, zip.data, zip.len, "k.zip", &e) == 0);
		assert(kit_tree_bytes(&again, &b) == 0 && a.len == b.len);
		assert(memcmp(buf_str(&a), buf_str(&b), a.len) == 0);
	}
	if (kit_decode(&t, "k/spec.yaml", NULL, &s, &e) < 0)
		assert(e.code != ERR_NONE);
	return 0;
}
