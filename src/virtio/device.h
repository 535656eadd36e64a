/* device.h - what a transport needs of a device, and a device of its transport
 *
 * The device is written once, against virtqueues; virtio-mmio and vhost-user drive it.
 * Thread: all calls of one device come from its one worker thread.
 */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H
#include "virtio/queue.h"

#define VIRTIO_QUEUES_MAX 8
#define VIRTIO_F_EVENT_IDX     29
#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_VERSION_1     32

struct virtio_dev;

struct virtio_ops {
	const char *name;
	uint32_t id; /* virtio device type */
	unsigned n_queues;
	uint64_t features; /* offered, besides VERSION_1, INDIRECT_DESC and EVENT_IDX */
	/* config() - copy config space bytes [offset, offset+len) into dst; beyond its end: zeroes */
	void (*config)(struct virtio_dev *d, uint32_t offset, void *dst, size_t len);
	/* start() - features are agreed and queue @index became ready (or not, @ready false) */
	void (*queue_ready)(struct virtio_dev *d, unsigned index, bool ready);
	/* kick() - the driver offered chains on queue @index */
	void (*kick)(struct virtio_dev *d, unsigned index);
	/* reset() - forget everything of this driver's life */
	void (*reset)(struct virtio_dev *d);
};

/* The base of every device; the first member of its struct. */
struct virtio_dev {
	const struct virtio_ops *ops;
	struct gmem *mem; /* borrowed from the transport */
	uint64_t agreed;  /* feature bits the driver took */
	struct vqueue vq[VIRTIO_QUEUES_MAX];
	/* set by the transport: interrupt the driver for queue @index */
	void (*signal)(void *transport, unsigned index);
	/* set by the transport: the driver broke a rule; ask for NEEDS_RESET (or close, vhost-user) */
	void (*broken)(void *transport, unsigned index);
	void *transport;
};

/* virtio_dev_signal() - signal queue @index if the driver wants to hear of it */
void virtio_dev_signal(struct virtio_dev *d, unsigned index);
#endif
