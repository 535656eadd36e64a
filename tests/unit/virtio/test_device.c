/* test_device.c - what a transport may do with a device, and in which order */
#include "ring_guest.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct vchain chain;

struct dev {
	struct virtio_dev d;
	unsigned kicks, resets;
	int ready[2];
};

static void on_kick(struct virtio_dev *d, unsigned index)
{
	struct dev *v = (struct dev *)(void *)d;

	v->kicks++;
	while (virtio_dev_pop(d, index, &chain) == VQ_CHAIN)
		vqueue_push(&d->vq[index], chain.head, 0);
	virtio_dev_signal(d, index);
}

static void on_ready(struct virtio_dev *d, unsigned index, bool ready)
{
	((struct dev *)(void *)d)->ready[index] += ready ? 1 : -1;
}

static void on_reset(struct virtio_dev *d)
{
	((struct dev *)(void *)d)->resets++;
}

static const struct virtio_ops ops = {.name = "test",
	.n_queues = 2,
	.features = 1u << 3,
	.queue_ready = on_ready,
	.kick = on_kick,
	.reset = on_reset};

static void test_features(void **state)
{
	const uint64_t all = 1u << 3 | 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_EVENT_IDX |
			     1ull << VIRTIO_F_INDIRECT_DESC;
	struct ring_guest g;
	struct rg_queue q;
	struct dev v = {0};

	(void)state;
	rg_init(&g, 1 << 16);
	virtio_dev_init(&v.d, &ops);
	assert_int_equal(virtio_dev_offers(&v.d), all);
	assert_int_equal(virtio_dev_agree(&v.d, all | 1), -EINVAL);
	assert_int_equal(virtio_dev_agree(&v.d, all), 0);
	assert_true(v.d.vq[1].event_idx && v.d.vq[1].indirect);
	rg_attach(&g, &v.d, 0);
	assert_false(v.d.vq[1].event_idx || v.d.vq[1].indirect);
	rg_queue_init(&g, &q, 8);
	rg_start(&q, &v.d, 0);
	assert_int_equal(virtio_dev_agree(&v.d, v.d.agreed), 0);
	assert_int_equal(virtio_dev_agree(&v.d, all), -EBUSY);
	rg_fini(&g);
}

static void test_life(void **state)
{
	struct ring_guest g;
	struct rg_queue q;
	struct dev v = {0};
	uint64_t config = 5;
	uint16_t next;

	(void)state;
	rg_init(&g, 1 << 16);
	virtio_dev_init(&v.d, &ops);
	virtio_dev_kick(&v.d, 0); /* before it is ready: nothing */
	assert_int_equal(v.kicks, 0);
	virtio_dev_config(&v.d, UINT32_MAX, &config, sizeof(config)); /* has none: zeroes */
	assert_int_equal(config, 0);
	rg_attach(&g, &v.d, 0);
	rg_queue_init(&g, &q, 8);
	rg_chain(&q, &(struct rg_span){RG_BASE, 1, false}, 1);
	rg_start(&q, &v.d, 0); /* what was offered before is looked at */
	assert_int_equal(v.ready[0], 1);
	assert_true(rg_used(&q, NULL, NULL));
	assert_int_equal(g.signals[0], 1);
	next = virtio_dev_stop(&v.d, 0);
	assert_int_equal(next, 1);
	assert_int_equal(v.ready[0], 0);
	rg_chain(&q, &(struct rg_span){RG_BASE, 1, false}, 1);
	virtio_dev_kick(&v.d, 0);
	assert_false(rg_used(&q, NULL, NULL));
	assert_int_equal(virtio_dev_start(&v.d, 0, 7, q.desc, q.avail, q.used, next), -EINVAL);
	assert_int_equal(v.ready[0], 0);
	assert_int_equal(virtio_dev_start(&v.d, 0, 8, q.desc, q.avail, q.used, next), 0);
	assert_true(rg_used(&q, NULL, NULL));
	assert_int_equal(v.resets, 0);
	virtio_dev_reset(&v.d);
	assert_int_equal(v.resets, 1);
	assert_int_equal(v.ready[0], 0);
	assert_int_equal(v.d.agreed, 0);
	rg_fini(&g);
}

static void test_broken(void **state)
{
	struct ring_guest g;
	struct rg_queue q;
	struct dev v = {0};

	(void)state;
	rg_init(&g, 1 << 16);
	virtio_dev_init(&v.d, &ops);
	rg_attach(&g, &v.d, 0);
	rg_queue_init(&g, &q, 8);
	rg_start(&q, &v.d, 1);
	virtio_dev_break(&v.d, 1, "a rule");
	virtio_dev_kick(&v.d, 1);
	virtio_dev_kick(&v.d, 1);
	assert_int_equal(g.broken[1], 1); /* told once */
	assert_int_equal(virtio_dev_faults(&v.d), 1);
	virtio_dev_reset(&v.d);
	rg_attach(&g, &v.d, 0);
	rg_queue_init(&g, &q, 8);
	rg_start(&q, &v.d, 1);
	q.avail[1] = 100; /* seen when the device goes idle, too */
	assert_true(virtio_dev_idle(&v.d, 1));
	assert_int_equal(g.broken[1], 2);
	assert_int_equal(virtio_dev_faults(&v.d), 2);
	rg_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
