#include "daemon/network_view.h"
#include "daemon/credentials.h"
#include "daemon/policy.h"
#include "policy/pattern.h"
#include <errno.h>
#include <string.h>

/* sort_of() - whose rule it is; a preset's and those of the host's clients have the user as source */
static const char *sort_of(const struct policy_rule *r)
{
	if (r->source == POLICY_SOURCE_USER && strncmp(r->origin, "preset ", 7) == 0)
		return "preset";
	return policy_source_name(r->source);
}

/* add_one() - one more under @key */
static bool add_one(struct js *o, const char *key)
{
	return js_set_int(o, key, js_int(js_get(o, key), 0) + 1);
}

/* host_service() - of the host's loopback */
static bool host_service(struct js *list, const struct policy_rule *r)
{
	struct policy_pattern p;

	if (r->decision == POLICY_DENY ||
		policy_pattern_parse(r->resource, strlen(r->resource), &p, NULL) < 0 ||
		p.kind != POLICY_PATTERN_LOCAL)
		return false;
	return js_add_str(list, r->resource);
}

static struct js *policy_json(struct sandbox *s)
{
	AUTO_FREE struct daemon_policy_state *st = malloc(sizeof(*st));
	AUTO_POLICY *p = NULL;
	AUTO_JS o = js_object();
	AUTO_JS sorts = js_object();
	AUTO_JS decisions = js_object();
	AUTO_JS services = js_array();
	AUTO_JS bypass = js_array();
	struct err e = {0};
	bool bad = false;

	if (!st || daemon_policy_state(s->d, st, &e) < 0 || daemon_policy_for(s->d, s, &p, &e) < 0)
		return NULL;
	for (int d = POLICY_DENY; d <= POLICY_ALLOW; d++)
		bad |= js_set_int(decisions, policy_decision_name((enum policy_decision)d), 0);
	for (size_t i = 0; i < policy_rules(p, 0); i++) {
		const struct policy_rule *r = policy_rule_at(p, 0, i);

		bad |= add_one(sorts, sort_of(r));
		bad |= add_one(decisions, policy_decision_name(r->decision));
		bad |= host_service(services, r);
	}
	for (size_t i = 0; i < policy_bypasses(p, 0); i++)
		bad |= js_add_str(bypass, policy_bypass_at(p, 0, i));
	bad |= js_set_str(o, "preset", st->preset);
	bad |= js_set_bool(o, "governed", st->governed);
	bad |= js_set(o, "rules_by_source", TAKE(sorts));
	bad |= js_set(o, "rules_by_decision", TAKE(decisions));
	bad |= js_set(o, "host_services", TAKE(services));
	bad |= js_set(o, "bypass", TAKE(bypass));
	return bad ? NULL : TAKE(o);
}

struct names {
	const struct sandbox *s;
	const struct credentials *held;
	struct js *list;
};

static bool is_listed(const struct js *list, const char *name)
{
	for (size_t i = 0; i < js_len(list); i++) {
		const char *s = js_str(js_at(list, i));

		if (s && strcmp(s, name) == 0)
			return true;
	}
	return false;
}

/* take_name() - a secret that @s may use and for which there is a place */
static int take_name(void *ctx, const struct secret_entry *x)
{
	struct names *n = ctx;
	bool placed = false;

	if ((x->scope[0] && strcmp(x->scope, n->s->id) != 0) || is_listed(n->list, x->name))
		return 0;
	for (uint32_t i = 0; i < n->held->n; i++)
		placed |= strcmp(n->held->list[i].name, x->name) == 0;
	return placed && js_add_str(n->list, x->name) ? -ENOMEM : 0;
}

static struct js *credentials_json(struct sandbox *s)
{
	struct credentials held = {0};
	AUTO_JS list = js_array();
	struct names n = {.s = s, .held = &held, .list = list};
	struct err e = {0};
	bool bad = credentials_for(s, &held, &e) < 0;

	bad = bad || secret_file_each(s->d->secrets, take_name, &n, &e) < 0;
	credentials_fini(&held);
	return bad ? NULL : TAKE(list);
}

bool network_view_add(struct js *o, struct sandbox *s)
{
	AUTO_JS policy = policy_json(s);
	AUTO_JS credentials = credentials_json(s);
	bool bad = policy ? js_set(o, "policy", TAKE(policy)) : js_set_null(o, "policy");

	return bad | (credentials ? js_set(o, "credentials", TAKE(credentials))
				  : js_set_null(o, "credentials"));
}
