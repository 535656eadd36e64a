/* tree.h - the files of a kit, in memory: what every source of kits gives and all else works on
 *
 * Read once, whole: what changes at the source afterwards changes nothing. Paths are relative and
 * clean, sorted by bytes, unique; an entry's parents are there as directories. Modes are 0644,
 * 0755, their private forms 0600 and 0700, or 0777 (links), so that equal content is equal whatever
 * the source kept. A link stands beneath files/home only and leads nowhere outside of it by itself:
 * relative, without "..".
 */
#ifndef KIT_TREE_H
#define KIT_TREE_H
#include "base/buf.h"
#include "base/err.h"
#include "kit/mem.h"
#include <stdbool.h>
#include <stdint.h>

#define KIT_TREE_ENTRIES_MAX 4096
#define KIT_TREE_BYTES_MAX   (16U << 20) /* of all files together */
#define KIT_TREE_PATH_MAX    1023
#define KIT_TREE_DEPTH_MAX   32

enum kit_entry_type { KIT_FILE, KIT_DIR, KIT_LINK };

struct kit_entry {
	const char *path;
	enum kit_entry_type type;
	uint32_t mode;
	const char *bytes; /* of a file, with a NUL behind; of a link: its target */
	size_t len;
};

struct kit_tree {
	struct kit_mem mem;
	struct kit_entry *v;
	size_t n, cap;
	size_t bytes; /* of all entries */
};

void kit_tree_fini(struct kit_tree *t);
void kit_tree_auto(struct kit_tree *t);

/* kit_tree_add() - copies all it is given. @root names the source in errors. -EINVAL with the rule
 * that the path, the link or its kind breaks; -EFBIG beyond a maximum. Order does not matter.
 */
int kit_tree_add(struct kit_tree *t, const char *root, const struct kit_entry *entry,
	struct err *e) MUST_USE;
/* kit_tree_judge() - as kit_tree_add() would judge path and kind, without adding */
int kit_tree_judge(const char *root, const struct kit_entry *entry, struct err *e) MUST_USE;
/* kit_tree_wants() - is it part of a kit: spec.yaml, or files/ and what is beneath? */
bool kit_tree_wants(const char *path);
/* kit_tree_seal() - sort, add parents that no source named, refuse doubles and files in files */
int kit_tree_seal(struct kit_tree *t, const char *root, struct err *e) MUST_USE;
/* kit_tree_find() - NULL: not there. Sealed trees only. */
const struct kit_entry *kit_tree_find(const struct kit_tree *t, const char *path);
/* kit_tree_bytes() - the whole tree as bytes, equal for equal trees: what a kit's digest is taken
 * over, whatever it came from
 */
int kit_tree_bytes(const struct kit_tree *t, struct buf *out) MUST_USE;

/* kit_tree_dir() - from a directory: everything beneath @fd is opened by descriptors, no link is
 * followed. Only spec.yaml and files/ are read; what else lies there is not part of the kit.
 */
int kit_tree_dir(struct kit_tree *t, int fd, const char *root, struct err *e) MUST_USE;
#endif
