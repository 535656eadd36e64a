/* fuzz_virtqueue.c - the walk of rings, descriptors and indirect tables that a guest made up
 *
 * Input: size (as a power of two) and agreed features, 1 byte each; count of operations, 1 byte;
 * the operations, 1 byte each; the rest is guest memory from its start: descriptors, available ring,
 * used ring, then whatever indirect tables and buffers there are. The index of the available ring
 * moves by operations too, so that a walk goes on.
 */
#include "virtio/queue.h"
#include <assert.h>

#define RAM_AT	  0x10000u
#define RAM_BYTES 16384u
#define SIZE_BITS 7 /* up to 64 entries */

static _Alignas(16) uint8_t ram[RAM_BYTES];
static struct vchain chain;

static void check(const struct vchain *c, const struct vqueue *q)
{
	uint64_t in = 0, out = 0;

	assert(c->n_in + c->n_out >= 1 && c->n_in + c->n_out <= VQUEUE_SIZE_MAX);
	for (unsigned i = 0; i < c->n_in + c->n_out; i++) {
		const uint8_t *p = c->iov[i].iov_base;

		assert(p >= ram && p < ram + RAM_BYTES && c->iov[i].iov_len > 0 &&
			c->iov[i].iov_len <= (size_t)(ram + RAM_BYTES - p));
		*(i < c->n_in ? &in : &out) += c->iov[i].iov_len;
	}
	assert(in == c->in_bytes && out == c->out_bytes && in + out <= VQUEUE_CHAIN_BYTES);
	assert(q->in_flight >= 1 && q->in_flight <= q->size);
}

static void pop(struct vqueue *q, uint16_t *heads, unsigned *n_heads)
{
	uint8_t some[100];
	uint64_t before = q->faults;
	enum vq_result r = vqueue_pop(q, &chain);

	if (r == VQ_BROKEN) {
		assert(q->broken && vqueue_pop(q, &chain) == VQ_BROKEN);
		assert(q->faults <= before + 1);
	} else if (r == VQ_CHAIN) {
		check(&chain, q);
		assert(vchain_read(&chain, 3, some, sizeof(some)) <= sizeof(some));
		heads[(*n_heads)++] = chain.head;
	}
}

static void operate(struct vqueue *q, uint16_t *avail_idx, const uint8_t *op, size_t n)
{
	uint16_t heads[1 << SIZE_BITS];
	unsigned n_heads = 0;

	for (size_t i = 0; i < n; i++) {
		switch (op[i] & 7) {
		case 0:
		case 1:
			pop(q, heads, &n_heads);
			break;
		case 2:
			if (n_heads > 0)
				vqueue_push(q, heads[--n_heads], op[i]);
			break;
		case 3:
			if (n_heads > 0 && !q->broken) {
				vqueue_unpop(q);
				n_heads--;
			}
			break;
		case 4:
			(void)vqueue_needs_signal(q);
			break;
		case 5:
			(void)vqueue_want_kicks(q, op[i] & 8);
			break;
		case 6:
			*avail_idx = (uint16_t)(*avail_idx + (op[i] >> 3));
			break;
		default:
			if (q->broken) { /* the driver resets the device */
				n_heads = 0;
				q->broken = false;
				q->in_flight = 0;
				q->next_avail = q->avail_idx = *avail_idx;
			}
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gmem mem;
	struct vqueue q;
	uint64_t bytes[3];
	size_t ops, left;

	if (size < 3)
		return 0;
	uint16_t n = (uint16_t)(1u << (data[0] % SIZE_BITS));
	ops = data[2] < size - 3 ? data[2] : size - 3;
	left = size - 3 - ops;
	memset(ram, 0, sizeof(ram));
	memcpy(ram, data + 3 + ops, left < RAM_BYTES ? left : RAM_BYTES);
	gmem_init(&mem);
	if (gmem_add(&mem,
		    &(struct gmem_region){
			    .gpa = RAM_AT, .size = RAM_BYTES, .user = RAM_AT, .host = ram}) < 0)
		abort();
	vqueue_init(&q, &mem);
	vqueue_ring_bytes(n, bytes);
	uint8_t *avail = ram + bytes[0], *used = avail + (bytes[1] + 3) / 4 * 4;
	if (vqueue_set(&q, n, ram, avail, used, 0) < 0)
		abort();
	q.event_idx = data[1] & 1;
	q.indirect = data[1] & 2;
	operate(&q, (uint16_t *)(void *)(avail + 2), data + 3, ops);
	return 0;
}
