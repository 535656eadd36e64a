/* RESOLVE: a question of the front, judged again; addresses that policy would not let be used are left out */
#include "egress/chan.h"
#include "proto/dns.h"
#include <string.h>

#define RCODE_REFUSED 5

static bool is_address(uint16_t type, uint16_t len)
{
	return (type == DNS_A && len == 4) || (type == DNS_AAAA && len == 16);
}

static void answer(struct chan *c, const struct resolve_answer *a)
{
	struct egress_answer out = {.rcode = a->rcode, .ttl_s = a->ttl_s};
	bool dropped = false;

	for (uint16_t i = 0; i < a->n && out.n < EGRESS_RECORDS_MAX; i++) {
		struct policy_address addr;
		uint8_t bytes[16] = {0};

		if (a->v[i].type == DNS_A || a->v[i].type == DNS_AAAA) {
			if (!is_address(a->v[i].type, a->v[i].len))
				continue;
			memcpy(bytes, a->v[i].rdata, a->v[i].len);
			if (!policy_address_from(a->v[i].type == DNS_A ? 4 : 6, bytes, &addr) ||
				!policy_may_answer(c->config->policy, &addr)) {
				dropped = true;
				continue;
			}
		}
		out.v[out.n].type = a->v[i].type;
		out.v[out.n].len = a->v[i].len;
		out.v[out.n].rdata = a->v[i].rdata;
		out.n++;
	}
	if (dropped && out.n == 0) {
		out.rcode = RCODE_REFUSED;
		c->v->denials++;
	}
	if (egress_put_answer(&c->out, &out) < 0)
		chan_put_failed(c);
	else
		chan_done(c);
}

/* may_ask() - a PTR record is of the address that its name stands for */
static bool may_ask(const struct chan *c, uint16_t type)
{
	struct policy_request q = {.kind = POLICY_DNS};
	struct policy_verdict verdict;
	struct policy_address a;
	struct policy_host host;
	uint8_t bytes[16] = {0};
	int family = type == DNS_PTR ? dns_ptr_name(c->host.name, bytes) : 0;

	if (type == DNS_PTR) {
		if (family == 0 || !policy_address_from((unsigned)family, bytes, &a))
			return false;
		policy_host_from_address(&a, &host);
		q.host = &host;
		q.address = a;
	} else {
		q.host = &c->host;
	}
	/* Whether a question was answered with yes is the front's to know. */
	policy_decide(c->config->policy, &q, &verdict);
	return verdict.decision != POLICY_DENY;
}

static void on_answer(void *ctx, const struct resolve_answer *a)
{
	struct chan *c = ctx;

	c->query = NULL;
	answer(c, a);
}

void names_begin(struct chan *c, const struct egress_frame *f)
{
	const struct resolve_answer *known;
	const char *name;
	uint16_t type;

	if (egress_get_resolve(f, &type, &name) != PROTO_OK) {
		c->v->faults++;
		chan_close(c);
		return;
	}
	if (!policy_host_parse(name, strlen(name), &c->host) || c->host.kind != POLICY_HOST_NAME ||
		policy_host_inside(&c->host) || !may_ask(c, type)) {
		chan_fail(c, 403, "denied", "no rule allows that name");
		return;
	}
	known = resolve_cached(c->v->resolve, c->host.name, type);
	if (known) {
		answer(c, known);
		return;
	}
	c->state = CHAN_NAMES;
	c->query = resolve_ask(c->v->resolve, c->host.name, type, on_answer, c);
	if (!c->query)
		chan_fail(c, 503, "dns", "the name cannot be looked up now");
}
