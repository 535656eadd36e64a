/* tree_int.h - what the files of the tree share with each other and with nobody else */
#ifndef IMAGE_TREE_INT_H
#define IMAGE_TREE_INT_H
#include "image/tree.h"

#define TREE_NO_LAYER 0xff /* below all layers */
#define TREE_BUCKETS  4096U

struct tree_node {
	tree_ref parent, child, next;
	uint32_t name; /* offset in the text */
	uint32_t target; /* of a symlink, terminated; 0: none */
	uint32_t uid, gid;
	uint32_t index; /* of the entry in its layer that gave it */
	uint64_t nid;
	int64_t mtime;
	uint16_t mode; /* permission bits */
	uint8_t len; /* of the name */
	uint8_t type; /* enum tree_type */
	uint8_t layer; /* that gave it, 0 is the topmost */
	uint8_t meta_layer; /* that gave a directory's metadata; TREE_NO_LAYER: none */
	uint8_t gone; /* layers below this one give nothing of this name */
	uint8_t opaque; /* layers below this one give nothing in this directory */
};

/* A hard link whose file is not known yet. Who extracts a layer binds it to what its target's name means just then: the
 * last entry of that name before it in its layer, or what the layers below left there.
 */
enum tree_wait_state {
	WAIT_NEW, /* made in this pass, which has seen a part of the layer only */
	WAIT_SCAN, /* this pass looks for the last entry of that name */
	WAIT_READY, /* found: @best; the next pass binds it */
	WAIT_BELOW, /* this layer has none */
};

struct tree_wait {
	tree_ref node; /* 0: nothing is waited for any more */
	uint32_t born; /* index of the node's own entry: it may have been replaced since */
	uint32_t target; /* offset in the text, terminated */
	uint32_t before; /* entries of the layer from this index on do not count */
	uint32_t best; /* index of the last that does, + 1; 0: none */
	uint32_t next; /* of the bucket; index + 1 */
	uint8_t state;
};

struct tree {
	struct tree_node *node; /* [0] is nothing, [1] the root */
	uint32_t n, cap;
	char *text;
	uint32_t text_len, text_cap;
	tree_ref *table; /* names: open addressing, a power of two */
	uint32_t table_size;
	uint64_t seed;
	int layer; /* -1 before the first */
	struct tree_wait *wait;
	uint32_t n_waits, cap_waits, waiting;
	uint32_t index; /* of the entry that is read */
	uint32_t bucket[TREE_BUCKETS];
	uint64_t *linked; /* numbers of files with more than one name, with repetitions */
	uint32_t n_linked, cap_linked;
};

/* tree_grow() - room for @need elements of @each bytes in the array that @pp points to */
bool tree_grow(void *pp, uint32_t *cap, uint32_t need, size_t each, uint32_t first) MUST_USE;
tree_ref tree_find(const struct tree *t, tree_ref dir, const char *name, size_t len);
/* tree_make() - a new node in @dir; 0: *ret_fault says why */
tree_ref tree_make(struct tree *t, tree_ref dir, const char *name, size_t len, enum tree_type type,
	enum tree_fault *ret_fault);
/* tree_rehash() - @node has another parent now */
bool tree_rehash(struct tree *t, tree_ref node) MUST_USE;
/* tree_keep_text() - a copy of @len bytes, terminated; 0: no memory */
uint32_t tree_keep_text(struct tree *t, const char *s, size_t len) MUST_USE;
uint64_t tree_hash(const struct tree *t, tree_ref dir, const char *s, size_t len);
/* tree_resolve() - the directory that @path leads to from @from, following symlinks and making what is missing when
 * @make; 0: none
 */
tree_ref tree_resolve(struct tree *t, tree_ref from, const char *path, bool make);
#endif
