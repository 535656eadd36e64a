/* test_queue.c - the ring walk: what a driver does, and what only an attacker does (VM-01, 02, 04, 05)
 */
#include "ring_guest.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define SIZE 8

struct fix {
	struct ring_guest g;
	struct rg_queue q;
	struct vqueue vq;
	uint64_t buf; /* a page */
};

static struct vchain chain; /* one per worker: it is large */

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	rg_init(&f->g, 1 << 20);
	rg_queue_init(&f->g, &f->q, SIZE);
	f->buf = rg_alloc(&f->g, 4096, 16);
	vqueue_init(&f->vq, &f->g.mem);
	f->vq.indirect = true;
	rg_set(&f->q, &f->vq);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	rg_fini(&f->g);
	free(f);
	return 0;
}

/* The queue broke, stays so, and counted it once. */
static void assert_broken(struct fix *f)
{
	uint64_t before = f->vq.faults;

	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_BROKEN);
	assert_int_equal(f->vq.faults, before + 1);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_BROKEN);
	assert_int_equal(f->vq.faults, before + 1);
	assert_false(vqueue_needs_signal(&f->vq));
	assert_false(vqueue_want_kicks(&f->vq, true));
	vqueue_push(&f->vq, 0, 0);
	assert_false(rg_used(&f->q, NULL, NULL));
	/* A reset makes it whole again. */
	rg_queue_init(&f->g, &f->q, SIZE);
	vqueue_reset(&f->vq);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_EMPTY);
	f->vq.indirect = true;
	rg_set(&f->q, &f->vq);
	rg_chain(&f->q, &(struct rg_span){f->buf, 1, false}, 1);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
}

static void test_pop_push(void **state)
{
	struct fix *f = *state;
	struct rg_span s[] = {
		{f->buf, 10, false}, {f->buf + 100, 20, false}, {f->buf + 200, 30, true}};
	uint32_t id, len;
	char text[31] = "";

	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_EMPTY);
	memcpy(rg_host(&f->g, f->buf), "0123456789", 10);
	memcpy(rg_host(&f->g, f->buf + 100), "abcdefghijklmnopqrst", 20);
	for (unsigned round = 0; round < 70000; round += 7) { /* also across the wrap of 2^16 */
		for (unsigned k = 0; k < 2; k++) {
			uint16_t head = rg_chain(&f->q, s, 3);

			assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
			assert_int_equal(chain.head, head);
			assert_int_equal(chain.n_in, 2);
			assert_int_equal(chain.n_out, 1);
			assert_int_equal(chain.in_bytes, 30);
			assert_int_equal(chain.out_bytes, 30);
			assert_int_equal(vchain_read(&chain, 5, text, 30), 25);
			assert_memory_equal(text, "56789abcdefghijklmnopqrst", 25);
			assert_int_equal(vchain_write(&chain, 3, "XYZ", 3), 3);
			assert_int_equal(vchain_write(&chain, 28, "XYZ", 3), 2);
			assert_int_equal(vchain_write(&chain, 31, "XYZ", 3), 0);
			vqueue_push(&f->vq, head, 6);
			assert_true(rg_used(&f->q, &id, &len));
			assert_int_equal(id, head);
			assert_int_equal(len, 6);
			assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_EMPTY);
		}
	}
	assert_memory_equal(rg_host(&f->g, f->buf + 203), "XYZ", 3);
	assert_int_equal(f->vq.faults, 0);
}

static void test_unpop(void **state)
{
	struct fix *f = *state;
	uint16_t head = rg_chain(&f->q, &(struct rg_span){f->buf, 10, true}, 1);

	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
	vqueue_unpop(&f->vq);
	assert_int_equal(f->vq.in_flight, 0);
	chain.head = 99;
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
	assert_int_equal(chain.head, head);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_EMPTY);
}

static void test_indirect(void **state)
{
	struct fix *f = *state;
	struct rg_span s[12];

	for (unsigned i = 0; i < 12; i++) /* longer than the queue, as Linux does */
		s[i] = (struct rg_span){f->buf + i, 1, i >= 6};
	rg_chain_indirect(&f->q, s, 12);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
	assert_int_equal(chain.n_in, 6);
	assert_int_equal(chain.n_out, 6);
	/* A direct descriptor, then a table. The WRITE flag on the table means nothing. */
	uint64_t t = rg_alloc(&f->g, 16, 16);
	*(struct rg_desc *)rg_host(&f->g, t) = (struct rg_desc){f->buf, 9, RG_WRITE, 0};
	rg_write_desc(&f->q, 3, f->buf, 5, RG_NEXT, 4);
	rg_write_desc(&f->q, 4, t, 16, RG_INDIRECT | RG_WRITE, 0);
	rg_offer(&f->q, 3);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
	assert_int_equal(chain.in_bytes, 5);
	assert_int_equal(chain.out_bytes, 9);
	f->vq.indirect = false; /* not agreed */
	rg_chain_indirect(&f->q, s, 2);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_BROKEN);
}

/* Where two regions meet in guest-physical addresses, one descriptor becomes two spans. */
static void test_span_across_regions(void **state)
{
	struct fix *f = *state;
	uint64_t end = RG_BASE + f->g.size;
	static uint8_t more[64];

	assert_int_equal(
		gmem_add(&f->g.mem,
			&(struct gmem_region){
				.gpa = end, .size = sizeof(more), .user = 1, .host = more}),
		0);
	rg_chain(&f->q, &(struct rg_span){end - 10, 30, false}, 1);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
	assert_int_equal(chain.n_in, 2);
	assert_int_equal(chain.iov[0].iov_len, 10);
	assert_ptr_equal(chain.iov[1].iov_base, more);
	rg_chain(&f->q, &(struct rg_span){end - 10, 10 + sizeof(more) + 1, false}, 1);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_BROKEN);
}

/* VM-01: loops. */
static void test_loops(void **state)
{
	struct fix *f = *state;

	rg_write_desc(&f->q, 0, f->buf, 1, RG_NEXT, 0); /* itself */
	rg_offer(&f->q, 0);
	assert_broken(f);
	rg_write_desc(&f->q, 0, f->buf, 1, RG_NEXT, 1); /* A, B, A */
	rg_write_desc(&f->q, 1, f->buf, 1, RG_NEXT, 0);
	rg_offer(&f->q, 0);
	assert_broken(f);
	uint64_t t = rg_alloc(&f->g, 32, 16); /* inside an indirect table */
	struct rg_desc *d = rg_host(&f->g, t);
	d[0] = (struct rg_desc){f->buf, 1, RG_NEXT, 1};
	d[1] = (struct rg_desc){f->buf, 1, RG_NEXT, 0};
	rg_write_desc(&f->q, 0, t, 32, RG_INDIRECT, 0);
	rg_offer(&f->q, 0);
	assert_broken(f);
}

/* VM-02: tables that nest, go on, are too long or not of whole entries. */
static void test_bad_tables(void **state)
{
	static const struct {
		uint32_t len;
		uint16_t flags;
	} bad[] = {{0, RG_INDIRECT}, {15, RG_INDIRECT}, {17, RG_INDIRECT},
		{16, RG_INDIRECT | RG_NEXT}, {16 * 65536, RG_INDIRECT},
		{16 * (VQUEUE_SIZE_MAX + 1), RG_INDIRECT}, {UINT32_MAX, RG_INDIRECT},
		{UINT32_MAX - 15, RG_INDIRECT}};
	struct fix *f = *state;
	uint64_t t = rg_alloc(&f->g, 32, 16);
	struct rg_desc *d = rg_host(&f->g, t);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		d[0] = (struct rg_desc){f->buf, 1, 0, 0};
		rg_write_desc(&f->q, 1, t, bad[i].len, bad[i].flags, 0);
		rg_offer(&f->q, 1);
		assert_broken(f);
	}
	d[0] = (struct rg_desc){t, 16, RG_INDIRECT, 0}; /* a table in a table */
	rg_write_desc(&f->q, 1, t, 16, RG_INDIRECT, 0);
	rg_offer(&f->q, 1);
	assert_broken(f);
	d[0] = (struct rg_desc){f->buf, 1, RG_NEXT, 2}; /* next beyond the table */
	rg_write_desc(&f->q, 1, t, 32, RG_INDIRECT, 0);
	rg_offer(&f->q, 1);
	assert_broken(f);
	rg_write_desc(&f->q, 1, RG_BASE + f->g.size - 8, 16, RG_INDIRECT, 0); /* half outside */
	rg_offer(&f->q, 1);
	assert_broken(f);
}

/* The longest table is let through, and is as long as our array. */
static void test_longest_chain(void **state)
{
	struct fix *f = *state;
	static struct rg_span s[VQUEUE_SIZE_MAX];

	for (unsigned i = 0; i < VQUEUE_SIZE_MAX; i++)
		s[i] = (struct rg_span){f->buf + i, 1, false};
	rg_chain_indirect(&f->q, s, VQUEUE_SIZE_MAX);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
	assert_int_equal(chain.n_in, VQUEUE_SIZE_MAX);
	/* One direct descriptor more than fits. */
	rg_write_desc(&f->q, 2, f->buf, 1, RG_NEXT, 0);
	rg_offer(&f->q, 2);
	assert_broken(f);
}

/* VM-04: lengths. */
static void test_lengths(void **state)
{
	struct fix *f = *state;
	struct rg_span s[4] = {{f->buf, UINT32_MAX, false}};

	rg_chain(&f->q, s, 1);
	assert_broken(f);
	rg_chain(&f->q, &(struct rg_span){f->buf, 0, false}, 1);
	assert_broken(f);
	rg_chain(&f->q, &(struct rg_span){UINT64_MAX, 2, false}, 1);
	assert_broken(f);
	rg_chain(&f->q, &(struct rg_span){0, 1, false}, 1);
	assert_broken(f);
	rg_chain(&f->q, &(struct rg_span){RG_HIGH + RG_HIGH_SIZE - 1, 2, true}, 1);
	assert_broken(f);
	/* readable after writable */
	s[0] = (struct rg_span){f->buf, 1, true};
	s[1] = (struct rg_span){f->buf, 1, false};
	rg_chain(&f->q, s, 2);
	assert_broken(f);
}

/* Spans may overlap each other, so a small memory can be offered many times over: capped. */
static void test_total_capped(void **state)
{
	struct fix *f = *state;
	static struct rg_span s[64];
	const uint32_t part = 512 << 10;

	for (unsigned i = 0; i < 64; i++)
		s[i] = (struct rg_span){RG_BASE, part, false};
	rg_chain_indirect(&f->q, s, VQUEUE_CHAIN_BYTES / part);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
	assert_int_equal(chain.in_bytes, VQUEUE_CHAIN_BYTES);
	rg_chain_indirect(&f->q, s, VQUEUE_CHAIN_BYTES / part + 1);
	assert_broken(f);
}

/* VM-05: the available index jumps or goes back, heads out of range, too many in flight. */
static void test_avail_index(void **state)
{
	struct fix *f = *state;

	f->q.avail[1] = SIZE + 1;
	assert_broken(f);
	rg_chain(&f->q, &(struct rg_span){f->buf, 1, false}, 1);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
	f->q.avail[1] = 0; /* back */
	assert_broken(f);
	f->q.avail_idx = f->q.avail[1];
	rg_offer(&f->q, SIZE); /* head out of range */
	assert_broken(f);
	rg_write_desc(&f->q, 0, f->buf, 1, RG_NEXT, SIZE); /* next out of range */
	rg_offer(&f->q, 0);
	assert_broken(f);
}

static void test_in_flight(void **state)
{
	struct fix *f = *state;

	rg_write_desc(&f->q, 0, f->buf, 1, 0, 0);
	for (unsigned i = 0; i < SIZE; i++) { /* one head again and again */
		rg_offer(&f->q, 0);
		assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
	}
	rg_offer(&f->q, 0);
	assert_broken(f);
}

static void test_set_refuses(void **state)
{
	struct fix *f = *state;
	static const uint16_t sizes[] = {0, 3, 7, 9, 1025, 2048, 32768, 65535};
	uint8_t *d = (uint8_t *)f->q.desc, *a = (uint8_t *)f->q.avail, *u = (uint8_t *)f->q.used;

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		assert_int_equal(vqueue_set(&f->vq, sizes[i], d, a, u, 0), -EINVAL);
	assert_int_equal(vqueue_set(&f->vq, SIZE, NULL, a, u, 0), -EINVAL);
	assert_int_equal(vqueue_set(&f->vq, SIZE, d + 8, a, u, 0), -EINVAL);
	assert_int_equal(vqueue_set(&f->vq, SIZE, d, a + 1, u, 0), -EINVAL);
	assert_int_equal(vqueue_set(&f->vq, SIZE, d, a, u + 2, 0), -EINVAL);
	assert_int_equal(vqueue_set(&f->vq, SIZE, d, d + 16, u, 0), -EINVAL); /* overlap */
	assert_int_equal(vqueue_set(&f->vq, SIZE, d, u, u, 0), -EINVAL);
	assert_int_equal(vqueue_set(&f->vq, 1, d, a, u, 77), 0);
	assert_int_equal(vqueue_stop(&f->vq), 77);
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_EMPTY);
}

static void offer_and_return(struct fix *f)
{
	uint16_t head = rg_chain(&f->q, &(struct rg_span){f->buf, 1, false}, 1);

	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_CHAIN);
	vqueue_push(&f->vq, head, 0);
}

static void test_signal_by_flags(void **state)
{
	struct fix *f = *state;

	assert_false(vqueue_needs_signal(&f->vq)); /* nothing was given back */
	offer_and_return(f);
	assert_true(vqueue_needs_signal(&f->vq));
	assert_false(vqueue_needs_signal(&f->vq));
	f->q.avail[0] = 1; /* no interrupt */
	offer_and_return(f);
	assert_false(vqueue_needs_signal(&f->vq));
	assert_false(vqueue_want_kicks(&f->vq, false));
	assert_int_equal(f->q.used[0], 1);
	rg_chain(&f->q, &(struct rg_span){f->buf, 1, false}, 1);
	assert_true(vqueue_want_kicks(&f->vq, true)); /* came meanwhile */
	assert_int_equal(f->q.used[0], 0);
}

static void test_signal_by_event(void **state)
{
	struct fix *f = *state;

	f->vq.event_idx = true;
	*rg_used_event(&f->q) = 3;
	offer_and_return(f);
	assert_true(vqueue_needs_signal(&f->vq)); /* the first one always */
	offer_and_return(f);
	offer_and_return(f);
	assert_false(vqueue_needs_signal(&f->vq)); /* 2 and 3 of 4 */
	offer_and_return(f);
	assert_true(vqueue_needs_signal(&f->vq)); /* the 4th is the one asked for */
	offer_and_return(f);
	assert_false(vqueue_needs_signal(&f->vq));
	*rg_used_event(&f->q) = 6;
	offer_and_return(f);
	offer_and_return(f);
	offer_and_return(f); /* batch of 6, 7, 8 */
	assert_true(vqueue_needs_signal(&f->vq));
	assert_false(vqueue_want_kicks(&f->vq, true));
	assert_int_equal(*rg_avail_event(&f->q), 8);
	f->q.avail[1] = 1000; /* a jump is seen here too */
	assert_false(vqueue_want_kicks(&f->vq, true));
	assert_int_equal(vqueue_pop(&f->vq, &chain), VQ_BROKEN);
}

/* A driver in another thread: nothing is lost, doubled or read before it was written. */
#define THREAD_ROUNDS 200000u

static void *driver(void *arg)
{
	struct fix *f = arg;
	uint32_t sent = 0, back = 0;
	uint32_t id;

	while (back < THREAD_ROUNDS) {
		while (sent < THREAD_ROUNDS && sent - back < SIZE) {
			uint64_t at = f->buf + 8u * (sent % SIZE);

			*(uint32_t *)rg_host(&f->g, at) = sent++;
			rg_chain(&f->q, &(struct rg_span){at, 4, false}, 1);
		}
		if (rg_used(&f->q, &id, NULL))
			back++;
		else
			sched_yield();
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct fix *f = *state;
	uint32_t want = 0, got;
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, driver, f), 0);
	while (want < THREAD_ROUNDS) {
		enum vq_result r = vqueue_pop(&f->vq, &chain);

		assert_int_not_equal(r, VQ_BROKEN);
		if (r == VQ_EMPTY) {
			sched_yield();
			continue;
		}
		assert_int_equal(vchain_read(&chain, 0, &got, 4), 4);
		assert_int_equal(got, want++);
		vqueue_push(&f->vq, chain.head, 0);
	}
	pthread_join(t, NULL);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_pop_push),
		T(test_unpop),
		T(test_indirect),
		T(test_span_across_regions),
		T(test_loops),
		T(test_bad_tables),
		T(test_longest_chain),
		T(test_lengths),
		T(test_total_capped),
		T(test_avail_index),
		T(test_in_flight),
		T(test_set_refuses),
		T(test_signal_by_flags),
		T(test_signal_by_event),
		T(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
