/* drop.h - the last rights a process gives up by itself: capabilities, privileges, core dumps
 *
 * System calls only: usable between clone and exec. Order: jail_drop_caps(), jail_no_new_privs(),
 * then jail_filter_install().
 */
#ifndef JAIL_DROP_H
#define JAIL_DROP_H
#include "base/own.h"

/* jail_drop_caps() - bounding, ambient, inheritable, permitted and effective set become empty, and
 * uid 0 stops being special for good (securebits, locked)
 */
int jail_drop_caps(void) MUST_USE;
/* jail_keep_caps() - let the capabilities of this user namespace survive exec as another uid than 0 */
int jail_keep_caps(void) MUST_USE;
/* jail_no_new_privs() - no_new_privs, no core dumps, not traceable by processes of the same user */
int jail_no_new_privs(void) MUST_USE;
#endif
