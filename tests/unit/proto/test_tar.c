/* test_tar.c - what a tar stream gives, what it may not hold, and that both directions agree */
#include "proto/tar.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct tar_limits roomy = {.entries = 1000, .bytes = 1 << 30};

struct seen {
	unsigned entries, ended;
	uint64_t data, in_entry;
	enum tar_event last;
	enum tar_fault fault;
	struct tar_entry first, latest;
};

/* run() - feed @len bytes in pieces of @piece and note what came */
static struct seen run(const void *bytes, size_t len, size_t piece, const struct tar_limits *limits)
{
	struct tar_reader *t = malloc(sizeof(*t));
	const uint8_t *p = bytes;
	struct seen s = {0};

	assert_non_null(t);
	tar_reader_init(t, limits);
	while (len > 0) {
		size_t part = piece < len ? piece : len, left = part;

		do {
			s.last = tar_next(t, &p, &left);
			if (s.last == TAR_ENTRY) {
				s.latest = t->entry;
				s.in_entry = 0;
				if (s.entries++ == 0)
					s.first = t->entry;
			}
			if (s.last == TAR_DATA) {
				for (size_t i = 0; i < t->data_len; i++)
					assert_int_equal(t->data[i], (uint8_t)(s.in_entry + i));
				s.data += t->data_len;
				s.in_entry += t->data_len;
			}
			s.ended += s.last == TAR_ENTRY_END;
		} while (s.last != TAR_MORE && s.last != TAR_END && s.last != TAR_BAD);
		len -= part;
		if (s.last == TAR_BAD || s.last == TAR_END)
			break;
	}
	s.fault = t->fault;
	free(t);
	return s;
}

static void add_data(struct buf *b, uint64_t size)
{
	for (uint64_t i = 0; i < size; i++) {
		uint8_t c = (uint8_t)i;

		assert_int_equal(buf_add(b, &c, 1), 0);
	}
	for (size_t i = tar_padding(size); i > 0; i--)
		assert_int_equal(buf_add(b, "", 1), 0);
}

static struct tar_entry file(const char *path, uint64_t size)
{
	struct tar_entry e = {.type = TAR_FILE,
		.mode = 0644,
		.uid = 1000,
		.gid = 1000,
		.size = size,
		.mtime = 1700000000};

	(void)snprintf(e.path, sizeof(e.path), "%s", path);
	return e;
}

static void test_round_trip(void **state)
{
	(void)state;
	char longest[TAR_PATH_MAX];
	struct tar_entry in[9] = {file("a", 0), file("dir/b", 1300), file("x", 512)};
	AUTO(buf) b;

	memset(longest, 'n', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 200; i < sizeof(longest) - 1; i += 200)
		longest[i] = '/';
	in[3] = file("dir", 0);
	in[3].type = TAR_DIR;
	in[3].mode = 01777;
	in[4] = file("s", 0);
	in[4].type = TAR_SYMLINK;
	strcpy(in[4].linkname, "/etc/../etc/passwd");
	in[5] = file("h", 0);
	in[5].type = TAR_HARDLINK;
	strcpy(in[5].linkname, longest);
	in[6] = file(longest, 3);
	in[6].uid = UINT32_MAX - 1;
	in[6].gid = 3000000;
	in[6].mtime = -5;
	in[7] = file("prefix/", 0);
	memset(in[7].path + 7, 'p', 100);
	in[7].path[107] = '\0';
	in[7].mtime = INT64_C(1) << 34;
	in[8] = file(".", 0);
	in[8].type = TAR_DIR;
	for (size_t piece = 1; piece <= 4096; piece = piece * 3 + 1) {
		for (size_t i = 0; i < ARRAY_LEN(in); i++) {
			struct seen s;

			buf_init(&b, 1 << 20);
			assert_int_equal(tar_put_entry(&b, &in[i]), 0);
			assert_int_equal(b.len % TAR_BLOCK, 0);
			add_data(&b, in[i].size);
			assert_int_equal(tar_put_end(&b), 0);
			s = run(b.data, b.len, piece, &roomy);
			assert_int_equal(s.last, TAR_END);
			assert_int_equal(s.entries, 1);
			assert_int_equal(s.ended, 1);
			assert_int_equal(s.data, in[i].size);
			assert_string_equal(s.first.path, in[i].path);
			assert_string_equal(s.first.linkname, in[i].linkname);
			assert_int_equal(s.first.type, in[i].type);
			assert_int_equal(s.first.mode, in[i].mode);
			assert_int_equal(s.first.uid, in[i].uid);
			assert_int_equal(s.first.gid, in[i].gid);
			assert_int_equal(s.first.mtime, in[i].mtime);
			assert_int_equal(s.first.size, in[i].size);
			buf_fini(&b);
		}
	}
}

/* reseal() - put the right checksum into a header that a test has changed */
static void reseal(uint8_t *h)
{
	unsigned sum = 0;

	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += h[i];
	(void)snprintf((char *)h + 148, 8, "%06o", sum);
}

static enum tar_fault fault_of_name(const char *name)
{
	struct tar_entry e = file("x", 0);
	enum tar_fault f;
	AUTO(buf) b;

	buf_init(&b, 1 << 16);
	assert_int_equal(tar_put_entry(&b, &e), 0);
	memset(b.data, 0, 100);
	memcpy(b.data, name, strlen(name));
	reseal((uint8_t *)b.data);
	assert_int_equal(tar_put_end(&b), 0);
	f = run(b.data, b.len, b.len, &roomy).fault;
	return f;
}

static void test_paths(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"/etc/passwd", "..", "../x", "a/../b", "a/..", "/", "", "./..", "a//../b"};
	static const struct {
		const char *from, *to;
	} good[] = {{"./a", "a"}, {"a//b/./c", "a/b/c"}, {"a/", "a"}, {".", "."}, {"./", "."},
		{"...", "..."}, {"..a", "..a"}, {"a\nb", "a\nb"}};
	char clean[TAR_PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(fault_of_name(bad[i]), TAR_BAD_PATH);
		assert_false(tar_clean_path(clean, bad[i], strlen(bad[i])));
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(tar_clean_path(clean, good[i].from, strlen(good[i].from)));
		assert_string_equal(clean, good[i].to);
		assert_int_equal(fault_of_name(good[i].from), TAR_OK);
	}
	assert_false(tar_clean_path(clean, "a\0b", 3));
}

static enum tar_fault fault_after(size_t at, const void *bytes, size_t len, bool seal)
{
	struct tar_entry e = file("x", 0);
	enum tar_fault f;
	AUTO(buf) b;

	buf_init(&b, 1 << 16);
	assert_int_equal(tar_put_entry(&b, &e), 0);
	assert_int_equal(tar_put_end(&b), 0);
	memcpy(b.data + at, bytes, len);
	if (seal)
		reseal((uint8_t *)b.data);
	f = run(b.data, b.len, b.len, &roomy).fault;
	return f;
}

static void test_bad_headers(void **state)
{
	(void)state;
	assert_int_equal(fault_after(0, "y", 1, false), TAR_BAD_CHECKSUM);
	assert_int_equal(fault_after(124, "9", 1, true), TAR_BAD_NUMBER);
	assert_int_equal(
		fault_after(124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12, true),
		TAR_BAD_NUMBER);
	assert_int_equal(fault_after(124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12, true),
		TAR_MANY_BYTES);
	assert_int_equal(
		fault_after(124, "\x80\0\0\x01\0\0\0\0\0\0\0\0", 12, true), TAR_BAD_NUMBER);
	assert_int_equal(fault_after(108, "\x80\0\0\1\0\0\0\0", 8, true), TAR_BAD_NUMBER);
	assert_int_equal(fault_after(156, "S", 1, true), TAR_BAD_TYPE);
	assert_int_equal(fault_after(156, "V", 1, true), TAR_BAD_TYPE);
	assert_int_equal(fault_after(156, "2", 1, true), TAR_BAD_LINK);
	assert_int_equal(fault_after(156, "1", 1, true), TAR_BAD_LINK);
	assert_int_equal(fault_after(156, "1/x\0", 4, true), TAR_BAD_LINK);
	assert_int_equal(fault_after(156, "1../x\0", 6, true), TAR_BAD_LINK);
	assert_int_equal(fault_after(156, "x", 1, true), TAR_BAD_PAX);
	assert_int_equal(fault_after(TAR_BLOCK * 2, "x", 1, true), TAR_BAD_END);
	for (unsigned f = 0; f < TAR_FAULT_COUNT; f++)
		assert_true(strlen(tar_fault_text((enum tar_fault)f)) > 0);
}

/* with_pax() - a stream whose entry is preceded by an extended header of these bytes */
static struct seen with_pax(char flag, const char *text, size_t len)
{
	struct tar_entry ext = file("ext", len), e = file("x", 0);
	struct seen s;
	AUTO(buf) b;

	buf_init(&b, 1 << 17);
	assert_int_equal(tar_put_entry(&b, &ext), 0);
	b.data[156] = flag;
	reseal((uint8_t *)b.data);
	assert_int_equal(buf_add(&b, text, len), 0);
	for (size_t i = tar_padding(len); i > 0; i--)
		assert_int_equal(buf_add(&b, "", 1), 0);
	assert_int_equal(tar_put_entry(&b, &e), 0);
	assert_int_equal(tar_put_end(&b), 0);
	s = run(b.data, b.len, 7, &roomy);
	return s;
}

static void test_pax(void **state)
{
	(void)state;
	struct seen s;
	char big[TAR_PAX_MAX + 100];

#define PAX(text) with_pax('x', text, sizeof(text) - 1)
	s = PAX("12 path=a/b\n20 mtime=123.500000\n13 comment=x\n");
	assert_int_equal(s.last, TAR_END);
	assert_string_equal(s.first.path, "a/b");
	assert_int_equal(s.first.mtime, 123);
	assert_int_equal(s.first.mtime_ns, 500000000);
	s = PAX("14 mtime=-1.5\n");
	assert_int_equal(s.first.mtime, -2);
	assert_int_equal(s.first.mtime_ns, 500000000);
	s = PAX("18 uid=4294967294\n");
	assert_int_equal(s.first.uid, 4294967294u);
	assert_int_equal(PAX("18 uid=4294967296\n").fault, TAR_BAD_NUMBER);
	assert_int_equal(PAX("13 path=/etc\n").fault, TAR_BAD_PATH);
	assert_int_equal(PAX("14 path=../../\n").fault, TAR_BAD_PAX);
	assert_int_equal(PAX("15 path=../../\n").fault, TAR_BAD_PATH);
	assert_int_equal(PAX("12 path=a\0b\n").fault, TAR_BAD_PATH);
	assert_int_equal(PAX("8 path=\n").fault, TAR_BAD_PATH);
	assert_int_equal(PAX("99 path=a\n").fault, TAR_BAD_PAX);
	assert_int_equal(PAX("0 path=a\n").fault, TAR_BAD_PAX);
	assert_int_equal(PAX("18446744073709551626 path=a\n").fault, TAR_BAD_PAX);
	assert_int_equal(PAX("-1 path=a\n").fault, TAR_BAD_PAX);
	assert_int_equal(PAX("9 pathab\n").fault, TAR_BAD_PAX);
	assert_int_equal(PAX("10 path=a\nx").fault, TAR_BAD_PAX);
	assert_int_equal(PAX("29 size=18446744073709551616\n").fault, TAR_BAD_NUMBER);
	assert_int_equal(PAX("29 size=18446744073709551615\n").fault, TAR_MANY_BYTES);
	assert_int_equal(PAX("9 size=\n").fault, TAR_BAD_PAX);
	assert_int_equal(PAX("10 size=-\n").fault, TAR_BAD_NUMBER);
	assert_int_equal(PAX("22 GNU.sparse.major=1\n").fault, TAR_BAD_TYPE);
	assert_int_equal(PAX("20 size=99999999999\n").fault, TAR_MANY_BYTES);

	s = with_pax('L', "long/name\0", 10);
	assert_string_equal(s.first.path, "long/name");
	assert_int_equal(with_pax('L', "a\0b", 3).fault, TAR_BAD_PATH);
	assert_int_equal(with_pax('L', "../b", 4).fault, TAR_BAD_PATH);
	s = with_pax('g', "not looked at", 13);
	assert_int_equal(s.last, TAR_END);
	assert_string_equal(s.first.path, "x");
	memset(big, 'a', sizeof(big));
	assert_int_equal(with_pax('L', big, 4096).fault, TAR_BAD_PATH);
	assert_int_equal(with_pax('x', big, sizeof(big)).fault, TAR_BAD_PAX);
}

static void test_limits(void **state)
{
	(void)state;
	struct tar_entry e = file("x", 100);
	AUTO(buf) b;

	buf_init(&b, 1 << 16);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tar_put_entry(&b, &e), 0);
		add_data(&b, e.size);
	}
	assert_int_equal(tar_put_end(&b), 0);
	struct tar_limits exact = {.entries = 3, .bytes = 300};
	struct tar_limits few = {.entries = 2, .bytes = 300};
	struct tar_limits small = {.entries = 3, .bytes = 299};

	for (size_t i = 0; i < 3; i++) {
		struct seen s = run(b.data, b.len, 64, &exact);

		assert_int_equal(s.last, TAR_END);
		assert_int_equal(s.entries, 3);
	}
	assert_int_equal(run(b.data, b.len, 64, &few).fault, TAR_MANY_ENTRIES);
	assert_int_equal(run(b.data, b.len, 64, &small).fault, TAR_MANY_BYTES);
	/* cut anywhere, it never looks complete */
	for (size_t cut = 0; cut < b.len - 1; cut += 37)
		assert_int_not_equal(run(b.data, cut + 1, 4096, &exact).last, TAR_END);
}

static void test_writer_refuses(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "/a", "..", "a/../b", "a/", "./a", "a//b"};
	struct tar_entry e;
	AUTO(buf) b;

	buf_init(&b, 1 << 16);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		e = file(bad[i], 0);
		assert_int_equal(tar_put_entry(&b, &e), -22);
	}
	e = file("d", 1);
	e.type = TAR_DIR;
	assert_int_equal(tar_put_entry(&b, &e), -22);
	e = file("s", 0);
	e.type = TAR_SYMLINK;
	assert_int_equal(tar_put_entry(&b, &e), -22);
	assert_int_equal(b.len, 0);
}

/* test_tar_program() - the system's tar reads what we write, and we what it writes */
static void test_tar_program(void **state)
{
	(void)state;
	char dir[] = "/tmp/sbx-tar-XXXXXX", cmd[256], line[256];
	struct tar_entry e = file("dir/b", 700);
	struct seen s;
	size_t n;
	FILE *f;
	AUTO(buf) b;

	if (access("/bin/tar", X_OK) != 0)
		skip();
	assert_non_null(mkdtemp(dir));
	buf_init(&b, 1 << 20);
	assert_int_equal(tar_put_entry(&b, &e), 0);
	add_data(&b, e.size);
	memset(e.path, 'l', 1000);
	e.path[1000] = '\0';
	assert_int_equal(tar_put_entry(&b, &e), 0);
	add_data(&b, e.size);
	assert_int_equal(tar_put_end(&b), 0);
	(void)snprintf(cmd, sizeof(cmd), "tar -C %s -tf - | cut -c1-60 > %s/list", dir, dir);
	f = popen(cmd, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(b.data, 1, b.len, f), b.len);
	assert_int_equal(pclose(f), 0);
	(void)snprintf(cmd, sizeof(cmd), "%s/list", dir);
	f = fopen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_string_equal(line, "dir/b\n");
	assert_non_null(fgets(line, sizeof(line), f));
	assert_int_equal(line[0], 'l');
	fclose(f);

	(void)snprintf(cmd, sizeof(cmd),
		"cd %s && n=$(printf 'n%%.0s' $(seq 150)) && echo -n > $n && ln -s $n$n l && "
		"tar --format=gnu -cf - $n l",
		dir);
	f = popen(cmd, "r");
	assert_non_null(f);
	buf_clear(&b);
	while ((n = fread(line, 1, sizeof(line), f)) > 0)
		assert_int_equal(buf_add(&b, line, n), 0);
	assert_int_equal(pclose(f), 0);
	s = run(b.data, b.len, 100, &roomy);
	assert_int_equal(s.last, TAR_END);
	assert_int_equal(s.entries, 2);
	assert_int_equal(strlen(s.first.path), 150);
	assert_int_equal(s.latest.type, TAR_SYMLINK);
	assert_int_equal(strlen(s.latest.linkname), 300);
	(void)snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	assert_int_equal(system(cmd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_bad_headers),
		cmocka_unit_test(test_pax),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_writer_refuses),
		cmocka_unit_test(test_tar_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
