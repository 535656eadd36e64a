/* devices.h - the machine's own devices: streams (vsock) and shared folders (fs)
 *
 * Each is served on one end of a socket pair; the engine gets the other.
 * Thread: vsock on the machine's loop; the file server blocks on host files and has its own.
 */
#ifndef MACHINE_DEVICES_H
#define MACHINE_DEVICES_H
#include "base/err.h"
#include "base/loop.h"
#include "machine/plan.h"
#include "machine/share.h"
#include "virtio/vhost_user.h"
#include "virtio/vsock.h"

#define DEVICES_OPENS 32 /* the guest's agent tries ten times a second at most */

struct devices_events {
	/* driver_up() - the guest's vsock driver runs */
	void (*driver_up)(void *ctx);
	/* stream() - the guest opened host port @port; @fd is borrowed; negative errno: refused.
	 * Only for ports that the host serves, and not more than DEVICES_OPENS times a second.
	 */
	int (*stream)(void *ctx, uint32_t port, int fd);
	/* broken() - the engine broke the rules of a device connection */
	void (*broken)(void *ctx, const char *why);
	/* queue_broken() - the guest broke queue @index of @device: silent until it is set up anew */
	void (*queue_broken)(void *ctx, const char *device, unsigned index, const char *why);
	void *ctx;
};

struct devices {
	struct devices_events ev;
	struct vsock *vsock;
	struct vhost_user *vsock_conn;
	struct share *share; /* NULL: nothing is shared */
	int64_t opens_since; /* clock_ms() */
	unsigned opens; /* streams the guest opened since then */
};

/* devices_open() - *ret_vsock_fd, *ret_fs_fd: the engine's ends (owned by the caller; fs -1: none) */
int devices_open(struct devices *d, struct loop *l, const struct machine_plan *p,
	const struct devices_events *ev, int *ret_vsock_fd, int *ret_fs_fd, struct err *e) MUST_USE;
/* devices_start() - make the threads; after this process has given up its rights */
int devices_start(struct devices *d, struct err *e) MUST_USE;
/* devices_faults() - rules broken by the guest, or by an engine in its name */
uint64_t devices_faults(const struct devices *d);
/* devices_broken() - is a queue broken now? */
bool devices_broken(const struct devices *d);
void devices_close(struct devices *d); /* copes with half-built */
#endif
