/* ring_guest.h - a guest driver in plain memory: builds rings, offers chains, takes them back
 *
 * Two regions of guest memory that do not meet, so that a mixed-up address shows. A chain is made
 * of rg_span; raw descriptors can be written by hand for what no driver would do. Not thread-safe,
 * but the index accesses are those of a driver (acquire/release), so a device may run in a thread.
 */
#ifndef RING_GUEST_H
#define RING_GUEST_H
#include "virtio/device.h"

#define RG_BASE 0x10000ull /* guest-physical start of the first region */
#define RG_HIGH 0x100000000ull /* of the second */
#define RG_USER                                                                                    \
	0x7f0000000000ull /* user address of RG_BASE; the second region follows with a gap */
#define RG_HIGH_SIZE 0x10000u

struct rg_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

enum { RG_NEXT = 1, RG_WRITE = 2, RG_INDIRECT = 4 };

struct rg_span {
	uint64_t gpa;
	uint32_t len;
	bool write;
};

struct rg_queue {
	struct ring_guest *g;
	uint16_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	struct rg_desc *desc;
	uint16_t *avail; /* flags, idx, ring[size], used_event */
	uint16_t *used; /* flags, idx, {id, len}[size], avail_event */
	uint16_t avail_idx, seen_used;
	uint16_t free_desc; /* next to use, round and round: a test offers no more than fit */
};

struct ring_guest {
	int ram_fd; /* memfd of the first region, sealable: for a vhost-user memory table */
	uint8_t *ram, *high;
	size_t size, brk;
	struct gmem mem;
	unsigned signals[VIRTIO_QUEUES_MAX], broken[VIRTIO_QUEUES_MAX];
};

void rg_init(struct ring_guest *g, size_t ram_bytes);
void rg_fini(struct ring_guest *g);
/* rg_alloc() - never freed; aborts when the memory is used up */
uint64_t rg_alloc(struct ring_guest *g, size_t len, size_t align);
void *rg_host(struct ring_guest *g, uint64_t gpa);

/* rg_queue_init() - rings of @size in guest memory, not yet known to any device */
void rg_queue_init(struct ring_guest *g, struct rg_queue *q, uint16_t size);
/* rg_start() - agree on @features (and the basic ones) and start queue @index of @d with @q */
void rg_attach(struct ring_guest *g, struct virtio_dev *d, uint64_t features);
void rg_start(struct rg_queue *q, struct virtio_dev *d, unsigned index);
/* rg_set() - the same for a bare vqueue */
void rg_set(struct rg_queue *q, struct vqueue *vq);

void rg_write_desc(
	struct rg_queue *q, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
/* rg_offer() - put @head into the available ring and move the index on */
void rg_offer(struct rg_queue *q, uint16_t head);
/* rg_chain() - write descriptors for the spans and offer them; returns the head */
uint16_t rg_chain(struct rg_queue *q, const struct rg_span *spans, unsigned n);
/* rg_chain_indirect() - the same by one indirect table (allocated) */
uint16_t rg_chain_indirect(struct rg_queue *q, const struct rg_span *spans, unsigned n);
/* rg_used() - next used entry; false: none */
bool rg_used(struct rg_queue *q, uint32_t *ret_id, uint32_t *ret_len);
uint16_t *rg_used_event(struct rg_queue *q);
uint16_t *rg_avail_event(struct rg_queue *q);
#endif
