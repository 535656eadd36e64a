/* root.h - an empty read-only root, with single files of the host in it where a program needs them
 *
 * A tmpfs of the process's own mount namespace takes the place of "/"; the old tree is detached,
 * so that no path leads to it. There is no /proc, no /dev, nothing that was not listed.
 * System calls only: usable between clone and exec.
 */
#ifndef JAIL_ROOT_H
#define JAIL_ROOT_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>

#define JAIL_FILES_MAX 96

/* One file of the new root: bound from the host (read-only, nosuid, nodev), or copied from a
 * descriptor when the program's user may not open the host's file itself.
 */
struct jail_file {
	const char *inside; /* path in the new root, without leading '/' */
	const char *host; /* absolute path to bind; NULL: copy */
	int copy_fd; /* read from its start; borrowed */
};

struct jail_root {
	const struct jail_file *file;
	size_t n_files;
};

/* jail_hold() - the directory or file behind @fd (borrowed) as a mount of its own that is attached
 * nowhere: ".." ends at it, whatever else the process may do. Read-only, if so wanted, for everybody.
 * Found again by its path, and it must be the same: -ESTALE. Needs CAP_SYS_ADMIN in a mount
 * namespace of our own, and the host's /proc. Returns an O_PATH descriptor (close-on-exec).
 */
int jail_hold(int fd, bool read_only) MUST_USE;
/* jail_root_open() - take hold of what is bound and copied, with the rights and the descriptors we
 * have now; the new descriptors are @min or above
 */
int jail_root_open(const struct jail_root *r, int min, int ret_trees[JAIL_FILES_MAX]) MUST_USE;
/* jail_root_enter() - build the root as the user we are, and make it "/"; closes @trees
 * Needs CAP_SYS_ADMIN in a mount namespace of our own.
 */
int jail_root_enter(const struct jail_root *r, int trees[JAIL_FILES_MAX]) MUST_USE;
/* jail_root_empty() - both, for a root without any file */
int jail_root_empty(void) MUST_USE;
#endif
