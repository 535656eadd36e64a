/* ports.h - which ports of a sandbox are published on the host, and where
 *
 * What the plan says is the beginning; what changes later (`sbx ports`), and the host port that each got,
 * is kept in the sandbox's directory. Listeners live as long as the machine does: they are opened by the
 * start, or by a daemon that adopts a running sandbox, on the host ports they had before where those are
 * still free. A port that cannot be had is no reason not to start: it is told (view, notes).
 * Any thread; never with the sandbox's lock held.
 */
#ifndef DAEMON_PORTS_H
#define DAEMON_PORTS_H
#include "daemon/sandbox.h"

#define PORTS_MAX 64 /* published ports of a sandbox */

struct ports *ports_new(void) MUST_USE; /* NULL: no memory */
void ports_free(struct ports *p); /* NULL is fine */
/* ports_open() - listen; ports_close() - listen no more, cut what is open. Both may come twice. */
void ports_open(struct sandbox *s);
void ports_close(struct sandbox *s);
/* ports_change() - arrays of SPECs (port_spec.h), or NULL: first @unpublish, then @publish; nothing is
 * changed when one of them fails. Unpublishing "3000" means every host port of 3000.
 */
int ports_change(struct sandbox *s, const struct js *publish, const struct js *unpublish,
	struct err *e) MUST_USE;
/* ports_view() - the API's ports: one for each host address; ports_notes() - append what is in trouble.
 * Both true when they failed.
 */
bool ports_view(struct sandbox *s, struct js *o) MUST_USE;
bool ports_notes(struct sandbox *s, struct js *notes) MUST_USE;
#endif
