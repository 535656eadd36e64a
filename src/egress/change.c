/* A new configuration, or a secret that is gone: what of the exchanges under way may go on? */
#include "egress/chan.h"
#include <string.h>

/* is_bound() - may the credential that the exchange has still go there? */
static bool is_bound(const struct chan *c)
{
	const struct vault_config *v = c->v->config;

	for (size_t i = 0; i < v->n_slots; i++)
		if (strcmp(v->slots[i].credential->name, c->cred.used) == 0 &&
			slot_matches(&v->slots[i], &c->host, c->q.port, c->q.path))
			return true;
	for (uint32_t i = 0; i < v->c.n_oauth; i++)
		if (strcmp(v->c.oauth[i].credential, c->cred.used) == 0 &&
			strcmp(v->c.oauth[i].host, c->host.name) == 0)
			return true;
	return false;
}

/* holds_credential() - one that is not sent yet, or by which bytes still flow. (A body that is gathered is
 * looked at again when it is here.)
 */
static bool holds_credential(const struct chan *c)
{
	return c->cred.used[0] && (c->state == CHAN_WAIT || c->state == CHAN_TUNNEL);
}

void exchange_revoke(struct chan *c, const char *name)
{
	if (holds_credential(c) && strcmp(c->cred.used, name) == 0)
		chan_close(c);
}

void exchange_recheck(struct chan *c)
{
	struct policy_request q = {.host = &c->host};
	struct policy_verdict verdict;
	bool tunnel = c->t.port != 0, cut;

	if (c->state == CHAN_IDLE || c->state == CHAN_DRAIN || c->state == CHAN_NAMES || !c->config)
		return;
	q.kind = tunnel ? POLICY_TUNNEL : exchange_kind(&c->q);
	q.port = tunnel ? c->t.port : c->q.port;
	q.method = tunnel ? NULL : c->q.method;
	q.path = tunnel ? NULL : c->q.path;
	q.path_flags = tunnel ? 0 : c->path_flags;
	if (c->up)
		q.address = c->up->peer; /* none before it is connected */
	policy_decide(c->v->config->policy, &q, &verdict);
	cut = verdict.decision == POLICY_DENY;
	cut |= tunnel && tunnel_managed(c->v->config, &c->host, c->t.port);
	cut |= !tunnel && holds_credential(c) && !is_bound(c);
	if (cut) {
		c->v->denials++;
		chan_close(c);
	}
}
