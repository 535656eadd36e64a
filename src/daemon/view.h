/* view.h - small pieces of the API's JSON that several files need */
#ifndef DAEMON_VIEW_H
#define DAEMON_VIEW_H
#include "daemon/plan.h"
#include "json/json.h"

/* view_time() - RFC 3339 UTC with milliseconds; null for 0; true when it failed, as js_set() */
bool view_time(struct js *o, const char *key, int64_t ms) MUST_USE;
/* view_touched() - what the guest changed of the files that the host's tools obey, as "touched";
 * @dir: the sandbox's directory (borrowed). True when it failed, as js_set().
 */
bool view_touched(struct js *box, const struct plan *p, int dir) MUST_USE;
#endif
