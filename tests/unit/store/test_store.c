/* test_store.c - rows survive; a damaged, foreign, empty or newer database is never "no sandboxes" */
#include "check.h"
#include "base/clock.h"
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
	char dir[64], db[96];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->dir, "/tmp/sbx-test-store-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->db, sizeof(p->db), "%s/" STORE_FILE, p->dir);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char pattern[100];
	glob_t g;

	(void)snprintf(pattern, sizeof(pattern), "%s/*", p->dir);
	if (glob(pattern, 0, NULL, &g) == 0) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			(void)unlink(g.gl_pathv[i]);
		globfree(&g);
	}
	(void)rmdir(p->dir);
	free(p);
	return 0;
}

static struct store *must_open(const struct place *p, struct store_report *rep)
{
	struct store *s = NULL;
	struct err e = {0};

	if (store_open(p->dir, &s, rep, &e) < 0)
		print_error("%s\n", e.msg);
	assert_non_null(s);
	return s;
}

static char a_plan[] = "{\"a\":1}";

static struct store_sandbox a_row(const char *id, const char *name)
{
	struct store_sandbox r = {.plan = a_plan,
		.created_ms = 1000,
		.machine_pid = 77,
		.machine_start = UINT64_MAX,
		.provisioned = true};

	strcpy(r.id, id);
	strcpy(r.name, name);
	strcpy(r.status, "stopped");
	strcpy(r.plan_hash, "ff");
	return r;
}

struct seen {
	size_t n;
	struct store_sandbox last;
	char plan[64];
};

static int see(void *ctx, const struct store_sandbox *row)
{
	struct seen *s = ctx;

	s->n++;
	s->last = *row;
	(void)snprintf(s->plan, sizeof(s->plan), "%s", row->plan);
	return 0;
}

static void test_rows_survive(void **state)
{
	const struct place *p = *state;
	struct store_sandbox row = a_row("0123456789abcdef", "one");
	struct store_report rep;
	struct seen seen = {0};
	struct err e = {0};
	struct store *s = must_open(p, &rep);
	struct stat st;

	assert_true(rep.fresh);
	assert_int_equal(store_add(s, &row, &e), 0);
	strcpy(row.status, "running");
	strcpy(row.reason, "because 'x'; DROP TABLE sandboxes");
	row.started_ms = 5;
	assert_int_equal(store_update(s, &row, &e), 0);
	store_close(s);
	s = must_open(p, &rep);
	assert_false(rep.fresh);
	assert_string_equal(rep.quarantine, "");
	assert_int_equal(store_each(s, see, &seen, &e), 0);
	assert_int_equal(seen.n, 1);
	assert_string_equal(seen.last.status, "running");
	assert_string_equal(seen.last.reason, row.reason);
	assert_string_equal(seen.plan, a_plan);
	assert_true(seen.last.machine_start == UINT64_MAX);
	assert_true(seen.last.provisioned);
	assert_int_equal(store_remove(s, row.id, &e), 0);
	assert_int_equal(store_remove(s, row.id, &e), 0);
	seen.n = 0;
	assert_int_equal(store_each(s, see, &seen, &e), 0);
	assert_int_equal(seen.n, 0);
	assert_int_equal(store_update(s, &row, &e), -ENOENT);
	store_close(s);
	assert_int_equal(stat(p->db, &st), 0);
}

static void test_names_are_unique(void **state)
{
	struct store_sandbox one = a_row("1", "same"), two = a_row("2", "same"),
			     three = a_row("1", "other");
	struct store_report rep;
	struct err e = {0};
	struct store *s = must_open(*state, &rep);

	assert_int_equal(store_add(s, &one, &e), 0);
	assert_int_equal(store_add(s, &two, &e), -EEXIST);
	assert_int_equal(e.code, ERR_CONFLICT);
	assert_int_equal(store_add(s, &three, &e), -EEXIST);
	store_close(s);
}

static void fill(const struct place *p)
{
	struct store_report rep;
	struct err e = {0};
	struct store *s = must_open(p, &rep);

	for (int i = 0; i < 50; i++) {
		char id[20], name[20];

		(void)snprintf(id, sizeof(id), "id%d", i);
		(void)snprintf(name, sizeof(name), "name%d", i);
		struct store_sandbox row = a_row(id, name);

		assert_int_equal(store_add(s, &row, &e), 0);
	}
	store_close(s);
}

static void overwrite(const char *path, off_t at, const char *bytes, size_t n)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), (ssize_t)n);
	close(fd);
}

static void expect_quarantine(const struct place *p)
{
	struct store_report rep;
	struct store *s = must_open(p, &rep);

	assert_true(rep.fresh);
	assert_true(rep.why[0]);
	assert_int_equal(access(rep.quarantine, F_OK), 0);
	store_close(s);
}

static void test_no_database_at_all(void **state)
{
	const struct place *p = *state;
	static const char noise[] = "this is not a database, it is a text that somebody put here";
	int fd = open(p->db, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, noise, sizeof(noise)), sizeof(noise));
	close(fd);
	expect_quarantine(p);
}

static void test_damaged_pages(void **state)
{
	const struct place *p = *state;
	static char zeros[8192];

	fill(p);
	overwrite(p->db, 4096, zeros, sizeof(zeros));
	expect_quarantine(p);
}

static void test_damaged_header(void **state)
{
	const struct place *p = *state;

	fill(p);
	overwrite(p->db, 0, "SQLite format 9", 15);
	expect_quarantine(p);
}

static void test_cut_short(void **state)
{
	const struct place *p = *state;

	fill(p);
	assert_int_equal(truncate(p->db, 5000), 0);
	expect_quarantine(p);
}

static void test_emptied(void **state)
{
	const struct place *p = *state;
	struct store_report rep;
	struct store *s;

	fill(p);
	assert_int_equal(truncate(p->db, 0), 0);
	s = must_open(p, &rep);
	assert_true(rep.fresh); /* the caller looks at the directories */
	store_close(s);
}

static void run_sql(const struct place *p, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void test_of_another_program(void **state)
{
	const struct place *p = *state;

	run_sql(p, "CREATE TABLE other(x); PRAGMA application_id=12345");
	expect_quarantine(p);
}

static void test_newer_is_refused_and_left_alone(void **state)
{
	const struct place *p = *state;
	struct store_report rep;
	struct store *s = NULL;
	struct err e = {0};
	struct stat st;

	fill(p);
	run_sql(p, "PRAGMA user_version=99");
	assert_int_equal(store_open(p->dir, &s, &rep, &e), -EPROTONOSUPPORT);
	assert_non_null(strstr(e.msg, "newer"));
	assert_true(e.hint[0]);
	assert_int_equal(stat(p->db, &st), 0);
	run_sql(p, "PRAGMA user_version=3");
	s = must_open(p, &rep);
	assert_false(rep.fresh);
	store_close(s);
}

static void test_not_a_file(void **state)
{
	const struct place *p = *state;
	struct store_report rep;
	struct store *s = NULL;
	struct err e = {0};

	assert_int_equal(symlink("/etc/passwd", p->db), 0);
	assert_int_equal(store_open(p->dir, &s, &rep, &e), -EPERM);
	assert_int_equal(e.code, ERR_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows_survive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_are_unique, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_database_at_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_emptied, setup, teardown),
		cmocka_unit_test_setup_teardown(test_of_another_program, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_newer_is_refused_and_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_a_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
