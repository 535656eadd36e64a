/* test_touched.c - the record of changed names: bounded, fair, and the same after a restart */
#include "check.h"
#include "machine/touched.h"
#include "virtio/fs_watch.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct touched_entry entry(const char *path, const char *rule, unsigned changes, int64_t at)
{
	return (struct touched_entry){
		.path = path, .rule = rule, .changes = changes, .export = 1, .at_ms = at};
}

static bool add(struct touched *t, const char *path, const char *rule, unsigned changes, int64_t at)
{
	struct touched_entry e = entry(path, rule, changes, at);

	return touched_add(t, &e);
}

static const char *has(const struct touched *t, const char *path, unsigned *ret_changes)
{
	for (size_t i = 0; i < touched_len(t); i++)
		if (strcmp(touched_at(t, i).path, path) == 0) {
			*ret_changes = touched_at(t, i).changes;
			return touched_at(t, i).rule;
		}
	return NULL;
}

static void adding(void **state)
{
	struct touched *t = touched_new();
	unsigned c;

	(void)state;
	assert_true(add(t, "a", "r", FS_CREATED, 5000));
	assert_false(add(t, "a", "r", FS_CREATED, 5999));
	assert_true(add(t, "a", "r", FS_WRITTEN, 5999));
	assert_true(add(t, "a", "r", FS_WRITTEN, 7100));
	assert_int_equal(touched_len(t), 1);
	assert_string_equal(has(t, "a", &c), "r");
	assert_int_equal(c, FS_CREATED | FS_WRITTEN);
	assert_int_equal(touched_at(t, 0).at_ms, 7100);
	assert_int_equal(touched_lost(t), 0);
	touched_free(t);
}

/* A flood of one kind leaves room for others, and what is near the top stays. */
static void a_flood(void **state)
{
	struct touched *t = touched_new();
	char path[64];
	unsigned c;

	(void)state;
	for (unsigned k = 0; k < 3 * TOUCHED_MAX; k++) {
		(void)snprintf(path, sizeof(path), "d/%u/Makefile", k);
		(void)add(t, path, "Makefile", FS_CREATED, 1);
	}
	assert_int_equal(touched_len(t), TOUCHED_MAX);
	assert_int_equal(touched_lost(t), 2 * TOUCHED_MAX);
	assert_true(add(t, ".git/hooks/pre-commit", ".git/**/hooks/", FS_CREATED, 1));
	assert_true(add(t, "Makefile", "Makefile", FS_CREATED, 1));
	assert_false(add(t, "x/y/z/Makefile", "Makefile", FS_CREATED, 1));
	assert_int_equal(touched_len(t), TOUCHED_MAX);
	assert_non_null(has(t, ".git/hooks/pre-commit", &c));
	assert_non_null(has(t, "Makefile", &c));
	/* a second kind gets its half of the room */
	for (unsigned k = 0; k < 2 * TOUCHED_MAX; k++) {
		(void)snprintf(path, sizeof(path), "d/%u/.npmrc", k);
		(void)add(t, path, ".npmrc", FS_CREATED, 1);
	}
	assert_non_null(has(t, ".git/hooks/pre-commit", &c));
	assert_non_null(has(t, "Makefile", &c));
	c = 0;
	for (size_t i = 0; i < touched_len(t); i++)
		c += strcmp(touched_at(t, i).rule, ".npmrc") == 0;
	assert_true(c > TOUCHED_MAX / 2 - 4 && c < TOUCHED_MAX / 2 + 4);
	touched_free(t);
}

static struct touched *reread(int fd)
{
	struct touched *t = touched_new();

	assert_non_null(t);
	assert_int_equal(touched_read(t, fd), 0);
	return t;
}

static void the_file(void **state)
{
	static const char odd[] = "with blank/%41\n\x1b[0m\xff";
	int fd = memfd_create("touched", MFD_CLOEXEC);
	struct touched_log *l;
	struct touched *t;
	unsigned c;

	(void)state;
	assert_int_equal(touched_log_open(dup(fd), &l), 0);
	t = reread(fd);
	assert_int_equal(touched_len(t), 0);
	touched_free(t);
	touched_log_changed(l, 3, ".git/**/hooks/", FS_CREATED, ".git/hooks/x");
	touched_log_changed(l, 3, ".git/**/hooks/", FS_WRITTEN, ".git/hooks/x");
	touched_log_changed(l, 0, "Makefile*", FS_WRITTEN, odd);
	touched_log_changed(l, 0, "package.json", FS_WRITTEN, "");
	t = reread(fd);
	assert_int_equal(touched_len(t), 3);
	assert_string_equal(has(t, ".git/hooks/x", &c), ".git/**/hooks/");
	assert_int_equal(c, FS_CREATED | FS_WRITTEN);
	assert_string_equal(has(t, odd, &c), "Makefile*");
	assert_string_equal(has(t, "", &c), "package.json");
	touched_free(t);
	touched_log_free(l);
	/* the next machine goes on with it */
	assert_int_equal(touched_log_open(dup(fd), &l), 0);
	touched_log_changed(l, 0, ".npmrc", FS_CREATED, "p/.npmrc");
	touched_log_moved(l, 0, "p/", "q/r/");
	touched_log_free(l);
	t = reread(fd);
	assert_int_equal(touched_len(t), 5);
	assert_string_equal(has(t, "q/r/.npmrc", &c), ".npmrc");
	assert_int_equal(c, FS_RENAMED);
	touched_free(t);
	close(fd);
}

/* Endless changes: the file has a maximum, and says what was lost. */
static void the_file_is_bounded(void **state)
{
	int fd = memfd_create("touched", MFD_CLOEXEC);
	char path[FS_WATCH_PATH_MAX], was[64];
	struct touched_log *l;
	struct touched *t;
	off_t most = 0, end;
	unsigned c;

	(void)state;
	memset(path, '\1', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(touched_log_open(dup(fd), &l), 0);
	touched_log_changed(l, 0, ".envrc", FS_CREATED, ".envrc");
	for (unsigned k = 0; k < 8 * TOUCHED_MAX; k++) {
		(void)snprintf(was, sizeof(was), "%08u", k);
		memcpy(path, was, 8);
		touched_log_changed(l, 0, k % 2 ? "Makefile" : ".npmrc", FS_CREATED, path);
		end = lseek(fd, 0, SEEK_END);
		if (end > most)
			most = end;
	}
	touched_log_free(l);
	assert_true(most < TOUCHED_FILE_MAX);
	t = reread(fd);
	assert_int_equal(touched_len(t), TOUCHED_MAX);
	assert_non_null(has(t, ".envrc", &c));
	assert_true(touched_lost(t) >= 7 * TOUCHED_MAX);
	touched_free(t);
	close(fd);
}

static void files_that_are_none(void **state)
{
	static const char head[] = "sbx-touched 1 0000000001 00000000000000000007\n";
	static const char *const lines[] = {"x", "1 1 0 r p q", "1 0 0 r p", "1 20 0 r p",
		"1 1 64 r p", "1 1 0 r %4", "1 1 0 r %00", "1 1 0 r %zz", "-1 1 0 r p", "1 1 0",
		"99999999999999999999 1 0 r p", "1 0x1 0 r p", ""};
	struct touched *t = touched_new();
	char text[512];

	(void)state;
	assert_int_equal(touched_parse(t, "", 0), -EBADMSG);
	assert_int_equal(touched_parse(t, head, sizeof(head) - 3), -EBADMSG);
	for (unsigned k = 0; k < ARRAY_LEN(lines); k++) {
		int n = snprintf(text, sizeof(text), "%s%s\n5 1 0 rule path\n5 1 0 rule cut", head,
			lines[k]);

		assert_int_equal(touched_parse(t, text, (size_t)n), 0);
		assert_int_equal(touched_len(t), 1);
	}
	assert_int_equal(touched_lost(t), 7 * ARRAY_LEN(lines));
	touched_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adding),
		cmocka_unit_test(a_flood),
		cmocka_unit_test(the_file),
		cmocka_unit_test(the_file_is_bounded),
		cmocka_unit_test(files_that_are_none),
	};

	return cmocka_run_group_tests_name("touched", tests, NULL, NULL);
}
