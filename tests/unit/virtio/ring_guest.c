#include "ring_guest.h"
#include <stdio.h>
#include <sys/mman.h>

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "ring_guest: %s\n", what);
	abort();
}

static uint8_t *ram(size_t size, int *ret_fd)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(p != MAP_FAILED, "no memory");
	*ret_fd = fd;
	return p;
}

void rg_init(struct ring_guest *g, size_t ram_bytes)
{
	struct gmem_region r;

	*g = (struct ring_guest){.size = ram_bytes};
	g->high = ram(RG_HIGH_SIZE, &g->ram_fd);
	own_close_fd(&g->ram_fd);
	g->ram = ram(ram_bytes, &g->ram_fd);
	gmem_init(&g->mem);
	r = (struct gmem_region){
		.gpa = RG_BASE, .size = ram_bytes, .user = RG_USER, .host = g->ram};
	must(gmem_add(&g->mem, &r) == 0, "region");
	r = (struct gmem_region){.gpa = RG_HIGH,
		.size = RG_HIGH_SIZE,
		.user = RG_USER + ram_bytes + 4096,
		.host = g->high};
	must(gmem_add(&g->mem, &r) == 0, "high region");
}

void rg_fini(struct ring_guest *g)
{
	munmap(g->ram, g->size);
	munmap(g->high, RG_HIGH_SIZE);
	gmem_fini(&g->mem);
	own_close_fd(&g->ram_fd);
}

uint64_t rg_alloc(struct ring_guest *g, size_t len, size_t align)
{
	size_t at = (g->brk + align - 1) / align * align;

	must(at + len <= g->size, "guest memory used up");
	g->brk = at + len;
	return RG_BASE + at;
}

void *rg_host(struct ring_guest *g, uint64_t gpa)
{
	void *p = gmem_span(&g->mem, (gpa_t){gpa}, 1);

	must(p != NULL, "address");
	return p;
}

void rg_queue_init(struct ring_guest *g, struct rg_queue *q, uint16_t size)
{
	uint64_t bytes[3];

	vqueue_ring_bytes(size, bytes);
	*q = (struct rg_queue){.g = g, .size = size};
	q->desc_gpa = rg_alloc(g, bytes[0], 16);
	q->avail_gpa = rg_alloc(g, bytes[1], 2);
	q->used_gpa = rg_alloc(g, bytes[2], 4);
	q->desc = rg_host(g, q->desc_gpa);
	q->avail = rg_host(g, q->avail_gpa);
	q->used = rg_host(g, q->used_gpa);
	memset(q->desc, 0, bytes[0]);
	memset(q->avail, 0, bytes[1]);
	memset(q->used, 0, bytes[2]);
}

static void on_signal(void *transport, unsigned index)
{
	struct ring_guest *g = transport;

	g->signals[index]++;
}

static void on_broken(void *transport, unsigned index)
{
	struct ring_guest *g = transport;

	g->broken[index]++;
}

void rg_attach(struct ring_guest *g, struct virtio_dev *d, uint64_t features)
{
	d->signal = on_signal;
	d->broken = on_broken;
	d->transport = g;
	virtio_dev_set_mem(d, &g->mem);
	must(virtio_dev_agree(d, features | 1ull << VIRTIO_F_VERSION_1) == 0, "features");
}

void rg_start(struct rg_queue *q, struct virtio_dev *d, unsigned index)
{
	must(virtio_dev_start(d, index, q->size, q->desc, q->avail, q->used, 0) == 0, "start");
}

void rg_set(struct rg_queue *q, struct vqueue *vq)
{
	must(vqueue_set(vq, q->size, q->desc, q->avail, q->used, 0) == 0, "set");
}

void rg_write_desc(
	struct rg_queue *q, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	q->desc[i] = (struct rg_desc){addr, len, flags, next};
}

void rg_offer(struct rg_queue *q, uint16_t head)
{
	q->avail[2 + (q->avail_idx & (q->size - 1))] = head;
	q->avail_idx++;
	__atomic_store_n(&q->avail[1], q->avail_idx, __ATOMIC_SEQ_CST);
}

uint16_t rg_chain(struct rg_queue *q, const struct rg_span *spans, unsigned n)
{
	uint16_t head = q->free_desc;

	must(n > 0 && n <= q->size, "chain length");
	for (unsigned i = 0; i < n; i++) {
		uint16_t at = q->free_desc, next = (uint16_t)((at + 1) & (q->size - 1));
		unsigned flags = (spans[i].write ? RG_WRITE : 0u) | (i + 1 < n ? RG_NEXT : 0u);

		rg_write_desc(q, at, spans[i].gpa, spans[i].len, (uint16_t)flags, next);
		q->free_desc = next;
	}
	rg_offer(q, head);
	return head;
}

uint16_t rg_chain_indirect(struct rg_queue *q, const struct rg_span *spans, unsigned n)
{
	uint64_t table = rg_alloc(q->g, n * sizeof(struct rg_desc), 16);
	struct rg_desc *d = rg_host(q->g, table);
	uint16_t head = q->free_desc;

	for (unsigned i = 0; i < n; i++) {
		unsigned flags = (spans[i].write ? RG_WRITE : 0u) | (i + 1 < n ? RG_NEXT : 0u);

		d[i] = (struct rg_desc){
			spans[i].gpa, spans[i].len, (uint16_t)flags, (uint16_t)(i + 1)};
	}
	rg_write_desc(q, head, table, (uint32_t)(n * sizeof(*d)), RG_INDIRECT, 0);
	q->free_desc = (uint16_t)((head + 1) & (q->size - 1));
	rg_offer(q, head);
	return head;
}

bool rg_used(struct rg_queue *q, uint32_t *ret_id, uint32_t *ret_len)
{
	uint32_t e[2];

	if (__atomic_load_n(&q->used[1], __ATOMIC_ACQUIRE) == q->seen_used)
		return false;
	memcpy(e, (uint8_t *)q->used + 4 + 8u * (q->seen_used & (q->size - 1)), sizeof(e));
	q->seen_used++;
	if (ret_id)
		*ret_id = e[0];
	if (ret_len)
		*ret_len = e[1];
	return true;
}

uint16_t *rg_used_event(struct rg_queue *q)
{
	return &q->avail[2 + q->size];
}

uint16_t *rg_avail_event(struct rg_queue *q)
{
	return &q->used[2 + 4u * q->size];
}
