/* queue.h - one split virtqueue: descriptor chains come out as checked host spans, used ones go back
 *
 * Virtio 1.2, section 2.7. Everything a guest can write is read here once, copied, and checked;
 * nothing above sees a ring. Indirect tables are supported, EVENT_IDX too, packed rings are not.
 * A guest that breaks a rule gets VQ_BROKEN: the queue gives nothing more until it is set up anew.
 * vhost-user has no way to say NEEDS_RESET, and Linux does not listen to it: the machine tells the
 * user instead, and ends a guest that leaves the queue so. Never an abort, never a second read.
 *
 * What breaks a queue: avail.idx more than a queue ahead (or behind); more chains in flight than
 * entries; a head or next out of range; a loop, or more than VQUEUE_SIZE_MAX spans; a span of no
 * bytes, outside of memory, or together more than VQUEUE_CHAIN_BYTES; readable after writable;
 * an indirect table inside another, with NEXT, not agreed, not of whole entries or too long.
 * Thread: one worker owns a queue.
 */
#ifndef VIRTIO_QUEUE_H
#define VIRTIO_QUEUE_H
#include "virtio/gmem.h"
#include <sys/uio.h>

#define VQUEUE_SIZE_MAX	   1024 /* entries; also the most spans of a chain, whatever the guest says */
#define VQUEUE_CHAIN_BYTES (16u << 20) /* all spans of one chain together */

enum vq_result { VQ_EMPTY, VQ_CHAIN, VQ_BROKEN };

struct vqueue {
	const struct gmem *mem; /* borrowed */
	uint8_t *desc, *avail, *used; /* host addresses of the rings; checked when set */
	uint16_t size; /* entries, a power of two */
	uint16_t next_avail, next_used;
	uint16_t avail_idx; /* our copy of avail.idx: chains up to here may be taken */
	uint16_t in_flight; /* popped and not pushed yet */
	uint16_t signalled_used;
	bool ready, broken, event_idx, indirect, signalled_valid;
	uint64_t faults; /* rules broken by the guest since init */
	const char *why; /* the rule that was broken last; static text, NULL: none yet */
};

/* One chain: device-readable spans first, then device-writable ones (the order virtio demands).
 * It is 16 KiB: keep one per worker, not on a stack.
 */
struct vchain {
	uint16_t head;
	unsigned n_in; /* spans we may read */
	unsigned n_out; /* spans we may write */
	uint64_t in_bytes, out_bytes;
	struct iovec iov[VQUEUE_SIZE_MAX]; /* [0, n_in) then [n_in, n_in + n_out) */
};

void vqueue_init(struct vqueue *q, const struct gmem *mem);
/* vqueue_reset() - no rings, no agreed features, not broken; faults are kept */
void vqueue_reset(struct vqueue *q);
/* vqueue_ring_bytes() - what the three rings of @size entries take (desc, avail, used) */
void vqueue_ring_bytes(uint16_t size, uint64_t ret_bytes[3]);
/* vqueue_set() - rings by host address (already bounds-checked for @size by the transport)
 * @next: index of the first chain not yet processed (0 in a new life); all before are given back.
 * -EINVAL: @size is not a power of two in 1..VQUEUE_SIZE_MAX, an address is NULL or misaligned,
 * or two rings share bytes
 */
int vqueue_set(struct vqueue *q, uint16_t size, void *desc, void *avail, void *used,
	uint16_t next) MUST_USE;
/* vqueue_stop() - forget the rings, keep the rest; what is in flight is never given back.
 * Returns the index to resume from.
 */
uint16_t vqueue_stop(struct vqueue *q);
/* vqueue_pop() - take the next chain the driver offered; @ret_chain counts on VQ_CHAIN only */
enum vq_result vqueue_pop(struct vqueue *q, struct vchain *ret_chain) MUST_USE;
/* vqueue_unpop() - the chain popped last is not wanted yet: the next pop reads it afresh */
void vqueue_unpop(struct vqueue *q);
/* vqueue_push() - give the chain back; @written bytes are in its writable spans. Nothing happens
 * on a queue that was stopped or broke meanwhile.
 */
void vqueue_push(struct vqueue *q, uint16_t head, uint32_t written);
/* vqueue_break() - the guest is at fault: counts it, and the queue is VQ_BROKEN. @why: static text */
void vqueue_break(struct vqueue *q, const char *why);
/* vqueue_needs_signal() - must the driver be interrupted for what was pushed since the last call? */
bool vqueue_needs_signal(struct vqueue *q);
/* vqueue_want_kicks() - true: ask the driver to kick; returns true when chains came meanwhile
 * (pop again). false: the driver may spare its kicks.
 */
bool vqueue_want_kicks(struct vqueue *q, bool want);

/* vchain_read() - copy up to @len bytes from the readable spans from @offset; returns bytes copied */
size_t vchain_read(const struct vchain *c, size_t offset, void *dst, size_t len);
/* vchain_write() - copy into the writable spans from @offset; returns bytes copied */
size_t vchain_write(const struct vchain *c, size_t offset, const void *src, size_t len);
/* vchain_in()/vchain_out() - the spans of [@offset, @offset + @len) of the readable/writable bytes,
 * in place, into @iov (@cap entries); returns entries. @ret_len (may be NULL): bytes they hold,
 * less than @len when the chain or @cap ends before.
 */
unsigned vchain_in(const struct vchain *c, size_t offset, size_t len, struct iovec *iov,
	unsigned cap, size_t *ret_len);
unsigned vchain_out(const struct vchain *c, size_t offset, size_t len, struct iovec *iov,
	unsigned cap, size_t *ret_len);
#endif
