#include "store/approvals.h"
#include "store/internal.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void put_text(sqlite3_stmt *st, int i, const char *s)
{
	/* A failed binding leaves NULL, which NOT NULL refuses at the step. */
	(void)sqlite3_bind_text(st, i, s, -1, SQLITE_STATIC);
}

int store_approval_put(struct store *s, const struct store_approval *a, struct err *e)
{
	sqlite3_stmt *st;
	int r = store_begin(s,
		"INSERT OR REPLACE INTO kit_approvals(id,agent,kits,lines,digest,approved_ms) "
		"SELECT ?1,?2,?3,?4,?5,?6 WHERE ?7 > (SELECT count(*) FROM kit_approvals WHERE "
		"id<>?1)",
		&st, e);

	if (r < 0)
		return r;
	put_text(st, 1, a->id);
	put_text(st, 2, a->agent);
	put_text(st, 3, a->kits);
	put_text(st, 4, a->lines);
	put_text(st, 5, a->digest);
	(void)sqlite3_bind_int64(st, 6, a->approved_ms);
	(void)sqlite3_bind_int64(st, 7, STORE_APPROVALS_MAX);
	r = store_finish(s, st, e);
	if (r != 0)
		return r < 0 ? r : 0;
	r = err_set(e, ERR_LIMIT, -ENOSPC, "more than %d approvals of kits", STORE_APPROVALS_MAX);
	err_hint(e, "sbx kit approvals rm takes one back");
	return r;
}

int store_approval_remove(struct store *s, const char *id, struct err *e)
{
	sqlite3_stmt *st;
	int r = store_begin(s, "DELETE FROM kit_approvals WHERE id=?", &st, e);

	if (r < 0)
		return r;
	put_text(st, 1, id);
	r = store_finish(s, st, e);
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND, -ENOENT, "there is no approval '%.40s'", id);
	return r < 0 ? r : 0;
}

static bool get_row(sqlite3_stmt *st, struct store_approval *a)
{
	const char *id = (const char *)sqlite3_column_text(st, 0);
	const char *digest = (const char *)sqlite3_column_text(st, 4);

	a->agent = (const char *)sqlite3_column_text(st, 1);
	a->kits = (const char *)sqlite3_column_text(st, 2);
	a->lines = (const char *)sqlite3_column_text(st, 3);
	a->approved_ms = sqlite3_column_int64(st, 5);
	return id && digest && a->agent && a->kits && a->lines &&
	       snprintf(a->id, sizeof(a->id), "%s", id) < (int)sizeof(a->id) &&
	       snprintf(a->digest, sizeof(a->digest), "%s", digest) < (int)sizeof(a->digest);
}

int store_approvals_each(struct store *s, const char *id,
	int (*fn)(void *ctx, const struct store_approval *a), void *ctx, struct err *e)
{
	sqlite3_stmt *st;
	int rc, r = store_begin(s,
			"SELECT id,agent,kits,lines,digest,approved_ms FROM kit_approvals "
			"WHERE ?1 IS NULL OR id=?1 ORDER BY agent,id",
			&st, e);

	if (r < 0)
		return r;
	if (id)
		put_text(st, 1, id);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_approval a = {0};

		/* one that cannot be read approves nothing */
		r = get_row(st, &a) ? fn(ctx, &a) : 0;
		if (r < 0)
			break;
	}
	if (r >= 0)
		r = rc == SQLITE_DONE ? 0 : store_fault(s->db, rc, e, "read");
	(void)sqlite3_finalize(st);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}
