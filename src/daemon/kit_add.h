/* kit_add.h - mixins for a sandbox that is there: another plan, its state kept
 *
 * The plan is made anew from what the sandbox was made by (FILE_ASKED) and the further kits; approval as for a birth.
 * What changes in its directory is written beside what is there, then a journal, then the row: the row's hash says
 * which of them holds, so that a daemon that ends in between leaves the one or the other. The next start installs
 * what the further kits ask for; if that fails the former plan holds again.
 */
#ifndef DAEMON_KIT_ADD_H
#define DAEMON_KIT_ADD_H
#include "daemon/sandbox.h"

/* kit_add_plan() - what it would be; nothing is changed. @files may be NULL. */
int kit_add_plan(struct sandbox *s, const struct js *body, struct plan **ret,
	struct plan_files *files, struct err *e) MUST_USE;
/* kit_add() - stops the sandbox and changes its plan */
int kit_add(struct sandbox *s, const struct js *body, struct err *e) MUST_USE;

/* ---- for start.c, by who owns the sandbox ---- */
/* kit_add_settle() - what was cut off in the middle of kit_add() is finished or forgotten */
int kit_add_settle(struct sandbox *s, int dir, struct err *e) MUST_USE;
/* kit_added() - were kits added since it was started last? */
bool kit_added(int dir);
/* kit_added_done() - they are installed; kit_added_failed() - they are not: the former plan again */
void kit_added_done(int dir);
void kit_added_failed(struct sandbox *s, int dir);
#endif
