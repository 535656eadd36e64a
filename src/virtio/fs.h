/* fs.h - virtio device 26: the file server behind a high-priority queue and one request queue
 *
 * fs_dev_new() → give &virtio_dev to a transport on the same thread → … → fs_dev_free() after the
 * transport is gone. The exports' descriptors and proc_fd stay the caller's and open meanwhile.
 * For requests of 1 MiB the request queue needs 512 entries or more (QEMU: queue-size=1024).
 * Thread: the loop's. File I/O of the host blocks it, so give the device a loop of its own.
 */
#ifndef VIRTIO_FS_H
#define VIRTIO_FS_H
#include "base/loop.h"
#include "virtio/device.h"
#include "virtio/fs_server.h"

#define FS_TAG "sbx"

/* fs_dev_new() - a device that serves @c (copied) and retries waiting locks on @l (borrowed)
 * 0, -EINVAL, -errno as fs_server_new(); *ret_dev is owned by the caller.
 */
int fs_dev_new(const struct fs_config *c, struct loop *l, struct virtio_dev **ret_dev) MUST_USE;
void fs_dev_free(struct virtio_dev *d); /* NULL is fine */
void fs_dev_stats(struct virtio_dev *d, struct fs_stats *ret_stats);
#endif
