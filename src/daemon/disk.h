/* disk.h - scratch disks: sparse ext4 images, copied from a template per size */
#ifndef DAEMON_DISK_H
#define DAEMON_DISK_H
#include "daemon/daemon.h"

/* disk_make() - <dirfd>/@name as an empty ext4 of @bytes; sparse; on stable storage when it returns.
 * The template lies in the cache and is made on first use. -ENOSPC and the like leave nothing.
 */
int disk_make(
	struct daemon *d, int dirfd, const char *name, uint64_t bytes, struct err *e) MUST_USE;
#endif
