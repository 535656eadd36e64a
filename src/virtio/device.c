#include "virtio/device.h"
#include <assert.h>
#include <errno.h>

void virtio_dev_init(struct virtio_dev *d, const struct virtio_ops *ops)
{
	assert(ops->n_queues <= VIRTIO_QUEUES_MAX);
	*d = (struct virtio_dev){.ops = ops};
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		vqueue_init(&d->vq[i], NULL);
}

void virtio_dev_signal(struct virtio_dev *d, unsigned index)
{
	if (vqueue_needs_signal(&d->vq[index]) && d->signal)
		d->signal(d->transport, index);
}

static void tell_broken(struct virtio_dev *d, unsigned index)
{
	if (d->told_broken[index])
		return;
	d->told_broken[index] = true;
	if (d->broken)
		d->broken(d->transport, index);
}

enum vq_result virtio_dev_pop(struct virtio_dev *d, unsigned index, struct vchain *ret_chain)
{
	enum vq_result r = vqueue_pop(&d->vq[index], ret_chain);

	if (r == VQ_BROKEN)
		tell_broken(d, index);
	return r;
}

bool virtio_dev_idle(struct virtio_dev *d, unsigned index)
{
	bool more = vqueue_want_kicks(&d->vq[index], true);

	if (d->vq[index].broken)
		tell_broken(d, index);
	return !more;
}

void virtio_dev_break(struct virtio_dev *d, unsigned index, const char *why)
{
	vqueue_break(&d->vq[index], why);
	tell_broken(d, index);
}

uint64_t virtio_dev_faults(const struct virtio_dev *d)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < d->ops->n_queues; i++)
		sum += d->vq[i].faults;
	return sum;
}

unsigned virtio_dev_broken(const struct virtio_dev *d)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < d->ops->n_queues; i++)
		if (d->vq[i].ready && d->vq[i].broken)
			mask |= 1u << i;
	return mask;
}

uint64_t virtio_dev_offers(const struct virtio_dev *d)
{
	return d->ops->features | 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_INDIRECT_DESC |
	       1ull << VIRTIO_F_EVENT_IDX;
}

static bool any_ready(const struct virtio_dev *d)
{
	for (unsigned i = 0; i < d->ops->n_queues; i++)
		if (d->vq[i].ready)
			return true;
	return false;
}

int virtio_dev_agree(struct virtio_dev *d, uint64_t bits)
{
	if (bits & ~virtio_dev_offers(d))
		return -EINVAL;
	if (any_ready(d))
		return bits == d->agreed ? 0 : -EBUSY;
	d->agreed = bits;
	for (unsigned i = 0; i < d->ops->n_queues; i++) {
		d->vq[i].event_idx = bits & 1ull << VIRTIO_F_EVENT_IDX;
		d->vq[i].indirect = bits & 1ull << VIRTIO_F_INDIRECT_DESC;
	}
	return 0;
}

void virtio_dev_config(struct virtio_dev *d, uint32_t offset, void *dst, size_t len)
{
	memset(dst, 0, len);
	if (d->ops->config)
		d->ops->config(d, offset, dst, len);
}

void virtio_dev_set_mem(struct virtio_dev *d, struct gmem *mem)
{
	assert(!any_ready(d));
	d->mem = mem;
	for (unsigned i = 0; i < d->ops->n_queues; i++)
		d->vq[i].mem = mem;
}

int virtio_dev_start(struct virtio_dev *d, unsigned index, uint16_t size, void *desc, void *avail,
	void *used, uint16_t next)
{
	int r;

	assert(d->mem && index < d->ops->n_queues && !d->vq[index].ready);
	r = vqueue_set(&d->vq[index], size, desc, avail, used, next);
	if (r < 0)
		return r;
	d->told_broken[index] = false;
	if (d->ops->queue_ready)
		d->ops->queue_ready(d, index, true);
	d->ops->kick(d, index);
	return 0;
}

uint16_t virtio_dev_stop(struct virtio_dev *d, unsigned index)
{
	if (d->vq[index].ready && d->ops->queue_ready)
		d->ops->queue_ready(d, index, false);
	return vqueue_stop(&d->vq[index]);
}

void virtio_dev_kick(struct virtio_dev *d, unsigned index)
{
	if (d->vq[index].ready)
		d->ops->kick(d, index);
}

void virtio_dev_reset(struct virtio_dev *d)
{
	for (unsigned i = 0; i < d->ops->n_queues; i++) {
		(void)virtio_dev_stop(d, i);
		vqueue_reset(&d->vq[i]);
		d->told_broken[i] = false;
	}
	d->agreed = 0;
	d->ops->reset(d);
}
