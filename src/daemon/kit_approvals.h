/* kit_approvals.h - what kits from outside may open: what a person has approved of each composition
 *
 * An approval is for an agent with certain kits by name and place, whatever their version: a change that
 * asks for nothing more needs no other. What is in it are the lines of kit/plan.h's surface; a denial
 * that stands in it and that a later version drops stays in force. store/approvals.h keeps it.
 * Thread: any.
 */
#ifndef DAEMON_KIT_APPROVALS_H
#define DAEMON_KIT_APPROVALS_H
#include "daemon/plan.h"
#include "kit/plan.h"
#include "store/approvals.h"

/* kit_approval_id() - of @p's composition; "" when all its kits are built in */
int kit_approval_id(const struct kit_plan *p, char ret_id[STORE_APPROVAL_ID + 1]) MUST_USE;
/* kit_approval_find() - what was approved; empty when nothing was (or @store is NULL) */
int kit_approval_find(struct store *store, const char *id, struct kit_surface *ret_approved,
	struct err *e) MUST_USE;
/* kit_approval_keep() - after a sandbox was asked for by @plan: what it was approved with, or that it now
 * denies more than before. Nothing is kept of a plan of which something is withheld.
 */
int kit_approval_keep(struct store *store, const struct plan *plan, struct err *e) MUST_USE;
#endif
