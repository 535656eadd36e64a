/* resolve.h - from what a person names to a plan: read every kit, follow extends, put all together
 *
 * Does the I/O that plan.h does not: reads the agent, the built-in kits it extends (five levels, a
 * circle is an error), and the mixins; fills in arguments; composes. The result owns all of it.
 * Errors name FILE:LINE:COLUMN where there is one.
 */
#ifndef KIT_RESOLVE_H
#define KIT_RESOLVE_H
#include "kit/plan.h"
#include "kit/source.h"

struct kit_request {
	const char *
		agent; /* reference (source.h); NULL: mixins alone, looked at one by one (no plan) */
	const char *const *mixins;
	size_t n_mixins;
	/* where a local copy is from: its origin instead of the copy's path. Of built-in kits without
	 * effect. NULL, also as an entry of origins: the reference says it.
	 */
	const char *agent_origin;
	const char *const *origins; /* of the mixins */
	/* NAME is for every kit that has it, KIT.NAME for that kit; a name that no kit has is an error */
	const struct kit_pair *args;
	size_t n_args;
	const char *data_dir;
	const char *tmp; /* for git; NULL: no git kits */
};

struct kit_resolved {
	struct kit_source *sources[KIT_PLAN_KITS];
	struct kit_spec *specs[KIT_PLAN_KITS]; /* of the source of the same index */
	size_t n; /* the agent, its parents from the youngest, the mixins as they were given */
	size_t first_mixin;
	struct kit_plan *plan; /* NULL without an agent */
};

int kit_resolve(const struct kit_request *q, struct kit_resolved **ret, struct err *e) MUST_USE;
void kit_resolved_free(struct kit_resolved *r); /* NULL is fine */
void kit_resolved_freep(struct kit_resolved **r);
#define AUTO_KIT_RESOLVED __attribute__((cleanup(kit_resolved_freep))) struct kit_resolved
#endif
