/* fs_watch.h - which names the host's tools obey; the file server tells of changes to them
 *
 * The rules are data (fs_watch_rules.c). Only changes that came through the share's requests are
 * told of, by the path an object had then, relative to the top of its export.
 */
#ifndef VIRTIO_FS_WATCH_H
#define VIRTIO_FS_WATCH_H
#include <stddef.h>

struct fs_watch_rule {
	const char
		*pattern; /* also its identifier in what is stored; never given another meaning */
	const char *why; /* for people; NULL: an exception */
};
extern const struct fs_watch_rule fs_watch_rules[];
extern const size_t fs_watch_n_rules;

/* Rules that are no pattern. */
#define FS_WATCH_LINKED "(linked)" /* written to, and it has further names that nobody looked for */

enum fs_change { /* bits */
	FS_CREATED = 1,
	FS_WRITTEN = 2,
	FS_RENAMED = 4, /* something was moved here */
	FS_LINKED = 8, /* became one of two names of a file */
	FS_EXECUTABLE = 16, /* mode */
	FS_CHANGES = 31,
};
#define FS_WATCH_PATH_MAX 1024 /* bytes of a path as told; a longer one loses its front */

/* fs_changed_fn - @path (not a terminated "…" escape; hostile bytes, no NUL) of @export was changed.
 * @path ends in '/' when a directory was moved there: all below it counts.
 */
typedef void (*fs_changed_fn)(
	void *ctx, unsigned export, const char *rule, unsigned changes, const char *path);
/* fs_moved_fn - directory @from of @export is @to now: so is what was told of beneath it */
typedef void (*fs_moved_fn)(void *ctx, unsigned export, const char *from, const char *to);

/* fs_watch_why() - the reason for people; "" when the rule is not known here */
const char *fs_watch_why(const char *rule);
#endif
