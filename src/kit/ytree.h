/* ytree.h - strict YAML text to a tree with places; no I/O
 *
 * One document of plain mappings, sequences and scalars. Refused: tags, directives, a second
 * document, a byte order mark, duplicate keys, keys that are not scalars, merge keys ("<<"), NUL in a
 * scalar, more than YAML_DEPTH_MAX levels, YAML_ITEMS_MAX entries in one collection or YAML_NODES_MAX
 * nodes. Scalars stay text: nothing turns into a number or a truth value by itself. Built with a fixed
 * stack, never by recursion: libyaml's own nesting has no limit.
 *
 * An alias becomes a copy of what its anchor names, so that whoever reads the tree sees none: copies
 * count as nodes (a bomb ends at YAML_NODES_MAX), their text up to YAML_COPIED_MAX; their places are
 * those of the original. An anchor is named once, before its aliases, and none within itself.
 */
#ifndef KIT_YTREE_H
#define KIT_YTREE_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

#define YAML_DEPTH_MAX	 32
#define YAML_ITEMS_MAX	 256
#define YAML_NODES_MAX	 8192
#define YAML_ANCHORS_MAX 64
#define YAML_COPIED_MAX	 (1U << 20) /* bytes of scalars that aliases stand for */

enum ynode_kind { YNODE_SCALAR, YNODE_LIST, YNODE_MAP };

struct ynode {
	enum ynode_kind kind;
	unsigned line, column; /* from 1 */
	bool plain; /* a scalar without quotes */
	char *text; /* scalar: terminated, no NUL inside */
	size_t len; /* of text */
	unsigned first, next; /* indices; 0: none. A map's children are key, value, key, value... */
	unsigned count; /* children */
};

struct ytree {
	const char *file; /* borrowed: how errors name it */
	struct ynode *nodes;
	unsigned n, cap;
	unsigned root;
};

/* yaml_read() - *ret_tree is the caller's to ytree_fini() */
int yaml_read(const char *file, const char *text, size_t len, struct ytree *ret_tree,
	struct err *e) MUST_USE;
/* yaml_read_plain() - the same without anchors: for files in which a line shall mean what it says */
int yaml_read_plain(const char *file, const char *text, size_t len, struct ytree *ret_tree,
	struct err *e) MUST_USE;
void ytree_fini(struct ytree *t);
void ytree_auto(struct ytree *t);

/* ynode_next()/ynode_first() - walk children; NULL at the end */
const struct ynode *ynode_first(const struct ytree *t, const struct ynode *n);
const struct ynode *ynode_next(const struct ytree *t, const struct ynode *n);
/* yaml_fault() - err_set() with "FILE:LINE:COLUMN: " in front; returns -EINVAL */
int yaml_fault(struct err *e, const struct ytree *t, const struct ynode *n, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
#endif
