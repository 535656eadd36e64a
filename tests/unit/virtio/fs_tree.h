/* fs_tree.h - a private directory for a test: share/ is exported, outside/ must stay as it was
 *
 * outside/canary has known contents and mode; fs_tree_remove() asserts that it was not touched.
 */
#ifndef FS_TREE_H
#define FS_TREE_H
#include <stddef.h>

struct fs_tree {
	char base[64], share[96], outside[96];
};

void fs_tree_make(struct fs_tree *t); /* in /tmp */
void fs_tree_make_in(struct fs_tree *t, const char *dir);
void fs_tree_remove(struct fs_tree *t);
/* fs_tree_path() - "share/name" in a static buffer, four of them in turn */
const char *fs_tree_path(const struct fs_tree *t, const char *name);
void fs_tree_write(const struct fs_tree *t, const char *name, const void *p, size_t len);
void fs_tree_expect(const struct fs_tree *t, const char *name, const void *p, size_t len);
#endif
