/* fuzz_tar.c - the tar reader on any bytes, in pieces: its promises about entries hold */
#include "proto/tar.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const char *path)
{
	char clean[TAR_PATH_MAX];

	assert(tar_clean_path(clean, path, strlen(path)) && strcmp(clean, path) == 0);
}

static void check_entry(const struct tar_entry *e)
{
	AUTO(buf) b;

	check_path(e->path);
	if (e->type == TAR_HARDLINK)
		check_path(e->linkname);
	assert(e->type == TAR_FILE || e->size == 0);
	assert((e->mode & ~07777u) == 0 && e->mtime_ns < 1000000000);
	buf_init(&b, 65536);
	assert(tar_put_entry(&b, e) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct tar_limits limits = {.entries = 50, .bytes = 1 << 20};
	struct tar_reader *t = malloc(sizeof(*t));
	size_t piece = size ? data[0] + 1u : 1;
	uint64_t open = 0;
	enum tar_event ev = TAR_MORE;

	if (!t)
		return 0;
	tar_reader_init(t, &limits);
	while (size > 0) {
		size_t len = piece < size ? piece : size;

		size -= len;
		do {
			const uint8_t *before = data;

			ev = tar_next(t, &data, &len);
			if (ev == TAR_ENTRY) {
				check_entry(&t->entry);
				open = t->entry.size;
			} else if (ev == TAR_DATA) {
				assert(t->data == before || t->data > before);
				assert(t->data_len > 0 && t->data_len <= open);
				open -= t->data_len;
			} else if (ev == TAR_ENTRY_END) {
				assert(open == 0);
			}
		} while (ev == TAR_ENTRY || ev == TAR_DATA || ev == TAR_ENTRY_END);
		assert(len == 0 || ev == TAR_END || ev == TAR_BAD);
		data += len;
	}
	free(t);
	return 0;
}
