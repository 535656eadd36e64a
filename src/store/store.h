/* store.h - the daemon's state in an SQLite database: one row per sandbox; policy is policy.h's
 *
 * WAL, synchronous=FULL: what a call has returned survives a power cut. A database that is damaged,
 * empty or another program's is moved aside under a name that is told, and *ret_report says that
 * this store knows nothing: the caller rebuilds it from the sandboxes' directories and never takes
 * "no rows" for "no sandboxes". One of a newer schema is left alone and refused.
 * Thread: any; calls are serialised inside. SQLite is seen by this directory alone.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H
#include "base/err.h"
#include "base/name.h"
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define STORE_FILE   "state.db"
#define STORE_SCHEMA 3
#define STORE_ID_LEN 16

struct store;

struct store_report {
	bool fresh; /* nothing is known: new, or the old one was moved aside */
	char quarantine[PATH_MAX]; /* where the old one is now; "" when there was none */
	char why[ERR_MSG_MAX]; /* what was wrong with it */
};

/* A row. Times are milliseconds since 1970, 0 = never. */
struct store_sandbox {
	char id[STORE_ID_LEN + 1];
	char name[NAME_MAX_LEN + 1];
	char status[16];
	char reason[256];
	char note[160]; /* of the last start: limits that are not in force */
	char *plan; /* canonical JSON; owned by the row */
	char plan_hash[65];
	int64_t created_ms, started_ms, stopped_ms, last_used_ms;
	bool provisioned; /* the kit's files were put in */
	int64_t machine_pid; /* 0: none */
	uint64_t
		machine_start; /* start time of that process in clock ticks: a pid alone is reused */
	char boot_id[37]; /* of the host when it was started */
};
void store_sandbox_fini(struct store_sandbox *s);

/* store_open() - @dir: the state directory, ours alone. -EPROTONOSUPPORT for a newer schema. */
int store_open(const char *dir, struct store **ret_store, struct store_report *ret_report,
	struct err *e) MUST_USE;
void store_close(struct store *s);

/* store_add() - -EEXIST when name or id is taken */
int store_add(struct store *s, const struct store_sandbox *row, struct err *e) MUST_USE;
/* store_update() - everything but id, name, plan, hash and created_ms; -ENOENT */
int store_update(struct store *s, const struct store_sandbox *row, struct err *e) MUST_USE;
/* store_replan() - another plan for @id, in one step; -ENOENT */
int store_replan(struct store *s, const char *id, const char *plan, const char *plan_hash,
	struct err *e) MUST_USE;
/* store_remove() - also when there is none; its policy rules go with it */
int store_remove(struct store *s, const char *id, struct err *e) MUST_USE;
/* store_each() - all rows, oldest first; @fn borrows the row and must not call the store;
 * a negative result of it ends the walk and is returned
 */
int store_each(struct store *s, int (*fn)(void *ctx, const struct store_sandbox *row), void *ctx,
	struct err *e) MUST_USE;
#endif
