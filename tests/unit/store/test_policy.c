/* test_policy.c - rules and settings survive, all or none; a database of schema 1 is taken over */
#include "check.h"
#include "store/policy.h"
#include <errno.h>
#include <glob.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], db_path[96];
static struct store *store;

static void open_it(void)
{
	struct store_report rep;
	struct err e = {0};

	if (store_open(dir, &store, &rep, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(rep.quarantine, "");
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/sbx-test-rules-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(db_path, sizeof(db_path), "%s/" STORE_FILE, dir);
	store = NULL;
	return 0;
}

static int teardown(void **state)
{
	char pattern[100];
	glob_t g;

	(void)state;
	store_close(store);
	snprintf(pattern, sizeof(pattern), "%s/*", dir);
	if (glob(pattern, 0, NULL, &g) == 0) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			(void)unlink(g.gl_pathv[i]);
		globfree(&g);
	}
	(void)rmdir(dir);
	return 0;
}

static void run_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

static struct store_rule rule(const char *box, const char *resource, enum policy_decision d)
{
	struct store_rule r = {
		.decision = d, .methods = POLICY_GET, .websocket = true, .created_ms = 7};

	snprintf(r.sandbox, sizeof(r.sandbox), "%s", box);
	snprintf(r.resource, sizeof(r.resource), "%s", resource);
	snprintf(r.path, sizeof(r.path), "/a/**");
	snprintf(r.via, sizeof(r.via), "added");
	return r;
}

struct seen {
	unsigned n;
	struct store_rule r[8];
};

static int see(void *ctx, const struct store_rule *r)
{
	struct seen *s = ctx;

	assert_true(s->n < 8);
	s->r[s->n++] = *r;
	return 0;
}

static struct seen all(void)
{
	struct seen s = {0};
	struct err e = {0};

	if (store_rules_each(store, see, &s, &e) < 0)
		fail_msg("%s", e.msg);
	return s;
}

static void test_rules(void **state)
{
	struct store_rule r[3] = {rule("", "a.com", POLICY_ALLOW),
		rule("0123456789abcdef", "b.com", POLICY_DENY),
		rule("", "'; DROP TABLE policy_rules; --", POLICY_ASK)};
	struct seen s;
	struct err e;

	(void)state;
	open_it();
	assert_int_equal(store_rules_add(store, r, 3, &e), 0);
	assert_true(r[0].seq > 0 && r[1].seq == r[0].seq + 1);
	store_close(store);
	open_it();
	s = all();
	assert_int_equal(s.n, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(s.r[i].seq, r[i].seq);
		assert_string_equal(s.r[i].resource, r[i].resource);
		assert_string_equal(s.r[i].sandbox, r[i].sandbox);
		assert_string_equal(s.r[i].path, "/a/**");
		assert_string_equal(s.r[i].grpc, "");
		assert_int_equal(s.r[i].decision, r[i].decision);
		assert_int_equal(s.r[i].methods, POLICY_GET);
		assert_true(s.r[i].websocket && s.r[i].created_ms == 7);
	}
	assert_int_equal(store_rule_remove(store, r[2].seq, &e), 0);
	assert_int_equal(store_rule_remove(store, r[2].seq, &e), -ENOENT);
	assert_int_equal(store_rules_add(store, &r[2], 1, &e), 0);
	assert_true(r[2].seq > s.r[2].seq); /* a number is not given again */
	assert_int_equal(store_rules_clear(store, "", &e), 0);
	s = all();
	assert_int_equal(s.n, 1);
	assert_string_equal(s.r[0].resource, "b.com");
	/* a sandbox takes its rules along */
	assert_int_equal(store_remove(store, "0123456789abcdef", &e), 0);
	assert_int_equal(all().n, 0);
	assert_int_equal(store_rules_add(store, r, 2, &e), 0);
	assert_int_equal(store_rules_clear(store, NULL, &e), 0);
	assert_int_equal(all().n, 0);
}

static void test_all_or_none(void **state)
{
	struct store_rule r[2] = {rule("", "a.com", POLICY_ALLOW), rule("", "b.com", POLICY_DENY)};
	struct err e = {0};

	(void)state;
	open_it();
	store_close(store);
	run_sql("CREATE UNIQUE INDEX one ON policy_rules(via)"); /* the second will not fit */
	open_it();
	assert_int_equal(store_rules_add(store, r, 2, &e), -EEXIST);
	assert_int_equal(all().n, 0);
	assert_int_equal(store_rules_add(store, r, 1, &e), 0); /* and nothing stayed locked */
}

static void test_damaged_rule_is_an_error(void **state)
{
	static const char *const spoil[] = {"UPDATE policy_rules SET decision='maybe'",
		"UPDATE policy_rules SET decision='deny', methods=9999",
		"UPDATE policy_rules SET methods=0, resource=printf('%2000s','x')"};
	struct store_rule r = rule("", "a.com", POLICY_DENY);
	struct seen s = {0};
	struct err e;

	(void)state;
	open_it();
	assert_int_equal(store_rules_add(store, &r, 1, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(spoil); i++) {
		run_sql(spoil[i]);
		assert_int_equal(store_rules_each(store, see, &s, &e), -EBADMSG);
		assert_int_equal(s.n, 0);
	}
}

static void test_settings(void **state)
{
	char long_text[STORE_VALUE_MAX + 1], v[64];
	struct err e;

	(void)state;
	open_it();
	assert_int_equal(store_setting(store, "k", v, sizeof(v), &e), 0);
	assert_string_equal(v, "");
	assert_int_equal(store_set(store, "k", "one", &e), 0);
	assert_int_equal(store_set(store, "k", "two", &e), 0);
	assert_int_equal(store_setting(store, "k", v, sizeof(v), &e), 1);
	assert_string_equal(v, "two");
	assert_int_equal(store_setting(store, "k", v, 3, &e), -EBADMSG);
	assert_int_equal(store_set(store, "k", NULL, &e), 0);
	assert_int_equal(store_setting(store, "k", v, sizeof(v), &e), 0);
	memset(long_text, 'x', STORE_VALUE_MAX);
	long_text[STORE_VALUE_MAX] = '\0';
	assert_int_equal(store_set(store, "k", long_text, &e), -E2BIG);
}

/* As the first release wrote it. */
static const char schema1[] =
	"CREATE TABLE sandboxes ( id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE,"
	" status TEXT NOT NULL, reason TEXT NOT NULL, note TEXT NOT NULL, plan TEXT NOT NULL,"
	" plan_hash TEXT NOT NULL, created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL,"
	" stopped_ms INTEGER NOT NULL, last_used_ms INTEGER NOT NULL, provisioned INTEGER NOT NULL,"
	" machine_pid INTEGER NOT NULL, machine_start INTEGER NOT NULL, boot_id TEXT NOT NULL) "
	"STRICT;"
	"PRAGMA application_id=1396856881; PRAGMA user_version=1;"
	"INSERT INTO sandboxes "
	"VALUES('0123456789abcdef','old','stopped','','','{}','ff',1,2,3,4,1,0,0,'')";

static int one_row(void *ctx, const struct store_sandbox *row)
{
	unsigned *n = ctx;

	assert_string_equal(row->name, "old");
	assert_string_equal(row->plan, "{}");
	++*n;
	return 0;
}

static void test_schema_1(void **state)
{
	struct store_rule r = rule("", "a.com", POLICY_ALLOW);
	unsigned n = 0;
	struct err e;

	(void)state;
	run_sql(schema1);
	for (int again = 0; again < 2; again++) {
		open_it();
		assert_int_equal(store_each(store, one_row, &n, &e), 0);
		assert_int_equal(store_rules_add(store, &r, 1, &e), 0);
		store_close(store);
	}
	assert_int_equal(n, 2);
	open_it();
	assert_int_equal(all().n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_or_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_rule_is_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_schema_1, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
