#include "store/internal.h"
#include "store/policy.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

void store_sandbox_fini(struct store_sandbox *s)
{
	if (s) {
		free(s->plan);
		s->plan = NULL;
	}
}

int store_begin(struct store *s, const char *sql, sqlite3_stmt **ret, struct err *e)
{
	int rc;

	(void)pthread_mutex_lock(&s->lock);
	rc = sqlite3_prepare_v2(s->db, sql, -1, ret, NULL);
	if (rc == SQLITE_OK)
		return 0;
	rc = store_fault(s->db, rc, e, "ask");
	(void)pthread_mutex_unlock(&s->lock);
	return rc;
}

int store_finish(struct store *s, sqlite3_stmt *st, struct err *e)
{
	int rc = sqlite3_step(st), r;

	r = rc == SQLITE_DONE ? sqlite3_changes(s->db) : store_fault(s->db, rc, e, "write");
	(void)sqlite3_finalize(st);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

static void put_text(sqlite3_stmt *st, int i, const char *s)
{
	/* A failed binding leaves NULL, which NOT NULL refuses at the step. */
	(void)sqlite3_bind_text(st, i, s, -1, SQLITE_STATIC);
}

/* The columns that change, in the order of both statements below. */
static int put_changing(sqlite3_stmt *st, int i, const struct store_sandbox *row)
{
	put_text(st, i++, row->status);
	put_text(st, i++, row->reason);
	put_text(st, i++, row->note);
	(void)sqlite3_bind_int64(st, i++, row->started_ms);
	(void)sqlite3_bind_int64(st, i++, row->stopped_ms);
	(void)sqlite3_bind_int64(st, i++, row->last_used_ms);
	(void)sqlite3_bind_int64(st, i++, row->provisioned);
	(void)sqlite3_bind_int64(st, i++, row->machine_pid);
	(void)sqlite3_bind_int64(st, i++, (int64_t)row->machine_start);
	put_text(st, i++, row->boot_id);
	return i;
}

int store_add(struct store *s, const struct store_sandbox *row, struct err *e)
{
	sqlite3_stmt *st;
	int i, r = store_begin(s,
		       "INSERT INTO "
		       "sandboxes(status,reason,note,started_ms,stopped_ms,last_used_ms,"
		       "provisioned,machine_pid,machine_start,boot_id,id,name,plan,plan_hash,"
		       "created_ms)"
		       " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
		       &st, e);

	if (r < 0)
		return r;
	i = put_changing(st, 1, row);
	put_text(st, i++, row->id);
	put_text(st, i++, row->name);
	put_text(st, i++, row->plan);
	put_text(st, i++, row->plan_hash);
	(void)sqlite3_bind_int64(st, i, row->created_ms);
	r = store_finish(s, st, e);
	return r < 0 ? r : 0;
}

int store_update(struct store *s, const struct store_sandbox *row, struct err *e)
{
	sqlite3_stmt *st;
	int i, r = store_begin(s,
		       "UPDATE sandboxes SET status=?,reason=?,note=?,started_ms=?,stopped_ms=?,"
		       "last_used_ms=?,provisioned=?,machine_pid=?,machine_start=?,boot_id=? WHERE "
		       "id=?",
		       &st, e);

	if (r < 0)
		return r;
	i = put_changing(st, 1, row);
	put_text(st, i, row->id);
	r = store_finish(s, st, e);
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND, -ENOENT, "no row for sandbox '%s'", row->name);
	return r < 0 ? r : 0;
}

int store_replan(
	struct store *s, const char *id, const char *plan, const char *plan_hash, struct err *e)
{
	sqlite3_stmt *st;
	int r = store_begin(s, "UPDATE sandboxes SET plan=?,plan_hash=? WHERE id=?", &st, e);

	if (r < 0)
		return r;
	put_text(st, 1, plan);
	put_text(st, 2, plan_hash);
	put_text(st, 3, id);
	r = store_finish(s, st, e);
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND, -ENOENT, "no row for sandbox %s", id);
	return r < 0 ? r : 0;
}

int store_remove(struct store *s, const char *id, struct err *e)
{
	sqlite3_stmt *st;
	int r;

	/* its rules first: rules of no sandbox do no harm, a sandbox without its denials would */
	r = store_rules_clear(s, id, e);
	if (r == 0)
		r = store_begin(s, "DELETE FROM sandboxes WHERE id=?", &st, e);
	if (r < 0)
		return r;
	put_text(st, 1, id);
	r = store_finish(s, st, e);
	return r < 0 ? r : 0;
}

static void get_text(sqlite3_stmt *st, int i, char *dst, size_t cap)
{
	const char *s = (const char *)sqlite3_column_text(st, i);

	(void)snprintf(dst, cap, "%s", s ? s : "");
}

static int get_row(sqlite3_stmt *st, struct store_sandbox *row)
{
	const char *plan = (const char *)sqlite3_column_text(st, 10);

	*row = (struct store_sandbox){0};
	get_text(st, 0, row->status, sizeof(row->status));
	get_text(st, 1, row->reason, sizeof(row->reason));
	get_text(st, 2, row->note, sizeof(row->note));
	row->started_ms = sqlite3_column_int64(st, 3);
	row->stopped_ms = sqlite3_column_int64(st, 4);
	row->last_used_ms = sqlite3_column_int64(st, 5);
	row->provisioned = sqlite3_column_int64(st, 6) != 0;
	row->machine_pid = sqlite3_column_int64(st, 7);
	row->machine_start = (uint64_t)sqlite3_column_int64(st, 8);
	get_text(st, 9, row->boot_id, sizeof(row->boot_id));
	row->plan = plan ? strdup(plan) : NULL;
	get_text(st, 11, row->id, sizeof(row->id));
	get_text(st, 12, row->name, sizeof(row->name));
	get_text(st, 13, row->plan_hash, sizeof(row->plan_hash));
	row->created_ms = sqlite3_column_int64(st, 14);
	return row->plan ? 0 : -ENOMEM;
}

int store_each(struct store *s, int (*fn)(void *ctx, const struct store_sandbox *row), void *ctx,
	struct err *e)
{
	sqlite3_stmt *st;
	int rc, r = store_begin(s,
			"SELECT status,reason,note,started_ms,stopped_ms,last_used_ms,provisioned,"
			"machine_pid,machine_start,boot_id,plan,id,name,plan_hash,created_ms"
			" FROM sandboxes ORDER BY created_ms,id",
			&st, e);

	if (r < 0)
		return r;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_sandbox row;

		r = get_row(st, &row);
		if (r < 0)
			(void)err_sys(e, r, "read the state database");
		else
			r = fn(ctx, &row);
		store_sandbox_fini(&row);
		if (r < 0)
			break;
	}
	if (r >= 0)
		r = rc == SQLITE_DONE ? 0 : store_fault(s->db, rc, e, "read");
	(void)sqlite3_finalize(st);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}
