/* detach.h - a directory as a mount of its own that is attached nowhere
 *
 * ".." of such a mount's root is the root itself: who holds its descriptor cannot climb out of it,
 * whatever code runs in the process. Mounts beneath it come along; what the host mounts there later
 * is not seen.
 */
#ifndef JAIL_DETACH_H
#define JAIL_DETACH_H
#include "base/own.h"
#include <stdbool.h>

/* jail_detach() - a new O_PATH descriptor of what @fd is, in a detached mount without set-id
 * programs, devices and execution, and read-only if asked for. Needs /proc, and CAP_SYS_ADMIN in a
 * mount namespace of our own. -ESTALE: its path leads elsewhere by now; -errno of the kernel.
 */
int jail_detach(int fd, bool read_only) MUST_USE;
#endif
