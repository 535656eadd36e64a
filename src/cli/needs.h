/* needs.h - the credentials that a sandbox's kits want: what is there, what is missing, how to give it
 *
 * Schema 1 of kits says where the host has a value (variables, a file). Such a value is read here, once it was
 * approved, and kept as a secret of that sandbox alone; it is never given to anything else. Thread: the main one.
 */
#ifndef CLI_NEEDS_H
#define CLI_NEEDS_H
#include "cli/box.h"

/* needs_read() - for the credentials of @box that have no secret and whose kit says where the host has it. What
 * cannot be read is told and left out: no other source is tried in its place.
 */
void needs_read(struct api *api, const struct js *box);
/* needs_tell() - on stderr what is missing and how to give it */
void needs_tell(struct api *api, const struct js *box);
/* needs_tell_plan() - the same of a plan that nothing was made of */
void needs_tell_plan(struct api *api, const struct js *plan);

/* needs_has() - does one of @secrets (GET /v1/secrets) hold @service for sandbox @box? Pure. */
bool needs_has(const struct js *secrets, const char *service, const char *box);
/* needs_source() - the value as @credential (of a plan) says, in the environment or a file: 1 with @out filled,
 * 0 when there is none; -EINVAL with @e when the one that comes first is there and cannot be used
 */
int needs_source(
	const struct js *credential, const char *home, struct buf *out, struct err *e) MUST_USE;
#endif
