/* vsock.h - virtio-vsock device: guest stream sockets are unix stream sockets on the host
 *
 * Virtio 1.2, section 5.10; stream sockets only; the guest is CID 3, the host CID 2. A stream is one
 * connected unix socket that this device owns; its bytes go between that socket and guest buffers
 * without being looked at.
 *
 * Flow: towards the host at most the granted buffer (VSOCK_BUF_BYTES, less when many streams are
 * open) is taken from the guest ahead of a socket that does not take it; towards the guest nothing
 * is buffered: the socket is read when the guest has room and a receive buffer. Half-close goes both
 * ways (SHUTDOWN, shutdown(2)).
 * Faults: a packet that breaks the rules resets its stream and is counted; never more. Memory,
 * streams, waiting connects and waiting resets are capped, whatever the guest does.
 * Thread: that of the loop.
 */
#ifndef VIRTIO_VSOCK_H
#define VIRTIO_VSOCK_H
#include "base/loop.h"
#include "virtio/device.h"

#define VSOCK_DEVICE_ID 19
#define VSOCK_HOST_CID	2
#define VSOCK_GUEST_CID 3
#define VSOCK_STREAMS	1344 /* all together, of one sandbox */
#define VSOCK_GUEST_STREAMS                                                                        \
	1088 /* of them made by the guest, so that it cannot shut the host out */
#define VSOCK_CONNECTING 128 /* connects of the host that are not answered yet */
#define VSOCK_BUF_BYTES	 (256u << 10)
#define VSOCK_POOL_BYTES (10u << 20) /* all granted buffers; beyond it VSOCK_BUF_LEAST each */
#define VSOCK_BUF_LEAST	 4096u
#define VSOCK_ANSWER_MS	 10000 /* the guest must answer a REQUEST, and a SHUTDOWN of both ways */
#define VSOCK_DRIVER_MS	 60000 /* a connect waits so long for the driver to come up */

struct vsock;

struct vsock_events {
	/* incoming() - the guest connects to host port @host_port. Returns a connected unix stream
	 * socket that becomes the device's, or a negative errno: refused. Only ports that are meant
	 * to be reached from inside may be accepted.
	 */
	int (*incoming)(void *ctx, uint32_t host_port);
	void *ctx;
};

struct vsock_stats {
	unsigned streams; /* in the table now, those connecting and closing included */
	unsigned connecting; /* of them waiting for the guest's answer, or for its driver */
	uint64_t to_guest_bytes, to_host_bytes;
	uint64_t faults; /* rules broken by the guest, its queues included */
	uint64_t refused; /* connects of the guest that were reset */
};

/* vsock_new() - NULL without memory; @l borrowed */
struct vsock *vsock_new(struct loop *l, const struct vsock_events *events) MUST_USE;
void vsock_free(struct vsock *v); /* after its transport; closes all streams. NULL is fine */
struct virtio_dev *vsock_dev(struct vsock *v);
/* vsock_connect() - connect @fd (a connected unix stream socket, taken also on failure) to port
 * @guest_port of the guest. It may be written to at once. When the guest refuses or does not answer
 * in time, the socket is closed: its peer reads the end.
 * -EAGAIN: VSOCK_CONNECTING or VSOCK_STREAMS reached; -ENOMEM.
 */
int vsock_connect(struct vsock *v, uint32_t guest_port, int fd) MUST_USE;
void vsock_stats(const struct vsock *v, struct vsock_stats *ret_stats);
#endif
