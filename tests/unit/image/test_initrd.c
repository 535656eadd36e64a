/* test_initrd.c - the archive is one that cpio(1) reads; assembled once, made anew when it is not whole */
#include "fake.h"
#include "image/initrd.h"
#include "image/internal.h"
#include "base/io.h"
#include <errno.h>

#define ID_A "aaaa000000000001"

static struct image_store store;
static struct image image;
static char agent[PATH_MAX];

static int setup(void **state)
{
	char dir[PATH_MAX];
	struct err e;

	if (fake_setup(state) < 0 || image_store_open(fake_cache, &store, &e) < 0)
		return -1;
	(void)fake_path(dir, store.dir, ".build");
	fake_files(dir);
	fake_meta(dir, ID_A);
	(void)fake_path(agent, fake_cache, "agent");
	fake_write(fake_cache, "agent", "\177ELF-the-agent", 14);
	return image_store_publish(&store, dir, &image, &e);
}

/* cpio_list() - what cpio(1) finds in @b, a line each */
static void cpio_list(const struct buf *b, const char *options, char *out, size_t cap)
{
	char path[PATH_MAX], command[PATH_MAX + 128];
	size_t n;
	FILE *f;

	(void)fake_path(path, fake_cache, "archive");
	fake_write(fake_cache, "archive", b->data, b->len);
	(void)snprintf(command, sizeof(command), "cpio --quiet %s <%s 2>&1", options, path);
	f = popen(command, "r");
	assert_non_null(f);
	n = fread(out, 1, cap - 1, f);
	out[n] = '\0';
	assert_int_equal(pclose(f), 0);
}

static void test_cpio_reads_it(void **state)
{
	char out[1024];
	struct cpio c;
	AUTO(buf) b;

	(void)state;
	if (access("/usr/bin/cpio", X_OK) < 0)
		SKIP("cpio is not installed");
	buf_init(&b, 65536);
	cpio_init(&c, &b);
	assert_int_equal(cpio_add(&c, "dev", S_IFDIR | 0755, NULL, 0), 0);
	assert_int_equal(cpio_add_dev(&c, "dev/console", S_IFCHR | 0600, 5, 1), 0);
	assert_int_equal(cpio_add(&c, "a", S_IFREG | 0755, "x", 1), 0);
	assert_int_equal(cpio_add(&c, "bb", S_IFREG | 0644, "", 0), 0);
	assert_int_equal(cpio_add(&c, "ccc", S_IFREG | 0600, "12345", 5), 0);
	assert_int_equal(cpio_end(&c), 0);
	assert_int_equal(b.len % 4, 0);
	cpio_list(&b, "-t", out, sizeof(out));
	assert_string_equal(out, "dev\ndev/console\na\nbb\nccc\n");
	cpio_list(&b, "-tv", out, sizeof(out));
	assert_non_null(strstr(out, "drwxr-xr-x"));
	assert_non_null(strstr(out, "crw-------"));
	assert_non_null(strstr(out, "5,   1"));
	assert_non_null(strstr(out, "-rw-------"));
	cpio_list(&b, "-i --to-stdout ccc", out, sizeof(out));
	assert_string_equal(out, "12345");
}

static void test_cpio_limits(void **state)
{
	struct cpio c;
	AUTO(buf) b;

	(void)state;
	buf_init(&b, 200);
	cpio_init(&c, &b);
	assert_int_equal(cpio_add(&c, "a", S_IFREG, "x", 1), 0);
	assert_int_equal(cpio_add(&c, "b", S_IFREG, "x", 1), -ENOBUFS);
}

static void read_all(int fd, struct buf *b)
{
	buf_clear(b);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(io_read_fd(fd, b), 0);
}

static void test_assembled(void **state)
{
	char path[PATH_MAX], again_path[PATH_MAX], out[1024];
	struct stat first, second;
	struct err e = {0};
	AUTO(buf) b, agent_part;

	(void)state;
	buf_init(&b, 65536);
	buf_init(&agent_part, 65536);
	AUTO_FD fd = image_initrd(&store, &image, agent, path, &e);
	assert_true(fd >= 0);
	read_all(fd, &b);
	assert_memory_equal(b.data, "070701", 6); /* the modules come first */
	assert_memory_equal(b.data + FAKE_CPIO_BYTES, "070701", 6);
	assert_int_equal(
		buf_add(&agent_part, b.data + FAKE_CPIO_BYTES, b.len - FAKE_CPIO_BYTES), 0);
	if (access("/usr/bin/cpio", X_OK) == 0) {
		cpio_list(&agent_part, "-t", out, sizeof(out));
		assert_string_equal(out, "dev\ndev/console\ninit\n");
		cpio_list(&agent_part, "-i --to-stdout init", out, sizeof(out));
		assert_string_equal(out, "\177ELF-the-agent");
	}
	/* the second time it is there */
	assert_int_equal(fstat(fd, &first), 0);
	AUTO_FD again = image_initrd(&store, &image, agent, again_path, &e);
	assert_true(again >= 0 && fstat(again, &second) == 0);
	assert_int_equal(first.st_ino, second.st_ino);
	assert_string_equal(path, again_path);
	/* one that a power failure cut is made anew */
	assert_int_equal(truncate(path, second.st_size - 1), 0);
	AUTO_FD whole = image_initrd(&store, &image, agent, NULL, &e);
	assert_true(whole >= 0 && fstat(whole, &second) == 0);
	assert_int_equal(second.st_size, b.len);
	assert_true(first.st_ino != second.st_ino);
}

static void test_new_agent(void **state)
{
	char path[PATH_MAX], other[PATH_MAX];
	struct err e = {0};
	AUTO(buf) b;

	(void)state;
	buf_init(&b, 65536);
	AUTO_FD fd = image_initrd(&store, &image, agent, path, &e);
	assert_true(fd >= 0);
	fake_write(fake_cache, "agent", "\177ELF-agent-two!", 15);
	AUTO_FD two = image_initrd(&store, &image, agent, other, &e);
	assert_true(two >= 0);
	assert_string_not_equal(path, other);
	read_all(two, &b);
	assert_non_null(memmem(b.data, b.len, "ELF-agent-two!", 14));
}

/* test_pruned() - agents of earlier builds go; what was used a moment ago stays */
static void test_pruned(void **state)
{
	const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	char path[PATH_MAX], used[PATH_MAX], dir[PATH_MAX];
	struct err e = {0};
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		char text[24];

		(void)snprintf(text, sizeof(text), "\177ELF-build-%u%*s", i, (int)i, "");
		fake_write(fake_cache, "agent", text, strlen(text));
		AUTO_FD fd = image_initrd(&store, &image, agent, i == 0 ? used : path, &e);
		assert_true(fd >= 0);
		if (i > 0)
			assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	}
	assert_int_equal(access(used, F_OK), 0);
	assert_int_equal(access(path, F_OK), 0);
	(void)snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	DIR *d = opendir(dir);
	assert_non_null(d);
	for (const struct dirent *entry; (entry = readdir(d));)
		n += entry->d_name[0] != '.';
	closedir(d);
	assert_int_equal(n, 4);
}

static void test_refused(void **state)
{
	unsigned fds = open_fds();
	struct err e = {0};

	(void)state;
	fake_write(fake_cache, "agent", "#!/bin/sh\n", 10);
	assert_int_equal(image_initrd(&store, &image, agent, NULL, &e), -ENOEXEC);
	assert_string_equal(e.msg, "the guest agent is not an ELF program");
	assert_int_equal(image_initrd(&store, &image, "/none", NULL, &e), -ENOENT);
	fake_write(fake_cache, "agent", "\177ELF", 4);
	assert_int_equal(truncate(image.modules, 3), 0);
	assert_int_equal(image_initrd(&store, &image, agent, NULL, &e), -EBADMSG);
	assert_int_equal(open_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpio_reads_it),
		cmocka_unit_test(test_cpio_limits),
		cmocka_unit_test(test_assembled),
		cmocka_unit_test(test_new_agent),
		cmocka_unit_test(test_pruned),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, setup, fake_teardown);
}
