/* naive.c - no index: every rule is taken apart anew and looked at for every request
 *
 * Written from docs/policy.md, not from src/policy; it uses the parsers of hosts, addresses and patterns
 * only. Slow on purpose.
 */
#include "naive.h"
#include "policy/path.h"
#include "policy/pattern.h"
#include <assert.h>
#include <ctype.h>
#include <fnmatch.h>
#include <string.h>

struct question {
	const struct policy_request *r;
	const char *name;
	struct policy_address a;
	bool local;
};

static bool name_fits(const struct policy_pattern *p, const char *name)
{
	size_t n = strlen(p->host), len = strlen(name), dots[2] = {0};

	if (p->kind == POLICY_PATTERN_NAME)
		return strcmp(p->host, name) == 0;
	if (p->kind == POLICY_PATTERN_BELOW)
		return len >= n && strcmp(name + len - n, p->host) == 0 &&
		       (len == n || name[len - n - 1] == '.');
	if (p->kind != POLICY_PATTERN_GLOB)
		return false;
	for (const char *s = p->host; *s; s++)
		dots[0] += *s == '.';
	for (const char *s = name; *s; s++)
		dots[1] += *s == '.';
	/* FNM_PATHNAME knows labels if they are divided by slashes */
	if (dots[0] != dots[1])
		return false;
	{
		char pat[256], text[256];

		strcpy(pat, p->host);
		strcpy(text, name);
		for (char *s = pat; *s; s++)
			*s = *s == '.' ? '/' : *s;
		for (char *s = text; *s; s++)
			*s = *s == '.' ? '/' : *s;
		return fnmatch(pat, text, FNM_PATHNAME) == 0;
	}
}

static bool fits(const struct policy_pattern *p, const struct question *q)
{
	if (p->port && p->port != q->r->port && q->r->kind != POLICY_DNS)
		return false;
	if (p->kind == POLICY_PATTERN_ALL)
		return true;
	if (p->kind == POLICY_PATTERN_LOCAL)
		return q->local;
	if (p->kind == POLICY_PATTERN_NET)
		return policy_address_in(&q->a, &p->net, p->prefix);
	return q->name && name_fits(p, q->name);
}

static bool names(const struct policy_pattern *p, const struct question *q)
{
	enum policy_address_class c =
		q->a.family ? policy_address_class(&q->a) : POLICY_ADDRESS_PUBLIC;
	struct policy_address last = p->net;

	if (q->local)
		return p->kind == POLICY_PATTERN_LOCAL;
	if (c == POLICY_ADDRESS_PUBLIC)
		return true;
	if (p->kind != POLICY_PATTERN_NET)
		return false;
	if (p->prefix == (p->net.family == 4 ? 32 : 128))
		return true;
	for (unsigned i = p->prefix; i < (p->net.family == 4 ? 32U : 128U); i++)
		last.byte[i / 8] |= (uint8_t)(0x80U >> i % 8);
	return c != POLICY_ADDRESS_METADATA && policy_address_class(&p->net) == c &&
	       policy_address_class(&last) == c;
}

enum { NO, YES, UNCLEAR };

static int speaks_of(const struct policy_rule *u, const struct policy_request *r)
{
	bool deny = u->decision != POLICY_ALLOW, ws = r->kind == POLICY_WEBSOCKET;
	unsigned m = ws			      ? POLICY_GET
		     : r->kind == POLICY_GRPC ? POLICY_POST
					      : policy_method_bit(r->method);
	char call[300] = "/", upper[16] = "";

	if (r->kind == POLICY_TCP || r->kind == POLICY_TUNNEL)
		return NO;
	if (deny && r->kind == POLICY_HTTP) { /* a denial does not mind the case */
		for (size_t i = 0; r->method[i] && i < 15; i++)
			upper[i] = (char)toupper((unsigned char)r->method[i]);
		m = policy_method_bit(upper);
	}
	if (u->websocket && !ws)
		return NO;
	if (!u->websocket && ws && !deny)
		return NO;
	if (u->grpc && r->kind != POLICY_GRPC &&
		!(deny && r->kind == POLICY_HTTP && m == POLICY_POST))
		return NO;
	if (u->methods && !(u->methods & m))
		return NO;
	if (!u->path && !u->grpc)
		return YES;
	if (r->path_flags)
		return UNCLEAR;
	if (u->grpc)
		return fnmatch(strncat(call, u->grpc, 290), r->path, FNM_PATHNAME) == 0;
	return policy_path_matches(u->path, r->path, deny);
}

/* about_names() - does a rule deny a name, or ask about one? */
static bool about_names(const struct policy *p, size_t layer)
{
	for (size_t i = 0; i < policy_rules(p, layer); i++) {
		const struct policy_rule *u = policy_rule_at(p, layer, i);
		struct policy_pattern pat;

		if (u->decision != POLICY_ALLOW &&
			policy_pattern_parse(u->resource, strlen(u->resource), &pat, NULL) == 0 &&
			(pat.kind == POLICY_PATTERN_NAME || pat.kind == POLICY_PATTERN_BELOW ||
				pat.kind == POLICY_PATTERN_GLOB))
			return true;
	}
	return false;
}

#define FIRST(slot) ((slot) = (slot) ? (slot) : u)

static struct policy_verdict one(const struct policy *p, size_t layer, const struct question *q)
{
	const struct policy_rule *deny = NULL, *unclear = NULL, *ask = NULL, *all = NULL,
				 *allow = NULL, *http = NULL, *other = NULL;
	bool grant = false, narrowed = false, missed = false;
	const bool flow = q->r->kind == POLICY_TCP || q->r->kind == POLICY_TUNNEL,
		   dns = q->r->kind == POLICY_DNS;
	struct policy_verdict v = {.decision = POLICY_DENY, .reason = POLICY_REASON_DEFAULT};
	enum policy_address_class c = q->a.family ? policy_address_class(&q->a) : 0;
	bool bare = !dns && !q->name && !q->local && about_names(p, layer), unnamed = false;

	for (size_t i = 0; i < policy_rules(p, layer); i++) {
		const struct policy_rule *u = policy_rule_at(p, layer, i);
		bool l7 = u->methods || u->path || u->grpc || u->websocket, counted, grants;
		struct policy_pattern pat;
		int said;

		if (policy_pattern_parse(u->resource, strlen(u->resource), &pat, NULL) < 0 ||
			!fits(&pat, q))
			continue;
		counted = !(layer == 0 && policy_governed(p)) || u->source == POLICY_SOURCE_ORG;
		grants = u->decision != POLICY_DENY && counted && names(&pat, q);
		if (bare && pat.kind == POLICY_PATTERN_ALL && u->decision == POLICY_ALLOW) {
			unnamed |= counted;
			grants = false;
		}
		said = !l7   ? YES
		       : dns ? (u->decision == POLICY_DENY ? NO : YES)
			     : speaks_of(u, q->r);
		if (dns && ((u->decision == POLICY_DENY && pat.port) ||
				   (u->decision != POLICY_DENY && !names(&pat, q)) ||
				   (u->decision == POLICY_ASK && !counted)))
			continue;
		if (l7 && !dns) {
			narrowed |= u->decision != POLICY_ALLOW;
			if (grants)
				FIRST(http);
		}
		if (said == UNCLEAR && u->decision != POLICY_ALLOW)
			FIRST(unclear);
		missed |= said == UNCLEAR && grants;
		if (said != YES)
			continue;
		grant |= grants;
		if (u->decision == POLICY_DENY)
			FIRST(deny);
		else if ((u->decision == POLICY_ALLOW ||
				 (dns && pat.kind == POLICY_PATTERN_NAME)) &&
			 grants)
			FIRST(allow);
		else if (u->decision == POLICY_ALLOW && !counted)
			FIRST(other);
		else if (u->decision == POLICY_ASK &&
			 !(dns ? pat.kind == POLICY_PATTERN_ALL || l7
			       : pat.kind == POLICY_PATTERN_ALL && !l7))
			FIRST(ask);
		else if (u->decision == POLICY_ASK && grants)
			FIRST(all);
	}
	v.rule = deny		? deny
		 : unclear	? unclear
		 : grant && ask ? ask
		 : allow	? allow
		 : flow && http ? http
				: all;
	if (v.rule) {
		v.reason = !deny && v.rule == unclear ? POLICY_REASON_PATH : POLICY_REASON_RULE;
		v.decision = deny || unclear				   ? POLICY_DENY
			     : v.rule == http && !(grant && ask) && !allow ? POLICY_ALLOW
			     : v.rule == allow && !(grant && ask)	   ? POLICY_ALLOW
									   : v.rule->decision;
		v.inspect = flow && v.decision != POLICY_DENY &&
			    (narrowed || (v.rule == http && !(grant && ask) && !allow));
		return v;
	}
	v.reason = missed			  ? POLICY_REASON_PATH
		   : q->local			  ? POLICY_REASON_LOCAL
		   : c == POLICY_ADDRESS_METADATA ? POLICY_REASON_METADATA
		   : c || unnamed		  ? POLICY_REASON_ADDRESS
		   : http			  ? POLICY_REASON_HTTP
		   : other			  ? POLICY_REASON_GOVERNED
						  : POLICY_REASON_DEFAULT;
	return v;
}

struct policy_verdict naive_decide(const struct policy *p, const struct policy_request *r)
{
	struct policy_verdict best = {.decision = POLICY_DENY, .reason = POLICY_REASON_BAD}, v;
	struct question q = {.r = r, .a = r->address};
	bool inspect = false;

	if (r->host && r->host->kind == POLICY_HOST_ADDRESS) {
		if (q.a.family && !policy_address_same(&q.a, &r->host->address))
			return best;
		q.a = r->host->address;
	}
	q.local = (r->host && r->host->kind == POLICY_HOST_LOCAL) || policy_address_host(&q.a);
	if (r->host && r->host->kind == POLICY_HOST_LOCAL && q.a.family &&
		!policy_address_host(&q.a))
		return best;
	if (r->host && r->host->kind == POLICY_HOST_NAME)
		q.name = r->host->name;
	best.reason = POLICY_REASON_INSIDE;
	if ((r->host && policy_host_inside(r->host)) || (!q.local && policy_address_inside(&q.a)))
		return best;
	best = one(p, 0, &q);
	inspect = best.inspect;
	for (size_t i = 1; i < policy_layers(p); i++) {
		v = one(p, i, &q);
		inspect |= v.inspect;
		if (v.decision < best.decision)
			best = v;
	}
	best.inspect = inspect && best.decision != POLICY_DENY;
	if (r->kind == POLICY_TUNNEL && best.inspect)
		best = (struct policy_verdict){
			.decision = POLICY_DENY, .reason = POLICY_REASON_UNSEEN, .rule = best.rule};
	return best;
}
