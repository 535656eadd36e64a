#include "store/internal.h"
#include "base/clock.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define APP_ID	0x53425831 /* "SBX1" */
#define BUSY_MS 2000

static const char schema[] = "CREATE TABLE sandboxes ("
			     " id TEXT PRIMARY KEY NOT NULL,"
			     " name TEXT NOT NULL UNIQUE,"
			     " status TEXT NOT NULL,"
			     " reason TEXT NOT NULL,"
			     " note TEXT NOT NULL,"
			     " plan TEXT NOT NULL,"
			     " plan_hash TEXT NOT NULL,"
			     " created_ms INTEGER NOT NULL,"
			     " started_ms INTEGER NOT NULL,"
			     " stopped_ms INTEGER NOT NULL,"
			     " last_used_ms INTEGER NOT NULL,"
			     " provisioned INTEGER NOT NULL,"
			     " machine_pid INTEGER NOT NULL,"
			     " machine_start INTEGER NOT NULL,"
			     " boot_id TEXT NOT NULL"
			     ") STRICT";

/* What each schema after the first adds; forward only, each step in one transaction. */
static const char *const steps[] = {
	/* 2: policy */
	"CREATE TABLE policy_rules ("
	" seq INTEGER PRIMARY KEY AUTOINCREMENT," /* a number is never given twice: it is in the log */
	" sandbox TEXT NOT NULL," /* id, or '' for all */
	" decision TEXT NOT NULL,"
	" resource TEXT NOT NULL,"
	" methods INTEGER NOT NULL,"
	" path TEXT NOT NULL,"
	" grpc TEXT NOT NULL,"
	" websocket INTEGER NOT NULL,"
	" via TEXT NOT NULL,"
	" created_ms INTEGER NOT NULL"
	") STRICT;"
	"CREATE TABLE settings (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT",
	/* 3: what of kits was approved */
	"CREATE TABLE kit_approvals ("
	" id TEXT PRIMARY KEY NOT NULL,"
	" agent TEXT NOT NULL,"
	" kits TEXT NOT NULL,"
	" lines TEXT NOT NULL,"
	" digest TEXT NOT NULL,"
	" approved_ms INTEGER NOT NULL"
	") STRICT",
};
static_assert(ARRAY_LEN(steps) == STORE_SCHEMA - 1, "a step for each schema after the first");

int store_fault(sqlite3 *db, int rc, struct err *e, const char *doing)
{
	const char *text = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
	int num = -EIO;
	enum err_code code = ERR_INTERNAL;

	switch (rc & 0xff) {
	case SQLITE_CONSTRAINT:
		num = -EEXIST;
		code = ERR_CONFLICT;
		break;
	case SQLITE_FULL:
		num = -ENOSPC;
		code = ERR_LIMIT;
		break;
	case SQLITE_NOMEM:
		num = -ENOMEM;
		code = ERR_LIMIT;
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		num = -EBUSY;
		code = ERR_UNAVAILABLE;
		break;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		num = -EACCES;
		code = ERR_DENIED;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		num = -EBADMSG;
		break;
	default:
		break;
	}
	return err_set(e, code, num, "%s the state database: %s", doing, text);
}

static int exec(sqlite3 *db, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_fault(db, rc, e, "set up");
}

/* one_value() - first column of the first row, as text */
static int one_value(sqlite3 *db, const char *sql, char *dst, size_t cap, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		(void)snprintf(dst, cap, "%s", (const char *)sqlite3_column_text(st, 0));
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : store_fault(db, rc, e, "read");
}

static int harden(sqlite3 *db, struct err *e)
{
	(void)sqlite3_busy_timeout(db, BUSY_MS);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	(void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 8 << 20);
	(void)sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	return exec(db,
		"PRAGMA cell_size_check=ON; PRAGMA cache_size=-256; PRAGMA mmap_size=0;"
		"PRAGMA temp_store=MEMORY",
		e);
}

/* migrate() - from schema @from (0: an empty file) to ours, one step at a time: a crash in between
 * leaves a whole database of some schema
 */
static int migrate(sqlite3 *db, int from, struct err *e)
{
	char sql[2048];
	int r = 0;

	for (int next = from + 1; next <= STORE_SCHEMA && r == 0; next++) {
		(void)snprintf(sql, sizeof(sql),
			"BEGIN IMMEDIATE; %s; PRAGMA application_id=%d; PRAGMA user_version=%d; "
			"COMMIT",
			next == 1 ? schema : steps[next - 2], APP_ID, next);
		r = exec(db, sql, e);
		if (r < 0)
			(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	}
	return r;
}

/* check() - is this our database, whole, and of this version? *ret_ours is false when it is damaged
 * or another program's: the caller puts it aside. An error with *ret_ours true is final.
 */
static int check(sqlite3 *db, bool *ret_ours, bool *ret_fresh, struct err *e)
{
	char app[32], version[32], tables[32], sound[128];
	int r = one_value(db, "PRAGMA application_id", app, sizeof(app), e);

	*ret_ours = *ret_fresh = false;
	if (r == 0)
		r = one_value(db, "PRAGMA user_version", version, sizeof(version), e);
	if (r == 0)
		r = one_value(db, "SELECT count(*) FROM sqlite_master", tables, sizeof(tables), e);
	if (r < 0) {
		*ret_ours = r != -EBADMSG; /* unreadable for now is no reason to move it */
		return r;
	}
	if (strcmp(app, "0") == 0 && strcmp(tables, "0") == 0) {
		*ret_ours = *ret_fresh = true; /* an empty file: never written to */
		return migrate(db, 0, e);
	}
	if (atol(app) != APP_ID)
		return err_set(e, ERR_INTERNAL, -EBADMSG, "it belongs to another program");
	if (atol(version) > STORE_SCHEMA) {
		*ret_ours = true;
		r = err_set(e, ERR_UNAVAILABLE, -EPROTONOSUPPORT,
			"the state database has schema %s, this sbx knows %d: it was used by a "
			"newer sbx",
			version, STORE_SCHEMA);
		err_hint(e,
			"install that newer version again, or set SBX_STATE_DIR to another place");
		return r;
	}
	r = one_value(db, "PRAGMA integrity_check(1)", sound, sizeof(sound), e);
	if (r == 0 && (strcmp(sound, "ok") != 0 || atol(version) < 1))
		return err_set(e, ERR_INTERNAL, -EBADMSG, "%s",
			strcmp(sound, "ok") != 0 ? sound : "it has no schema version");
	*ret_ours = r != -EBADMSG;
	return r < 0 ? r : migrate(db, (int)atol(version), e);
}

static int open_db(const char *path, sqlite3 **ret, bool *ret_ours, bool *ret_fresh, struct err *e)
{
	sqlite3 *db = NULL;
	int rc = sqlite3_open_v2(path, &db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
			SQLITE_OPEN_NOFOLLOW,
		NULL);
	int r;

	*ret_ours = true;
	r = rc == SQLITE_OK ? harden(db, e) : store_fault(db, rc, e, "open");
	if (r == 0)
		r = check(db, ret_ours, ret_fresh, e);
	else if (r == -EBADMSG)
		*ret_ours = false;
	if (r == 0)
		r = exec(db,
			"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			"PRAGMA wal_autocheckpoint=200",
			e);
	if (r < 0) {
		(void)sqlite3_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

/* put_aside() - rename the database and its journals; *ret_report names the place */
static int put_aside(const char *path, const char *why, struct store_report *rep, struct err *e)
{
	static const char *const parts[] = {"", "-wal", "-shm"};
	long long now = clock_real_ms();

	if (snprintf(rep->quarantine, sizeof(rep->quarantine), "%s.damaged-%lld", path, now) >=
		(int)sizeof(rep->quarantine))
		return err_sys(e, -ENAMETOOLONG, "put '%s' aside", path);
	(void)snprintf(rep->why, sizeof(rep->why), "%s", why);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		char from[PATH_MAX + 8], to[PATH_MAX + 8];

		(void)snprintf(from, sizeof(from), "%s%s", path, parts[i]);
		(void)snprintf(to, sizeof(to), "%s%s", rep->quarantine, parts[i]);
		if (rename(from, to) < 0 && (errno != ENOENT || i == 0))
			return err_sys(e, -errno, "put '%s' aside", from);
	}
	return 0;
}

static int database_path(const char *dir, char dst[PATH_MAX], struct err *e)
{
	char real[PATH_MAX];
	struct stat st;

	if (!realpath(dir, real))
		return err_sys(e, -errno, "find '%s'", dir);
	if (snprintf(dst, PATH_MAX, "%s/" STORE_FILE, real) >= PATH_MAX - 64)
		return err_sys(e, -ENAMETOOLONG, "find '%s'", dir);
	if (lstat(dst, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "look at '%s'", dst);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return err_set(e, ERR_DENIED, -EPERM, "'%s' is not a file of this user", dst);
	return 0;
}

int store_open(
	const char *dir, struct store **ret_store, struct store_report *ret_report, struct err *e)
{
	struct store_report rep = {0};
	struct err why = {0};
	bool ours, fresh = false;
	char path[PATH_MAX];
	sqlite3 *db = NULL;
	struct store *s;
	int r = database_path(dir, path, e);

	if (r < 0)
		return r;
	r = open_db(path, &db, &ours, &fresh, &why);
	if (r < 0 && !ours) {
		r = put_aside(path, why.msg, &rep, e);
		if (r == 0)
			r = open_db(path, &db, &ours, &fresh, e);
	} else if (r < 0 && e)
		*e = why;
	if (r < 0)
		return r;
	s = malloc(sizeof(*s));
	if (!s) {
		(void)sqlite3_close(db);
		return err_sys(e, -ENOMEM, "open the state database");
	}
	s->db = db;
	(void)pthread_mutex_init(&s->lock, NULL);
	rep.fresh = fresh;
	*ret_report = rep;
	*ret_store = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	(void)sqlite3_close(s->db);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}
