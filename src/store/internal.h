/* internal.h - the store's handle: open.c makes it, rows.c uses it */
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
#endif
