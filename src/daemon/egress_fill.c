/* One configuration: what policy, secrets, settings and this host say of a sandbox. */
#include "base/clock.h"
#include "base/io.h"
#include "daemon/credentials.h"
#include "daemon/egress.h"
#include "daemon/policy.h"
#include "daemon/sandbox.h"
#include "daemon/settings.h"
#include "policy/policy.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define HOSTS	    "/etc/hosts"
#define DENY_HINT   "sbx policy allow"

struct egress_parts {
	struct buf policy, extra_ca;
	struct egress_host_facts facts;
	struct credentials held;
	char authz[SETTINGS_VALUE_MAX];
};

static int fill_policy(struct sandbox *s, struct egress_parts *m, struct err *e)
{
	AUTO_POLICY *p = NULL;
	int r = daemon_policy_for(s->d, s, &p, e);

	if (r < 0)
		return r;
	r = policy_encode(p, &m->policy);
	return r < 0 ? err_sys(e, r, "write the policy of sandbox '%s'", s->name) : 0;
}

/* fill_settings() - what the user chose goes before what the host is set up with */
static int fill_settings(
	struct sandbox *s, struct egress_parts *m, struct egress_config *c, struct err *e)
{
	const struct paths *p = &s->d->paths;
	char value[SETTINGS_VALUE_MAX];
	int r = settings_get(p, SETTING_EXTRA_CA, value, e);

	if (r == 0 && value[0]) {
		r = settings_read_ca(value, &m->extra_ca, e);
		if (r < 0)
			return err_wrap(e, r, "the setting tls.extraCA");
	}
	if (r == 0)
		r = settings_get(p, SETTING_AUTHZ, m->authz, e);
	if (r == 0)
		r = settings_get(p, SETTING_AUTHZ_MS, value, e);
	if (r < 0)
		return r;
	c->extra_ca = buf_str(&m->extra_ca);
	c->authz_url = m->authz;
	c->authz_ms = (uint32_t)strtoul(value, NULL, 10);
	return 0;
}

static int fill_host(struct sandbox *s, struct egress_parts *m, struct err *e)
{
	const struct paths *p = &s->d->paths;
	char servers[SETTINGS_VALUE_MAX], proxy[SETTINGS_VALUE_MAX], none[SETTINGS_VALUE_MAX];
	int r = settings_get(p, SETTING_DNS, servers, e);

	if (r == 0)
		r = settings_get(p, SETTING_PROXY, proxy, e);
	if (r == 0)
		r = settings_get(p, SETTING_NO_PROXY, none, e);
	if (r < 0)
		return r;
	r = egress_host_read(&m->facts, RESOLV_CONF, HOSTS);
	if (r == 0 && servers[0])
		r = egress_host_servers(&m->facts, servers);
	if (r == 0)
		r = egress_host_proxies(&m->facts, getenv, proxy, none);
	return r < 0 ? err_sys(e, r, "find out how this host finds others") : 0;
}

int egress_fill(
	struct sandbox *s, struct egress_config *c, struct egress_parts **ret, struct err *e)
{
	struct egress_parts *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return err_sys(e, -ENOMEM, "configure the way out");
	*ret = m;
	buf_init(&m->policy, POLICY_BYTES_MAX);
	buf_init(&m->extra_ca, SETTINGS_CA_MAX);
	*c = (struct egress_config){
		.id = s->id, .name = s->name, .agent = s->plan->agent, .deny_hint = DENY_HINT};
	r = fill_policy(s, m, e);
	if (r == 0)
		r = fill_settings(s, m, c, e);
	if (r == 0)
		r = fill_host(s, m, e);
	if (r == 0)
		r = credentials_for(s, &m->held, e);
	if (r < 0)
		return r;
	c->policy = (const uint8_t *)m->policy.data;
	c->policy_len = m->policy.len;
	c->servers = m->facts.servers;
	c->n_servers = m->facts.n_servers;
	c->hosts = m->facts.hosts;
	c->n_hosts = m->facts.n_hosts;
	c->proxies = m->facts.proxies;
	c->n_proxies = m->facts.n_proxies;
	c->credentials = m->held.list;
	c->n_credentials = m->held.n;
	c->oauth = m->held.oauth;
	c->n_oauth = m->held.n_oauth;
	return 0;
}

void egress_parts_free(struct egress_parts *m)
{
	if (!m)
		return;
	buf_fini(&m->policy);
	buf_fini(&m->extra_ca);
	egress_host_fini(&m->facts);
	credentials_fini(&m->held);
	free(m);
}
