/* tree.h - what the layers of an image make together: one tree of names
 *
 * Layers are given from the topmost down, so that what is hidden is known before its bytes are read and
 * nothing is written that nobody sees. Rules as the OCI image specification and the programs that extract
 * layers have them: an upper entry hides the lower one of the same name, directories are merged and have the
 * metadata of the uppermost; ".wh.NAME" hides NAME of the layers below, ".wh..wh..opq" all that the layers
 * below have in its directory; a name whose directory is a symlink in a layer below is what that
 * symlink leads to. Nodes are numbers into one growing array; nothing is ever taken away from it.
 * Memory: about 64 bytes and the name, for each. Thread: any, one tree per thread.
 * Source: image-spec layer.md; the order of containerd's archive/tar.go for what it leaves open.
 */
#ifndef IMAGE_TREE_H
#define IMAGE_TREE_H
#include "base/own.h"
#include "image/erofs.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TREE_LAYERS_MAX 127
#define TREE_NODES_MAX	(1U << 20)
#define TREE_LINKS_MAX	(1U << 16) /* hard links, in all */
#define TREE_DEPTH_MAX	256 /* directories in one another */

typedef uint32_t tree_ref; /* 0: none; the root is TREE_ROOT */
#define TREE_ROOT 1U

enum tree_type {
	TREE_NOTHING, /* a name that lower layers may not give */
	TREE_DIR,
	TREE_FILE,
	TREE_SYMLINK,
	TREE_FIFO,
	TREE_LINK, /* a hard link whose file was not seen yet */
};

enum tree_fault {
	TREE_OK,
	TREE_HIDDEN, /* no fault: nobody sees this entry */
	TREE_MANY, /* more names than TREE_NODES_MAX */
	TREE_MANY_LINKS,
	TREE_NOT_A_DIR, /* goes through something that its own layer says is no directory */
	TREE_LONG_NAME, /* a component of more than 255 bytes */
	TREE_DEEP,
	TREE_NO_TARGET, /* a hard link to nothing */
	TREE_NO_MEMORY,
	TREE_FAULT_COUNT
};
const char *tree_fault_text(enum tree_fault f); /* for a person; never NULL */

struct tree;

struct tree *tree_new(void) MUST_USE; /* NULL without memory */
void tree_free(struct tree *t); /* NULL is fine */

/* tree_layer() - what comes now is of the next layer below; false: more than TREE_LAYERS_MAX */
bool tree_layer(struct tree *t) MUST_USE;

/* tree_add() - an entry of the layer: @path clean and relative, as struct tar_reader gives it, "." for the root
 * TREE_OK: *ret_node is to be filled by tree_meta() or tree_file(). Whiteouts are entries of any type and give
 * TREE_HIDDEN.
 */
enum tree_fault tree_add(
	struct tree *t, const char *path, enum tree_type type, tree_ref *ret_node) MUST_USE;
/* tree_meta() - of a directory; all but nlink and size of @in */
void tree_meta(struct tree *t, tree_ref node, const struct erofs_inode *in);
/* tree_file() - what tree_add() gave is the file @nid; a symlink's target (@target) is kept where it may be
 * needed to find what an upper layer put "behind" it. False: no memory.
 */
bool tree_file(struct tree *t, tree_ref node, uint64_t nid, const char *target) MUST_USE;

/* Hard links are bound as by who extracts the layer: to what their target's name means just then. A layer is read in
 * passes for that: the first adds, later ones only find what links of it, or of the layers above, wait for.
 *	tree_pass(t, first); for each entry: tree_seen(), ..., tree_next(); tree_pass_end(t, &more)
 */
void tree_pass(struct tree *t, bool first);
/* tree_pass_end() - false: no memory; *ret_more: another pass finds something */
bool tree_pass_end(struct tree *t, bool *ret_more) MUST_USE;
/* tree_seen() - the entry @path, no directory, is of this layer, whoever sees it; tree_next() - the next entry */
void tree_seen(struct tree *t, const char *path);
void tree_next(struct tree *t);

/* tree_link() - a hard link of the layer to @target, clean as a path. TREE_OK also when its file is still to be found */
enum tree_fault tree_link(struct tree *t, const char *path, const char *target) MUST_USE;
/* tree_wants() - is a hard link waiting for this very entry? Then it is written even though it is hidden, and
 * tree_found() says its number and type.
 */
bool tree_wants(struct tree *t, const char *path);
size_t tree_waiting(const struct tree *t); /* links that wait */
bool tree_found(struct tree *t, const char *path, uint64_t nid, enum tree_type type) MUST_USE;
/* tree_wants_link() - the entry @path is a hard link to @target itself: who waits for it waits for that from now on */
enum tree_fault tree_wants_link(struct tree *t, const char *path, const char *target) MUST_USE;

struct tree_counts {
	uint64_t dirs, files, symlinks, fifos, links;
};
/* tree_finish() - after the last layer: links without file are a fault; what lies behind symlinks goes there */
enum tree_fault tree_finish(struct tree *t) MUST_USE;
/* tree_write() - all directories, and how often each file is linked; 0 or negative errno of @w */
int tree_write(struct tree *t, struct erofs *w, struct tree_counts *ret_counts) MUST_USE;

/* For tests and for who looks for a program in an image: follows symlinks; 0 when there is nothing. */
tree_ref tree_lookup(const struct tree *t, const char *path);
enum tree_type tree_type_of(const struct tree *t, tree_ref node);
uint64_t tree_nid_of(const struct tree *t, tree_ref node);
#endif
