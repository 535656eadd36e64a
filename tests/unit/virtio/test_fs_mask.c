/* test_fs_mask.c - masked names: their contents come out by no door (FS-18) */
#include "../check.h"
#include "fs_tree.h"
#include "fuse_client.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fuse_client fc;
static struct fs_tree tree;
static uint64_t root;

static void start(const char *const *masks)
{
	fcl_prepare(&fc);
	fcl_export(&fc, tree.share, false);
	for (; *masks; masks++)
		fc.cfg.masks[fc.cfg.n_masks++] = *masks;
	fcl_start(&fc);
	root = fcl_walk(&fc, 0, "", NULL);
}

static int setup(void **state)
{
	(void)state;
	fs_tree_make(&tree);
	assert_int_equal(mkdir(fs_tree_path(&tree, "d"), 0755), 0);
	assert_int_equal(mkdir(fs_tree_path(&tree, "secrets"), 0755), 0);
	assert_int_equal(mkdir(fs_tree_path(&tree, "conf"), 0755), 0);
	fs_tree_write(&tree, ".env", "PASSWORD", 8);
	fs_tree_write(&tree, "d/.env", "PASSWORD", 8);
	fs_tree_write(&tree, "secrets/key", "PASSWORD", 8);
	fs_tree_write(&tree, "conf/token", "PASSWORD", 8);
	fs_tree_write(&tree, "plain", "hello", 5);
	assert_int_equal(link(fs_tree_path(&tree, ".env"), fs_tree_path(&tree, "another-name")), 0);
	assert_int_equal(
		link(fs_tree_path(&tree, "secrets/key"), fs_tree_path(&tree, "d/key-too")), 0);
	start((const char *const[]){".env", "secrets/", "/conf/token", NULL});
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fcl_free(&fc);
	fs_tree_remove(&tree);
	return 0;
}

static const char *const hidden[] = {".env", "d/.env", "conf/token", "another-name", "d/key-too"};

static void shown_by_name_only(const struct fuse_attr *a)
{
	assert_true(S_ISREG(a->mode) && (a->mode & 07777) == 0);
	assert_int_equal(a->size, 0);
	assert_int_equal(a->blocks, 0);
	assert_int_equal(a->mtime, 0);
}

static void every_request(void **state)
{
	struct fuse_setattr_in size = {.valid = FATTR_SIZE},
			       mode = {.valid = FATTR_MODE, .mode = 0777};
	struct fuse_access_in access = {.mask = 4};
	struct fuse_attr_out attr;
	uint64_t fh, node;
	char text[16];
	int e;

	(void)state;
	for (unsigned k = 0; k < ARRAY_LEN(hidden); k++) {
		node = fcl_walk(&fc, 0, hidden[k], &e);
		assert_true(node != 0);
		assert_int_equal(fcl_getattr(&fc, node, &attr), 0);
		shown_by_name_only(&attr.attr);
		assert_int_equal(fcl_open(&fc, node, O_RDONLY, &fh, NULL), -EACCES);
		assert_int_equal(fcl_open(&fc, node, O_WRONLY, &fh, NULL), -EACCES);
		assert_int_equal(fcl_open(&fc, node, O_WRONLY | O_TRUNC, &fh, NULL), -EACCES);
		assert_int_equal(fcl_setattr(&fc, node, &size), -EACCES);
		assert_int_equal(fcl_setattr(&fc, node, &mode), -EACCES);
		assert_int_equal(fcl_link(&fc, node, root, "new-name"), -EACCES);
		assert_int_equal(fcl_setxattr(&fc, node, "user.x", "x", 1), -EACCES);
		assert_int_equal(fcl_getxattr(&fc, node, "user.x", text, sizeof(text)), -EACCES);
		assert_int_equal(fcl_readlink(&fc, node, text, sizeof(text)), -EACCES);
		assert_int_equal(
			fcl_call(&fc, FUSE_ACCESS, node,
				&(struct fcl_args){.fixed = &access, .fixed_len = sizeof(access)}),
			-EACCES);
	}
}

static void every_name(void **state)
{
	struct fuse_entry_out e;
	uint64_t fh, d = fcl_walk(&fc, 0, "d", NULL);

	(void)state;
	assert_int_equal(fcl_rename(&fc, root, ".env", root, "x", 0), -EACCES);
	assert_int_equal(fcl_rename(&fc, root, "plain", root, ".env", 0), -EACCES);
	assert_int_equal(fcl_rename(&fc, root, "plain", root, ".env", RENAME_EXCHANGE), -EACCES);
	assert_int_equal(fcl_rename(&fc, root, ".env", root, "plain", RENAME_EXCHANGE), -EACCES);
	assert_int_equal(fcl_unlink(&fc, root, ".env"), -EACCES);
	assert_int_equal(fcl_create(&fc, root, ".env", O_RDWR, 0644, &e, &fh), -EACCES);
	assert_int_equal(fcl_create(&fc, root, "another-name", O_RDWR, 0644, &e, &fh), -EACCES);
	assert_int_equal(fcl_mkdir(&fc, root, "secrets", 0755, &e), -EACCES);
	assert_int_equal(fcl_mknod(&fc, d, ".env", S_IFREG | 0644), -EACCES);
	assert_int_equal(fcl_symlink(&fc, d, ".env", "x", &e), -EACCES);
	assert_int_equal(fcl_link(&fc, fcl_walk(&fc, 0, "plain", NULL), d, ".env"), -EACCES);
	assert_int_equal(fcl_rmdir(&fc, root, "secrets"), -EACCES);
	assert_int_equal(fcl_rename(&fc, root, "secrets", root, "open", 0), -EACCES);
	/* a folder that a pattern names: its rename would take the name away */
	assert_int_equal(fcl_rename(&fc, root, "conf", root, "conf2", 0), -EACCES);
	assert_int_equal(fcl_rename(&fc, root, "d", root, "conf3", 0), 0);
	assert_int_equal(fcl_rename(&fc, root, "conf3", root, "conf", 0), -EACCES);
	/* by a name that stays: elsewhere it is masked as well */
	assert_int_equal(
		fcl_open(&fc, fcl_walk(&fc, 0, "conf3/.env", NULL), O_RDONLY, &fh, NULL), -EACCES);
	/* the twin: what is not masked works */
	assert_int_equal(fcl_open(&fc, fcl_walk(&fc, 0, "plain", NULL), O_RDWR, &fh, NULL), 0);
	assert_int_equal(fcl_create(&fc, root, "env", O_RDWR, 0644, &e, &fh), 0);
}

static void a_masked_folder(void **state)
{
	uint64_t fh, node = fcl_walk(&fc, 0, "secrets", NULL);
	struct fuse_entry_out e;

	(void)state;
	assert_true(node != 0);
	assert_int_equal(fcl_opendir(&fc, node, &fh), -EACCES);
	assert_int_equal(fcl_lookup(&fc, node, "key", &e), -EACCES);
	assert_int_equal(fcl_create(&fc, node, "new", O_RDWR, 0644, &e, &fh), -EACCES);
	assert_int_equal(fcl_mkdir(&fc, node, "new", 0755, &e), -EACCES);
	assert_int_equal(fcl_unlink(&fc, node, "key"), -EACCES);
}

struct seen {
	unsigned names, with_size;
};

static void see(void *ctx, const struct fuse_dirent *d, const char *name,
	const struct fuse_entry_out *entry)
{
	struct seen *s = ctx;

	(void)d;
	if (strcmp(name, ".env") != 0 && strcmp(name, "another-name") != 0)
		return;
	s->names++;
	s->with_size += entry->attr.size != 0 || (entry->attr.mode & 0777) != 0;
}

static void listings(void **state)
{
	struct seen s = {0};
	uint64_t fh, next;
	unsigned n;

	(void)state;
	assert_int_equal(fcl_opendir(&fc, root, &fh), 0);
	assert_int_equal(fcl_list(&fc, root, fh, 0, 8192, true, see, &s, &next, &n), 0);
	assert_int_equal(s.names, 2);
	assert_int_equal(s.with_size, 0);
}

/* A handle from before: the host gives the open file a masked name. */
static void what_becomes_masked(void **state)
{
	struct fuse_entry_out e;
	uint64_t fh, node;
	char text[8];

	(void)state;
	node = fcl_walk(&fc, 0, "plain", NULL);
	assert_int_equal(fcl_open(&fc, node, O_RDWR, &fh, NULL), 0);
	assert_int_equal(fcl_read(&fc, node, fh, 0, text, 5), 5);
	assert_int_equal(unlink(fs_tree_path(&tree, ".env")), 0);
	assert_int_equal(rename(fs_tree_path(&tree, "plain"), fs_tree_path(&tree, ".env")), 0);
	assert_int_equal(fcl_lookup(&fc, root, ".env", &e), 0);
	assert_int_equal(e.nodeid, node);
	assert_int_equal(fcl_read(&fc, node, fh, 0, text, 5), -EACCES);
	assert_int_equal(fcl_write(&fc, node, fh, 0, text, 5, 0, 0), -EACCES);
	/* a copy out of an open file into it is no door either */
	struct fuse_copy_file_range_in copy = {.fh_in = fh, .len = 5};
	uint64_t out;
	assert_int_equal(fcl_create(&fc, root, "copy", O_RDWR, 0644, &e, &out), 0);
	copy.fh_out = out;
	copy.nodeid_out = e.nodeid;
	assert_int_equal(fcl_call(&fc, FUSE_COPY_FILE_RANGE, node,
				 &(struct fcl_args){.fixed = &copy,
					 .fixed_len = sizeof(copy),
					 .room = sizeof(struct fuse_write_out)}),
		-EACCES);
	assert_int_equal(fcl_release(&fc, node, fh), 0);
}

/* More files with several names than can be known: none of them is opened. */
static void too_many(void **state)
{
	char name[32], other[32];
	uint64_t fh;

	(void)state;
	fcl_free(&fc);
	for (unsigned k = 0; k < 3200; k++) {
		(void)snprintf(name, sizeof(name), "secrets/%u", k);
		(void)snprintf(other, sizeof(other), "d/%u", k);
		fs_tree_write(&tree, name, "PASSWORD", 8);
		assert_int_equal(link(fs_tree_path(&tree, name), fs_tree_path(&tree, other)), 0);
	}
	start((const char *const[]){"secrets/", NULL});
	for (unsigned k = 0; k < 3200; k++) {
		(void)snprintf(other, sizeof(other), "d/%u", k);
		assert_int_equal(
			fcl_open(&fc, fcl_walk(&fc, 0, other, NULL), O_RDONLY, &fh, NULL), -EACCES);
	}
	assert_int_equal(fcl_open(&fc, fcl_walk(&fc, 0, "plain", NULL), O_RDONLY, &fh, NULL), 0);
}

static void bad_masks(void **state)
{
	struct fuse_client bad;

	(void)state;
	fcl_prepare(&bad);
	fcl_export(&bad, tree.share, false);
	bad.cfg.masks[0] = "a/../b";
	bad.cfg.n_masks = 1;
	assert_int_equal(fs_server_new(&bad.cfg, &bad.server), -EINVAL);
	bad.server = NULL;
	fcl_free(&bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_request, setup, teardown),
		cmocka_unit_test_setup_teardown(every_name, setup, teardown),
		cmocka_unit_test_setup_teardown(a_masked_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(listings, setup, teardown),
		cmocka_unit_test_setup_teardown(what_becomes_masked, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_masks, setup, teardown),
	};

	return cmocka_run_group_tests_name("fs_mask", tests, NULL, NULL);
}
