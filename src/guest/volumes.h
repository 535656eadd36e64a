/* volumes.h - directories that are not of the root: of the scratch disk itself, or of memory
 *
 * docs/protocol/agent.md, "Boot". One of the disk lies beside the overlay, so that what cannot live
 * on an overlay (another overlay, databases that map files) has a plain file system.
 */
#ifndef GUEST_VOLUMES_H
#define GUEST_VOLUMES_H
#include "base/err.h"
#include "proto/agent.h"

/* volume_mount() - the @at-th volume of @m at its path; @scratch_fd: root of the scratch disk */
int volume_mount(const struct agent_setup *m, size_t at, int scratch_fd, struct err *e) MUST_USE;
#endif
