/* test_fs_lock.c - locks of the guest are locks of the host: both sides see each other's */
#include "../check.h"
#include "fs_tree.h"
#include "fuse_client.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { OWNER_A = 11, OWNER_B = 22 };

static struct fuse_client fc;
static struct fs_tree tree;
static uint64_t root, node, fh, fh2;
static int host;

static int setup(void **state)
{
	(void)state;
	fs_tree_make(&tree);
	fs_tree_write(&tree, "f", "0123456789", 10);
	fcl_new(&fc, tree.share);
	root = fcl_walk(&fc, 0, "", NULL);
	node = fcl_walk(&fc, 0, "f", NULL);
	host = open(fs_tree_path(&tree, "f"), O_RDWR | O_CLOEXEC);
	return host < 0 || fcl_open(&fc, node, O_RDWR, &fh, NULL) ||
	       fcl_open(&fc, node, O_RDWR, &fh2, NULL);
}

static int teardown(void **state)
{
	(void)state;
	close(host);
	fcl_free(&fc);
	fs_tree_remove(&tree);
	return 0;
}

static int posix(uint64_t handle, uint64_t owner, int type, uint64_t start, uint64_t end)
{
	return fcl_lock(&fc, node, handle, owner, type, start, end, false, false);
}

static int host_lock(int type, off_t start, off_t len)
{
	struct flock l = {.l_type = (short)type, .l_start = start, .l_len = len};

	return fcntl(host, F_OFD_SETLK, &l) < 0 ? -errno : 0;
}

static void ranges_and_owners(void **state)
{
	(void)state;
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 0, 9), 0);
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 5, 19), 0); /* its own is no conflict */
	assert_int_equal(posix(fh2, OWNER_B, F_RDLCK, 9, 9), -EAGAIN);
	assert_int_equal(posix(fh2, OWNER_B, F_RDLCK, 20, INT64_MAX), 0);
	assert_int_equal(posix(fh, OWNER_A, F_UNLCK, 0, 9), 0);
	assert_int_equal(posix(fh2, OWNER_B, F_RDLCK, 9, 9), 0);
	assert_int_equal(posix(fh2, OWNER_B, F_RDLCK, 10, 10), -EAGAIN);
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 9, 3), -EINVAL);
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 1ull << 63, UINT64_MAX), -EINVAL);
	assert_int_equal(posix(fh, OWNER_A, 77, 0, 1), -EINVAL);
}

static void host_and_guest_see_each_other(void **state)
{
	struct fuse_lk_in in = {
		.fh = fh, .owner = OWNER_A, .lk = {.start = 0, .end = INT64_MAX, .type = F_WRLCK}};
	struct fuse_lk_out out;

	(void)state;
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 0, 9), 0);
	assert_int_equal(host_lock(F_RDLCK, 0, 1), -EAGAIN);
	assert_int_equal(host_lock(F_WRLCK, 100, 5), 0);
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 104, 200), -EAGAIN);
	struct fcl_args args = {.fixed = &in, .fixed_len = sizeof(in), .room = sizeof(out)};
	assert_int_equal(fcl_call(&fc, FUSE_GETLK, node, &args), 0);
	memcpy(&out, fc.out + sizeof(struct fuse_out_header), sizeof(out));
	assert_int_equal(out.lk.type, F_WRLCK);
	assert_int_equal(out.lk.start, 100);
	assert_int_equal(out.lk.end, 104);
	assert_int_equal(host_lock(F_UNLCK, 0, 0), 0);
	assert_int_equal(fcl_call(&fc, FUSE_GETLK, node, &args), 0);
	memcpy(&out, fc.out + sizeof(struct fuse_out_header), sizeof(out));
	assert_int_equal(out.lk.type, F_UNLCK);
}

/* close() of any descriptor ends the owner's locks: the kernel says so by FLUSH */
static void released_by_flush_and_release(void **state)
{
	struct fs_stats st;

	(void)state;
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 0, 9), 0);
	assert_int_equal(fcl_flush(&fc, node, fh, OWNER_B), 0);
	assert_int_equal(host_lock(F_RDLCK, 0, 1), -EAGAIN);
	assert_int_equal(fcl_flush(&fc, node, fh, OWNER_A), 0);
	assert_int_equal(host_lock(F_RDLCK, 0, 1), 0);
	assert_int_equal(host_lock(F_UNLCK, 0, 0), 0);
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 0, 9), 0);
	assert_int_equal(posix(fh, OWNER_A, F_UNLCK, 0, INT64_MAX), 0);
	fs_server_stats(fc.server, &st);
	assert_int_equal(st.locks, 0);
	/* a guest that never unlocks: its object goes, and so do they */
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 0, 9), 0);
	assert_int_equal(fcl_release(&fc, node, fh), 0);
	assert_int_equal(fcl_release(&fc, node, fh2), 0);
	fcl_forget(&fc, node, 1000);
	assert_int_equal(host_lock(F_WRLCK, 0, 0), 0);
}

static void survives_reset_of_the_guest(void **state)
{
	(void)state;
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 0, 9), 0);
	assert_int_equal(fcl_lock(&fc, node, fh, OWNER_A, F_WRLCK, 0, 0, false, true), 0);
	fs_server_reset(fc.server);
	assert_int_equal(host_lock(F_WRLCK, 0, 0), 0);
	assert_int_equal(flock(host, LOCK_EX | LOCK_NB), 0);
}

static void whole_file_locks(void **state)
{
	(void)state;
	assert_int_equal(fcl_lock(&fc, node, fh, 1, F_RDLCK, 0, 0, false, true), 0);
	assert_int_equal(fcl_lock(&fc, node, fh2, 2, F_RDLCK, 0, 0, false, true), 0);
	assert_int_equal(fcl_lock(&fc, node, fh2, 2, F_WRLCK, 0, 0, false, true), -EAGAIN);
	assert_int_equal(flock(host, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(fcl_lock(&fc, node, fh, 1, F_UNLCK, 0, 0, false, true), 0);
	assert_int_equal(fcl_release(&fc, node, fh2), 0);
	assert_int_equal(flock(host, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(fcl_lock(&fc, node, fh, 1, F_RDLCK, 0, 0, false, true), -EAGAIN);
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 0, 0), 0); /* the two kinds do not meet */
}

static void waits_without_blocking(void **state)
{
	struct fuse_interrupt_in stop;
	struct fs_stats st;

	(void)state;
	assert_int_equal(host_lock(F_WRLCK, 0, 0), 0);
	assert_int_equal(
		fcl_lock(&fc, node, fh, OWNER_A, F_WRLCK, 0, 9, true, false), -EINPROGRESS);
	assert_int_equal(fs_server_retry(fc.server), 1);
	assert_int_equal(fc.done, 0);
	assert_int_equal(host_lock(F_UNLCK, 0, 0), 0);
	assert_int_equal(fs_server_retry(fc.server), 0);
	assert_int_equal(fc.done, 1);
	assert_int_equal(fc.done_error, 0);
	/* another owner of the guest: granted with the unlock, no retry needed */
	assert_int_equal(
		fcl_lock(&fc, node, fh2, OWNER_B, F_WRLCK, 0, 0, true, false), -EINPROGRESS);
	assert_int_equal(posix(fh, OWNER_A, F_UNLCK, 0, INT64_MAX), 0);
	assert_int_equal(fc.done, 2);
	/* given up */
	assert_int_equal(
		fcl_lock(&fc, node, fh, OWNER_A, F_WRLCK, 0, 0, true, false), -EINPROGRESS);
	stop.unique = fc.unique;
	assert_int_equal(fcl_call(&fc, FUSE_INTERRUPT, 0,
				 &(struct fcl_args){.fixed = &stop, .fixed_len = sizeof(stop)}),
		0);
	assert_int_equal(fc.done, 3);
	assert_int_equal(fc.done_error, -EINTR);
	/* at most so many */
	for (unsigned k = 0; k < 64; k++)
		assert_int_equal(
			fcl_lock(&fc, node, fh, OWNER_A, F_WRLCK, 0, 0, true, false), -EINPROGRESS);
	assert_int_equal(fcl_lock(&fc, node, fh, OWNER_A, F_WRLCK, 0, 0, true, false), -ENOLCK);
	fs_server_end_waiting(fc.server);
	assert_int_equal(fc.done, 67);
	assert_int_equal(fc.done_error, -EAGAIN);
	fs_server_stats(fc.server, &st);
	assert_int_equal(st.waiting, 0);
	/* nobody to tell: it cannot wait */
	fs_server_on_done(fc.server, NULL, NULL);
	assert_int_equal(fcl_lock(&fc, node, fh, OWNER_A, F_WRLCK, 0, 0, true, false), -EAGAIN);
}

static void too_many_owners(void **state)
{
	int r = 0;
	unsigned n = 0;

	(void)state;
	while (n < 5000 && (r = posix(fh, 100 + n, F_RDLCK, 0, 1)) == 0)
		n++;
	assert_int_equal(r, -ENOLCK);
	assert_true(n >= 900);
	assert_true(fcl_lookup(&fc, root, "f", &(struct fuse_entry_out){0}) == 0);
}

static void unlinked_file_can_be_locked(void **state)
{
	(void)state;
	assert_int_equal(fcl_unlink(&fc, root, "f"), 0);
	assert_int_equal(posix(fh, OWNER_A, F_WRLCK, 0, 9), 0);
	assert_int_equal(posix(fh2, OWNER_B, F_WRLCK, 0, 9), -EAGAIN);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(ranges_and_owners),
		T(host_and_guest_see_each_other),
		T(released_by_flush_and_release),
		T(survives_reset_of_the_guest),
		T(whole_file_locks),
		T(waits_without_blocking),
		T(too_many_owners),
		T(unlinked_file_can_be_locked),
	};

	return cmocka_run_group_tests_name("fs_lock", tests, NULL, NULL);
}
