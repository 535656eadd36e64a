/* test_fs_ops.c - the file server: every request does on the host what it says, and no more */
#include "../check.h"
#include "fuse_client.h"
#include "fs_tree.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static struct fuse_client fc;
static struct fs_tree tree;
static uint64_t root;

static int setup(void **state)
{
	(void)state;
	fs_tree_make(&tree);
	fcl_new(&fc, tree.share);
	root = fcl_walk(&fc, 0, "", NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fcl_free(&fc);
	fs_tree_remove(&tree);
	return 0;
}

static void reads_what_was_written(void **state)
{
	struct fuse_entry_out e;
	uint64_t fh, again;
	char got[64];

	(void)state;
	assert_int_equal(fcl_create(&fc, root, "f", O_RDWR, 0640, &e, &fh), 0);
	assert_int_equal(e.attr.mode, S_IFREG | 0640);
	assert_int_equal(e.attr.uid, 1000);
	assert_int_equal(e.attr.gid, 1000);
	assert_int_equal(fcl_write(&fc, e.nodeid, fh, 3, "hello", 5, O_RDWR, 0), 5);
	assert_int_equal(fcl_read(&fc, e.nodeid, fh, 0, got, sizeof(got)), 8);
	assert_memory_equal(got, "\0\0\0hello", 8);
	assert_int_equal(fcl_open(&fc, e.nodeid, O_RDONLY, &again, NULL), 0);
	assert_int_equal(fcl_write(&fc, e.nodeid, again, 0, "x", 1, O_RDONLY, 0), -EBADF);
	assert_int_equal(fcl_release(&fc, e.nodeid, again), 0);
	assert_int_equal(fcl_release(&fc, e.nodeid, fh), 0);
	assert_int_equal(fcl_read(&fc, e.nodeid, fh, 0, got, 1), -EBADF);
	fs_tree_expect(&tree, "f", "\0\0\0hello", 8);
}

static void spans_in_pieces(void **state)
{
	static char data[5000], got[5000];
	struct fuse_entry_out e;
	uint64_t fh;

	(void)state;
	for (size_t k = 0; k < sizeof(data); k++)
		data[k] = (char)(k * 7);
	fc.split = 7; /* headers and data over many spans */
	assert_int_equal(fcl_create(&fc, root, "pieces", O_RDWR, 0600, &e, &fh), 0);
	assert_int_equal(fcl_write(&fc, e.nodeid, fh, 0, data, sizeof(data), 0, 0), sizeof(data));
	assert_int_equal(fcl_read(&fc, e.nodeid, fh, 0, got, sizeof(got)), sizeof(got));
	assert_memory_equal(data, got, sizeof(got));
	fc.split = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_what_was_written, setup, teardown),
		cmocka_unit_test_setup_teardown(spans_in_pieces, setup, teardown),
	};

	return cmocka_run_group_tests_name("fs_ops", tests, NULL, NULL);
}
