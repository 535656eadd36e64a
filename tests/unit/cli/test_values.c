#include "cli/keys.h"
#include "cli/term.h"
#include "cli/values.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int64_t bytes; /* 0: refused */
	} rows[] = {{"4g", 4LL << 30}, {"512m", 512LL << 20}, {"1.5g", 3LL << 29}, {"1k", 1024},
		{"1", 1}, {"1048576", 1048576}, {"2GiB", 2LL << 30}, {"2gb", 2LL << 30}, {"7B", 7},
		{"0.5m", 524288}, {"1t", 1LL << 40}, {"1p", 1LL << 50}, {"", 0}, {"0", 0},
		{"0g", 0}, {"-1g", 0}, {"+1g", 0}, {"g", 0}, {"1x", 0}, {"1gg", 0}, {"1 g", 0},
		{" 1g", 0}, {"1g ", 0}, {".5g", 0}, {"1.g", 0}, {"1e3", 0}, {"0x10", 0}, {"2p", 0},
		{"1025t", 0}, {"99999999999999999999999999999g", 0}, {"18446744073709551616", 0},
		{"9223372036854775808", 0}, {"inf", 0}, {"nan", 0}, {"1,5g", 0}, {"0.0000001k", 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err e = {0};
		int64_t n = -1;
		int r = value_size(rows[i].text, "--memory", &n, &e);

		if (rows[i].bytes) {
			assert_int_equal(r, 0);
			assert_int_equal(n, rows[i].bytes);
		} else {
			assert_int_equal(r, -22);
			assert_int_equal(n, -1);
			assert_int_equal(e.code, ERR_INVALID);
			assert_non_null(strstr(e.msg, "--memory"));
		}
	}
}

static void counts(void **state)
{
	struct err e = {0};
	long n = -1;

	(void)state;
	assert_int_equal(value_count("0", "--cpus", 0, 64, &n, &e), 0);
	assert_int_equal(n, 0);
	assert_int_equal(value_count("64", "--cpus", 0, 64, &n, &e), 0);
	assert_int_equal(n, 64);
	for (const char *const *p = (const char *const[]){"65", "", "-1", "2.5", "x", "1x",
		     "99999999999999999999", " 1", NULL};
		*p; p++)
		assert_int_equal(value_count(*p, "--cpus", 0, 64, &n, &e), -22);
	assert_int_equal(n, 64);
}

static void workspaces(void **state)
{
	char dir[] = "/tmp/sbx-values-XXXXXX", file[64], link[64], fifo[64];
	struct workspace ws;
	struct err e = {0};

	(void)state;
	assert_int_equal(workspace_parse("/a/b", &ws, &e), 0);
	assert_string_equal(ws.path, "/a/b");
	assert_false(ws.read_only);
	assert_int_equal(workspace_parse("x:ro", &ws, &e), 0);
	assert_string_equal(ws.path, "x");
	assert_true(ws.read_only);
	assert_int_equal(workspace_parse("x:ro/", &ws, &e), 0);
	assert_string_equal(ws.path, "x:ro/");
	assert_false(ws.read_only);
	assert_int_equal(workspace_parse("x:rw", &ws, &e), 0);
	assert_string_equal(ws.path, "x:rw");
	assert_int_equal(workspace_parse("", &ws, &e), -22);
	assert_int_equal(workspace_parse(":ro", &ws, &e), -22);

	assert_non_null(mkdtemp(dir));
	(void)snprintf(file, sizeof(file), "%s/f", dir);
	(void)snprintf(link, sizeof(link), "%s/l", dir);
	(void)snprintf(fifo, sizeof(fifo), "%s/p", dir);
	fclose(fopen(file, "w"));
	assert_int_equal(symlink("f", link), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(workspace_parse(link, &ws, &e), 0);
	assert_int_equal(workspace_resolve(&ws, &e), 0);
	assert_string_equal(ws.path, file);
	assert_int_equal(workspace_parse(fifo, &ws, &e), 0);
	assert_int_equal(workspace_resolve(&ws, &e), -22);
	assert_int_equal(workspace_parse("/", &ws, &e), 0);
	assert_int_equal(workspace_resolve(&ws, &e), -22);
	unlink(file);
	assert_int_equal(workspace_parse(link, &ws, &e), 0);
	assert_int_equal(workspace_resolve(&ws, &e), -2);
	assert_non_null(strstr(e.msg, "No such file"));
	unlink(link);
	unlink(fifo);
	rmdir(dir);
}

static void copy_sides(void **state)
{
	static const struct {
		const char *text, *box, *path; /* box NULL: refused */
	} rows[] = {{"a", "", "a"}, {"./a:b", "", "./a:b"}, {"/x:y", "", "/x:y"},
		{"box:/a", "box", "/a"}, {"box:/a:b", "box", "/a:b"}, {"box:a", NULL, NULL},
		{":/a", NULL, NULL}, {"box:", NULL, NULL}, {"", NULL, NULL}, {"../x", "", "../x"},
		{"b_x:/a", NULL, NULL}, {"x:/a", NULL, NULL}, {"-rf:/a", NULL, NULL}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct copy_side s;
		struct err e = {0};
		int r = copy_side_parse(rows[i].text, &s, &e);

		assert_int_equal(r, rows[i].box ? 0 : -22);
		if (r < 0)
			continue;
		assert_string_equal(s.box, rows[i].box);
		assert_string_equal(s.path, rows[i].path);
	}
}

static void kit_paths(void **state)
{
	(void)state;
	assert_true(value_is_kit_path("./k"));
	assert_true(value_is_kit_path("../k.zip"));
	assert_true(value_is_kit_path("/k"));
	assert_true(value_is_kit_path("."));
	assert_false(value_is_kit_path("shell"));
	assert_false(value_is_kit_path(".k"));
	assert_false(value_is_kit_path("a/b"));
}

static void key_parsing(void **state)
{
	struct err e = {0};
	struct keys k;

	(void)state;
	assert_int_equal(keys_parse("ctrl-\\", &k, &e), 0);
	assert_int_equal(k.len, 1);
	assert_int_equal(k.seq[0], 0x1c);
	assert_int_equal(keys_parse("ctrl-p,ctrl-q", &k, &e), 0);
	assert_int_equal(k.len, 2);
	assert_int_equal(k.seq[0], 16);
	assert_int_equal(k.seq[1], 17);
	assert_int_equal(keys_parse("a,ctrl-@,ctrl-_", &k, &e), 0);
	assert_int_equal(k.seq[1], 0);
	assert_int_equal(k.seq[2], 31);
	assert_int_equal(keys_parse("", &k, &e), 0);
	assert_int_equal(k.len, 0);
	for (const char *const *p = (const char *const[]){"ctrl-", "ctrl-P", "ctrl-1", "ab", ",a",
		     "a,,b", "a,b,c,d,e,f,g,h,i", "Ctrl-a", NULL};
		*p; p++)
		assert_int_equal(keys_parse(*p, &k, &e), -22);
}

/* type() - feed @in in pieces of @step; what got through is in @out; true when it detached */
static bool type(const char *keys, const char *in, size_t step, char *out)
{
	struct err e = {0};
	struct keys k;
	size_t len = strlen(in), pos = 0;

	assert_int_equal(keys_parse(keys, &k, &e), 0);
	for (size_t i = 0; i < len; i += step) {
		char piece[64];
		size_t n = 0, m = len - i < step ? len - i : step;
		bool hit = keys_filter(&k, in + i, m, piece, &n);

		assert_true(n <= m + KEYS_MAX);
		memcpy(out + pos, piece, n);
		pos += n;
		out[pos] = '\0';
		if (hit)
			return true;
	}
	out[pos] = '\0';
	return false;
}

static void key_matching(void **state)
{
	char out[64];

	(void)state;
	for (size_t step = 1; step < 8; step++) {
		assert_true(type("ctrl-p,ctrl-q", "ab\x10\x11zz", step, out));
		assert_string_equal(out, "ab");
		assert_false(type("ctrl-p,ctrl-q", "a\x10z", step, out));
		assert_string_equal(out, "a\x10z");
		assert_true(type("ctrl-p,ctrl-q", "\x10\x10\x11", step, out));
		assert_string_equal(out, "\x10");
		assert_true(type("a,a,b", "aaab", step, out));
		assert_string_equal(out, "a");
		assert_false(type("a,b,a,c", "ababab", step, out));
		assert_string_equal(out, "abab"); /* "ab" may yet go on */
		assert_true(type("a,b,a,c", "xababac", step, out));
		assert_string_equal(out, "xab");
		assert_false(type("", "any\x1c", step, out));
		assert_string_equal(out, "any\x1c");
		assert_true(type("ctrl-\\", "x\x1cy", step, out));
		assert_string_equal(out, "x");
	}
}

static void mode_tracking(void **state)
{
	struct term_modes m = {0};
	char undo[160];
	size_t n;

	(void)state;
	term_modes_watch(&m, (const unsigned char *)"\x1b[?1049h\x1b[?25", 13);
	term_modes_watch(&m, (const unsigned char *)"l\x1b[?1000;1006hx", 15);
	n = term_modes_undo(&m, undo, sizeof(undo));
	undo[n] = '\0';
	assert_string_equal(undo, "\x1b[?1006l\x1b[?1000l\x1b[?25h\x1b[?1049l\x1b[0m");
	assert_int_equal(term_modes_undo(&m, undo, sizeof(undo)), 0);
	term_modes_watch(&m, (const unsigned char *)"\x1b[?2004h\x1b[?2004l\x1b[2004h", 23);
	term_modes_watch(&m, (const unsigned char *)"\x1b[?99999999999999999h", 21);
	assert_int_equal(term_modes_undo(&m, undo, sizeof(undo)), 0);
	term_modes_watch(&m, (const unsigned char *)"\x1b[?47;47;1047;1049;25;1;1000;1002h", 35);
	term_modes_watch(&m, (const unsigned char *)"\x1b[?1003;1004;1006;2004h\x1b[?25l", 29);
	n = term_modes_undo(&m, undo, sizeof(undo));
	assert_true(n > 60 && n < sizeof(undo));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(counts),
		cmocka_unit_test(workspaces), cmocka_unit_test(copy_sides),
		cmocka_unit_test(kit_paths), cmocka_unit_test(key_parsing),
		cmocka_unit_test(key_matching), cmocka_unit_test(mode_tracking)};

	return cmocka_run_group_tests_name("cli/values", tests, NULL, NULL);
}
