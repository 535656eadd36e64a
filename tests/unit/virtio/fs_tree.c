/* fs_tree.c - see fs_tree.h */
#include "../check.h"
#include "fs_tree.h"
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CANARY "nobody may read or change this\n"

static void write_file(const char *path, const void *p, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), len);
	close(fd);
}

static void expect_file(const char *path, const void *p, size_t len)
{
	char got[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, got, sizeof(got));
	close(fd);
	assert_int_equal(n, len);
	assert_memory_equal(got, p, len);
}

void fs_tree_make(struct fs_tree *t)
{
	fs_tree_make_in(t, "/tmp");
}

void fs_tree_make_in(struct fs_tree *t, const char *dir)
{
	char path[128];

	(void)snprintf(t->base, sizeof(t->base), "%s/sbx-fs-XXXXXX", dir);
	assert_non_null(mkdtemp(t->base));
	(void)snprintf(t->share, sizeof(t->share), "%s/share", t->base);
	(void)snprintf(t->outside, sizeof(t->outside), "%s/outside", t->base);
	assert_int_equal(mkdir(t->share, 0755), 0);
	assert_int_equal(mkdir(t->outside, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/canary", t->outside);
	write_file(path, CANARY, strlen(CANARY));
	assert_int_equal(chmod(path, 0640), 0);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st;
	(void)flag;
	(void)f;
	return remove(path);
}

void fs_tree_remove(struct fs_tree *t)
{
	char path[128];
	struct stat st;
	unsigned n = 0;
	DIR *d = opendir(t->outside);

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	assert_int_equal(n, 3); /* ".", ".." and the canary: nothing was made outside */
	(void)snprintf(path, sizeof(path), "%s/canary", t->outside);
	expect_file(path, CANARY, strlen(CANARY));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(nftw(t->base, remove_one, 64, FTW_DEPTH | FTW_PHYS), 0);
}

const char *fs_tree_path(const struct fs_tree *t, const char *name)
{
	static char path[4][4096];
	static unsigned turn;
	char *p = path[turn++ % 4];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", t->share, name);
	return p;
}

void fs_tree_write(const struct fs_tree *t, const char *name, const void *p, size_t len)
{
	write_file(fs_tree_path(t, name), p, len);
}

void fs_tree_expect(const struct fs_tree *t, const char *name, const void *p, size_t len)
{
	expect_file(fs_tree_path(t, name), p, len);
}
