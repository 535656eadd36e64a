/* decide.c - policy_decide(): candidates are found by the index, tallied, and judged layer by layer */
#include "policy/internal.h"
#include "policy/path.h"
#include <assert.h>
#include <string.h>

/* What is asked for, after its contradictions were sorted out. */
struct target {
	const struct policy_request *r;
	const char *name; /* NULL: no name to look rules up by */
	size_t name_len;
	struct policy_address address; /* family 0: none */
	enum policy_address_class class; /* PUBLIC too when there is no address */
	bool local; /* the host's loopback */
	bool bare; /* a flow to an address behind which no name is known */
	bool special; /* only rules that name the address can allow it */
	unsigned method, any_case; /* bit of the method as sent, and as servers may read it */
};

/* What the rules of a layer say: lowest index of each sort, NO_ENTRY when there is none. */
struct tally {
	uint32_t deny; /* a denial that matches */
	uint32_t unclear; /* a denial or question that would look at an ambiguous path */
	uint32_t ask; /* a question, `ask **` left out */
	uint32_t ask_all; /* `ask **` */
	uint32_t allow;
	uint32_t uncounted; /* an allow that a governed policy does not count */
	uint32_t http; /* an allow or question about requests to this host, this one or others */
	bool grant; /* some allow or question that may let it pass */
	bool narrowed; /* denials or questions about requests to this host */
	bool unnamed; /* `allow **` was passed over: it does not stand for a bare address here */
	bool path_missed; /* an allow was passed over since the path is ambiguous */
};

static void lowest(uint32_t *slot, uint32_t i)
{
	if (i < *slot)
		*slot = i;
}

static bool grpc_matches(const char *pattern, const char *path)
{
	const char *pslash = strchr(pattern, '/'), *slash;

	if (path[0] != '/')
		return false;
	slash = strchr(++path, '/');
	return slash && !strchr(slash + 1, '/') &&
	       policy_glob(pattern, (size_t)(pslash - pattern), path, (size_t)(slash - path)) &&
	       policy_glob(pslash + 1, strlen(pslash + 1), slash + 1, strlen(slash + 1));
}

/* kind_matches() - is the rule about this kind of request and its method? A denial is read widely:
 * one of GET also stops "get" and the GET of a WebSocket, one of a gRPC method any POST to its path.
 */
static bool kind_matches(const struct policy_rule *rule, const struct target *t)
{
	const bool wide = rule->decision != POLICY_ALLOW;
	const bool method =
		rule->methods == 0 || (rule->methods & (wide ? t->any_case : t->method));

	switch (t->r->kind) {
	case POLICY_WEBSOCKET:
		return rule->websocket || (wide && !rule->grpc && method);
	case POLICY_GRPC:
		return rule->grpc || (!rule->websocket && method);
	case POLICY_HTTP:
		if (rule->grpc)
			return wide && t->any_case == POLICY_POST;
		return !rule->websocket && method;
	case POLICY_DNS:
	case POLICY_TCP:
	case POLICY_TUNNEL:
	case POLICY_KINDS:
	default:
		return false;
	}
}

enum look { LOOK_NO, LOOK_YES, LOOK_UNCLEAR };

/* look_inside() - does a rule about requests speak of this one? */
static enum look look_inside(const struct policy_rule *rule, const struct target *t)
{
	const bool wide = rule->decision != POLICY_ALLOW;

	if (!kind_matches(rule, t))
		return LOOK_NO;
	if (!rule->path && !rule->grpc)
		return LOOK_YES;
	if (t->r->path_flags)
		return LOOK_UNCLEAR;
	if (rule->grpc)
		return grpc_matches(rule->grpc, t->r->path) ? LOOK_YES : LOOK_NO;
	return policy_path_matches(rule->path, t->r->path, wide) ? LOOK_YES : LOOK_NO;
}

/* names_it() - may the rule let the target pass? What is not public must be named. */
static bool names_it(const struct policy_entry *en, const struct target *t)
{
	if (!t->special)
		return true;
	if (t->local)
		return en->kind == POLICY_PATTERN_LOCAL;
	if (en->kind != POLICY_PATTERN_NET || en->class != t->class)
		return false;
	return t->class != POLICY_ADDRESS_METADATA ||
	       en->prefix == (en->net.family == 4 ? 32 : 128);
}

/* unnamed() - where names are denied or asked about, `allow **` means the others of them: an address
 * without a name could be that of a denied one, which is never looked up, so that nobody knows it
 */
static bool unnamed(
	const struct policy_layer *l, const struct policy_entry *en, const struct target *t)
{
	return t->bare && l->narrows_names && en->kind == POLICY_PATTERN_ALL &&
	       en->rule.decision == POLICY_ALLOW;
}

/* count_dns() - a name is looked up if something could be allowed under it, whatever port and request */
static void count_dns(const struct policy_layer *l, uint32_t i, const struct target *t,
	bool counted, struct tally *y)
{
	const struct policy_entry *en = &l->entries[i];

	if (en->rule.decision == POLICY_DENY) {
		if (!en->http && !en->port)
			lowest(&y->deny, i);
	} else if (!names_it(en, t))
		return;
	else if (en->rule.decision == POLICY_ALLOW)
		lowest(counted ? &y->allow : &y->uncounted, i);
	else if (counted && en->kind == POLICY_PATTERN_NAME)
		/* the look-up of a name that stands in a rule tells nobody anything: what is asked for is
		 * put to a person when it comes
		 */
		lowest(&y->allow, i);
	else if (counted)
		/* a question about requests is put when one is seen, unless nothing else allows */
		lowest(en->kind == POLICY_PATTERN_ALL || en->http ? &y->ask_all : &y->ask, i);
	y->grant = y->allow != NO_ENTRY || y->ask != NO_ENTRY || y->ask_all != NO_ENTRY;
}

/* count() - a rule whose resource matches host (or address) and port */
static void count(const struct policy_layer *l, uint32_t i, const struct target *t, struct tally *y)
{
	const struct policy_entry *en = &l->entries[i];
	const struct policy_rule *rule = &en->rule;
	const bool counted = !l->governed || rule->source == POLICY_SOURCE_ORG;
	const bool grants = counted && names_it(en, t) && !unnamed(l, en, t);
	enum look look = LOOK_YES;

	if (t->r->kind == POLICY_DNS) {
		count_dns(l, i, t, counted, y);
		return;
	}
	if (en->port && en->port != t->r->port)
		return;
	y->unnamed |= counted && unnamed(l, en, t);
	if (en->http) {
		y->narrowed |= rule->decision != POLICY_ALLOW;
		if (rule->decision != POLICY_DENY && grants)
			lowest(&y->http, i);
		look = look_inside(rule, t);
	}
	if (look == LOOK_NO)
		return;
	if (look == LOOK_UNCLEAR) {
		if (rule->decision == POLICY_ALLOW)
			y->path_missed |= grants;
		else
			lowest(&y->unclear, i);
	} else if (rule->decision == POLICY_DENY)
		lowest(&y->deny, i);
	else if (rule->decision == POLICY_ALLOW) {
		if (grants)
			lowest(&y->allow, i);
		else if (!counted)
			lowest(&y->uncounted, i);
	} else if (en->kind != POLICY_PATTERN_ALL || en->http)
		lowest(&y->ask, i);
	else if (grants)
		lowest(&y->ask_all, i);
	y->grant |= look == LOOK_YES && rule->decision != POLICY_DENY && grants;
}

static void walk(const struct policy_layer *l, uint32_t i, const struct target *t, struct tally *y)
{
	for (; i != NO_ENTRY; i = l->entries[i].next)
		count(l, i, t, y);
}

/* name_hits() - @en stands under the name's end that begins at @at */
static bool name_hits(const struct policy_entry *en, const struct target *t, size_t at)
{
	size_t tail = (size_t)(en->len - en->tail);

	if (tail != t->name_len - at || memcmp(en->host + en->tail, t->name + at, tail) != 0)
		return false;
	switch (en->kind) {
	case POLICY_PATTERN_NAME:
		return at == 0;
	case POLICY_PATTERN_BELOW:
		return true;
	case POLICY_PATTERN_GLOB:
		return at > 0 && policy_labels(en->host, en->tail - 1U, t->name, at - 1);
	case POLICY_PATTERN_ALL:
	case POLICY_PATTERN_NET:
	case POLICY_PATTERN_LOCAL:
	default:
		return false;
	}
}

static void walk_names(const struct policy_layer *l, const struct target *t, struct tally *y)
{
	uint32_t h = POLICY_HASH_INIT;

	for (size_t at = t->name_len; at-- > 0;) {
		h = policy_hash_back(h, t->name[at]);
		if (at > 0 && t->name[at - 1] != '.')
			continue;
		for (uint32_t i = l->heads[h & l->mask]; i != NO_ENTRY; i = l->entries[i].next)
			if (l->entries[i].hash == h && name_hits(&l->entries[i], t, at))
				count(l, i, t, y);
	}
}

static void walk_nets(const struct policy_layer *l, const struct target *t, struct tally *y)
{
	const uint64_t *lengths = l->lengths[t->address.family == 6];

	for (unsigned word = 0; word < 3; word++)
		for (uint64_t bits = lengths[word]; bits; bits &= bits - 1) {
			unsigned prefix = word * 64 + (unsigned)__builtin_ctzll(bits);
			uint32_t h = policy_hash_net(&t->address, prefix);

			for (uint32_t i = l->heads[h & l->mask]; i != NO_ENTRY;
				i = l->entries[i].next) {
				const struct policy_entry *en = &l->entries[i];

				if (en->hash == h && en->kind == POLICY_PATTERN_NET &&
					en->prefix == prefix &&
					policy_address_in(&t->address, &en->net, prefix))
					count(l, i, t, y);
			}
		}
}

static struct tally tally_layer(const struct policy_layer *l, const struct target *t)
{
	struct tally y = {NO_ENTRY, NO_ENTRY, NO_ENTRY, NO_ENTRY, NO_ENTRY, NO_ENTRY, NO_ENTRY,
		false, false, false, false};

	walk(l, l->all, t, &y);
	if (t->local)
		walk(l, l->local, t, &y);
	if (t->name)
		walk_names(l, t, &y);
	if (t->address.family)
		walk_nets(l, t, &y);
	return y;
}

static void rule_says(const struct policy_layer *l, uint32_t i, enum policy_decision d,
	enum policy_reason why, struct policy_verdict *v)
{
	v->decision = d;
	v->reason = why;
	v->rule = &l->entries[i].rule;
	v->source = v->rule->source;
}

static enum policy_reason why_not(const struct target *t, const struct tally *y)
{
	if (y->path_missed)
		return POLICY_REASON_PATH;
	if (t->local)
		return POLICY_REASON_LOCAL;
	if (t->special)
		return t->class == POLICY_ADDRESS_METADATA ? POLICY_REASON_METADATA
							   : POLICY_REASON_ADDRESS;
	if (y->unnamed)
		return POLICY_REASON_ADDRESS;
	if (y->http != NO_ENTRY)
		return POLICY_REASON_HTTP;
	return y->uncounted != NO_ENTRY ? POLICY_REASON_GOVERNED : POLICY_REASON_DEFAULT;
}

static void judge(const struct policy_layer *l, const struct target *t, struct policy_verdict *v)
{
	const struct tally y = tally_layer(l, t);
	const bool flow = t->r->kind == POLICY_TCP || t->r->kind == POLICY_TUNNEL;
	bool http = false;

	*v = (struct policy_verdict){.decision = POLICY_DENY, .reason = POLICY_REASON_DEFAULT};
	if (y.deny != NO_ENTRY)
		rule_says(l, y.deny, POLICY_DENY, POLICY_REASON_RULE, v);
	else if (y.unclear != NO_ENTRY)
		rule_says(l, y.unclear, POLICY_DENY, POLICY_REASON_PATH, v);
	else if (y.grant && y.ask != NO_ENTRY)
		rule_says(l, y.ask, POLICY_ASK, POLICY_REASON_RULE, v);
	else if (y.allow != NO_ENTRY)
		rule_says(l, y.allow, POLICY_ALLOW, POLICY_REASON_RULE, v);
	else if (flow && y.http != NO_ENTRY) {
		/* some requests may pass: which, is judged when they are seen */
		rule_says(l, y.http, POLICY_ALLOW, POLICY_REASON_RULE, v);
		http = true;
	} else if (y.ask_all != NO_ENTRY)
		rule_says(l, y.ask_all, POLICY_ASK, POLICY_REASON_RULE, v);
	else
		v->reason = why_not(t, &y);
	v->inspect = flow && v->decision != POLICY_DENY && (y.narrowed || http);
}

/* any_case() - the bit of a method that somebody may take for it: "get" is none, but servers are kind */
static unsigned any_case(const char *method)
{
	char upper[16];
	size_t n = 0;

	for (; method[n] && n + 1 < sizeof(upper); n++)
		upper[n] =
			method[n] >= 'a' && method[n] <= 'z' ? (char)(method[n] - 32) : method[n];
	upper[n] = '\0';
	return method[n] ? 0 : policy_method_bit(upper);
}

/* sort_out() - the target of a request; false when it contradicts itself */
static bool sort_out(const struct policy_request *r, struct target *t)
{
	const bool http =
		r->kind == POLICY_HTTP || r->kind == POLICY_WEBSOCKET || r->kind == POLICY_GRPC;

	*t = (struct target){.r = r, .class = POLICY_ADDRESS_PUBLIC};
	if ((unsigned)r->kind >= POLICY_KINDS || (r->port == 0 && r->kind != POLICY_DNS))
		return false;
	if (http && (!r->path || (r->path[0] != '/' && strcmp(r->path, "*") != 0)))
		return false;
	if (r->kind == POLICY_HTTP && (!r->method || !r->method[0]))
		return false;
	if (r->kind == POLICY_HTTP) {
		t->method = policy_method_bit(r->method);
		t->any_case = t->method ? t->method : any_case(r->method);
	} else
		t->any_case = t->method = r->kind == POLICY_GRPC ? POLICY_POST : POLICY_GET;
	if (r->address.family &&
		!policy_address_from(r->address.family, r->address.byte, &t->address))
		return false;
	if (!r->host)
		return t->address.family != 0;
	if (r->host->kind == POLICY_HOST_ADDRESS) {
		if (t->address.family && !policy_address_same(&t->address, &r->host->address))
			return false;
		t->address = r->host->address;
	} else if (r->host->kind == POLICY_HOST_NAME) {
		t->name = r->host->name;
		t->name_len = r->host->len;
	} else if (r->host->kind == POLICY_HOST_LOCAL) {
		if (t->address.family && !policy_address_host(&t->address))
			return false;
		t->local = true;
	} else
		return false;
	return true;
}

void policy_decide(
	const struct policy *p, const struct policy_request *r, struct policy_verdict *ret_v)
{
	struct policy_verdict v;
	struct target t;

	assert(p->sealed);
	*ret_v = (struct policy_verdict){.decision = POLICY_DENY, .reason = POLICY_REASON_BAD};
	if (!sort_out(r, &t))
		return;
	if (t.address.family) {
		t.class = policy_address_class(&t.address);
		t.local |= policy_address_host(&t.address);
	}
	t.bare = r->kind != POLICY_DNS && !t.name && !t.local;
	t.special = t.local || t.class != POLICY_ADDRESS_PUBLIC;
	if ((r->host && policy_host_inside(r->host)) ||
		(t.address.family && !t.local && policy_address_inside(&t.address))) {
		ret_v->reason = POLICY_REASON_INSIDE;
		return;
	}
	judge(p->layers[0], &t, ret_v);
	for (size_t i = 1; i < p->n_layers; i++) {
		bool inspect = ret_v->inspect;

		judge(p->layers[i], &t, &v);
		if (v.decision < ret_v->decision) {
			*ret_v = v;
			if (v.rule)
				ret_v->source = POLICY_SOURCE_PARENT;
		}
		ret_v->inspect = (inspect || v.inspect) && ret_v->decision != POLICY_DENY;
	}
	if (r->kind == POLICY_TUNNEL && ret_v->inspect) {
		ret_v->decision = POLICY_DENY;
		ret_v->reason = POLICY_REASON_UNSEEN;
		ret_v->inspect = false;
	}
	if (r->kind == POLICY_TCP || r->kind == POLICY_TUNNEL)
		ret_v->bypass = r->host && policy_bypass(p, r->host, r->port);
}

bool policy_may_answer(const struct policy *p, const struct policy_address *a)
{
	const struct policy_request r = {.kind = POLICY_DNS, .address = *a};
	struct policy_address plain;
	struct policy_verdict v;

	if (!policy_address_from(a->family, a->byte, &plain) || policy_address_host(&plain) ||
		policy_address_inside(&plain))
		return false;
	if (policy_address_class(&plain) == POLICY_ADDRESS_PUBLIC)
		return true;
	policy_decide(p, &r, &v);
	return v.decision != POLICY_DENY;
}

bool policy_pattern_hits(
	const struct policy_pattern *p, const struct policy_host *host, uint16_t port)
{
	if (p->port && p->port != port)
		return false;
	switch (p->kind) {
	case POLICY_PATTERN_LOCAL:
		return host->kind == POLICY_HOST_LOCAL;
	case POLICY_PATTERN_NAME:
		return host->kind == POLICY_HOST_NAME && strcmp(host->name, p->host) == 0;
	case POLICY_PATTERN_BELOW:
		if (host->kind != POLICY_HOST_NAME || host->len < p->len)
			return false;
		return strcmp(host->name + host->len - p->len, p->host) == 0 &&
		       (host->len == p->len || host->name[host->len - p->len - 1] == '.');
	case POLICY_PATTERN_GLOB:
		return host->kind == POLICY_HOST_NAME &&
		       policy_labels(p->host, p->len, host->name, host->len);
	case POLICY_PATTERN_ALL:
	case POLICY_PATTERN_NET:
	default:
		return false;
	}
}

bool policy_bypass(const struct policy *p, const struct policy_host *host, uint16_t port)
{
	for (size_t layer = 0; layer < p->n_layers; layer++) {
		const struct policy_layer *l = p->layers[layer];
		bool hit = false;

		for (uint32_t i = 0; i < l->n_bypass && !hit; i++)
			hit = policy_pattern_hits(&l->bypass[i], host, port);
		if (!hit)
			return false;
	}
	return true;
}
