/* network_view.h - what a sandbox may reach and use, in few words: for `inspect` and the start of `run`
 *
 * Names and numbers only, never a value. Thread: any.
 */
#ifndef DAEMON_NETWORK_VIEW_H
#define DAEMON_NETWORK_VIEW_H
#include "daemon/sandbox.h"
#include "json/json.h"

/* network_view_add() - "policy" and "credentials" into @o; null for what cannot be told now. True: no memory */
bool network_view_add(struct js *o, struct sandbox *s) MUST_USE;
#endif
