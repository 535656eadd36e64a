/* vsock_guest.h - the guest's side of a vsock device in plain memory: packets in, packets out
 *
 * Knows no streams: a test says which packet goes out, and looks at each that comes in.
 */
#ifndef VSOCK_GUEST_H
#define VSOCK_GUEST_H
#include "ring_guest.h"
#include "virtio/vsock.h"
#include <linux/virtio_vsock.h>

#define VG_QUEUE     128 /* as QEMU's */
#define VG_TX_BYTES  65536u
#define VG_RX_MAX    65536u
#define VG_GUEST_BUF (256u << 10) /* buf_alloc we state, unless a test says otherwise */

struct vsock_guest {
	struct ring_guest g;
	struct rg_queue rx, tx;
	struct virtio_dev *dev;
	uint32_t rx_bytes; /* size of one receive buffer's payload */
	uint64_t tx_hdr[VG_QUEUE], tx_buf[VG_QUEUE], rx_hdr[VG_QUEUE], rx_buf[VG_QUEUE];
	unsigned tx_at, tx_out, rx_posted;
	uint16_t rx_free[VG_QUEUE]; /* slots not posted */
	unsigned n_rx_free;
	/* How to kick; NULL: a call of the device (same thread). */
	void (*kick)(void *ctx, unsigned queue);
	void *kick_ctx;
};

/* What a packet says; zero fields get what a well-behaved guest would put there. */
struct vg_packet {
	uint32_t host_port, guest_port;
	uint16_t op;
	uint32_t flags, fwd;
	const void *payload;
	uint32_t len;
	/* only to lie */
	bool lie_alloc;
	uint32_t alloc, extra_len;
	uint64_t src_cid, dst_cid;
	uint16_t type;
};

void vg_init(struct vsock_guest *vg, struct virtio_dev *dev, uint32_t rx_bytes);
void vg_fini(struct vsock_guest *vg);
/* vg_start() - queues up, with all receive buffers posted if @post */
void vg_start(struct vsock_guest *vg, bool post);
/* vg_restart() - the driver begins anew on fresh rings (after virtio_dev_reset()) */
void vg_restart(struct vsock_guest *vg);
void vg_post(struct vsock_guest *vg, unsigned n);
/* vg_send() - queue and kick; vg_queue() without the kick; false: no free slot */
bool vg_queue(struct vsock_guest *vg, const struct vg_packet *p);
void vg_send(struct vsock_guest *vg, const struct vg_packet *p);
void vg_kick(struct vsock_guest *vg, unsigned queue);
/* vg_recv() - next packet of the device; its payload (host pointer) is good until vg_post() */
bool vg_recv(struct vsock_guest *vg, struct virtio_vsock_hdr *ret_h, const uint8_t **ret_payload);
#endif
