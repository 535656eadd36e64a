/* guard.h - open a directory of the host that may lie in a folder which a sandbox can write
 *
 * In such a folder the sandbox can put a symbolic link anywhere, at any moment. So what lies in one
 * is opened from the folder's own descriptor, beneath it and without following any link; paths
 * elsewhere are the user's own and are opened as usual.
 */
#ifndef CLI_GUARD_H
#define CLI_GUARD_H
#include "base/err.h"
#include "json/json.h"

#define GUARD_ROOTS_MAX 1024

struct guard {
	const char *roots[GUARD_ROOTS_MAX]; /* borrowed: absolute paths without links */
	size_t n;
};
/* guard_fill() - the workspaces of all sandboxes, from the answer of GET /v1/sandboxes */
void guard_fill(struct guard *g, const struct js *boxes);
/* guard_open_dir() - a descriptor of the directory @path (relative to the current one), or a negative
 * errno with @e; O_RDONLY | O_DIRECTORY
 */
int guard_open_dir(const struct guard *g, const char *path, struct err *e) MUST_USE;
#endif
