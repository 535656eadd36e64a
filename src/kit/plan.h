/* plan.h - one agent and any number of mixins as one flat thing: what a sandbox is made by
 *
 * Pure: kit_compose() opens nothing; the specs must outlive the plan, whose texts are theirs. Order:
 * the agent's parents (extends) from the eldest, the agent, then the mixins as they were given. Lists
 * are joined in that order; of variables, volumes and files of one path the later wins; allow and
 * deny are unions, and a denial wins over every allow (policy.h). Two owners of a service, two kinds
 * of one file, one port under two names, two kits of one name are conflicts, told with both places.
 * The same kit twice is once.
 */
#ifndef KIT_PLAN_H
#define KIT_PLAN_H
#include "kit/kit.h"
#include "kit/spec.h"
#include "json/json.h"

#define KIT_PARENTS_MAX 5
#define KIT_MIXINS_MAX	32
#define KIT_PLAN_KITS	(KIT_PARENTS_MAX + 1 + KIT_MIXINS_MAX)

struct kit_member {
	const struct kit_spec *spec;
	const char *origin; /* source.h */
	bool builtin; /* else what it asks for has to be approved */
};

struct kit_plan {
	struct kit_mem mem;
	struct kit_member kits[KIT_PLAN_KITS]; /* in order; places name them by index */
	size_t n_kits;
	size_t agent; /* which of them the agent is: the ones before are its parents */
	struct kit_word image; /* text NULL: the default image */
	struct kit_words entrypoint, command,
		interactive; /* interactive not given: command serves */
	uint32_t cpu_milli; /* 0: not said */
	uint64_t memory_bytes; /* 0: not said */
	struct kit_word gpu;
	struct kit_word instructions_file; /* text NULL: the agent reads none */
	bool privileged;
	struct kit_parts parts; /* of all; at.kit says whose */
	struct kit_word *warnings;
	size_t n_warnings;
};

/* kit_compose() - @lineage: the agent's kit last, what it extends before it, the eldest first.
 * @mixins may be NULL. -EINVAL "FILE:LINE:COLUMN: ... (FILE:LINE:COLUMN)".
 */
int kit_compose(const struct kit_member *lineage, size_t n_lineage, const struct kit_member *mixins,
	size_t n_mixins, struct kit_plan **ret_plan, struct err *e) MUST_USE;
void kit_plan_free(struct kit_plan *p); /* NULL is fine */
void kit_plan_freep(struct kit_plan **p);
#define AUTO_KIT_PLAN __attribute__((cleanup(kit_plan_freep))) struct kit_plan

/* kit_plan_unenforced() - -ENOTSUP with the first field of any of its kits that a start does not act on */
int kit_plan_check_enforced(const struct kit_plan *p, struct err *e) MUST_USE;

/* kit_plan_json() - the whole plan but for the bytes of files (their SHA-256 is the caller's to add:
 * kit_tree_bytes()). Equal plans give equal js_canonical() bytes: what a plan's digest is taken over.
 * NULL: no memory. kit_spec_json(): one kit, normalised, for a person to look at.
 */
struct js *kit_plan_json(const struct kit_plan *p) MUST_USE;
struct js *kit_spec_json(const struct kit_spec *s) MUST_USE;

/* ---- what is asked for: the surface ----
 * One line for each thing that kits from outside the built-ins open, each a sentence that says all
 * there is to say, sorted, unique: what somebody approves. A denial has a line, too, with '-' in
 * front ("- network deny x"): to drop it is to ask for more.
 */
struct kit_surface {
	char **v;
	size_t n;
};
int kit_plan_surface(
	const struct kit_plan *p, struct kit_surface *ret_surface) MUST_USE; /* -ENOMEM */
void kit_surface_fini(struct kit_surface *s);
void kit_surface_auto(struct kit_surface *s);
/* kit_surface_widens() - lines of @now that @approved has not, and denials of @approved that @now has
 * not (as "dropped: network deny x"). Empty: nothing to ask. @approved may have n = 0.
 */
int kit_surface_widens(const struct kit_surface *approved, const struct kit_surface *now,
	struct kit_surface *ret_more) MUST_USE;

/* kit_plan_withhold() - take out of @p what opens something beyond the sandbox (network, credentials, ports,
 * volumes, files in the workspace, privileges), comes from outside the built-ins, and stands not in
 * @approved; @ret_withheld are its lines. What runs or is set inside stays: it gets no further than
 * the sandbox does.
 */
int kit_plan_withhold(struct kit_plan *p, const struct kit_surface *approved,
	struct kit_surface *ret_withheld) MUST_USE;
/* kit_surface_dropped() - hosts whose denial stands in @approved and not in @p: nobody approved that it went */
int kit_surface_dropped(const struct kit_plan *p, const struct kit_surface *approved,
	struct kit_surface *ret_hosts) MUST_USE;

/* ---- the texts for the agent ----
 * kit_memory_main(): what the agent's file of instructions holds: @before (what the file held, may be
 * ""), in which the section between our marks is replaced or else added; the section has the text
 * of the agent's own kits and a list of mixins. Applied to its own result it changes nothing.
 * Mixins' texts go to kits-memory/NAME.md beside it: kit_memory_file() names them.
 */
int kit_memory_main(const struct kit_plan *p, const char *before, struct buf *out) MUST_USE;
/* kit_memory_splice() - @section (kit_memory_main() of nothing) in the place of the section in @before */
int kit_memory_splice(const char *before, const char *section, struct buf *out) MUST_USE;
/* kit_memory_file() - the @i-th mixin's text: path relative to the main file's directory; false at the end */
bool kit_memory_file(const struct kit_plan *p, size_t i, char path[128], const char **ret_text);

/* for compose.c and its tests: @a and then @b, as one; places keep their kit */
struct kit_merge {
	struct kit_mem *mem;
	const struct kit_member *kits; /* names places in conflicts */
	bool extends; /* @b is the child: it may own what @a owned */
	struct err *e;
};
int kit_parts_merge(
	const struct kit_merge *m, struct kit_parts *a, const struct kit_parts *b) MUST_USE;
struct js *kit_parts_json(const struct kit_parts *p, const struct kit_member *kits) MUST_USE;
#endif
