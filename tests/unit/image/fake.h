/* fake.h - a cache directory and small images in it, for the tests of image/ */
#ifndef TESTS_IMAGE_FAKE_H
#define TESTS_IMAGE_FAKE_H
#include "check.h"
#include "base/err.h"
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAKE_CPIO_BYTES 512

static char fake_cache[] = "/tmp/sbx-image-XXXXXX";

/* fake_path() - "dir/name"; the tests' paths are short */
static inline const char *fake_path(char dst[PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(dst, PATH_MAX, "%s/%s", dir, name);

	assert_in_range(n, 1, PATH_MAX - 1);
	return dst;
}

static inline int fake_remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static inline int fake_remove(const char *path)
{
	return nftw(path, fake_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int fake_setup(void **state)
{
	(void)state;
	return mkdtemp(fake_cache) ? 0 : -1;
}

static inline int fake_teardown(void **state)
{
	(void)state;
	return fake_remove(fake_cache);
}

static inline void fake_write(const char *dir, const char *name, const void *bytes, size_t len)
{
	char path[PATH_MAX];
	int fd;

	(void)fake_path(path, dir, name);
	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	assert_int_equal(close(fd), 0);
}

/* What the files of a fake image digest to, as sha256sum says it. */
#define FAKE_ROOT_SHA	 "fefe47241c18e26bbfa1ce1ade4e5bb2106c1563d04a96a500f04bc4424c19d0"
#define FAKE_KERNEL_SHA	 "b2b970a52e30f10039bebfffd4adbdb5356916ebee587a6ca4c62c5305aba4ce"
#define FAKE_MODULES_SHA "a28845502480cba5c3ccc244f63688c0be03705628f9472c16c238387b2791aa"

static inline void fake_meta(const char *dir, const char *id)
{
	char text[2048];
	int n = snprintf(text, sizeof(text),
		"{\"id\": \"%s\", \"suite\": \"test\", \"format\": \"squashfs\",\n"
		"\"kernel_version\": \"6.1.0-test\",\n"
		"\"root_bytes\": 1024, \"root_digest\": \"%s\",\n"
		"\"kernel_bytes\": 1024, \"kernel_digest\": \"%s\",\n"
		"\"modules_bytes\": %d, \"modules_digest\": \"%s\"}\n",
		id, FAKE_ROOT_SHA, FAKE_KERNEL_SHA, FAKE_CPIO_BYTES, FAKE_MODULES_SHA);

	fake_write(dir, "meta.json", text, (size_t)n);
}

static inline void fake_files(const char *dir)
{
	char bytes[1024] = {0};

	(void)mkdir(dir, 0755);
	memcpy(bytes, "hsqs", 4);
	fake_write(dir, "root.img", bytes, sizeof(bytes));
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes + 0x202, "HdrS", 4);
	fake_write(dir, "kernel", bytes, sizeof(bytes));
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "070701", 6);
	fake_write(dir, "modules.cpio", bytes, FAKE_CPIO_BYTES);
}
#endif
