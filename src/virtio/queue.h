/* queue.h - one split virtqueue: descriptor chains come out as checked host spans, used entries go back
 *
 * Virtio 1.2, section 2.7. Everything a guest can write is read here once, copied, and checked;
 * nothing above sees a ring. Indirect tables are supported, EVENT_IDX too, packed rings are not.
 * A guest that breaks a rule gets VQ_BROKEN: the queue gives nothing more until it is reset, the
 * device says NEEDS_RESET. Never an abort, never a second read.
 * Thread: one worker owns a queue.
 */
#ifndef VIRTIO_QUEUE_H
#define VIRTIO_QUEUE_H
#include "virtio/gmem.h"
#include <sys/uio.h>

#define VQUEUE_SIZE_MAX 1024 /* entries; also the longest chain, whatever the guest says */
#define VQUEUE_CHAIN_BYTES (16u << 20) /* all spans of one chain together */

enum vq_result { VQ_EMPTY, VQ_CHAIN, VQ_BROKEN };

struct vqueue {
	const struct gmem *mem; /* borrowed */
	void *desc, *avail, *used; /* host addresses of the rings; checked when set */
	uint16_t size;		   /* entries, a power of two */
	uint16_t next_avail, next_used;
	uint16_t signalled_used;
	bool ready, broken, event_idx, indirect, signalled_valid;
	uint64_t faults; /* rules broken by the guest since init */
};

/* One chain: device-readable spans first, then device-writable ones (the order virtio demands). */
struct vchain {
	uint16_t head;
	unsigned n_in;	/* spans we may read */
	unsigned n_out; /* spans we may write */
	uint64_t in_bytes, out_bytes;
	struct iovec iov[VQUEUE_SIZE_MAX]; /* [0, n_in) then [n_in, n_in + n_out) */
};

void vqueue_init(struct vqueue *q, const struct gmem *mem);
void vqueue_reset(struct vqueue *q);
/* vqueue_set() - rings by host address (already bounds-checked for @size by the transport)
 * -EINVAL: @size is not a power of two in 1..VQUEUE_SIZE_MAX, an address is NULL or misaligned
 */
int vqueue_set(struct vqueue *q, uint16_t size, void *desc, void *avail, void *used) MUST_USE;
/* vqueue_pop() - take the next chain the driver offered; @ret_chain is written on VQ_CHAIN only */
enum vq_result vqueue_pop(struct vqueue *q, struct vchain *ret_chain) MUST_USE;
/* vqueue_push() - give the chain back; @written bytes are in its writable spans */
void vqueue_push(struct vqueue *q, uint16_t head, uint32_t written);
/* vqueue_needs_signal() - must the driver be interrupted for what was pushed since the last call? */
bool vqueue_needs_signal(struct vqueue *q);
/* vqueue_want_kicks() - true: ask the driver to kick; returns true when chains came meanwhile */
bool vqueue_want_kicks(struct vqueue *q, bool want);

/* vchain_read() - copy up to @len bytes from the readable spans from @offset; returns bytes copied */
size_t vchain_read(const struct vchain *c, size_t offset, void *dst, size_t len);
/* vchain_write() - copy into the writable spans from @offset; returns bytes copied */
size_t vchain_write(const struct vchain *c, size_t offset, const void *src, size_t len);
#endif
