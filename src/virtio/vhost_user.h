/* vhost_user.h - a device on a vhost-user connection: QEMU is the front-end, we are the back-end
 *
 * One connection is one device. Messages from QEMU are judged like a guest's: the first that is
 * wrong ends the connection, with the reason in closed(); everything that came with it is closed.
 * Guest memory must be in files that cannot shrink (memory-backend-memfd, share=on).
 *
 * Life of the driver: QEMU stops all rings both for a pause and for a reset of the guest. They are
 * told apart when rings start again: a ring that goes on where it stopped is the same life; any
 * other index is a new driver, and the device is reset first. When the connection ends the device
 * is reset too.
 * Thread: all of it on the thread of the given loop, which is the device's thread.
 */
#ifndef VIRTIO_VHOST_USER_H
#define VIRTIO_VHOST_USER_H
#include "base/loop.h"
#include "virtio/device.h"
#include "virtio/vhost_user_msg.h"

struct vhost_user;

struct vhost_user_events {
	/* closed() - the connection ended; all that is left to do is vhost_user_free(), also here */
	void (*closed)(void *ctx, enum vu_result why);
	/* running() - a queue of the device started (the driver is up) or the last one stopped.
	 * May be NULL. Must not free.
	 */
	void (*running)(void *ctx, bool up);
	void *ctx;
	/* broken() - the guest broke a rule on queue @index (@why: static text): it is silent until
	 * the driver sets it up anew. May be NULL. Must not free.
	 */
	void (*broken)(void *ctx, unsigned index, const char *why);
};

/* vhost_user_new() - serve @dev (borrowed) on the connected stream socket @fd (taken, also on
 * failure). NULL with errno set: no descriptor or memory left.
 */
struct vhost_user *vhost_user_new(struct loop *l, int fd, struct virtio_dev *dev,
	const struct vhost_user_events *events) MUST_USE;
/* vhost_user_free() - resets the device, unmaps guest memory; closed() is not called. NULL is fine */
void vhost_user_free(struct vhost_user *v);
#endif
