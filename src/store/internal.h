/* internal.h - the store's handle: open.c makes it, rows.c and policy.c use it */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H
#include "store/store.h"
#include <pthread.h>
#include <sqlite3.h>

struct store {
	sqlite3 *db;
	pthread_mutex_t lock;
};

/* store_fault() - what SQLite says, as an error of ours */
int store_fault(sqlite3 *db, int rc, struct err *e, const char *doing);
/* store_begin() - prepare @sql with the lock held; store_finish() runs what gives no rows and lets go:
 * changed rows, or a negative errno
 */
int store_begin(struct store *s, const char *sql, sqlite3_stmt **ret, struct err *e) MUST_USE;
int store_finish(struct store *s, sqlite3_stmt *st, struct err *e) MUST_USE;
#endif
