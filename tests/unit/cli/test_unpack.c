/* Hostile archives and destinations (FS-28), and what a friendly tree comes out as. */
#include "cli/guard.h"
#include "cli/unpack.h"
#include "base/io.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/sbx-unpack-XXXXXX"; /* top/dst is the destination, top/out the canary */
static char dst[64], out[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(top, sizeof(top), "/tmp/sbx-unpack-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	(void)snprintf(dst, sizeof(dst), "%s/dst", top);
	(void)snprintf(out, sizeof(out), "%s/out", top);
	(void)umask(022);
	return mkdir(dst, 0755) || mkdir(out, 0755);
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", top);
	return system(cmd);
}

static const char *in(const char *dir, const char *name)
{
	static char path[4][512];
	static unsigned at;

	at = (at + 1) % 4;
	(void)snprintf(path[at], sizeof(path[at]), "%s/%s", dir, name);
	return path[at];
}

/* ---- archives by hand, since the writer of ours refuses to make hostile ones ---- */

static void raw(struct buf *b, char type, const char *path, const char *link, unsigned mode,
	const void *data, size_t len)
{
	uint8_t h[512] = {0};
	unsigned sum = 0;
	static const char zeros[512];

	memcpy(h, path, strnlen(path, 100));
	(void)snprintf((char *)h + 100, 8, "%07o", mode);
	(void)snprintf((char *)h + 108, 8, "%07o", 0U);
	(void)snprintf((char *)h + 116, 8, "%07o", 0U);
	(void)snprintf((char *)h + 124, 12, "%011o", (unsigned)len & 0x3fffffff);
	(void)snprintf((char *)h + 136, 12, "%011o", 1000000000U);
	h[156] = (uint8_t)type;
	if (link)
		memcpy(h + 157, link, strnlen(link, 100));
	memcpy(h + 257, "ustar\00000", 8);
	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += h[i];
	(void)snprintf((char *)h + 148, 8, "%06o", sum);
	assert_int_equal(buf_add(b, h, sizeof(h)), 0);
	if (len)
		assert_int_equal(buf_add(b, data, len), 0);
	assert_int_equal(buf_add(b, zeros, tar_padding(len)), 0);
}

static void file(struct buf *b, const char *path, const char *text)
{
	raw(b, '0', path, NULL, 0644, text, strlen(text));
}

static int feed(struct unpack *u, const struct buf *b, size_t step, struct err *e)
{
	static const uint8_t end[TAR_END_BYTES];
	int r = 0;

	for (size_t i = 0; i < b->len && r == 0; i += step)
		r = unpack_bytes(
			u, (const uint8_t *)b->data + i, b->len - i < step ? b->len - i : step, e);
	if (r == 0)
		r = unpack_bytes(u, end, sizeof(end), e);
	return r == 0 ? unpack_end(u, e) : r;
}

/* unpack() - into dst under @base; what was left out is in *ret_left */
static int unpack(const struct buf *b, const char *base, size_t step, uint64_t *ret_left)
{
	AUTO_FD root = open(dst, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct unpack *u = calloc(1, sizeof(*u));
	struct err e = {0};
	int r;

	assert_non_null(u);
	assert_int_equal(unpack_init(u, root, base, false), 0);
	r = feed(u, b, step, &e);
	if (r < 0)
		assert_true(e.msg[0] != '\0');
	*ret_left = u->left_out;
	unpack_fini(u);
	free(u);
	return r;
}

static size_t count(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	for (struct dirent *x; (x = readdir(d));)
		n += strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0;
	closedir(d);
	return n;
}

static void assert_text(const char *path, const char *text)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_int_equal(io_read_file(AT_FDCWD, path, &b), 0);
	assert_string_equal(buf_str(&b), text);
	buf_fini(&b);
}

static void a_link_by_itself(void **state)
{
	struct buf b;
	struct stat st;
	uint64_t left = 0;

	(void)state;
	buf_init(&b, 1 << 20);
	raw(&b, '2', "notes", ".bashrc", 0777, NULL, 0); /* of the folder that is copied to */
	assert_int_equal(unpack(&b, "notes", 512, &left), 0);
	assert_int_equal(left, 1);
	assert_int_equal(lstat(in(dst, "notes"), &st), -1);
	buf_fini(&b);
}

static void friendly_tree(void **state)
{
	(void)state;
	for (size_t step = 1; step < 3000; step = step * 7 + 3) {
		struct buf b;
		struct stat st;
		uint64_t left = 9;
		char link[64] = "";

		buf_init(&b, 1 << 20);
		raw(&b, '5', "src", NULL, 0755, NULL, 0);
		raw(&b, '5', "src/sub", NULL, 0500, NULL, 0);
		file(&b, "src/sub/f", "hello");
		raw(&b, '0', "src/x", NULL, 06755, "#!", 2);
		raw(&b, '2', "src/sub/l", "../x", 0777, NULL, 0);
		raw(&b, '2', "src/sub/m", "f/../../../../etc", 0777, NULL, 0);
		assert_int_equal(unpack(&b, "named", step, &left), 0);
		assert_int_equal(left, 1);
		assert_text(in(dst, "named/sub/f"), "hello");
		assert_int_equal(stat(in(dst, "named/x"), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0755); /* no set-id bits */
		assert_int_equal(st.st_mtim.tv_sec, 1000000000);
		assert_int_equal(st.st_uid, geteuid());
		assert_int_equal(stat(in(dst, "named/sub"), &st), 0);
		assert_int_equal(st.st_mode & 0777, 0700);
		assert_int_equal(readlink(in(dst, "named/sub/l"), link, sizeof(link)), 4);
		assert_string_equal(link, "../x");
		assert_int_equal(count(in(dst, "named/sub")), 2);
		assert_int_equal(count(dst), 1);
		buf_fini(&b);
	}
}

static void hostile_names(void **state)
{
	static const char *const paths[] = {"../out/x", "/etc/x", "src/../../out/x", "other/x",
		"src2", "srcx/y", "..", "a/../..", "src/../x"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct buf b;
		uint64_t left;

		buf_init(&b, 1 << 16);
		raw(&b, '5', "src", NULL, 0755, NULL, 0);
		file(&b, paths[i], "bad");
		assert_true(unpack(&b, "named", 512, &left) < 0);
		assert_int_equal(count(out), 0);
		assert_int_equal(count(dst), 1); /* "named", empty */
		assert_int_equal(count(in(dst, "named")), 0);
		buf_fini(&b);
	}
}

static void first_entry_elsewhere(void **state)
{
	struct buf b;
	uint64_t left;

	(void)state;
	buf_init(&b, 1 << 16);
	file(&b, "src/deep", "x");
	assert_true(unpack(&b, "named", 512, &left) < 0);
	buf_clear(&b);
	/* whatever the sandbox calls it, it gets the name that was asked for */
	file(&b, ".bashrc", "x");
	assert_int_equal(unpack(&b, "named", 512, &left), 0);
	assert_int_equal(access(in(dst, ".bashrc"), F_OK), -1);
	assert_text(in(dst, "named"), "x");
	buf_fini(&b);
}

static void through_a_link(void **state)
{
	struct buf b;
	uint64_t left;

	(void)state;
	/* link, then a file through it: absolute, relative, and one that stays inside */
	for (const char *const *t = (const char *const[]){"/tmp", "../../out", "sub", NULL}; *t;
		t++) {
		buf_init(&b, 1 << 16);
		raw(&b, '5', "src", NULL, 0755, NULL, 0);
		raw(&b, '5', "src/sub", NULL, 0755, NULL, 0);
		raw(&b, '2', "src/l", *t, 0777, NULL, 0);
		file(&b, "src/l/x", "bad");
		assert_true(unpack(&b, "named", 512, &left) < 0);
		assert_int_equal(count(out), 0);
		assert_int_equal(count(in(dst, "named/sub")), 0);
		buf_fini(&b);
	}
	/* a link under the name of the copy itself */
	buf_init(&b, 1 << 16);
	raw(&b, '2', "src", "../out", 0777, NULL, 0);
	file(&b, "src/x", "bad");
	assert_true(unpack(&b, "again", 512, &left) < 0);
	assert_int_equal(count(out), 0);
	buf_fini(&b);
}

static void link_then_file_of_one_name(void **state)
{
	struct buf b;
	uint64_t left;
	struct stat st;

	(void)state;
	buf_init(&b, 1 << 16);
	raw(&b, '5', "src", NULL, 0755, NULL, 0);
	file(&b, "src/t", "target");
	raw(&b, '2', "src/a", "t", 0777, NULL, 0);
	file(&b, "src/a", "second");
	file(&b, "src/a", "third");
	assert_int_equal(unpack(&b, "named", 512, &left), 0);
	assert_text(in(dst, "named/t"), "target");
	assert_text(in(dst, "named/a"), "third");
	assert_int_equal(lstat(in(dst, "named/a"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
	/* a directory where a file is, a file where a directory is */
	buf_clear(&b);
	raw(&b, '5', "src", NULL, 0755, NULL, 0);
	raw(&b, '5', "src/a", NULL, 0755, NULL, 0);
	assert_true(unpack(&b, "named", 512, &left) < 0);
	buf_clear(&b);
	file(&b, "src", "x");
	assert_true(unpack(&b, "named", 512, &left) < 0);
	buf_fini(&b);
}

static void special_entries(void **state)
{
	struct buf b;
	uint64_t left = 0;

	(void)state;
	buf_init(&b, 1 << 16);
	raw(&b, '5', "src", NULL, 0755, NULL, 0);
	raw(&b, '3', "src/c", NULL, 0666, NULL, 0);
	raw(&b, '4', "src/b", NULL, 0666, NULL, 0);
	raw(&b, '6', "src/p", NULL, 0666, NULL, 0);
	raw(&b, '1', "src/h", "src/f", 0666, NULL, 0);
	raw(&b, '2', "src/abs", "/etc/shadow", 0777, NULL, 0);
	raw(&b, '2', "src/up", "..", 0777, NULL, 0);
	file(&b, "src/f", "kept");
	assert_int_equal(unpack(&b, "named", 512, &left), 0);
	assert_int_equal(left, 6);
	assert_int_equal(count(in(dst, "named")), 1);
	assert_text(in(dst, "named/f"), "kept");
	buf_fini(&b);
}

static void cut_short(void **state)
{
	AUTO_FD root = open(dst, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct unpack *u = calloc(1, sizeof(*u));
	struct err e = {0};
	struct buf b;

	(void)state;
	assert_non_null(u);
	assert_int_equal(io_replace_file(root, "named", "old", 3, 0644), 0);
	buf_init(&b, 1 << 16);
	raw(&b, '0', "f", NULL, 0644, "0123456789", 10);
	assert_int_equal(unpack_init(u, root, "named", true), 0);
	assert_int_equal(unpack_bytes(u, (uint8_t *)b.data, 515, &e), 0);
	assert_true(unpack_end(u, &e) < 0);
	unpack_fini(u);
	assert_text(in(dst, "named"), "old"); /* what was there stays, and nothing half-made */
	assert_int_equal(count(dst), 1);
	/* empty streams and directories where a file is wanted */
	assert_int_equal(unpack_init(u, root, "named", true), 0);
	buf_clear(&b);
	assert_true(feed(u, &b, 512, &e) < 0);
	unpack_fini(u);
	assert_int_equal(unpack_init(u, root, "named", true), 0);
	raw(&b, '5', "f", NULL, 0755, NULL, 0);
	assert_int_equal(feed(u, &b, 512, &e), -EISDIR);
	unpack_fini(u);
	free(u);
	buf_fini(&b);
}

static void holes(void **state)
{
	static char data[1 << 20];
	struct stat st;
	struct buf b;
	uint64_t left;
	char got[4];
	int fd;

	(void)state;
	buf_init(&b, 4 << 20);
	memcpy(data + 500000, "data", 4);
	raw(&b, '0', "f", NULL, 0644, data, sizeof(data));
	assert_int_equal(unpack(&b, "sparse", 65536, &left), 0);
	fd = open(in(dst, "sparse"), O_RDONLY);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, sizeof(data));
	assert_true(st.st_blocks * 512 <= 64 << 10);
	assert_int_equal(pread(fd, got, 4, 500000), 4);
	assert_memory_equal(got, "data", 4);
	close(fd);
	memset(data, 0, sizeof(data));
	buf_clear(&b);
	raw(&b, '0', "f", NULL, 0644, data, 70001);
	assert_int_equal(unpack(&b, "sparse", 1000, &left), 0);
	assert_int_equal(stat(in(dst, "sparse"), &st), 0);
	assert_int_equal(st.st_size, 70001);
	buf_fini(&b);
}

static void contents_only(void **state)
{
	struct buf b;
	uint64_t left;

	(void)state;
	buf_init(&b, 1 << 16);
	raw(&b, '5', ".", NULL, 0755, NULL, 0);
	file(&b, "a", "A");
	raw(&b, '5', "d", NULL, 0755, NULL, 0);
	raw(&b, '2', "d/l", "../a", 0777, NULL, 0);
	raw(&b, '2', "d/m", "../../a", 0777, NULL, 0);
	assert_int_equal(unpack(&b, "", 512, &left), 0);
	assert_int_equal(left, 1);
	assert_text(in(dst, "d/l"), "A");
	buf_clear(&b);
	file(&b, "a", "A");
	assert_true(unpack(&b, "", 512, &left) < 0); /* the source is no directory */
	buf_fini(&b);
}

static void links_that_stay(void **state)
{
	static const struct {
		const char *target;
		unsigned depth;
		bool stays;
	} rows[] = {{"a", 0, true}, {"a/b", 0, true}, {"./a", 0, true}, {".", 0, true},
		{"..", 0, false}, {"..", 1, true}, {"../..", 1, false}, {"../a", 1, true},
		{"../../a", 2, true}, {"a/..", 5, false}, {"../a/..", 5, false}, {"", 0, false},
		{"/", 5, false}, {"//x", 5, false}, {"..//..", 1, false}, {"./../a", 1, true},
		{"...", 0, true}, {"..a", 0, true}, {"a/", 0, true}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (unpack_link_stays(rows[i].target, rows[i].depth) != rows[i].stays)
			fail_msg("'%s' at depth %u", rows[i].target, rows[i].depth);
}

/* ---- the destination itself ---- */

static void guarded_destination(void **state)
{
	struct guard g = {.roots = {dst}, .n = 1};
	char cwd[256];
	struct err e = {0};
	int fd;

	(void)state;
	assert_int_equal(mkdir(in(dst, "real"), 0755), 0);
	assert_int_equal(symlink("../out", in(dst, "evil")), 0);
	assert_int_equal(symlink("real", in(dst, "inner")), 0);
	assert_int_equal(symlink(dst, in(top, "outside")), 0);

	fd = guard_open_dir(&g, in(dst, "real"), &e);
	assert_true(fd >= 0);
	close(fd);
	fd = guard_open_dir(&g, dst, &e);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(guard_open_dir(&g, in(dst, "evil"), &e), -ELOOP);
	assert_int_equal(e.code, ERR_DENIED);
	assert_int_equal(guard_open_dir(&g, in(dst, "evil/."), &e), -ELOOP);
	assert_int_equal(guard_open_dir(&g, in(dst, "inner"), &e), -ELOOP);
	/* ".." behind a name that the sandbox may have replaced by a link */
	assert_int_equal(guard_open_dir(&g, in(dst, "real/.."), &e), -ELOOP);
	assert_int_equal(guard_open_dir(&g, in(dst, "evil/../../out"), &e), -ELOOP);
	/* a link of the user's own, outside of the shared folder, may be followed into it */
	fd = guard_open_dir(&g, in(top, "outside/real"), &e);
	assert_true(fd >= 0);
	close(fd);
	/* elsewhere nothing is different from usual */
	assert_int_equal(symlink(out, in(top, "link")), 0);
	fd = guard_open_dir(&g, in(top, "link"), &e);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(guard_open_dir(&g, in(top, "nothing"), &e), -ENOENT);

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(chdir(in(dst, "real")), 0);
	fd = guard_open_dir(&g, "..", &e); /* of the kernel's own current directory */
	assert_true(fd >= 0);
	close(fd);
	fd = guard_open_dir(&g, "../real", &e);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(guard_open_dir(&g, "../evil", &e), -ELOOP);
	fd = guard_open_dir(&g, "../../out", &e);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(chdir(cwd), 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {CASE(friendly_tree), CASE(a_link_by_itself),
		CASE(hostile_names), CASE(first_entry_elsewhere), CASE(through_a_link),
		CASE(link_then_file_of_one_name), CASE(special_entries), CASE(cut_short),
		CASE(holes), CASE(contents_only), cmocka_unit_test(links_that_stay),
		CASE(guarded_destination)};

	return cmocka_run_group_tests_name("cli/unpack", tests, NULL, NULL);
}
