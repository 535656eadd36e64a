#include "image/internal.h"
#include "image/digest.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK (1U << 20)

struct magic {
	const char *format;
	off_t offset;
	const char *bytes;
	size_t len;
};

static const struct magic root_magics[] = {
	{"squashfs", 0, "hsqs", 4},
	{"erofs", 1024, "\xe2\xe1\xf5\xe0", 4},
};
static const struct magic kernel_magics[] = {
	{"bzImage", 0x202, "HdrS", 4},
	{"ELF", 0,
		"\x7f"
		"ELF",
		4},
};
static const struct magic modules_magic = {"cpio", 0, "070701", 6};

static bool has_magic(int fd, const struct magic *m)
{
	char b[8];

	return pread(fd, b, m->len, m->offset) == (ssize_t)m->len &&
	       memcmp(b, m->bytes, m->len) == 0;
}

static int open_sized(const char *path, uint64_t bytes, struct err *e)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, -errno, "open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, -EBADMSG, "'%s' is not a regular file", path);
	if ((uint64_t)st.st_size != bytes)
		return err_set(e, ERR_INVALID, -EBADMSG,
			"'%s' is damaged: %lld bytes where %llu should be", path,
			(long long)st.st_size, (unsigned long long)bytes);
	return TAKE_FD(fd);
}

static int bad_magic(const char *path, const char *what, struct err *e)
{
	int r = err_set(e, ERR_INVALID, -EBADMSG, "'%s' is damaged: it does not begin as %s does",
		path, what);

	err_hint(e, "sbx image build --force makes it anew");
	return r;
}

int image_open_root(const struct image *img, struct err *e)
{
	AUTO_FD fd = open_sized(img->root, img->root_bytes, e);

	if (fd < 0)
		return fd;
	for (size_t i = 0; i < ARRAY_LEN(root_magics); i++)
		if (strcmp(img->format, root_magics[i].format) == 0 &&
			has_magic(fd, &root_magics[i]))
			return TAKE_FD(fd);
	return bad_magic(img->root, img->format, e);
}

int image_open_kernel(const struct image *img, struct err *e)
{
	AUTO_FD fd = open_sized(img->kernel, img->kernel_bytes, e);

	if (fd < 0)
		return fd;
	for (size_t i = 0; i < ARRAY_LEN(kernel_magics); i++)
		if (has_magic(fd, &kernel_magics[i]))
			return TAKE_FD(fd);
	return bad_magic(img->kernel, "a kernel", e);
}

int image_open_modules(const struct image *img, struct err *e)
{
	AUTO_FD fd = open_sized(img->modules, img->modules_bytes, e);

	if (fd < 0)
		return fd;
	return has_magic(fd, &modules_magic) ? TAKE_FD(fd)
					     : bad_magic(img->modules, "a cpio archive", e);
}

int image_check(const struct image *img, struct err *e)
{
	AUTO_FD root = image_open_root(img, e);
	AUTO_FD kernel = root < 0 ? -1 : image_open_kernel(img, e);
	AUTO_FD modules = kernel < 0 ? -1 : image_open_modules(img, e);

	if (root < 0)
		return TAKE_FD(root);
	if (kernel < 0)
		return TAKE_FD(kernel);
	return modules < 0 ? TAKE_FD(modules) : 0;
}

/* file_digest() - of all that @fd holds */
static int file_digest(int fd, char ret_hex[DIGEST_HEX_LEN + 1])
{
	AUTO_FREE uint8_t *chunk = malloc(CHUNK);
	struct digest *d = digest_new();
	bool ok = chunk && d && digest_begin(d);
	ssize_t n = 1;

	for (off_t at = 0; ok && n > 0; at += n) {
		n = pread(fd, chunk, CHUNK, at);
		ok = n >= 0 && digest_add(d, chunk, (size_t)n);
	}
	ok = ok && digest_end(d, ret_hex);
	digest_free(d);
	return ok ? 0 : n < 0 ? -errno : -ENOMEM;
}

static int verify_one(int fd, const char *path, const char *want, struct err *e)
{
	char got[DIGEST_HEX_LEN + 1];
	int r;

	if (fd < 0)
		return fd;
	r = file_digest(fd, got);
	if (r < 0)
		return err_sys(e, r, "read '%s'", path);
	if (strcmp(got, want) == 0)
		return 0;
	r = err_set(e, ERR_INVALID, -EBADMSG,
		"'%s' is damaged: its SHA-256 is not the one recorded", path);
	err_hint(e, "sbx image build --force makes it anew");
	return r;
}

int image_store_verify(const struct image *img, struct err *e)
{
	AUTO_FD root = image_open_root(img, e);
	int r = verify_one(root, img->root, img->root_digest, e);

	if (r < 0)
		return r;
	AUTO_FD kernel = image_open_kernel(img, e);
	r = verify_one(kernel, img->kernel, img->kernel_digest, e);
	if (r < 0)
		return r;
	AUTO_FD modules = image_open_modules(img, e);
	return verify_one(modules, img->modules, img->modules_digest, e);
}
