/* policy.h - the policy of each sandbox, put together from everybody who has a say
 *
 * Order of the rules: the organisation's file, the user's rules for all sandboxes, the preset and (with
 * `balanced`) the registries of this host's own clients, those of the sandbox's kits, the rules of the sandbox:
 * those of its creation, then those added later. What cannot be read closes: with an invalid file of the organisation, or a policy
 * that was lost with a damaged database, everything is denied, by a rule that says so.
 * Thread: any. Nothing is kept between calls but the organisation's file and the clients' hosts.
 */
#ifndef DAEMON_POLICY_H
#define DAEMON_POLICY_H
#include "daemon/daemon.h"
#include "daemon/rules.h"

struct sandbox;
struct daemon_policy;

#define POLICY_ORG_FILE "/etc/sbx/policy.yaml" /* or $SBX_ORG_POLICY */

/* daemon_policy_open() - once, after the store; reads the organisation's file and the clients' */
int daemon_policy_open(struct daemon *d, struct err *e) MUST_USE;
/* daemon_policy_for() - sealed, the caller's to policy_free(). @s NULL: what holds for all.
 * Fails only for want of memory or of the database: then nothing may pass.
 */
int daemon_policy_for(
	struct daemon *d, struct sandbox *s, struct policy **ret, struct err *e) MUST_USE;
/* daemon_policy_generation() - grows with every change, also over restarts */
uint64_t daemon_policy_generation(struct daemon *d);
/* daemon_policy_hook() - @fn is called, without a lock held, for each sandbox whose policy has changed and
 * that has a machine; set once, before requests are answered
 */
typedef void (*daemon_policy_fn)(struct sandbox *s);
void daemon_policy_hook(struct daemon *d, daemon_policy_fn fn);
/* daemon_policy_changed() - a rule was added or removed: of one sandbox, or (NULL) of all */
void daemon_policy_changed(struct daemon *d, struct sandbox *s);
/* daemon_policy_check_org() - look whether the organisation's file is another one now; cheap */
void daemon_policy_check_org(struct daemon *d);

/* what the API shows beside the rules */
struct daemon_policy_state {
	const char *preset; /* static */
	bool preset_chosen; /* else it is the default */
	bool governed, lost;
	char org_path[PATH_MAX]; /* "" when there is no such file */
	char org_fault[ERR_MSG_MAX]; /* "" when it is valid */
};
int daemon_policy_state(struct daemon *d, struct daemon_policy_state *ret, struct err *e) MUST_USE;
/* daemon_policy_init() - choose a preset; the policy counts as known again. @name may be an alias. */
int daemon_policy_init(struct daemon *d, const char *name, struct err *e) MUST_USE;
/* daemon_policy_bypass() - the user's hosts whose TLS is not inspected, a comma list that replaces the
 * former; "": none. Does not count beside an organisation's policy.
 */
int daemon_policy_bypass(struct daemon *d, const char *resources, struct err *e) MUST_USE;
/* daemon_policy_reset() - no rules, no preset chosen: as in the beginning */
int daemon_policy_reset(struct daemon *d, struct err *e) MUST_USE;
#endif
