/* root.h - from the initramfs to the sandbox's own root file system
 *
 * The walk: device and kernel file systems → modules → disks → overlay → in its place. The agent
 * goes on running from the initramfs, so nothing that is deleted in the new root can stop it.
 */
#ifndef GUEST_ROOT_H
#define GUEST_ROOT_H
#include "guest/guest.h"
#include "base/err.h"

/* root_early() - /dev, /sys and a console: before anything can be said or loaded */
int root_early(struct err *e) MUST_USE;
/* root_load_modules() - those of /modules/order, in that order; the files are removed after
 * One that is missing is skipped; one that the kernel refuses is told to the log. Those that a
 * start does not need wait: a file system until a disk has it, the rest for root_load_rest().
 */
int root_load_modules(struct err *e) MUST_USE;
/* root_load_net() - those that net_up() needs */
void root_load_net(void);
/* root_load_rest() - what has waited, in a child, once the host was told READY; then, without haste, what
 * container engines need (/modules/later)
 */
void root_load_rest(void);
/* root_enter() - find the disks, build the root and switch into it; fills g->pts_fd, null_fd,
 * scratch_fd
 */
int root_enter(struct guest *g, struct err *e) MUST_USE;
#endif
