/* test_fs_weight.c - the file server under a million of something: races, levels, open files
 *
 * In memory where there is a file system for it, so that the numbers are those of the cases. Each
 * test ends in fs_tree_remove(), which asserts that nothing beside the share was made or changed.
 */
#include "../check.h"
#include "base/clock.h"
#include "fs_tree.h"
#include "fuse_client.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __has_feature
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define RACES	    (SANITIZED ? 100000u : 1000000u)
#define RACE_MAX_MS 40000 /* on a busy machine fewer have to do */
#define LEVELS	    (SANITIZED ? 2000u : 10000u)
#define OPENS	    (SANITIZED ? 100000u : 1000000u)

static struct fuse_client fc;
static struct fs_tree tree;
static uint64_t root;

static void begin(uint32_t max_fds)
{
	fs_tree_make_in(&tree, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	fcl_prepare(&fc);
	fcl_export(&fc, tree.share, false);
	fc.cfg.max_fds = max_fds;
	fcl_start(&fc);
	root = fcl_walk(&fc, 0, "", NULL);
}

static void end(void)
{
	fcl_free(&fc);
	fs_tree_remove(&tree);
}

/* -- FS-02, FS-04: every component, every call, a host that exchanges a directory and a link */

struct swapper {
	pthread_t thread;
	atomic_bool stop;
	int dir;
	unsigned long swaps;
};

static void *swap_loop(void *arg)
{
	static const char *const pairs[][2] = {{"a", "la"}, {"a/b", "a/lb"}, {"a/b/c", "a/b/lc"}};
	struct swapper *s = arg;

	for (unsigned k = 0; !atomic_load(&s->stop); k++)
		s->swaps += renameat2(s->dir, pairs[k % 3][0], s->dir, pairs[k % 3][1],
				    RENAME_EXCHANGE) == 0;
	return NULL;
}

static void one_race(unsigned k, uint64_t dir, uint64_t file)
{
	struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = 0777};
	struct fuse_entry_out e;
	uint64_t fh;

	switch (k % 10) {
	case 0:
		if (fcl_create(&fc, dir, "made", O_RDWR, 0644, &e, &fh) == 0) {
			(void)fcl_setxattr(&fc, e.nodeid, "user.x", "x", 1);
			(void)fcl_release(&fc, e.nodeid, fh);
			fcl_forget(&fc, e.nodeid, 1);
		}
		break;
	case 1:
		if (fcl_mkdir(&fc, dir, "sub", 0755, &e) == 0)
			fcl_forget(&fc, e.nodeid, 1);
		break;
	case 2:
		assert_int_not_equal(fcl_rename(&fc, dir, "canary", root, "stolen", 0), 0);
		break;
	case 3:
		assert_int_not_equal(fcl_unlink(&fc, dir, "canary"), 0);
		break;
	case 4:
		if (fcl_link(&fc, file, dir, "hard") == 0)
			fcl_forget(&fc, file, 1);
		break;
	case 5:
		if (fcl_symlink(&fc, dir, "sym", "t", &e) == 0)
			fcl_forget(&fc, e.nodeid, 1);
		break;
	case 6:
		assert_true(fcl_lookup(&fc, dir, "canary", &e) < 0);
		(void)fcl_setattr(&fc, dir, &mode);
		break;
	case 7:
		if (fcl_opendir(&fc, dir, &fh) == 0)
			(void)fcl_releasedir(&fc, dir, fh);
		break;
	default:
		(void)fcl_unlink(&fc, dir, k % 2 ? "made" : "hard");
		(void)fcl_unlink(&fc, dir, "sym");
		(void)fcl_rmdir(&fc, dir, "sub");
		break;
	}
}

static void a_million_races(void **state)
{
	static const char *const paths[] = {"a", "la", "b", "lb", "c", "lc"};
	struct swapper s = {0};
	struct fuse_entry_out e;
	int64_t deadline;
	uint64_t file;
	unsigned k, found = 0;

	(void)state;
	begin(1024);
	assert_int_equal(mkdir(fs_tree_path(&tree, "a"), 0755), 0);
	assert_int_equal(mkdir(fs_tree_path(&tree, "a/b"), 0755), 0);
	assert_int_equal(mkdir(fs_tree_path(&tree, "a/b/c"), 0755), 0);
	assert_int_equal(symlink("../outside", fs_tree_path(&tree, "la")), 0);
	assert_int_equal(symlink("../../outside", fs_tree_path(&tree, "a/lb")), 0);
	assert_int_equal(symlink("../../../outside", fs_tree_path(&tree, "a/b/lc")), 0);
	fs_tree_write(&tree, "file", "f", 1);
	file = fcl_walk(&fc, 0, "file", NULL);
	s.dir = open(tree.share, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(pthread_create(&s.thread, NULL, swap_loop, &s), 0);
	deadline = clock_ms() + RACE_MAX_MS;
	for (k = 0; fc.unique < RACES && clock_ms() < deadline; k++) {
		uint64_t chain[4] = {root}, dir = root;
		unsigned n = 1;

		for (unsigned level = 0; level <= k / 10 % 3; level++)
			if (fcl_lookup(&fc, dir, paths[level * 2 + (k + level) % 2], &e) == 0)
				chain[n++] = dir = e.nodeid;
		found += n > 1;
		if (n > 1)
			one_race(k, dir, file);
		while (n > 1)
			fcl_forget(&fc, chain[--n], 1);
	}
	atomic_store(&s.stop, true);
	assert_int_equal(pthread_join(s.thread, NULL), 0);
	close(s.dir);
	print_message("%lu swaps, %llu requests in %u rounds\n", s.swaps,
		(unsigned long long)fc.unique, k);
	assert_true(s.swaps > 1000 && found > k / 4);
	assert_true(fc.unique > RACES / 10);
	end();
}

/* -- FS-20: levels */

static void remove_on_the_host(const char *name)
{
	char *const argv[] = {(char[]){"rm"}, (char[]){"-rf"},
		(char *)(uintptr_t)fs_tree_path(&tree, name), NULL};
	char *const none[] = {NULL};
	int status;
	pid_t pid;

	assert_int_equal(posix_spawn(&pid, "/bin/rm", NULL, NULL, argv, none), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static unsigned descend(unsigned levels, uint64_t *chain)
{
	struct fuse_entry_out e = {.nodeid = root};
	unsigned n = 0;
	int r = 0;

	while (n < levels && (r = fcl_mkdir(&fc, e.nodeid, "d", 0755, &e)) == 0)
		chain[n++] = e.nodeid;
	assert_true(r == 0 || r == -ENFILE);
	return n;
}

static void ten_thousand_levels(void **state)
{
	AUTO_FREE uint64_t *chain = calloc(LEVELS, sizeof(*chain));
	const struct timespec past_trust = {.tv_sec = FS_TRUST_MS / 1000, .tv_nsec = 100000000L};
	struct fuse_entry_out e;
	uint64_t fh;
	unsigned n;

	(void)state;
	begin(16384);
	n = descend(LEVELS, chain);
	assert_int_equal(n, LEVELS);
	assert_int_equal(fcl_create(&fc, chain[n - 1], "f", O_RDWR, 0644, &e, &fh), 0);
	assert_int_equal(fcl_release(&fc, e.nodeid, fh), 0);
	fcl_forget(&fc, e.nodeid, 1);
	nanosleep(&past_trust, NULL);
	assert_int_equal(fcl_lookup(&fc, chain[n - 1], "f", &e), 0);
	fcl_forget(&fc, e.nodeid, 1);
	/* what the guest lets go of from the top hangs on its lowest level, and goes with it */
	for (unsigned k = 0; k < n; k++)
		fcl_forget(&fc, chain[k], 1);
	struct fs_stats st;
	fs_server_stats(fc.server, &st);
	assert_int_equal(st.inodes, 1);
	remove_on_the_host("d");
	end();
	/* fewer descriptors than levels: at worst an error, and everything above goes on */
	begin(1024);
	n = descend(LEVELS, chain);
	assert_true(n > 500);
	nanosleep(&past_trust, NULL);
	int r = fcl_lookup(&fc, chain[n - 1], "f", &e);
	assert_true(r == -ENOENT || r == -ENFILE);
	assert_int_equal(fcl_lookup(&fc, chain[400], "d", &e), 0);
	assert_int_equal(fcl_mkdir(&fc, root, "other", 0755, &e), 0);
	remove_on_the_host("d");
	end();
}

/* -- FS-22: open files, directories, locks */

static void a_million_opens(void **state)
{
	AUTO_FREE uint64_t *fh = calloc(1024, sizeof(*fh));
	unsigned n = 0, refused = 0;
	struct fs_stats st;
	int64_t began;
	uint64_t file, one;
	int r;

	(void)state;
	begin(1024);
	fs_tree_write(&tree, "file", "f", 1);
	file = fcl_walk(&fc, 0, "file", NULL);
	began = clock_ms();
	for (unsigned k = 0; k < OPENS; k++) {
		r = k % 2 ? fcl_open(&fc, file, O_RDWR, &one, NULL) : fcl_opendir(&fc, root, &one);
		if (r == 0) {
			assert_true(n < 1024);
			fh[n++] = one | (uint64_t)(k % 2) << 63;
		} else {
			assert_int_equal(r, -ENFILE);
			refused++;
		}
	}
	print_message(
		"%u opened, %u refused in %lld ms\n", n, refused, (long long)(clock_ms() - began));
	assert_true(n > 900 && refused == OPENS - n);
	/* locks have their own bound */
	for (unsigned k = 0; k < 5000; k++) {
		r = fcl_lock(
			&fc, file, fh[n - 1] & ~(1ull << 63), k + 1, F_RDLCK, k, k, false, false);
		assert_true(r == 0 || r == -ENFILE || r == -ENOLCK);
	}
	fs_server_stats(fc.server, &st);
	assert_true(st.fds <= 1024 && st.locks <= 1024);
	/* names go on meanwhile, and all is well when the guest lets go */
	assert_int_equal(fcl_walk(&fc, 0, "file", NULL), file);
	while (n-- > 0)
		assert_int_equal(fh[n] >> 63 ? fcl_release(&fc, file, fh[n] & ~(1ull << 63))
					     : fcl_releasedir(&fc, root, fh[n]),
			0);
	assert_int_equal(fcl_open(&fc, file, O_RDWR, &one, NULL), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million_races),
		cmocka_unit_test(ten_thousand_levels),
		cmocka_unit_test(a_million_opens),
	};

	return cmocka_run_group_tests_name("fs_weight", tests, NULL, NULL);
}
