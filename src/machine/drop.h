/* drop.h - the rights the machine gives up, in order; also entered by the jail's self-test
 *
 * Empty root, limits, capabilities, no_new_privs, Landlock, threads, system calls by list. Needs
 * the capabilities of a user namespace of our own. Each step that fails ends the start.
 */
#ifndef MACHINE_DROP_H
#define MACHINE_DROP_H
#include "jail/landlock.h"
#include "jail/report.h"
#include <stdint.h>

struct drop {
	struct jail_report *report; /* filled */
	const struct jail_beneath *beneath; /* what may be reached through held directories */
	size_t n_beneath;
	uint64_t files; /* descriptors */
	/* threads() - makes the threads, without rights but before the list; may be NULL */
	int (*threads)(void *ctx, struct err *e);
	void *ctx;
};

int drop_rights(const struct drop *d, struct err *e) MUST_USE;
#endif
