/* rules.h - policy rules as people and programs write them: JSON and the organisation's YAML
 *
 * Every rule that comes in passes policy_check_rule() here, whatever its form; a comma list of resources
 * becomes one rule each. Pure but for rules_org_load().
 */
#ifndef DAEMON_RULES_H
#define DAEMON_RULES_H
#include "json/json.h"
#include "store/policy.h"

#define RULES_LIST_MAX	256 /* resources of one request */
#define RULES_ADDED_MAX 2000 /* of all sandboxes together */
#define RULES_TEXT_MAX	8192 /* bytes of a list of resources */

struct rules {
	struct store_rule *v; /* heap */
	size_t n;
};
void rules_fini(struct rules *r);
void rules_auto(struct rules *r);

/* rules_read() - append the rules of one object: {decision, resource, methods, path, websocket, grpc};
 * @where names it in errors. -EINVAL. Also for a rule of a plan.
 */
int rules_read(const struct js *o, const char *where, struct rules *out, struct err *e) MUST_USE;
/* rules_write() - the same object of one rule: what a plan holds; NULL: no memory */
struct js *rules_write(const struct store_rule *r) MUST_USE;
/* rules_as_policy() - @r as policy.h wants it; texts are borrowed from @r, @id and @origin */
struct policy_rule rules_as_policy(
	const struct store_rule *r, const char *id, const char *origin, enum policy_source source);
/* rules_same() - do they say the same of the same sandbox? */
bool rules_same(const struct store_rule *a, const struct store_rule *b);

/* rules_org_parse() - the organisation's file: version: 1; allow, ask, deny: resources or mappings with
 * resource, methods, path, websocket, grpc; bypass: resources. The rules become @ret, a sealed policy
 * of source ORG.
 */
int rules_org_parse(const char *file, const char *text, size_t len, struct policy **ret,
	struct err *e) MUST_USE;
#endif
