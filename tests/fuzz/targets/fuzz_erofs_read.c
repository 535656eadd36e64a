/* fuzz_erofs_read.c - an image of the store, damaged: every node, block and byte that the reader gives out */
#include "image/erofs_read.h"
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NODES_MAX 200
#define BYTES_MAX (1U << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_dir(
	const struct erofs_reader *r, const struct erofs_node *n, uint64_t *todo, size_t *ret_n)
{
	struct erofs_block b;
	struct erofs_dirent d;

	for (uint64_t at = 0; at < n->in.size && at < BYTES_MAX; at += EROFS_BLOCK) {
		if (erofs_read_block(r, n, at, &b) < 0)
			return;
		while (erofs_next(&b, &d) > 0) {
			assert(d.len > 0 && d.len <= EROFS_NAME_MAX);
			assert((const uint8_t *)d.name >= b.bytes &&
				(const uint8_t *)d.name + d.len <= b.bytes + b.len);
			if (*ret_n < NODES_MAX)
				todo[(*ret_n)++] = d.nid;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[BYTES_MAX];
	AUTO_FD fd = memfd_create("image", MFD_CLOEXEC);
	uint64_t todo[NODES_MAX];
	struct erofs_reader r;
	size_t n = 1;

	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	if (erofs_read_open(fd, &r) < 0)
		return 0;
	todo[0] = r.root;
	for (size_t i = 0; i < n; i++) {
		struct erofs_node node;

		if (erofs_read_node(&r, todo[i], &node) < 0)
			continue;
		assert(node.in.capability_len <= EROFS_CAPABILITY_MAX);
		assert(erofs_read_data(&r, &node, node.in.size, bytes, 1) == -EBADMSG);
		if (node.in.size <= BYTES_MAX)
			assert(erofs_read_data(&r, &node, 0, bytes, (size_t)node.in.size) == 0);
		if (S_ISDIR(node.in.mode))
			read_dir(&r, &node, todo, &n);
	}
	return 0;
}
