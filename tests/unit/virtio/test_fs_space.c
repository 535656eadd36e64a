/* test_fs_space.c - the host's disk cannot be filled through a share (FS-19): a tmpfs of 64 MiB */
#include "../check.h"
#include "fs_tree.h"
#include "fuse_client.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISK	  "64m"
#define RESERVE	  ((64u << 20) / 10) /* a tenth of a small disk */
#define CHUNK	  (1u << 20)
#define NO_RIGHTS 77

static struct fuse_client fc;
static struct fs_tree tree;
static uint64_t root;
static uint8_t chunk[CHUNK];

static uint64_t host_free(void)
{
	struct statvfs v;

	assert_int_equal(statvfs(tree.share, &v), 0);
	return (uint64_t)v.f_bavail * v.f_frsize;
}

/* Runs @fn in a process with a mount namespace of its own and a small disk at the share. */
static void on_small_disk(void (*fn)(void), const char *options)
{
	int status;
	pid_t pid;

	fs_tree_make(&tree);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			mount("none", tree.share, "tmpfs", 0, options) < 0)
			_exit(NO_RIGHTS);
		fcl_new(&fc, tree.share);
		root = fcl_walk(&fc, 0, "", NULL);
		fn();
		fcl_free(&fc);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	fs_tree_remove(&tree);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_RIGHTS) {
		print_message("no mount namespace here\n");
		skip();
	}
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* In the child a failed assertion must not go on as a second test program. */
#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			print_message("%s:%d: %s\n", __FILE__, __LINE__, #x);                      \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static uint64_t create(const char *name, uint64_t *ret_node)
{
	struct fuse_entry_out e;
	uint64_t fh;

	MUST(fcl_create(&fc, root, name, O_RDWR, 0644, &e, &fh) == 0);
	*ret_node = e.nodeid;
	return fh;
}

static unsigned fill(uint64_t node, uint64_t fh)
{
	unsigned n = 0;
	ssize_t r;

	while ((r = fcl_write(&fc, node, fh, (uint64_t)n * CHUNK, chunk, CHUNK, 0, 0)) == CHUNK)
		MUST(++n < 64);
	MUST(r == -ENOSPC);
	return n;
}

static int allocate(uint64_t node, uint64_t fh, uint32_t mode, uint64_t off, uint64_t len)
{
	struct fuse_fallocate_in in = {.fh = fh, .offset = off, .length = len, .mode = mode};

	return fcl_call(&fc, FUSE_FALLOCATE, node,
		&(struct fcl_args){.fixed = &in, .fixed_len = sizeof(in)});
}

static void writes(void)
{
	struct fuse_setattr_in grow = {.valid = FATTR_SIZE, .size = 1ull << 40};
	struct fuse_entry_out e;
	uint64_t node, fh, node2;
	struct fs_stats st;
	unsigned n;

	fh = create("a", &node);
	n = fill(node, fh);
	MUST(n > 50 && host_free() >= RESERVE);
	/* a smaller piece fits, and then no byte */
	while (fcl_write(&fc, node, fh, (uint64_t)n * CHUNK, chunk, 4096, O_APPEND, 0) == 4096)
		;
	MUST(host_free() >= RESERVE && host_free() < RESERVE + CHUNK);
	/* what is written over takes nothing; names, holes and links would */
	MUST(fcl_write(&fc, node, fh, 0, chunk, CHUNK, 0, 0) == CHUNK);
	MUST(fcl_create(&fc, root, "b", O_RDWR, 0644, &e, &fh) == -ENOSPC);
	MUST(fcl_create(&fc, root, "a", O_RDWR, 0644, &e, &fh) == 0);
	MUST(fcl_mkdir(&fc, root, "d", 0755, &e) == -ENOSPC);
	MUST(fcl_mknod(&fc, root, "m", S_IFREG | 0644) == -ENOSPC);
	MUST(fcl_symlink(&fc, root, "s", "t", &e) == -ENOSPC);
	MUST(fcl_link(&fc, node, root, "l") == -ENOSPC);
	MUST(fcl_setxattr(&fc, node, "user.x", chunk, 60000) < 0);
	MUST(fcl_setattr(&fc, node, &grow) == -ENOSPC);
	fs_server_stats(fc.server, &st);
	MUST(st.no_space > 8);
	/* reading, renaming and removing go on, and make room */
	MUST(fcl_read(&fc, node, fh, 0, chunk, CHUNK) == CHUNK);
	MUST(fcl_rename(&fc, root, "a", root, "a2", 0) == 0);
	grow.size = 0;
	MUST(fcl_setattr(&fc, node, &grow) == 0);
	MUST(fcl_unlink(&fc, root, "a2") == 0);
	usleep(120000);
	fh = create("c", &node2);
	MUST(fcl_write(&fc, node2, fh, 0, chunk, CHUNK, 0, 0) == CHUNK);
}

static void writing_stops_at_the_reserve(void **state)
{
	(void)state;
	on_small_disk(writes, "size=" DISK);
}

static void allocations(void)
{
	struct fuse_copy_file_range_in copy = {0};
	struct fuse_statfs_out statfs;
	uint64_t a, b, fa, fb;
	int r;

	fa = create("a", &a);
	fb = create("b", &b);
	MUST(allocate(a, fa, 0, 0, 60u << 20) == -ENOSPC);
	MUST(allocate(a, fa, FALLOC_FL_KEEP_SIZE, 0, 1ull << 50) == -ENOSPC);
	MUST(host_free() > 60u << 20);
	MUST(allocate(a, fa, 0, 0, 40u << 20) == 0);
	/* a hole of any size is no space */
	MUST(fcl_setattr(&fc, b,
		     &(struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 1ull << 40}) == 0);
	copy = (struct fuse_copy_file_range_in){
		.fh_in = fa, .nodeid_out = b, .fh_out = fb, .len = 1ull << 40};
	for (unsigned k = 0; k < 64; k++) {
		const struct fuse_write_out *out = (const void *)(fc.out + 16);

		r = fcl_call(&fc, FUSE_COPY_FILE_RANGE, a,
			&(struct fcl_args){.fixed = &copy,
				.fixed_len = sizeof(copy),
				.room = sizeof(struct fuse_write_out)});
		if (r < 0)
			break;
		copy.off_in += out->size;
		copy.off_out += out->size;
	}
	MUST(r == -ENOSPC && copy.off_out > 10u << 20);
	MUST(host_free() >= RESERVE);
	/* giving space back is no taking */
	MUST(allocate(a, fa, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 40u << 20) == 0);
	r = fcl_call(&fc, FUSE_STATFS, root, &(struct fcl_args){.room = sizeof(statfs)});
	memcpy(&statfs, fc.out + 16, sizeof(statfs));
	MUST(r == 0 && statfs.st.bavail * statfs.st.frsize <= host_free() - RESERVE + 4096);
}

static void allocations_stop_there_too(void **state)
{
	(void)state;
	on_small_disk(allocations, "size=" DISK);
}

static void inodes(void)
{
	struct fuse_entry_out e;
	struct statvfs v;
	char name[16];
	unsigned n = 0;
	uint64_t fh;
	int r;

	do {
		(void)snprintf(name, sizeof(name), "f%u", n++);
		r = fcl_create(&fc, root, name, O_RDWR, 0644, &e, &fh);
		if (r == 0)
			MUST(fcl_release(&fc, e.nodeid, fh) == 0);
		if (n % 64 == 0)
			usleep(110000); /* looked at every tenth of a second */
	} while (r == 0 && n < 4096);
	MUST(r == -ENOSPC);
	MUST(statvfs(tree.share, &v) == 0 && v.f_favail > 0);
}

static void inodes_are_left(void **state)
{
	(void)state;
	on_small_disk(inodes, "size=" DISK ",nr_inodes=4000");
}

/* A reserve that was asked for, on a disk of any size. */
static void given_reserve(void)
{
	uint64_t node, fh, node2;

	fcl_free(&fc);
	fcl_prepare(&fc);
	fcl_export(&fc, tree.share, false);
	fc.cfg.reserve_bytes = 32u << 20;
	fcl_start(&fc);
	root = fcl_walk(&fc, 0, "", NULL);
	fh = create("a", &node);
	MUST(fill(node, fh) >= 30);
	MUST(host_free() >= 32u << 20);
	/* the host uses the rest; what was believed to be free ends within FS_SPACE_MS */
	MUST(fcl_unlink(&fc, root, "a") == 0 && fcl_release(&fc, node, fh) == 0);
	usleep(120000);
	fh = create("b", &node2);
	int fd = open(fs_tree_path(&tree, "host"), O_WRONLY | O_CREAT, 0600);
	MUST(fd >= 0 && posix_fallocate(fd, 0, 40u << 20) == 0);
	usleep(120000);
	MUST(fcl_write(&fc, node2, fh, 0, chunk, 4096, 0, 0) == -ENOSPC);
}

static void a_reserve_that_was_asked_for(void **state)
{
	(void)state;
	on_small_disk(given_reserve, "size=" DISK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writing_stops_at_the_reserve),
		cmocka_unit_test(allocations_stop_there_too),
		cmocka_unit_test(inodes_are_left),
		cmocka_unit_test(a_reserve_that_was_asked_for),
	};

	return cmocka_run_group_tests_name("fs_space", tests, NULL, NULL);
}
