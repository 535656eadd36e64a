/* device.h - what a transport needs of a device, and a device of its transport
 *
 * The device is written once, against virtqueues; virtio-mmio and vhost-user drive it.
 * Order of a life: init → [agree → set_mem → start queues → kick… → stop queues] → reset → ….
 * A queue may be stopped and started again within a life (a pause): the device keeps its state.
 * A guest that breaks a queue: that queue is dead until the driver resets the device, the rest of
 * the device may go on. The transport is told once.
 * Thread: all calls of one device come from its one worker thread.
 */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H
#include "virtio/queue.h"

#define VIRTIO_QUEUES_MAX      8
#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX     29
#define VIRTIO_F_VERSION_1     32

struct virtio_dev;

struct virtio_ops {
	const char *name;
	uint32_t id; /* virtio device type */
	unsigned n_queues;
	uint64_t features; /* offered, besides VERSION_1, INDIRECT_DESC and EVENT_IDX */
	/* config() - copy config space bytes [offset, offset+len) into dst; beyond its end: zeroes.
	 * May be NULL: all zeroes.
	 */
	void (*config)(struct virtio_dev *d, uint32_t offset, void *dst, size_t len);
	/* queue_ready() - queue @index runs from now on, or (@ready false) is about to stop: give
	 * back every chain of it that is held. May be NULL.
	 */
	void (*queue_ready)(struct virtio_dev *d, unsigned index, bool ready);
	/* kick() - the driver offered chains on queue @index (or did not: be ready for none) */
	void (*kick)(struct virtio_dev *d, unsigned index);
	/* reset() - forget everything of this driver's life */
	void (*reset)(struct virtio_dev *d);
};

/* The base of every device; the first member of its struct. */
struct virtio_dev {
	const struct virtio_ops *ops;
	struct gmem *mem; /* borrowed from the transport */
	uint64_t agreed; /* feature bits the driver took */
	struct vqueue vq[VIRTIO_QUEUES_MAX];
	/* set by the transport: interrupt the driver for queue @index */
	void (*signal)(void *transport, unsigned index);
	/* set by the transport: the driver broke a rule on queue @index. Must not free the device. */
	void (*broken)(void *transport, unsigned index);
	void *transport;
	bool told_broken[VIRTIO_QUEUES_MAX];
};

/* For devices. */
void virtio_dev_init(struct virtio_dev *d, const struct virtio_ops *ops);
/* virtio_dev_signal() - signal queue @index if the driver wants to hear of it */
void virtio_dev_signal(struct virtio_dev *d, unsigned index);
/* virtio_dev_pop() - vqueue_pop() that tells the transport when the queue is broken */
enum vq_result virtio_dev_pop(
	struct virtio_dev *d, unsigned index, struct vchain *ret_chain) MUST_USE;
/* virtio_dev_idle() - true: queue @index is empty and the driver will kick; false: pop again */
bool virtio_dev_idle(struct virtio_dev *d, unsigned index) MUST_USE;
/* virtio_dev_break() - the guest broke the device's own rules on queue @index. @why: static text */
void virtio_dev_break(struct virtio_dev *d, unsigned index, const char *why);
/* virtio_dev_faults() - rules broken on any queue since init */
uint64_t virtio_dev_faults(const struct virtio_dev *d);
/* virtio_dev_broken() - the queues that are broken now, one bit each */
unsigned virtio_dev_broken(const struct virtio_dev *d);

/* For transports. */
/* virtio_dev_offers() - all feature bits offered */
uint64_t virtio_dev_offers(const struct virtio_dev *d);
/* virtio_dev_agree() - the driver took @bits. -EINVAL: not a subset of the offer; -EBUSY: a queue
 * runs and @bits are others than now. Without VERSION_1 the devices work all the same: the host is
 * little-endian as the guest.
 */
int virtio_dev_agree(struct virtio_dev *d, uint64_t bits) MUST_USE;
void virtio_dev_config(struct virtio_dev *d, uint32_t offset, void *dst, size_t len);
/* virtio_dev_set_mem() - borrowed until the next call; no queue may run */
void virtio_dev_set_mem(struct virtio_dev *d, struct gmem *mem);
/* virtio_dev_start() - as vqueue_set(); then the device is told and looks at the queue */
int virtio_dev_start(struct virtio_dev *d, unsigned index, uint16_t size, void *desc, void *avail,
	void *used, uint16_t next) MUST_USE;
/* virtio_dev_stop() - returns the index to resume from */
uint16_t virtio_dev_stop(struct virtio_dev *d, unsigned index);
void virtio_dev_kick(struct virtio_dev *d, unsigned index);
/* virtio_dev_reset() - stops all queues, forgets the features and this driver's life */
void virtio_dev_reset(struct virtio_dev *d);
#endif
