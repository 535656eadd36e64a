/* view.h - small pieces of the API's JSON that several files need */
#ifndef DAEMON_VIEW_H
#define DAEMON_VIEW_H
#include "json/json.h"

/* view_time() - RFC 3339 UTC with milliseconds; null for 0; true when it failed, as js_set() */
bool view_time(struct js *o, const char *key, int64_t ms) MUST_USE;
#endif
