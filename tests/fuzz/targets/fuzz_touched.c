/* fuzz_touched.c - the record of changed names, as the daemon reads it from a machine's file */
#include "machine/touched.h"
#include "virtio/fs_watch.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct touched *t = touched_new();

	if (!t)
		return 0;
	if (touched_parse(t, (const char *)data, size) == 0)
		for (size_t i = 0; i < touched_len(t); i++) {
			struct touched_entry e = touched_at(t, i);

			assert(e.changes && !(e.changes & ~(unsigned)FS_CHANGES));
			assert(e.rule[0] && strlen(e.path) < FS_WATCH_PATH_MAX);
		}
	touched_free(t);
	return 0;
}
