/* approvals.h - what somebody has approved that kits from outside ask for, in the state database
 *
 * As store.h in threads, faults and durability. One row for each composition of kits, whatever version
 * of them: its id says which. The texts are opaque here.
 */
#ifndef STORE_APPROVALS_H
#define STORE_APPROVALS_H
#include "store/store.h"

#define STORE_APPROVAL_ID   16 /* hexadecimal digits */
#define STORE_APPROVAL_TEXT (1U << 20)
#define STORE_APPROVALS_MAX 4096

struct store_approval {
	char id[STORE_APPROVAL_ID + 1];
	const char *agent; /* its name */
	const char *kits; /* JSON: who they are */
	const char *lines; /* JSON: what was approved */
	char digest[65]; /* of the kits as they were then */
	int64_t approved_ms;
};

/* store_approval_put() - in place of the one of that id; -ENOSPC beyond STORE_APPROVALS_MAX */
int store_approval_put(struct store *s, const struct store_approval *a, struct err *e) MUST_USE;
/* store_approval_remove() - -ENOENT */
int store_approval_remove(struct store *s, const char *id, struct err *e) MUST_USE;
/* store_approvals_each() - the one of @id, or (NULL) all, by agent and id; @fn borrows it and must not call
 * the store; a negative result of it ends the walk and is returned
 */
int store_approvals_each(struct store *s, const char *id,
	int (*fn)(void *ctx, const struct store_approval *a), void *ctx, struct err *e) MUST_USE;
#endif
