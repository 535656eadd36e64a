/* test_fs_dev.c - the fs device behind a ring: chains come back, the worker neither waits nor starves */
#include "../check.h"
#include "base/clock.h"
#include "fs_tree.h"
#include "ring_guest.h"
#include "virtio/fs.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define OUT 4096u

static struct fs_tree tree;
static struct ring_guest g;
static struct rg_queue hiprio, requests;
static struct virtio_dev *dev;
static struct loop *loop;
static struct fs_config cfg;
static uint64_t in_gpa, out_gpa, unique;

static int setup(void **state)
{
	(void)state;
	fs_tree_make(&tree);
	fs_tree_write(&tree, "f", "data", 4);
	cfg = (struct fs_config){.n_exports = 1, .max_fds = 128, .guest_uid = 1000};
	cfg.exports[0].fd = open(tree.share, O_PATH | O_CLOEXEC);
	cfg.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	loop = loop_new();
	assert_non_null(loop);
	assert_int_equal(fs_dev_new(&cfg, loop, &dev), 0);
	rg_init(&g, 1 << 20);
	rg_queue_init(&g, &hiprio, 16);
	rg_queue_init(&g, &requests, 1024);
	in_gpa = rg_alloc(&g, 512 * 256, 8);
	out_gpa = rg_alloc(&g, OUT * 16, 8);
	rg_attach(&g, dev, 0);
	rg_start(&hiprio, dev, 0);
	rg_start(&requests, dev, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fs_dev_free(dev);
	loop_free(loop);
	rg_fini(&g);
	close(cfg.exports[0].fd);
	close(cfg.proc_fd);
	fs_tree_remove(&tree);
	return 0;
}

static void put(struct rg_queue *q, unsigned slot, uint32_t opcode, uint64_t nodeid,
	const void *arg, size_t len)
{
	struct fuse_in_header h = {
		.opcode = opcode, .nodeid = nodeid, .unique = ++unique, .len = 40 + (uint32_t)len};
	uint64_t at = in_gpa + slot * 256;
	struct rg_span spans[] = {{at, 40 + (uint32_t)len, false}, {out_gpa, OUT, true}};
	bool silent = opcode == FUSE_FORGET;

	memcpy(rg_host(&g, at), &h, 40);
	memcpy(rg_host(&g, at + 40), arg, len);
	(void)rg_chain(q, spans, silent ? 1 : 2);
}

static int call(
	uint32_t opcode, uint64_t nodeid, const void *arg, size_t len, void *ret, size_t ret_len)
{
	struct fuse_out_header h;
	uint32_t used;

	put(&requests, 0, opcode, nodeid, arg, len);
	virtio_dev_kick(dev, 1);
	if (!rg_used(&requests, NULL, &used))
		return -EINPROGRESS;
	assert_true(used >= sizeof(h));
	memcpy(&h, rg_host(&g, out_gpa), sizeof(h));
	assert_int_equal(h.unique, unique);
	if (h.error == 0 && ret)
		memcpy(ret, (uint8_t *)rg_host(&g, out_gpa) + sizeof(h), ret_len);
	return h.error;
}

static void init(void)
{
	struct fuse_init_in in = {.major = 7, .minor = 36, .flags = ~0u};
	struct fuse_init_out out;

	assert_int_equal(call(FUSE_INIT, 0, &in, sizeof(in), &out, sizeof(out)), 0);
	assert_int_equal(out.minor, 36);
	assert_int_equal(out.max_pages, 256);
	assert_false(out.flags & (FUSE_WRITEBACK_CACHE | FUSE_EXPORT_SUPPORT | FUSE_POSIX_ACL));
}

static uint64_t node_of_f(void)
{
	struct fuse_entry_out e;

	assert_int_equal(call(FUSE_LOOKUP, FUSE_ROOT_ID, "0", 2, &e, sizeof(e)), 0);
	assert_int_equal(call(FUSE_LOOKUP, e.nodeid, "f", 2, &e, sizeof(e)), 0);
	return e.nodeid;
}

static void tells_its_tag(void **state)
{
	char tag[36];
	uint32_t queues;

	(void)state;
	assert_int_equal(dev->ops->id, 26);
	virtio_dev_config(dev, 0, tag, sizeof(tag));
	assert_string_equal(tag, "sbx");
	virtio_dev_config(dev, 36, &queues, sizeof(queues));
	assert_int_equal(queues, 1);
	virtio_dev_config(dev, 38, &queues, sizeof(queues)); /* runs over the end */
	assert_int_equal(queues, 0);
	virtio_dev_config(dev, UINT32_MAX, &queues, sizeof(queues));
	assert_int_equal(queues, 0);
}

static void serves_both_queues(void **state)
{
	struct fuse_forget_in forget = {.nlookup = 1};
	struct fs_stats before, after;
	uint32_t used;
	uint64_t f;

	(void)state;
	init();
	f = node_of_f();
	fs_dev_stats(dev, &before);
	put(&hiprio, 1, FUSE_FORGET, f, &forget, sizeof(forget));
	virtio_dev_kick(dev, 0);
	assert_true(rg_used(&hiprio, NULL, &used));
	assert_int_equal(used, 0);
	fs_dev_stats(dev, &after);
	assert_int_equal(after.inodes, before.inodes - 1);
	assert_true(g.signals[1] > 0);
	assert_int_equal(g.broken[1], 0);
}

static void long_queues_in_turns(void **state)
{
	struct fuse_getattr_in in = {0};
	unsigned n = 0, turns = 0;

	(void)state;
	init();
	for (unsigned k = 0; k < 400; k++)
		put(&requests, k, FUSE_GETATTR, FUSE_ROOT_ID, &in, sizeof(in));
	virtio_dev_kick(dev, 1);
	assert_int_equal(requests.used[1] - requests.seen_used, 256); /* others get their turn */
	while (turns++ < 10) {
		while (rg_used(&requests, NULL, NULL))
			n++;
		if (n == 400)
			break;
		assert_int_equal(loop_once(loop, 100), 0);
	}
	assert_int_equal(n, 400);
}

static void a_waiting_lock_blocks_nobody(void **state)
{
	struct fuse_lk_in lk = {.lk = {.type = F_WRLCK, .end = INT64_MAX}};
	struct fuse_open_in in = {.flags = O_RDWR};
	int host = open(fs_tree_path(&tree, "f"), O_RDWR | O_CLOEXEC);
	struct fuse_getattr_in ga = {0};
	struct flock fl = {.l_type = F_WRLCK};
	struct fuse_open_out out;
	int64_t end = clock_ms() + 3000;
	uint32_t used;
	uint64_t f;

	(void)state;
	init();
	f = node_of_f();
	assert_int_equal(call(FUSE_OPEN, f, &in, sizeof(in), &out, sizeof(out)), 0);
	lk.fh = out.fh;
	assert_int_equal(fcntl(host, F_OFD_SETLK, &fl), 0);
	assert_int_equal(call(FUSE_SETLKW, f, &lk, sizeof(lk), NULL, 0), -EINPROGRESS);
	assert_int_equal(call(FUSE_GETATTR, f, &ga, sizeof(ga), NULL, 0), 0);
	assert_int_equal(loop_once(loop, 20), 0);
	assert_false(rg_used(&requests, NULL, NULL));
	fl.l_type = F_UNLCK;
	assert_int_equal(fcntl(host, F_OFD_SETLK, &fl), 0);
	while (!rg_used(&requests, NULL, &used) && clock_ms() < end)
		assert_int_equal(loop_once(loop, 100), 0);
	assert_int_equal(used, 16);
	/* the other queue can end the wait, but never wait itself */
	struct fuse_interrupt_in stop;
	fl.l_type = F_UNLCK;
	assert_int_equal(fcntl(host, F_OFD_SETLK, &fl), 0);
	lk.owner = 4;
	assert_int_equal(call(FUSE_SETLKW, f, &lk, sizeof(lk), NULL, 0), -EINPROGRESS);
	stop.unique = unique;
	put(&hiprio, 1, FUSE_SETLKW, f, &lk, sizeof(lk));
	put(&hiprio, 2, FUSE_INTERRUPT, 0, &stop, sizeof(stop));
	virtio_dev_kick(dev, 0);
	assert_true(rg_used(&hiprio, NULL, NULL) && rg_used(&hiprio, NULL, NULL));
	assert_true(rg_used(&requests, NULL, &used));
	assert_int_equal(used, 16);
	/* the queue stops while one waits: its chain is given back */
	fl.l_type = F_RDLCK;
	lk.owner = 5;
	assert_int_equal(call(FUSE_SETLKW, f, &lk, sizeof(lk), NULL, 0), -EINPROGRESS);
	assert_int_equal(virtio_dev_stop(dev, 1), requests.avail_idx);
	assert_true(rg_used(&requests, NULL, &used));
	close(host);
}

static void a_new_driver_starts_afresh(void **state)
{
	struct fuse_getattr_in in = {0};
	struct fs_stats st;

	(void)state;
	init();
	(void)node_of_f();
	virtio_dev_reset(dev);
	fs_dev_stats(dev, &st);
	assert_int_equal(st.inodes, 1);
	rg_queue_init(&g, &requests, 16);
	rg_attach(&g, dev, 0);
	rg_start(&requests, dev, 1);
	assert_int_equal(call(FUSE_GETATTR, FUSE_ROOT_ID, &in, sizeof(in), NULL, 0), -EIO);
	init();
	(void)node_of_f();
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(tells_its_tag),
		T(serves_both_queues),
		T(long_queues_in_turns),
		T(a_waiting_lock_blocks_nobody),
		T(a_new_driver_starts_afresh),
	};

	return cmocka_run_group_tests_name("fs_dev", tests, NULL, NULL);
}
