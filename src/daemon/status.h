/* status.h - the life of a sandbox as a table of allowed moves
 *
 *   creating → stopped ⇄ starting → running ⇄ paused
 *                 ↑         ↓          ↓        ↓
 *                 └──── stopping ←─────┴────────┘      any of the four right: crashed → starting
 *   stopped, crashed → removing → gone
 *
 * status_moves() is the table; sandbox_move() (sandbox.h) is the only caller that acts on it.
 */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H
#include <stdbool.h>

enum status {
	STATUS_CREATING, /* row and directory are being made; recovery rolls it back */
	STATUS_STOPPED, /* whole on disk, no process */
	STATUS_STARTING, /* a machine may live; nobody may use it yet */
	STATUS_RUNNING, /* the guest said READY and the kit's files are in */
	STATUS_PAUSED, /* virtual CPUs stand still */
	STATUS_STOPPING, /* asked to end; a deadline runs */
	STATUS_CRASHED, /* ended without being asked; as STOPPED otherwise */
	STATUS_REMOVING, /* being deleted; recovery finishes it */
	STATUS_COUNT
};

const char *status_name(enum status s);
/* status_from_name() - STATUS_COUNT for an unknown one */
enum status status_from_name(const char *name);
bool status_moves(enum status from, enum status to);
/* status_has_machine() - may a process of this sandbox be alive? */
bool status_has_machine(enum status s);
#endif
