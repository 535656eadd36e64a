#include "store/policy.h"
#include "store/internal.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void put_text(sqlite3_stmt *st, int i, const char *s)
{
	/* A failed binding leaves NULL, which NOT NULL refuses at the step. */
	(void)sqlite3_bind_text(st, i, s, -1, SQLITE_STATIC);
}

static int put_rule(struct store *s, sqlite3_stmt *st, struct store_rule *r, struct err *e)
{
	int rc;

	put_text(st, 1, r->sandbox);
	put_text(st, 2, policy_decision_name(r->decision));
	put_text(st, 3, r->resource);
	(void)sqlite3_bind_int64(st, 4, r->methods);
	put_text(st, 5, r->path);
	put_text(st, 6, r->grpc);
	(void)sqlite3_bind_int64(st, 7, r->websocket);
	put_text(st, 8, r->via);
	(void)sqlite3_bind_int64(st, 9, r->created_ms);
	rc = sqlite3_step(st);
	if (rc != SQLITE_DONE)
		return store_fault(s->db, rc, e, "write");
	r->seq = sqlite3_last_insert_rowid(s->db);
	(void)sqlite3_reset(st);
	return 0;
}

static int exec(struct store *s, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_fault(s->db, rc, e, "write");
}

int store_rules_add(struct store *s, struct store_rule *rules, size_t n, struct err *e)
{
	sqlite3_stmt *st;
	int r = store_begin(s,
		"INSERT INTO policy_rules(sandbox,decision,resource,methods,path,grpc,websocket,"
		"via,created_ms) VALUES(?,?,?,?,?,?,?,?,?)",
		&st, e);

	if (r < 0)
		return r;
	r = exec(s, "BEGIN IMMEDIATE", e);
	if (r == 0) {
		for (size_t i = 0; i < n && r == 0; i++)
			r = put_rule(s, st, &rules[i], e);
		if (r == 0)
			r = exec(s, "COMMIT", e);
		if (r < 0)
			(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	}
	(void)sqlite3_finalize(st);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

int store_rule_remove(struct store *s, int64_t seq, struct err *e)
{
	sqlite3_stmt *st;
	int r = store_begin(s, "DELETE FROM policy_rules WHERE seq=?", &st, e);

	if (r < 0)
		return r;
	(void)sqlite3_bind_int64(st, 1, seq);
	r = store_finish(s, st, e);
	if (r == 0)
		return err_set(
			e, ERR_NOT_FOUND, -ENOENT, "there is no rule 'r%lld'", (long long)seq);
	return r < 0 ? r : 0;
}

int store_rules_clear(struct store *s, const char *sandbox, struct err *e)
{
	sqlite3_stmt *st;
	int r = store_begin(s,
		sandbox ? "DELETE FROM policy_rules WHERE sandbox=?" : "DELETE FROM policy_rules",
		&st, e);

	if (r < 0)
		return r;
	if (sandbox)
		put_text(st, 1, sandbox);
	r = store_finish(s, st, e);
	return r < 0 ? r : 0;
}

static bool get_text(sqlite3_stmt *st, int i, char *dst, size_t cap)
{
	const char *s = (const char *)sqlite3_column_text(st, i);

	return s && snprintf(dst, cap, "%s", s) < (int)cap;
}

static bool get_rule(sqlite3_stmt *st, struct store_rule *r)
{
	int64_t methods = sqlite3_column_int64(st, 4);
	char decision[16];
	bool ok = get_text(st, 1, r->sandbox, sizeof(r->sandbox)) &&
		  get_text(st, 2, decision, sizeof(decision)) &&
		  get_text(st, 3, r->resource, sizeof(r->resource)) &&
		  get_text(st, 5, r->path, sizeof(r->path)) &&
		  get_text(st, 6, r->grpc, sizeof(r->grpc)) &&
		  get_text(st, 8, r->via, sizeof(r->via));

	r->seq = sqlite3_column_int64(st, 0);
	r->methods = (uint16_t)methods;
	r->websocket = sqlite3_column_int64(st, 7) != 0;
	r->created_ms = sqlite3_column_int64(st, 9);
	return ok && methods >= 0 && methods <= POLICY_METHODS &&
	       policy_decision_from(decision, &r->decision);
}

int store_rules_each(
	struct store *s, int (*fn)(void *ctx, const struct store_rule *r), void *ctx, struct err *e)
{
	sqlite3_stmt *st;
	int rc, r = store_begin(s,
			"SELECT seq,sandbox,decision,resource,methods,path,grpc,websocket,via,"
			"created_ms FROM policy_rules ORDER BY seq",
			&st, e);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_rule row = {0};

		/* a rule that cannot be read may have been a denial: nothing is judged without it */
		r = get_rule(st, &row)
			    ? fn(ctx, &row)
			    : err_set(e, ERR_INTERNAL, -EBADMSG,
				      "policy rule r%lld in the state database is damaged",
				      (long long)row.seq);
		if (r < 0)
			break;
	}
	if (r >= 0)
		r = rc == SQLITE_DONE ? 0 : store_fault(s->db, rc, e, "read");
	(void)sqlite3_finalize(st);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

int store_setting(struct store *s, const char *key, char *dst, size_t cap, struct err *e)
{
	sqlite3_stmt *st;
	int rc, r = store_begin(s, "SELECT value FROM settings WHERE key=?", &st, e);

	if (r < 0)
		return r;
	dst[0] = '\0';
	put_text(st, 1, key);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		r = get_text(st, 0, dst, cap)
			    ? 1
			    : err_set(e, ERR_INTERNAL, -EBADMSG,
				      "setting '%s' in the state database is damaged", key);
	else if (rc != SQLITE_DONE)
		r = store_fault(s->db, rc, e, "read");
	(void)sqlite3_finalize(st);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

int store_set(struct store *s, const char *key, const char *value, struct err *e)
{
	sqlite3_stmt *st;
	int r;

	if (value && strlen(value) >= STORE_VALUE_MAX)
		return err_set(e, ERR_LIMIT, -E2BIG, "the value of '%s' is too long", key);
	r = store_begin(s,
		value ? "INSERT INTO settings(key,value) VALUES(?1,?2)"
			" ON CONFLICT(key) DO UPDATE SET value=?2"
		      : "DELETE FROM settings WHERE key=?1",
		&st, e);
	if (r < 0)
		return r;
	put_text(st, 1, key);
	if (value)
		put_text(st, 2, value);
	r = store_finish(s, st, e);
	return r < 0 ? r : 0;
}
