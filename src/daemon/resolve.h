/* resolve.h - the steps from a Create to a plan, and what they share
 *
 * resolve.c alone calls them, in this order; each writes its part of s->out. Faults in s->e.
 */
#ifndef DAEMON_RESOLVE_H
#define DAEMON_RESOLVE_H
#include "daemon/plan.h"
#include "base/name.h"
#include "kit/resolve.h"

#define RESOLVE_ARGS_MAX 256

struct resolving {
	const struct js *create; /* borrowed, as is all below it */
	const struct paths *paths;
	const struct plan_host *host;
	struct store *approvals; /* NULL: none */
	struct js *out; /* owned: the plan as it grows */
	struct js *notes; /* owned */
	struct kit_resolved *kits; /* owned */
	struct kit_plan *kit; /* of it: the agent and all mixins as one */
	const char *kit_name; /* the agent's */
	char name[NAME_MAX_LEN + 1];
	const char *approve; /* digest of the kits that a person has seen and approved; "" */
	const char *agent, *agent_origin, *template, *isolation; /* agent_origin may be NULL */
	int64_t cpus, memory_bytes, disk_bytes;
	const struct js *env, *workspaces, *masks, *policy, *ports, *kit_list, *kit_args;
	struct js *image_meta; /* owned */
	/* of a sandbox that is there and gets further kits: its plan; NULL for a new one */
	const struct plan *old;
	bool only_new; /* it was started before: only the further kits install and put files */
	const char *workdir; /* of the image; "": none */
	char cwd[PATH_MAX];
	bool bad; /* memory ran out while building */
	struct err *e;
};

/* resolve_added() - of a sandbox that is there: are its kits what they were? Part of resolve_kits_write() */
int resolve_added(struct resolving *s) MUST_USE;
/* resolve_is_new() - is that kit one of the further ones? true when there is no sandbox yet */
bool resolve_is_new(const struct resolving *s, const char *kit);
/* resolve_only_new() - what only holds while kits install: of the further ones alone, if it is so */
void resolve_only_new(struct resolving *s);
/* resolve_approval() - what the kits ask for, and out of s->kit what of it was not approved; part of
 * resolve_kits_write(), which has put their digest into the plan
 */
int resolve_approval(struct resolving *s, struct kit_surface *ret_dropped) MUST_USE;
/* resolve_kits() - read and compose the agent and s->kit_list */
int resolve_kits(struct resolving *s) MUST_USE;
/* resolve_image() - image; before the places, as it may say where to work when no folder is shared */
int resolve_image(struct resolving *s) MUST_USE;
/* resolve_image_env() - the image's own variables into @env, for others to overrule; those of identity and trust not */
void resolve_image_env(struct resolving *s, struct js *env);
/* resolve_image_argv() - append "entrypoint" or "cmd" */
void resolve_image_argv(struct resolving *s, const char *key, struct js *argv);
/* resolve_places() - workspaces, cwd */
int resolve_places(struct resolving *s) MUST_USE;
/* resolve_mounts() - volumes and ports; resolve_kits_write() calls it */
int resolve_mounts(struct resolving *s) MUST_USE;
/* resolve_kits_write() - what the kits say, and what they put into the guest: after the places */
int resolve_kits_write(struct resolving *s, struct plan_files *files) MUST_USE;
#endif
