/* exports.h - the host's shared directories and files, and volumes, at their places
 *
 * One virtio-fs device (tag "sbx") has each export under its index. It is mounted out of sight,
 * each export is bound to its path, and the mount itself is taken away again: nothing but the
 * binds can be reached. Read-only is enforced by the host; here it only makes the error honest.
 */
#ifndef GUEST_EXPORTS_H
#define GUEST_EXPORTS_H
#include "base/err.h"
#include "proto/agent.h"

/* exports_mount() - @scratch_fd: root of the scratch disk, where volumes are (volumes.h) */
int exports_mount(const struct agent_setup *m, int scratch_fd, struct err *e) MUST_USE;
#endif
