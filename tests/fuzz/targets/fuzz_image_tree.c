/* fuzz_image_tree.c - what layers make of each other: three bytes are an entry of paths with few names
 *
 * Whatever comes, the tree ends, every name leads to what was put there, and the directories can be written.
 */
#include "image/tree.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRIES_MAX 600

/* path_of() - one to four components of eight names; the last may be a whiteout */
static void path_of(uint8_t a, uint8_t b, bool white, char dst[64])
{
	unsigned n = 1 + (a >> 6), bits = (unsigned)(a & 63) << 8 | b;
	char *p = dst;

	for (unsigned i = 0; i < n; i++) {
		bool last = i + 1 == n;

		p += snprintf(p, 16, "%s%c%s", last && white ? ".wh." : "", 'a' + (char)(bits & 7),
			last ? "" : "/");
		bits >>= 3;
	}
	if (white && (a & 7) == 7)
		(void)snprintf(strrchr(dst, '/') ? strrchr(dst, '/') + 1 : dst, 16, ".wh..wh..opq");
}

static void put(struct tree *t, struct erofs *w, const char *path, uint8_t what, const char *other)
{
	static const char *const targets[] = {"a", "../b", "/c/d", "e/f/g", "..", "/"};
	const char *target = targets[what / 8 % ARRAY_LEN(targets)];
	struct erofs_inode in = {.mode = S_IFREG | 0644, .nlink = 1};
	tree_ref node = 0;
	uint64_t nid = 0;

	if (what % 8 > 1)
		tree_seen(t, path);
	if (what % 8 == 4) {
		(void)!tree_link(t, path, other);
		(void)!tree_wants_link(t, path, other);
		return;
	}
	if (what % 8 == 3) {
		in.mode = S_IFLNK | 0777;
		in.size = strlen(target);
	}
	switch (what % 8) {
	case 0:
	case 1:
		if (tree_add(t, path, TREE_DIR, &node) == TREE_OK && what % 8 == 0)
			tree_meta(t, node, &in);
		return;
	case 3:
		if (tree_add(t, path, TREE_SYMLINK, &node) == TREE_OK) {
			assert(erofs_small(w, &in, target, (size_t)in.size, &nid) == 0);
			assert(tree_file(t, node, nid, target));
		}
		return;
	default:
		if (tree_add(t, path, TREE_FILE, &node) == TREE_OK) {
			assert(erofs_file_begin(w, &in) == 0 && erofs_file_end(w, &nid) == 0);
			assert(tree_file(t, node, nid, NULL));
		}
		if (tree_wants(t, path) && nid)
			assert(tree_found(t, path, nid, TREE_FILE));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FD out = memfd_create("image", MFD_CLOEXEC);
	struct tree *t = tree_new();
	struct tree_counts counts;
	struct erofs *w = NULL;
	uint64_t bytes;

	assert(out >= 0 && t && erofs_new(out, 64U << 20, &w) == 0 && tree_layer(t));
	tree_pass(t, true);
	for (unsigned i = 0; i < ENTRIES_MAX && size >= 4; i++, data += 4, size -= 4) {
		char path[64], other[64];

		if (data[0] == 0xff) {
			bool more;

			assert(tree_pass_end(t, &more));
			if (tree_layer(t))
				tree_pass(t, true);
			continue;
		}
		if (data[0] == 0xfe) { /* what is found of the rest of the layer */
			bool more;

			assert(tree_pass_end(t, &more));
			tree_pass(t, false);
			continue;
		}
		path_of(data[0], data[1], data[2] % 8 >= 6, path);
		path_of(data[3], data[1], false, other);
		put(t, w, path, data[2], other);
		tree_next(t);
	}
	if (tree_finish(t) == TREE_OK) {
		assert(tree_write(t, w, &counts) == 0);
		assert(erofs_end(w, counts.files, &bytes) == 0);
		assert(tree_lookup(t, "/") == TREE_ROOT);
		(void)tree_lookup(t, "a/b/c/d/e");
	}
	erofs_free(w);
	tree_free(t);
	return 0;
}
