/* fuzz_policy_pattern.c - resources, hosts and addresses: what is taken has one spelling
 *
 * Input: a resource, a newline, a host. The canonical texts parse to themselves; a rule of that resource
 * judges that host as the pattern alone does.
 */
#include "policy/policy.h"
#include "policy/pattern.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void host_alone(const char *text, size_t len, struct policy_host *h)
{
	struct policy_host again;

	h->kind = POLICY_HOST_NONE;
	if (!policy_host_parse(text, len, h))
		return;
	assert(h->len == strlen(h->name) && h->len <= POLICY_HOST_MAX);
	assert(policy_host_parse(h->name, h->len, &again));
	assert(again.kind == h->kind && strcmp(again.name, h->name) == 0);
	assert(strspn(h->name, "abcdefghijklmnopqrstuvwxyz0123456789-_.:") == h->len);
}

static void judge(const struct policy_pattern *p, const char *text, const struct policy_host *h)
{
	const struct policy_rule r = {.id = "f",
		.resource = text,
		.origin = "fuzz",
		.decision = POLICY_DENY,
		.source = POLICY_SOURCE_USER};
	const struct policy_request q = {
		.kind = POLICY_TCP, .host = h, .port = p->port ? p->port : 443};
	AUTO_POLICY *policy = policy_new();
	struct policy_verdict v;

	assert(policy && policy_add(policy, &r, NULL) == 0 && policy_seal(policy) == 0);
	policy_decide(policy, &q, &v);
	assert(v.decision == POLICY_DENY);
	if (h->kind == POLICY_HOST_NAME && !policy_host_inside(h) && p->kind == POLICY_PATTERN_GLOB)
		assert((v.rule != NULL) == policy_labels(p->host, p->len, h->name, h->len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *nl = memchr(text, '\n', size);
	size_t len = nl ? (size_t)(nl - text) : size;
	char canonical[POLICY_PATTERN_MAX], twice[POLICY_PATTERN_MAX];
	struct policy_pattern p, again;
	struct policy_host h;
	struct err e;

	host_alone(nl ? nl + 1 : text, nl ? size - len - 1 : size, &h);
	if (policy_pattern_parse(text, len, &p, &e) < 0) {
		assert(e.msg[0]);
		return 0;
	}
	policy_pattern_text(&p, canonical);
	assert(policy_pattern_parse(canonical, strlen(canonical), &again, &e) == 0);
	assert(strcmp(policy_pattern_text(&again, twice), canonical) == 0);
	assert(again.kind == p.kind && again.broad == p.broad);
	if (h.kind != POLICY_HOST_NONE)
		judge(&p, canonical, &h);
	return 0;
}
