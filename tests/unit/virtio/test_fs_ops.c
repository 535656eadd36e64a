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
#include <unistd.h>

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

static void lookup_forget_and_stale(void **state)
{
	struct fuse_entry_out e, again;
	struct fs_stats before, after;

	(void)state;
	fs_server_stats(fc.server, &before);
	fs_tree_write(&tree, "f", "x", 1);
	assert_int_equal(fcl_lookup(&fc, root, "none", &e), -ENOENT);
	assert_int_equal(fcl_lookup(&fc, root, "f", &e), 0);
	assert_int_equal(fcl_lookup(&fc, root, "f", &again), 0);
	assert_int_equal(e.nodeid, again.nodeid);
	fcl_forget(&fc, e.nodeid, 1);
	assert_int_equal(fcl_getattr(&fc, e.nodeid, &(struct fuse_attr_out){0}), 0);
	fcl_forget(&fc, e.nodeid, 1);
	assert_int_equal(fcl_getattr(&fc, e.nodeid, &(struct fuse_attr_out){0}), -ESTALE);
	fs_server_stats(fc.server, &after);
	assert_int_equal(before.inodes, after.inodes);
	assert_int_equal(fcl_lookup(&fc, root, "f", &again), 0);
	assert_true(again.nodeid != e.nodeid); /* a node id is never used again */
}

static void made_up_root(void **state)
{
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	uint64_t fh;

	(void)state;
	assert_int_equal(fcl_getattr(&fc, FUSE_ROOT_ID, &a), 0);
	assert_int_equal(a.attr.mode, S_IFDIR | 0555);
	assert_int_equal(fcl_lookup(&fc, FUSE_ROOT_ID, "0", &e), 0);
	assert_int_equal(fcl_lookup(&fc, FUSE_ROOT_ID, "00", &e), -ENOENT);
	assert_int_equal(fcl_lookup(&fc, FUSE_ROOT_ID, "1", &e), -ENOENT);
	assert_int_equal(fcl_create(&fc, FUSE_ROOT_ID, "x", O_RDWR, 0644, &e, &fh), -EROFS);
	assert_int_equal(fcl_mkdir(&fc, FUSE_ROOT_ID, "x", 0755, &e), -EROFS);
	assert_int_equal(fcl_unlink(&fc, FUSE_ROOT_ID, "0"), -EROFS);
	assert_int_equal(fcl_rename(&fc, FUSE_ROOT_ID, "0", root, "z", 0), -EROFS);
	assert_int_equal(fcl_open(&fc, FUSE_ROOT_ID, O_RDONLY, &fh, NULL), -EISDIR);
}

static void names_come_and_go(void **state)
{
	struct fuse_entry_out d, e, s;
	char text[64];
	struct stat st;
	uint64_t fh;

	(void)state;
	assert_int_equal(fcl_mkdir(&fc, root, "d", 0751, &d), 0);
	assert_int_equal(d.attr.mode, S_IFDIR | 0751);
	assert_int_equal(fcl_mkdir(&fc, root, "d", 0751, &d), -EEXIST);
	d.nodeid = fcl_walk(&fc, 0, "d", NULL);
	assert_int_equal(fcl_create(&fc, d.nodeid, "f", O_WRONLY | O_EXCL, 0604, &e, &fh), 0);
	assert_int_equal(fcl_release(&fc, e.nodeid, fh), 0);
	assert_int_equal(fcl_create(&fc, d.nodeid, "f", O_WRONLY | O_EXCL, 0604, &e, &fh), -EEXIST);
	assert_int_equal(stat(fs_tree_path(&tree, "d/f"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0604);
	assert_int_equal(fcl_mknod(&fc, d.nodeid, "n", S_IFREG | 0622), 0);
	assert_int_equal(stat(fs_tree_path(&tree, "d/n"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0622);
	assert_int_equal(fcl_symlink(&fc, d.nodeid, "s", "../../etc/passwd", &s), 0);
	assert_int_equal(s.attr.mode & S_IFMT, S_IFLNK);
	assert_int_equal(fcl_readlink(&fc, s.nodeid, text, sizeof(text)), 0);
	assert_string_equal(text, "../../etc/passwd");
	assert_int_equal(fcl_link(&fc, e.nodeid, root, "hard"), 0);
	assert_int_equal(stat(fs_tree_path(&tree, "hard"), &st), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(fcl_rmdir(&fc, root, "d"), -ENOTEMPTY);
	assert_int_equal(fcl_unlink(&fc, root, "d"), -EISDIR);
	assert_int_equal(fcl_unlink(&fc, d.nodeid, "f"), 0);
	assert_int_equal(fcl_unlink(&fc, d.nodeid, "n"), 0);
	assert_int_equal(fcl_unlink(&fc, d.nodeid, "s"), 0);
	assert_int_equal(fcl_rmdir(&fc, root, "d"), 0);
	assert_int_equal(stat(fs_tree_path(&tree, "d"), &st), -1);
	fcl_walk(&fc, 0, "hard", NULL);
}

static void renames(void **state)
{
	struct fuse_attr_out a;
	uint64_t d, f, g;

	(void)state;
	assert_int_equal(mkdir(fs_tree_path(&tree, "d"), 0755), 0);
	fs_tree_write(&tree, "d/f", "f", 1);
	fs_tree_write(&tree, "g", "g2", 2);
	d = fcl_walk(&fc, 0, "d", NULL);
	f = fcl_walk(&fc, 0, "d/f", NULL);
	g = fcl_walk(&fc, 0, "g", NULL);
	assert_int_equal(fcl_rename(&fc, d, "f", root, "g", 1), -EEXIST); /* NOREPLACE */
	assert_int_equal(fcl_rename(&fc, d, "f", root, "g", 2), 0); /* EXCHANGE */
	fs_tree_expect(&tree, "g", "f", 1);
	assert_int_equal(fcl_getattr(&fc, f, &a), 0);
	assert_int_equal(a.attr.size, 1);
	assert_int_equal(fcl_getattr(&fc, g, &a), 0);
	assert_int_equal(a.attr.size, 2);
	assert_int_equal(fcl_rename(&fc, root, "g", d, "f", 0), 0); /* over the other */
	assert_int_equal(fcl_getattr(&fc, f, &a), 0);
	assert_int_equal(fcl_getattr(&fc, g, &a), -ESTALE);
	assert_int_equal(fcl_rename(&fc, root, "d", root, "e", 0), 0);
	assert_int_equal(fcl_getattr(&fc, f, &a), 0); /* its way leads through "e" now */
	fs_tree_expect(&tree, "e/f", "f", 1);
	assert_int_equal(fcl_rename(&fc, root, "e", d, "x", 0), -EINVAL); /* into itself */
	assert_int_equal(fcl_rename(&fc, root, "e", root, "x", 4), -EINVAL); /* WHITEOUT */
}

static void open_files_outlive_their_name(void **state)
{
	struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 0600};
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	uint64_t fh, again;
	char got[4];

	(void)state;
	assert_int_equal(fcl_create(&fc, root, "f", O_RDWR, 0644, &e, &fh), 0);
	assert_int_equal(fcl_unlink(&fc, root, "f"), 0);
	assert_int_equal(fcl_write(&fc, e.nodeid, fh, 0, "abc", 3, 0, 0), 3);
	assert_int_equal(fcl_getattr(&fc, e.nodeid, &a), 0);
	assert_int_equal(a.attr.size, 3);
	assert_int_equal(a.attr.nlink, 0);
	assert_int_equal(fcl_setattr(&fc, e.nodeid, &in), 0);
	assert_int_equal(fcl_open(&fc, e.nodeid, O_RDONLY, &again, NULL), 0); /* by /proc/self/fd */
	assert_int_equal(fcl_read(&fc, e.nodeid, again, 0, got, 4), 3);
	assert_int_equal(fcl_release(&fc, e.nodeid, again), 0);
	assert_int_equal(fcl_release(&fc, e.nodeid, fh), 0);
	assert_int_equal(fcl_getattr(&fc, e.nodeid, &a), -ESTALE);
}

static void attributes_change(void **state)
{
	struct fuse_setattr_in in = {0};
	struct fuse_attr_out a;
	struct stat st;
	uint64_t f, d;

	(void)state;
	fs_tree_write(&tree, "f", "12345", 5);
	assert_int_equal(mkdir(fs_tree_path(&tree, "d"), 0755), 0);
	f = fcl_walk(&fc, 0, "f", NULL);
	d = fcl_walk(&fc, 0, "d", NULL);
	in = (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 2};
	assert_int_equal(fcl_setattr(&fc, f, &in), 0);
	fs_tree_expect(&tree, "f", "12", 2);
	assert_int_equal(fcl_setattr(&fc, d, &in), -EISDIR);
	in.size = 1ull << 63;
	assert_int_equal(fcl_setattr(&fc, f, &in), -EFBIG);
	in = (struct fuse_setattr_in){
		.valid = FATTR_ATIME | FATTR_MTIME, .mtime = 12345, .mtimensec = 6789, .atime = 1};
	assert_int_equal(fcl_setattr(&fc, f, &in), 0);
	assert_int_equal(fcl_setattr(&fc, d, &in), 0);
	assert_int_equal(fcl_getattr(&fc, d, &a), 0);
	assert_int_equal(a.attr.mtime, 12345);
	assert_int_equal(a.attr.mtimensec, 6789);
	in.mtimensec = UTIME_NOW;
	assert_int_equal(fcl_setattr(&fc, f, &in), -EINVAL);
	in = (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0};
	assert_int_equal(fcl_setattr(&fc, f, &in), 0); /* nobody can open it now, ... */
	in.mode = S_IFREG | 0751;
	assert_int_equal(fcl_setattr(&fc, f, &in), 0); /* ... and its owner can undo it */
	assert_int_equal(stat(fs_tree_path(&tree, "f"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0751);
	in = (struct fuse_setattr_in){.valid = FATTR_UID | FATTR_GID, .uid = 0, .gid = 0};
	assert_int_equal(fcl_setattr(&fc, f, &in), 0);
	assert_int_equal(stat(fs_tree_path(&tree, "f"), &st), 0);
	assert_int_equal(st.st_uid, geteuid());
}

static void append_and_page_writes(void **state)
{
	struct fuse_entry_out e;
	uint64_t fh;

	(void)state;
	assert_int_equal(fcl_create(&fc, root, "log", O_WRONLY | O_APPEND, 0644, &e, &fh), 0);
	assert_int_equal(fcl_write(&fc, e.nodeid, fh, 0, "one", 3, O_APPEND, 0), 3);
	fs_tree_write(&tree, "log", "host+one", 8); /* the host is faster */
	assert_int_equal(fcl_write(&fc, e.nodeid, fh, 3, "two", 3, O_APPEND, 0), 3);
	fs_tree_expect(&tree, "log", "host+onetwo", 11);
	/* a page of a mapping goes to its place, whatever the handle says */
	assert_int_equal(fcl_write(&fc, e.nodeid, fh, 0, "HOST", 4, O_APPEND, FUSE_WRITE_CACHE), 4);
	fs_tree_expect(&tree, "log", "HOST+onetwo", 11);
}

static int fallocate_call(uint64_t nodeid, uint64_t fh, uint64_t off, uint64_t len, unsigned mode)
{
	struct fuse_fallocate_in in = {.fh = fh, .offset = off, .length = len, .mode = mode};

	return fcl_call(&fc, FUSE_FALLOCATE, nodeid,
		&(struct fcl_args){.fixed = &in, .fixed_len = sizeof(in)});
}

static int64_t lseek_call(uint64_t nodeid, uint64_t fh, uint64_t off, unsigned whence)
{
	struct fuse_lseek_in in = {.fh = fh, .offset = off, .whence = whence};
	struct fuse_lseek_out out;
	int r = fcl_call(&fc, FUSE_LSEEK, nodeid,
		&(struct fcl_args){.fixed = &in, .fixed_len = sizeof(in), .room = sizeof(out)});

	memcpy(&out, fc.out + sizeof(struct fuse_out_header), sizeof(out));
	return r < 0 ? r : (int64_t)out.offset;
}

static void sparse_files_stay_sparse(void **state)
{
	struct fuse_entry_out e;
	struct stat st;
	uint64_t fh;

	(void)state;
	assert_int_equal(fcl_create(&fc, root, "s", O_RDWR, 0644, &e, &fh), 0);
	assert_int_equal(fcl_write(&fc, e.nodeid, fh, 8 << 20, "x", 1, 0, 0), 1);
	assert_int_equal(stat(fs_tree_path(&tree, "s"), &st), 0);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_int_equal(lseek_call(e.nodeid, fh, 0, SEEK_DATA), 8 << 20);
	assert_int_equal(lseek_call(e.nodeid, fh, 0, SEEK_HOLE), 0);
	assert_int_equal(lseek_call(e.nodeid, fh, 0, SEEK_END), -EINVAL);
	assert_int_equal(fallocate_call(e.nodeid, fh, 0, 1 << 20, FALLOC_FL_KEEP_SIZE), 0);
	assert_int_equal(stat(fs_tree_path(&tree, "s"), &st), 0);
	assert_true(st.st_blocks * 512 >= 1 << 20);
	assert_int_equal(fallocate_call(e.nodeid, fh, 0, 1 << 20,
				 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE),
		0);
	assert_int_equal(stat(fs_tree_path(&tree, "s"), &st), 0);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_int_equal(st.st_size, (8 << 20) + 1);
	assert_int_equal(
		fallocate_call(e.nodeid, fh, 0, 4096, FALLOC_FL_COLLAPSE_RANGE), -EOPNOTSUPP);
	assert_int_equal(fallocate_call(e.nodeid, fh, 1ull << 63, 1, 0), -EFBIG);
}

static void copies_within(void **state)
{
	struct fuse_copy_file_range_in in = {.len = 100};
	struct fuse_entry_out a, b;
	uint64_t fa, fb;

	(void)state;
	assert_int_equal(fcl_create(&fc, root, "a", O_RDWR, 0644, &a, &fa), 0);
	assert_int_equal(fcl_create(&fc, root, "b", O_RDWR, 0644, &b, &fb), 0);
	assert_int_equal(fcl_write(&fc, a.nodeid, fa, 0, "0123456789", 10, 0, 0), 10);
	in.fh_in = fa;
	in.off_in = 2;
	in.nodeid_out = b.nodeid;
	in.fh_out = fb;
	struct fcl_args args = {
		.fixed = &in, .fixed_len = sizeof(in), .room = sizeof(struct fuse_write_out)};
	assert_int_equal(fcl_call(&fc, FUSE_COPY_FILE_RANGE, a.nodeid, &args), 0);
	fs_tree_expect(&tree, "b", "23456789", 8);
	in.fh_out = fa; /* not a handle of b */
	assert_int_equal(fcl_call(&fc, FUSE_COPY_FILE_RANGE, a.nodeid, &args), -EBADF);
}

struct seen {
	unsigned n, attrs, dots;
	uint64_t ino_sum;
};

static void count_entry(void *ctx, const struct fuse_dirent *d, const char *name,
	const struct fuse_entry_out *entry)
{
	struct seen *s = ctx;

	s->n++;
	s->attrs += entry->nodeid != 0;
	s->dots += name[0] == '.';
	s->ino_sum += d->ino;
	if (entry->nodeid)
		fcl_forget(&fc, entry->nodeid, 1);
}

static struct seen list_all(uint64_t dir, size_t room, bool plus)
{
	struct seen s = {0};
	uint64_t fh, next = 0;
	unsigned n;

	assert_int_equal(fcl_opendir(&fc, dir, &fh), 0);
	do {
		assert_int_equal(
			fcl_list(&fc, dir, fh, next, room, plus, count_entry, &s, &next, &n), 0);
	} while (n);
	assert_int_equal(fcl_releasedir(&fc, dir, fh), 0);
	return s;
}

static void listings(void **state)
{
	struct seen small, big, plus;
	struct fs_stats st;
	uint64_t fh, next;
	char name[16];
	unsigned n;

	(void)state;
	for (unsigned k = 0; k < 700; k++) {
		(void)snprintf(name, sizeof(name), "f%u", k);
		fs_tree_write(&tree, name, "", 0);
	}
	assert_int_equal(mkfifo(fs_tree_path(&tree, "pipe"), 0644), 0);
	small = list_all(root, 300, false);
	big = list_all(root, 64 << 10, false);
	plus = list_all(root, 4096, true);
	assert_int_equal(small.n, 703);
	assert_int_equal(small.dots, 2);
	assert_int_equal(big.n, 703);
	assert_int_equal(plus.n, 703);
	assert_int_equal(plus.attrs, 700); /* the pipe has a name and no more */
	assert_int_equal(small.ino_sum, big.ino_sum);
	assert_int_equal(small.ino_sum, plus.ino_sum);
	fs_server_stats(fc.server, &st);
	assert_int_equal(st.inodes, 1);
	assert_int_equal(list_all(FUSE_ROOT_ID, 4096, true).n, 3);
	assert_int_equal(list_all(FUSE_ROOT_ID, 60, false).n, 3);
	assert_int_equal(fcl_opendir(&fc, root, &fh), 0);
	assert_int_equal(fcl_list(&fc, root, fh, 0, 8, false, NULL, NULL, &next, &n), -EINVAL);
	/* two at a time: each continues where it was */
	struct seen two[2] = {{0}, {0}};
	uint64_t fhs[2] = {fh, 0}, at[2] = {0, 0};

	assert_int_equal(fcl_opendir(&fc, root, &fhs[1]), 0);
	for (unsigned left = 2; left;)
		for (unsigned k = left = 0; k < 2; k++) {
			assert_int_equal(fcl_list(&fc, root, fhs[k], at[k], 2000, false,
						 count_entry, &two[k], &at[k], &n),
				0);
			left += n > 0;
		}
	assert_int_equal(two[0].n, 703);
	assert_int_equal(two[1].ino_sum, small.ino_sum);
}

static void extended_attributes(void **state)
{
	char got[64], *big = calloc(1, 70000);
	uint64_t f;

	(void)state;
	fs_tree_write(&tree, "f", "", 0);
	if (setxattr(fs_tree_path(&tree, "f"), "user.probe", "", 0, 0) < 0) {
		free(big);
		SKIP("this file system has no user extended attributes");
	}
	(void)setxattr(fs_tree_path(&tree, "f"), "trusted.hidden", "t", 1, 0);
	f = fcl_walk(&fc, 0, "f", NULL);
	assert_int_equal(fcl_setxattr(&fc, f, "user.a", "value", 5), 0);
	assert_int_equal(fcl_getxattr(&fc, f, "user.a", got, sizeof(got)), 5);
	assert_memory_equal(got, "value", 5);
	assert_int_equal(fcl_getxattr(&fc, f, "user.a", NULL, 0), 5);
	assert_int_equal(fcl_getxattr(&fc, f, "user.a", got, 3), -ERANGE);
	assert_int_equal(fcl_getxattr(&fc, f, "user.b", got, 3), -ENODATA);
	assert_int_equal(fcl_getxattr(&fc, f, NULL, got, sizeof(got)), 18);
	assert_int_equal(fcl_getxattr(&fc, f, NULL, NULL, 0), 18);
	assert_int_equal(fcl_setxattr(&fc, f, "user.big", big, 70000), -E2BIG);
	free(big);
	for (const char **name = (const char *[]){"security.capability", "security.selinux",
		     "trusted.overlay.opaque", "system.posix_acl_access", "plain", "", NULL};
		*name; name++) {
		assert_int_equal(fcl_setxattr(&fc, f, *name, "x", 1), -EOPNOTSUPP);
		assert_int_equal(fcl_getxattr(&fc, f, *name, got, 8), -EOPNOTSUPP);
	}
	assert_int_equal(
		fcl_call(&fc, FUSE_REMOVEXATTR, f, &(struct fcl_args){.text = {"user.a"}}), 0);
	assert_int_equal(fcl_getxattr(&fc, f, "user.a", got, 3), -ENODATA);
}

static void tmpfile_gets_a_name_later(void **state)
{
	struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0640};
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;
	int r = fcl_call(&fc, FUSE_TMPFILE, root,
		&(struct fcl_args){
			.fixed = &in, .fixed_len = sizeof(in), .text = {"x"}, .room = sizeof(out)});

	(void)state;
	if (r == -EOPNOTSUPP)
		SKIP("this file system has no O_TMPFILE");
	assert_int_equal(r, 0);
	memcpy(&out, fc.out + sizeof(struct fuse_out_header), sizeof(out));
	assert_int_equal(fcl_write(&fc, out.entry.nodeid, out.open.fh, 0, "tmp", 3, 0, 0), 3);
	assert_int_equal(fcl_link(&fc, out.entry.nodeid, root, "named"), 0);
	assert_int_equal(fcl_release(&fc, out.entry.nodeid, out.open.fh), 0);
	fs_tree_expect(&tree, "named", "tmp", 3);
}

/* What the host changes is seen: at the next open for contents, ESTALE for a replaced name. */
static void host_edits_show(void **state)
{
	struct fuse_entry_out e;
	struct fuse_attr_out a;
	uint32_t keep;
	uint64_t fh;

	(void)state;
	fs_tree_write(&tree, "f", "old", 3);
	struct timespec past[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	assert_int_equal(utimensat(AT_FDCWD, fs_tree_path(&tree, "f"), past, 0), 0);
	assert_int_equal(fcl_lookup(&fc, root, "f", &e), 0);
	assert_int_equal(e.attr_valid, 1);
	assert_int_equal(fcl_open(&fc, e.nodeid, O_RDONLY, &fh, &keep), 0);
	assert_int_equal(keep, 0);
	assert_int_equal(fcl_release(&fc, e.nodeid, fh), 0);
	assert_int_equal(fcl_open(&fc, e.nodeid, O_RDONLY, &fh, &keep), 0);
	assert_int_equal(keep, 0); /* its ctime is young: a change might not show */
	assert_int_equal(fcl_release(&fc, e.nodeid, fh), 0);
	fs_tree_write(&tree, "g", "replaced", 8);
	assert_int_equal(rename(fs_tree_path(&tree, "g"), fs_tree_path(&tree, "f")), 0);
	assert_int_equal(fcl_open(&fc, e.nodeid, O_RDONLY, &fh, NULL), -ESTALE);
	assert_int_equal(fcl_getattr(&fc, e.nodeid, &a), -ESTALE);
	assert_int_equal(fcl_lookup(&fc, root, "f", &e), 0);
	assert_int_equal(e.attr.size, 8);
	/* open for both: the other side may write in turns, so attributes are asked for each time */
	assert_int_equal(fcl_open(&fc, e.nodeid, O_RDWR, &fh, NULL), 0);
	assert_int_equal(fcl_getattr(&fc, e.nodeid, &a), 0);
	assert_int_equal(a.attr_valid, 0);
}

static void statfs_access_fsync(void **state)
{
	struct fuse_access_in mask = {.mask = W_OK};
	struct fuse_fsync_in sync = {0};
	struct fuse_entry_out e;
	uint64_t fh;

	(void)state;
	assert_int_equal(fcl_call(&fc, FUSE_STATFS, root,
				 &(struct fcl_args){.room = sizeof(struct fuse_statfs_out)}),
		0);
	assert_true(((struct fuse_statfs_out *)(void *)(fc.out + 16))->st.blocks > 0);
	assert_int_equal(fcl_create(&fc, root, "f", O_RDWR, 0644, &e, &fh), 0);
	sync.fh = fh;
	assert_int_equal(fcl_call(&fc, FUSE_FSYNC, e.nodeid,
				 &(struct fcl_args){.fixed = &sync, .fixed_len = sizeof(sync)}),
		0);
	assert_int_equal(fcl_call(&fc, FUSE_ACCESS, e.nodeid,
				 &(struct fcl_args){.fixed = &mask, .fixed_len = sizeof(mask)}),
		0);
	mask.mask = X_OK;
	assert_int_equal(fcl_call(&fc, FUSE_ACCESS, e.nodeid,
				 &(struct fcl_args){.fixed = &mask, .fixed_len = sizeof(mask)}),
		-EACCES);
	assert_int_equal(fcl_call(&fc, FUSE_IOCTL, e.nodeid, &(struct fcl_args){0}), -ENOTTY);
	assert_int_equal(fcl_call(&fc, FUSE_POLL, e.nodeid, &(struct fcl_args){0}), -ENOSYS);
	assert_int_equal(fcl_call(&fc, 9999, e.nodeid, &(struct fcl_args){0}), -ENOSYS);
}

/* Modes do not depend on the process's umask: the guest has applied its own. */
static void umask_is_the_guests(void **state)
{
	struct fuse_entry_out e;
	mode_t before = umask(077);
	uint64_t fh;

	(void)state;
	assert_int_equal(fcl_create(&fc, root, "f", O_RDWR, 0664, &e, &fh), 0);
	assert_int_equal(e.attr.mode & 07777, 0664);
	assert_int_equal(fcl_mkdir(&fc, root, "d", 0775, &e), 0);
	assert_int_equal(e.attr.mode & 07777, 0775);
	(void)umask(before);
}

static void one_file_as_export(void **state)
{
	struct fuse_client one;
	uint64_t f, fh;
	char got[8];

	(void)state;
	fs_tree_write(&tree, "f", "file", 4);
	fcl_prepare(&one);
	fcl_export(&one, fs_tree_path(&tree, "f"), false);
	fcl_start(&one);
	f = fcl_walk(&one, 0, "", NULL);
	assert_int_equal(fcl_open(&one, f, O_RDWR, &fh, NULL), 0);
	assert_int_equal(fcl_write(&one, f, fh, 0, "F", 1, 0, 0), 1);
	assert_int_equal(fcl_read(&one, f, fh, 0, got, 8), 4);
	assert_int_equal(fcl_lookup(&one, f, "x", &(struct fuse_entry_out){0}), -ENOTDIR);
	assert_int_equal(
		fcl_setattr(&one, f, &(struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 2}), 0);
	fcl_free(&one);
	fs_tree_expect(&tree, "f", "Fi", 2);
}

static void malformed_requests(void **state)
{
	struct fuse_in_header h = {.len = 40, .opcode = FUSE_GETATTR, .nodeid = 1, .unique = 1};
	struct fs_stats before, after;
	uint8_t bytes[256] = {0};

	(void)state;
	fs_server_stats(fc.server, &before);
	assert_int_equal(fcl_raw(&fc, &h, 10, 200), 16); /* shorter than a header */
	h.len = 41;
	assert_int_equal(fcl_raw(&fc, &h, sizeof(h), 200), 16);
	h.len = 40;
	assert_int_equal(fcl_raw(&fc, &h, sizeof(h), 8), 0); /* no room for any reply */
	h.opcode = FUSE_LOOKUP;
	h.len = sizeof(h) + 4;
	memcpy(bytes, &h, sizeof(h));
	memcpy(bytes + sizeof(h), "abcd", 4); /* a name without its end */
	assert_int_equal(fcl_raw(&fc, bytes, h.len, 200), 16);
	h.opcode = FUSE_WRITE;
	h.nodeid = root;
	h.len = sizeof(h) + sizeof(struct fuse_write_in) + 3;
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, &h, sizeof(h)); /* says 0 bytes, brings 3 */
	assert_int_equal(fcl_raw(&fc, bytes, h.len, 200), 16);
	assert_int_equal(fcl_raw(&fc, "", 0, 0), 0);
	fs_server_stats(fc.server, &after);
	assert_int_equal(after.faults - before.faults, 6);
}

static void nothing_before_init(void **state)
{
	struct fuse_entry_out e;

	(void)state;
	assert_int_equal(fcl_call(&fc, FUSE_DESTROY, 0, &(struct fcl_args){0}), 0);
	assert_int_equal(fcl_lookup(&fc, FUSE_ROOT_ID, "0", &e), -EIO);
}

static void leaves_no_descriptor(void **state)
{
	struct fuse_entry_out e;
	struct fuse_client c;
	unsigned before = open_fds();
	uint64_t fh, r;

	(void)state;
	fcl_new(&c, tree.share);
	r = fcl_walk(&c, 0, "", NULL);
	assert_int_equal(fcl_mkdir(&c, r, "d", 0755, &e), 0);
	assert_int_equal(fcl_create(&c, e.nodeid, "f", O_RDWR, 0644, &e, &fh), 0);
	assert_int_equal(fcl_lock(&c, e.nodeid, fh, 1, F_WRLCK, 0, 9, false, false), 0);
	fcl_free(&c);
	assert_int_equal(open_fds(), before);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reads_what_was_written),
		T(spans_in_pieces),
		T(lookup_forget_and_stale),
		T(made_up_root),
		T(names_come_and_go),
		T(renames),
		T(open_files_outlive_their_name),
		T(attributes_change),
		T(append_and_page_writes),
		T(sparse_files_stay_sparse),
		T(copies_within),
		T(listings),
		T(extended_attributes),
		T(tmpfile_gets_a_name_later),
		T(host_edits_show),
		T(statfs_access_fsync),
		T(umask_is_the_guests),
		T(one_file_as_export),
		T(malformed_requests),
		T(nothing_before_init),
		T(leaves_no_descriptor),
	};

	return cmocka_run_group_tests_name("fs_ops", tests, NULL, NULL);
}
