/* policy.h - policy rules of the user and of sandboxes, and settings, in the state database
 *
 * As store.h in threads, faults and durability. Rules are kept as they were checked by
 * policy_check_rule(); who reads them checks again.
 */
#ifndef STORE_POLICY_H
#define STORE_POLICY_H
#include "policy/path.h"
#include "policy/pattern.h"
#include "policy/policy.h"
#include "store/store.h"

#define STORE_VALUE_MAX 4096

struct store_rule {
	int64_t seq; /* its number, for ever; set by store_rules_add() */
	char sandbox[STORE_ID_LEN + 1]; /* ""; for all sandboxes */
	enum policy_decision decision;
	char resource[POLICY_PATTERN_MAX];
	uint16_t methods;
	char path[POLICY_PATH_PATTERN_MAX + 1]; /* "": any */
	char grpc[POLICY_GRPC_MAX + 1]; /* "": none */
	bool websocket;
	char via[16]; /* "added", "approval" */
	int64_t created_ms;
};

/* store_rules_add() - all or none; fills in seq */
int store_rules_add(struct store *s, struct store_rule *rules, size_t n, struct err *e) MUST_USE;
/* store_rule_remove() - -ENOENT */
int store_rule_remove(struct store *s, int64_t seq, struct err *e) MUST_USE;
/* store_rules_clear() - of one sandbox; "" those for all; NULL every rule */
int store_rules_clear(struct store *s, const char *sandbox, struct err *e) MUST_USE;
/* store_rules_each() - in the order they were added; a negative result of @fn ends it; @fn must not
 * call the store
 */
int store_rules_each(struct store *s, int (*fn)(void *ctx, const struct store_rule *r), void *ctx,
	struct err *e) MUST_USE;

/* store_setting() - 1: found; 0: never set, @dst is ""; store_set() with NULL removes it */
int store_setting(struct store *s, const char *key, char *dst, size_t cap, struct err *e) MUST_USE;
int store_set(struct store *s, const char *key, const char *value, struct err *e) MUST_USE;
#endif
