/* test_approvals.c - what was approved of kits survives, one row for each composition */
#include "check.h"
#include "store/approvals.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static char dir[] = "/tmp/sbx-approvals-XXXXXX";
static struct store *store;

static void open_it(void)
{
	struct store_report rep;
	struct err e = {0};

	if (store_open(dir, &store, &rep, &e) < 0)
		fail_msg("%s", e.msg);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const files[] = {STORE_FILE, STORE_FILE "-wal", STORE_FILE "-shm"};
	char path[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		(void)remove(path);
	}
	return remove(dir);
}

static void put(const char *id, const char *agent, const char *lines)
{
	struct store_approval a = {
		.agent = agent, .kits = "[]", .lines = lines, .digest = "ab", .approved_ms = 7};
	struct err e = {0};

	(void)snprintf(a.id, sizeof(a.id), "%s", id);
	assert_int_equal(store_approval_put(store, &a, &e), 0);
}

static int note(void *ctx, const struct store_approval *a)
{
	char *text = ctx;

	assert_string_equal(a->digest, "ab");
	assert_int_equal(a->approved_ms, 7);
	(void)snprintf(
		text + strlen(text), 256 - strlen(text), "%s %s %s;", a->agent, a->id, a->lines);
	return 0;
}

static const char *all(const char *id)
{
	static char text[256];
	struct err e = {0};

	text[0] = '\0';
	assert_int_equal(store_approvals_each(store, id, note, text, &e), 0);
	return text;
}

static int stop(void *ctx, const struct store_approval *a)
{
	(void)ctx;
	(void)a;
	return -ECANCELED;
}

static void test_rows(void **state)
{
	struct err e = {0};

	(void)state;
	open_it();
	assert_string_equal(all(NULL), "");
	put("bb", "x", "1");
	put("aa", "x", "2");
	put("cc", "a", "3");
	put("bb", "x", "4"); /* in place of the first */
	assert_string_equal(all(NULL), "a cc 3;x aa 2;x bb 4;");
	assert_string_equal(all("bb"), "x bb 4;");
	assert_string_equal(all("b"), "");
	assert_int_equal(store_approvals_each(store, NULL, stop, NULL, &e), -ECANCELED);
	store_close(store);
	open_it();
	assert_string_equal(all("aa"), "x aa 2;");
	assert_int_equal(store_approval_remove(store, "aa", &e), 0);
	assert_int_equal(store_approval_remove(store, "aa", &e), -ENOENT);
	assert_string_equal(all("aa"), "");
	store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
