/* The split ring, virtio 1.2 §2.7.
 *
 * Layout: desc[size] of 16 bytes; avail { flags, idx, ring[size], used_event } of u16;
 * used { u16 flags, u16 idx, { u32 id, u32 len }[size], u16 avail_event }.
 *
 * Ordering: avail.idx is loaded with acquire before ring entries and descriptors are read; used.idx
 * is stored with release after the entry. Where one side stores and then looks whether the other
 * wants to hear of it (used.idx then used_event, avail_event then avail.idx), both accesses are
 * sequentially consistent, else each could miss the other.
 */
#include "virtio/queue.h"
#include <assert.h>
#include <errno.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rings are little-endian");

#define DESC_NEXT     1u
#define DESC_WRITE    2u
#define DESC_INDIRECT 4u

#define AVAIL_NO_INTERRUPT 1u
#define USED_NO_NOTIFY	   1u

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
static_assert(sizeof(struct desc) == 16, "as in the ring");

/* Where avail.flags, avail.idx and used.flags, used.idx are. */
enum { AT_FLAGS = 0, AT_IDX = 2, AT_RING = 4 };

static uint16_t *u16_at(uint8_t *ring, size_t offset)
{
	return (uint16_t *)(void *)(ring + offset);
}

static uint16_t *used_event(const struct vqueue *q)
{
	return u16_at(q->avail, AT_RING + 2u * q->size);
}

static uint16_t *avail_event(const struct vqueue *q)
{
	return u16_at(q->used, AT_RING + 8u * q->size);
}

void vqueue_init(struct vqueue *q, const struct gmem *mem)
{
	*q = (struct vqueue){.mem = mem};
}

void vqueue_reset(struct vqueue *q)
{
	*q = (struct vqueue){.mem = q->mem, .faults = q->faults, .why = q->why};
}

void vqueue_ring_bytes(uint16_t size, uint64_t ret_bytes[3])
{
	ret_bytes[0] = 16ull * size;
	ret_bytes[1] = AT_RING + 2ull * size + 2;
	ret_bytes[2] = AT_RING + 8ull * size + 2;
}

static bool rings_overlap(uint16_t size, const void *const ring[3])
{
	uint64_t bytes[3];

	vqueue_ring_bytes(size, bytes);
	for (unsigned i = 0; i < 3; i++)
		for (unsigned j = 0; j < i; j++) {
			uintptr_t a = (uintptr_t)ring[i], b = (uintptr_t)ring[j];

			if (a < b + bytes[j] && b < a + bytes[i])
				return true;
		}
	return false;
}

int vqueue_set(struct vqueue *q, uint16_t size, void *desc, void *avail, void *used, uint16_t next)
{
	const void *const ring[3] = {desc, avail, used};

	if (size == 0 || size > VQUEUE_SIZE_MAX || (size & (size - 1)) != 0)
		return -EINVAL;
	if (!desc || !avail || !used || (uintptr_t)desc % 16 || (uintptr_t)avail % 2 ||
		(uintptr_t)used % 4 || rings_overlap(size, ring))
		return -EINVAL;
	q->desc = desc;
	q->avail = avail;
	q->used = used;
	q->size = size;
	q->next_avail = q->next_used = q->avail_idx = q->signalled_used = next;
	q->in_flight = 0;
	q->signalled_valid = false;
	q->broken = false;
	q->ready = true;
	return 0;
}

uint16_t vqueue_stop(struct vqueue *q)
{
	q->ready = false;
	q->desc = q->avail = q->used = NULL;
	q->in_flight = 0;
	return q->next_avail;
}

void vqueue_break(struct vqueue *q, const char *why)
{
	q->faults++;
	q->why = why;
	q->broken = true;
}

static const char far_ahead[] = "the index of the available ring is more than a queue ahead";

/* avail_refresh() - look at avail.idx; false: it says what no driver may say */
static bool avail_refresh(struct vqueue *q, int order)
{
	uint16_t idx = order == __ATOMIC_SEQ_CST
			       ? __atomic_load_n(u16_at(q->avail, AT_IDX), __ATOMIC_SEQ_CST)
			       : __atomic_load_n(u16_at(q->avail, AT_IDX), __ATOMIC_ACQUIRE);

	if ((uint16_t)(idx - q->next_avail) > q->size)
		return false;
	q->avail_idx = idx;
	return true;
}

/* Where a walk stands: the ring's own table, or an indirect one. */
struct walk {
	const uint8_t *table;
	unsigned n; /* entries of it */
	unsigned steps; /* taken in it: more than n is a loop */
	bool indirect;
};

static bool enter_indirect(struct vqueue *q, struct walk *w, const struct desc *d)
{
	if (!q->indirect || w->indirect || (d->flags & DESC_NEXT))
		return false;
	if (d->len == 0 || d->len % sizeof(*d) != 0 || d->len / sizeof(*d) > VQUEUE_SIZE_MAX)
		return false;
	*w = (struct walk){.table = gmem_span(q->mem, (gpa_t){d->addr}, d->len),
		.n = d->len / (unsigned)sizeof(*d),
		.indirect = true};
	return w->table != NULL;
}

/* add_spans() - one descriptor's bytes; more than one span where memory regions meet in it */
static bool add_spans(const struct gmem *mem, struct vchain *c, const struct desc *d)
{
	bool out = d->flags & DESC_WRITE;
	uint64_t addr = d->addr, left = d->len;

	if (left == 0 || (!out && c->n_out > 0))
		return false;
	if (c->in_bytes + c->out_bytes + left > VQUEUE_CHAIN_BYTES)
		return false;
	*(out ? &c->out_bytes : &c->in_bytes) += left;
	while (left > 0) {
		unsigned n = c->n_in + c->n_out;
		uint64_t got;
		void *p = gmem_span_some(mem, (gpa_t){addr}, left, &got);

		if (!p || n == VQUEUE_SIZE_MAX)
			return false;
		c->iov[n] = (struct iovec){.iov_base = p, .iov_len = (size_t)got};
		*(out ? &c->n_out : &c->n_in) += 1;
		addr += got; /* got bytes of a region, whose end does not overflow */
		left -= got;
	}
	return true;
}

/* walk_chain() - NULL, or what is wrong with it */
static const char *walk_chain(struct vqueue *q, struct vchain *c)
{
	struct walk w = {.table = q->desc, .n = q->size};
	unsigned i = c->head;

	for (;;) {
		struct desc d;

		if (i >= w.n)
			return "a descriptor's number is out of range";
		if (w.steps++ >= w.n)
			return "a chain of descriptors that is a loop";
		gmem_copy_in(&d, w.table + (size_t)i * sizeof(d), sizeof(d));
		if (d.flags & DESC_INDIRECT) {
			if (!enter_indirect(q, &w, &d))
				return "an indirect table that is not allowed";
			i = 0;
			continue;
		}
		if (!add_spans(q->mem, c, &d))
			return "a buffer that is empty, too large, out of order or not in memory";
		if (!(d.flags & DESC_NEXT))
			return NULL;
		i = d.next;
	}
}

enum vq_result vqueue_pop(struct vqueue *q, struct vchain *c)
{
	const char *why = far_ahead;
	uint16_t slot;

	if (q->broken)
		return VQ_BROKEN;
	if (!q->ready)
		return VQ_EMPTY;
	if (q->avail_idx == q->next_avail) {
		if (!avail_refresh(q, __ATOMIC_ACQUIRE))
			goto broken;
		if (q->avail_idx == q->next_avail)
			return VQ_EMPTY;
	}
	why = "more chains in flight than descriptors";
	if (q->in_flight >= q->size)
		goto broken;
	slot = q->next_avail & (uint16_t)(q->size - 1);
	c->head = __atomic_load_n(u16_at(q->avail, AT_RING + 2u * slot), __ATOMIC_RELAXED);
	c->n_in = c->n_out = 0;
	c->in_bytes = c->out_bytes = 0;
	why = walk_chain(q, c);
	if (why)
		goto broken;
	q->next_avail++;
	q->in_flight++;
	return VQ_CHAIN;
broken:
	vqueue_break(q, why);
	return VQ_BROKEN;
}

void vqueue_unpop(struct vqueue *q)
{
	if (!q->ready || q->broken)
		return;
	assert(q->in_flight > 0);
	q->next_avail--;
	q->in_flight--;
}

void vqueue_push(struct vqueue *q, uint16_t head, uint32_t written)
{
	uint32_t *entry;

	if (!q->ready || q->broken)
		return;
	assert(q->in_flight > 0);
	entry = (uint32_t *)(void *)(q->used + AT_RING +
				     8u * (q->next_used & (uint16_t)(q->size - 1)));
	__atomic_store_n(&entry[0], head, __ATOMIC_RELAXED);
	__atomic_store_n(&entry[1], written, __ATOMIC_RELAXED);
	q->next_used++;
	q->in_flight--;
	__atomic_store_n(u16_at(q->used, AT_IDX), q->next_used, __ATOMIC_RELEASE);
}

bool vqueue_needs_signal(struct vqueue *q)
{
	uint16_t old = q->signalled_used, event;
	bool first = !q->signalled_valid;

	if (!q->ready || q->broken || old == q->next_used)
		return false;
	q->signalled_used = q->next_used;
	q->signalled_valid = true;
	/* Again, now ordered before the look at what the driver wants. */
	__atomic_store_n(u16_at(q->used, AT_IDX), q->next_used, __ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(__atomic_load_n(u16_at(q->avail, AT_FLAGS), __ATOMIC_SEQ_CST) &
			 AVAIL_NO_INTERRUPT);
	event = __atomic_load_n(used_event(q), __ATOMIC_SEQ_CST);
	/* After a pause nobody knows what the driver had heard of: once too often, not too rarely. */
	return first || (uint16_t)(q->next_used - event - 1) < (uint16_t)(q->next_used - old);
}

bool vqueue_want_kicks(struct vqueue *q, bool want)
{
	if (!q->ready || q->broken)
		return false;
	if (!want) {
		/* With EVENT_IDX the old event lies behind the driver already: it keeps quiet. */
		if (!q->event_idx)
			__atomic_store_n(
				u16_at(q->used, AT_FLAGS), USED_NO_NOTIFY, __ATOMIC_RELAXED);
		return false;
	}
	if (q->event_idx)
		__atomic_store_n(avail_event(q), q->next_avail, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(u16_at(q->used, AT_FLAGS), 0, __ATOMIC_SEQ_CST);
	if (!avail_refresh(q, __ATOMIC_SEQ_CST)) {
		vqueue_break(q, far_ahead);
		return false;
	}
	return q->avail_idx != q->next_avail;
}

static unsigned part(const struct iovec *from, unsigned n, size_t offset, size_t len,
	struct iovec *iov, unsigned cap, size_t *ret_len)
{
	unsigned k = 0;
	size_t sum = 0;

	for (unsigned i = 0; i < n && len > 0 && k < cap; i++) {
		size_t take;

		if (offset >= from[i].iov_len) {
			offset -= from[i].iov_len;
			continue;
		}
		take = from[i].iov_len - offset;
		if (take > len)
			take = len;
		iov[k++] = (struct iovec){(uint8_t *)from[i].iov_base + offset, take};
		offset = 0;
		len -= take;
		sum += take;
	}
	if (ret_len)
		*ret_len = sum;
	return k;
}

unsigned vchain_in(const struct vchain *c, size_t offset, size_t len, struct iovec *iov,
	unsigned cap, size_t *ret_len)
{
	return part(c->iov, c->n_in, offset, len, iov, cap, ret_len);
}

unsigned vchain_out(const struct vchain *c, size_t offset, size_t len, struct iovec *iov,
	unsigned cap, size_t *ret_len)
{
	return part(c->iov + c->n_in, c->n_out, offset, len, iov, cap, ret_len);
}

size_t vchain_read(const struct vchain *c, size_t offset, void *dst, size_t len)
{
	size_t done = 0, got;
	struct iovec v;

	while (done < len && vchain_in(c, offset + done, len - done, &v, 1, &got) == 1) {
		gmem_copy_in((uint8_t *)dst + done, v.iov_base, got);
		done += got;
	}
	return done;
}

size_t vchain_write(const struct vchain *c, size_t offset, const void *src, size_t len)
{
	size_t done = 0, got;
	struct iovec v;

	while (done < len && vchain_out(c, offset + done, len - done, &v, 1, &got) == 1) {
		memcpy(v.iov_base, (const uint8_t *)src + done, got);
		done += got;
	}
	return done;
}
