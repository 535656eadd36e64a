/* fuzz_layers.c - layers of an image: one byte for the form, two for the length, then the blob; again */
#include "image/layer.h"
#include <assert.h>
#include <sys/mman.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int one(struct layer_reader *r, const uint8_t *data, size_t len, uint8_t form,
	struct tree *t, struct erofs *w, struct err *e)
{
	AUTO_FD fd = memfd_create("layer", MFD_CLOEXEC);
	struct layer l = {.format = (enum layer_format)(form % 3), .blob_bytes = len};

	assert(fd >= 0 && write(fd, data, len) == (ssize_t)len && tree_layer(t));
	l.fd = fd;
	return layer_apply(r, &l, t, w, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct layer_limits limits = {.bytes = 4U << 20, .entries = 2000};
	AUTO_FD out = memfd_create("image", MFD_CLOEXEC);
	struct layer_reader *r = layer_reader_new(&limits, NULL, NULL);
	struct tree *t = tree_new();
	struct tree_counts counts;
	struct erofs *w = NULL;
	struct err e = {0};
	uint64_t bytes;
	int n = 0;

	assert(out >= 0 && r && t && erofs_new(out, 16U << 20, &w) == 0);
	for (unsigned i = 0; i < 4 && size >= 3 && n == 0; i++) {
		size_t len = (size_t)data[1] | (size_t)data[2] << 8;

		len = len < size - 3 ? len : size - 3;
		n = one(r, data + 3, len, data[0], t, w, &e);
		assert(n == 0 || e.msg[0]);
		data += 3 + len;
		size -= 3 + len;
	}
	if (n == 0 && tree_finish(t) == TREE_OK && tree_write(t, w, &counts) == 0) {
		struct stat st;

		assert(erofs_end(w, counts.files, &bytes) == 0 && fstat(out, &st) == 0);
		assert((uint64_t)st.st_size == bytes && bytes % EROFS_BLOCK == 0);
	}
	erofs_free(w);
	tree_free(t);
	layer_reader_free(r);
	return 0;
}
