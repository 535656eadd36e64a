/* api_policy.h - what the handlers of policy, check and approvals share */
#ifndef DAEMON_API_POLICY_H
#define DAEMON_API_POLICY_H
#include "daemon/api.h"
#include "daemon/rules.h"

/* api_box_param() - the sandbox that @name names, with a reference; *ret NULL when it is NULL or "" */
int api_box_param(
	struct api_call *a, const char *name, struct sandbox **ret, struct err *e) MUST_USE;
/* api_rule_json() - the API's Rule; @box (may be NULL) is whose policy it is from. NULL: no memory */
struct js *api_rule_json(
	const struct policy_rule *r, enum policy_source source, const struct sandbox *box) MUST_USE;
/* api_add_rules() - for @box, or for all when it is NULL: kept, recorded, told to whoever runs */
int api_add_rules(struct api_call *a, struct rules *all, struct sandbox *box, const char *via,
	struct err *e) MUST_USE;
#endif
