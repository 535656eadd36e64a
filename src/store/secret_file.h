/* secret_file.h - secrets at rest: one age file, opened for as long as a call takes
 *
 * DIR/secrets.age (0600) is sealed for a key of its own, so that a copy of the file alone is worth nothing
 * and any age program can open it for its owner. Where the key is, DIR/identity says: there (0600), or with
 * a keeper, the keyring of the user's session. No value stays in memory after a call: what a call gives out
 * is the caller's to wipe. A file that cannot be opened is never overwritten. Thread: any; calls are
 * serialised inside, and may wait for a person who unlocks the keyring.
 */
#ifndef STORE_SECRET_FILE_H
#define STORE_SECRET_FILE_H
#include "base/err.h"
#include "base/name.h"
#include "proto/egress.h"
#include "store/store.h"
#include <stdbool.h>
#include <stdint.h>

#define SECRET_FILE_MAX	     1024
#define SECRET_NAME_MAX	     64
#define SECRET_COMMAND_MAX   4096
#define SECRET_REFRESH_S     3300 /* of a command's output: 55 minutes */
#define SECRET_REFRESH_MAX_S 86400

#define SECRET_KEY_TEXT 80 /* AGE_TEXT_BYTES */
#define SECRET_KEY_ID	65 /* 64 hex digits and NUL */
#define SECRET_AGAIN_MS 5000 /* a keeper that said no is not asked again for so long */

struct secret_file;

enum secret_place {
	SECRET_NOWHERE, /* nothing was ever kept */
	SECRET_IN_FILE,
	SECRET_IN_KEYRING,
};

/* Who keeps keys: negative errno and @e on failure, -ENOENT when there is none of that id. @text is the
 * printed form of an age identity. put: replaces. drop: one that is not there is no fault. They may wait
 * for a person, with a deadline of their own.
 */
struct secret_keeper {
	int (*get)(void *ctx, const char *id, char text[SECRET_KEY_TEXT], struct err *e);
	int (*put)(void *ctx, const char *id, const char *text, struct err *e);
	int (*drop)(void *ctx, const char *id, struct err *e);
	void (*step)(void *ctx, unsigned n); /* NULL, or a test's: before the nth step of a move */
	void *ctx;
};

struct secret_entry {
	char scope[STORE_ID_LEN + 1]; /* id of a sandbox; "" : all */
	char name[SECRET_NAME_MAX + 1]; /* of a service */
	char command[SECRET_COMMAND_MAX +
		     1]; /* not "": its output is the value; run by a shell on the host */
	uint32_t refresh_s; /* how long its output is good for; 0: asked for each time */
	int64_t created_ms;
	/* the value: set by secret_file_get(); by secret_file_each() only @mask */
	char value[EGRESS_SECRET_MAX + 1];
	size_t value_len;
	char mask[26];
};
void secret_entry_wipe(struct secret_entry *s);

/* secret_file_open() - makes DIR when it is missing; @keeper may be NULL (there is no keyring), and is copied */
int secret_file_open(const char *dir, const struct secret_keeper *keeper,
	struct secret_file **ret_file, struct err *e) MUST_USE;
void secret_file_close(struct secret_file *s); /* NULL is fine */
/* secret_file_place() - where the key is */
int secret_file_place(struct secret_file *s, enum secret_place *ret_place, struct err *e) MUST_USE;
/* secret_file_ready() - would opening them ask nobody? */
bool secret_file_ready(struct secret_file *s);
/* secret_file_move() - to SECRET_IN_FILE or SECRET_IN_KEYRING, with a new key, so that the old one opens
 * nothing any more. All or nothing, whenever it is interrupted: in between the file is sealed for both keys.
 */
int secret_file_move(struct secret_file *s, enum secret_place place, struct err *e) MUST_USE;
/* secret_file_set() - add, or replace the one of that scope and name. -EINVAL for CR, LF, NUL or nothing
 * in the value (or in a command), an odd name; -ENOSPC
 */
int secret_file_set(struct secret_file *s, const struct secret_entry *x, struct err *e) MUST_USE;
/* secret_file_remove() - *ret_removed: was it there? */
int secret_file_remove(struct secret_file *s, const char *scope, const char *name,
	bool *ret_removed, struct err *e) MUST_USE;
/* secret_file_forget() - all of a sandbox that is removed */
int secret_file_forget(struct secret_file *s, const char *scope, struct err *e) MUST_USE;
/* secret_file_get() - the one of @scope, else the global one; -ENOENT. secret_entry_wipe() it afterwards. */
int secret_file_get(struct secret_file *s, const char *scope, const char *name,
	struct secret_entry *ret, struct err *e) MUST_USE;
/* secret_file_each() - all, without values, in order of scope and name; @fn borrows and must not call the
 * store; a negative result of it ends the walk and is returned
 */
int secret_file_each(struct secret_file *s, int (*fn)(void *ctx, const struct secret_entry *x),
	void *ctx, struct err *e) MUST_USE;
/* secret_mask() - what may be shown: at most 6 characters all '*'; up to 19 the first 6; longer the first
 * 6 and the last 4; at most 25 wide
 */
void secret_mask(const char *value, size_t len, char dst[26]);
#endif
