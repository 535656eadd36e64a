/* front_drop.h - the rights the front gives up, in order; also entered by the jail's self-test
 *
 * Empty root, limits, capabilities, no_new_privs, Landlock, system calls by list. Needs the
 * capabilities of a user namespace of our own. Each step that fails ends the start.
 */
#ifndef EGRESS_FRONT_DROP_H
#define EGRESS_FRONT_DROP_H
#include "jail/filter.h"
#include "jail/report.h"

/* After the drop: what moves bytes between descriptors it has. Opens, executes, connects nothing. */
extern const struct jail_table front_table;

int front_drop_rights(struct jail_report *report, struct err *e) MUST_USE;
#endif
