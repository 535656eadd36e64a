/* custom.h - services that a command makes: descriptors with `custom: true` in the user's configuration
 *
 * The file CONFIG/services/NAME.yaml is checked as any other before it is written, and belongs to the
 * credential of that name: it goes with the last secret of it. Files that a person wrote, and built-in
 * services, are never replaced nor removed. Thread: any; calls are serialised inside.
 */
#ifndef DAEMON_CUSTOM_H
#define DAEMON_CUSTOM_H
#include "daemon/daemon.h"
#include "json/json.h"
#include "kit/service.h"

/* custom_set() - @body: the descriptor as JSON, without `custom`; @scope: id of the sandbox whose secret it is
 * for, "" for all. *ret_new: there was none. -EEXIST: of that name is something else, or the credential of
 * another scope has other places.
 */
int custom_set(struct daemon *d, const char *name, const char *scope, const struct js *body,
	bool *ret_new, struct err *e) MUST_USE;
/* custom_remove() - when no secret of that name is left; *ret_removed says whether it was, and is gone */
int custom_remove(struct daemon *d, const char *name, bool *ret_removed, struct err *e) MUST_USE;
/* custom_view() - {"hosts","env","placeholder","places"}; NULL: no memory */
struct js *custom_view(const struct service *v) MUST_USE;
#endif
