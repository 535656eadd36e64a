/* preset.h - the policies one starts from: open, balanced, locked-down. Data.
 *
 * A preset is a list of allows. Wildcards name domains, since services and registries spread over hosts
 * that change. Storage where anybody can put anything (object stores, script hosts) is left out of
 * `balanced`: it would be a way out for data; who needs it adds a rule.
 */
#ifndef POLICY_PRESET_H
#define POLICY_PRESET_H
#include "policy/policy.h"

struct policy_preset_entry {
	const char *group; /* "ai", "packages", ... */
	const char *resource;
};

struct policy_preset {
	const char *name, *alias; /* "balanced"; "allow-all" is an alias of "open" */
	const char *summary;
	const struct policy_preset_entry *entries;
	size_t n;
};

#define POLICY_PRESET_DEFAULT "balanced"

/* policy_preset_find() - by name or alias; NULL when there is none */
const struct policy_preset *policy_preset_find(const char *name);
/* policy_preset_at() - NULL beyond the last */
const struct policy_preset *policy_preset_at(size_t i);
/* policy_preset_id() - id of the entry's rule: "balanced.packages.3"; stable within a release */
char *policy_preset_id(const struct policy_preset *s, size_t i, char dst[POLICY_ID_MAX + 1]);
/* policy_preset_add() - its rules into @p, source USER, origin "preset balanced" */
int policy_preset_add(const struct policy_preset *s, struct policy *p, struct err *e) MUST_USE;
#endif
