#include "egress/config.h"
#include "egress/redirect.h"
#include "egress/text.h"
#include "policy/path.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

bool pattern_matches(const struct policy_pattern *p, const struct policy_host *h, uint16_t port)
{
	size_t len = p->len;

	if (p->port != 0 && p->port != port)
		return false;
	switch (p->kind) {
	case POLICY_PATTERN_ALL:
		return true;
	case POLICY_PATTERN_NAME:
		return h->kind == POLICY_HOST_NAME && strcmp(h->name, p->host) == 0;
	case POLICY_PATTERN_BELOW:
		return h->kind == POLICY_HOST_NAME && h->len >= len &&
		       strcmp(h->name + h->len - len, p->host) == 0 &&
		       (h->len == len || h->name[h->len - len - 1] == '.');
	case POLICY_PATTERN_GLOB:
		return h->kind == POLICY_HOST_NAME && policy_labels(p->host, len, h->name, h->len);
	case POLICY_PATTERN_NET:
		return h->kind == POLICY_HOST_ADDRESS &&
		       policy_address_in(&h->address, &p->net, p->prefix);
	case POLICY_PATTERN_LOCAL:
		return h->kind == POLICY_HOST_LOCAL;
	}
	return false;
}

bool slot_matches(
	const struct slot *s, const struct policy_host *host, uint16_t port, const char *path)
{
	return pattern_matches(&s->pattern, host, port) &&
	       (!s->slot->path[0] || policy_path_matches(s->slot->path, path, false));
}

const struct proxy *vault_config_proxy(
	const struct vault_config *c, const struct policy_host *host, uint16_t port)
{
	if (host->kind == POLICY_HOST_LOCAL)
		return NULL;
	for (size_t i = 0; i < c->n_proxies; i++)
		if (pattern_matches(&c->proxies[i].pattern, host, port))
			return c->proxies[i].kind == PROXY_DIRECT ? NULL : &c->proxies[i];
	return NULL;
}

/* unescape() - a part of a URL's user information; false: too long, or a control character */
static bool unescape(const char *p, size_t len, char *dst, size_t cap)
{
	if (len >= cap)
		return false;
	len = text_unpercent(p, len, dst);
	dst[len] = '\0';
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)dst[i] < ' ')
			return false;
	return true;
}

static bool parse_port(const char *p, uint16_t *ret_port)
{
	unsigned long n = 0;

	if (!*p)
		return false;
	for (; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		n = n * 10 + (unsigned)(*p - '0');
		if (n > 65535)
			return false;
	}
	*ret_port = (uint16_t)n;
	return n > 0;
}

static bool parse_authority(const char *p, size_t len, struct proxy *x)
{
	const char *at = memrchr(p, '@', len);
	char host[300], *colon, *end;

	if (at) {
		const char *mid = memchr(p, ':', (size_t)(at - p));

		if (!unescape(p, (size_t)((mid ? mid : at) - p), x->user, sizeof(x->user)) ||
			(mid && !unescape(mid + 1, (size_t)(at - mid - 1), x->password,
					sizeof(x->password))))
			return false;
		len -= (size_t)(at + 1 - p);
		p = at + 1;
	}
	if (len == 0 || len >= sizeof(host))
		return false;
	memcpy(host, p, len);
	host[len] = '\0';
	end = strchr(host, ']');
	colon = strrchr(end ? end : host, ':');
	if (colon) {
		if (!parse_port(colon + 1, &x->port))
			return false;
		*colon = '\0';
	}
	return policy_host_parse(host, strlen(host), &x->host);
}

/* parse_url() - scheme://[user:password@]host[:port][/path]; *ret_path points at the path */
static bool parse_url(const char *url, struct proxy *x, const char **ret_path)
{
	static const struct {
		const char *scheme;
		enum proxy_kind kind;
		uint16_t port;
	} known[] = {{"http://", PROXY_HTTP, 80}, {"https://", PROXY_HTTPS, 443},
		{"socks5://", PROXY_SOCKS5, 1080}, {"socks5h://", PROXY_SOCKS5H, 1080}};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		size_t n = strlen(known[i].scheme);

		if (strncmp(url, known[i].scheme, n) != 0)
			continue;
		url += n;
		n = strcspn(url, "/?#");
		*ret_path = url + n;
		x->kind = known[i].kind;
		x->port = known[i].port;
		return parse_authority(url, n, x);
	}
	return false;
}

static int read_proxies(struct vault_config *v, struct err *e)
{
	v->proxies = calloc(v->c.n_proxies + 1, sizeof(*v->proxies));
	if (!v->proxies || v->c.n_proxies > PROXIES_MAX)
		return err_set(e, ERR_LIMIT, -ENOSPC, "too many proxies");
	for (uint32_t i = 0; i < v->c.n_proxies; i++) {
		const struct egress_proxy *p = &v->c.proxies[i];
		struct proxy *x = &v->proxies[i];
		const char *path = "";
		int r = policy_pattern_parse(p->pattern, strlen(p->pattern), &x->pattern, e);

		if (r < 0)
			return err_wrap(e, r, "proxy %u", i + 1);
		if (p->url[0] &&
			(!parse_url(p->url, x, &path) || (path[0] && strcmp(path, "/") != 0)))
			return err_set(
				e, ERR_INVALID, -EINVAL, "proxy %u: not a URL of a proxy", i + 1);
		v->n_proxies++;
	}
	return 0;
}

static int read_slot(struct vault_config *v, const struct egress_credential *c,
	const struct egress_slot *s, struct err *e)
{
	struct slot *x = &v->slots[v->n_slots];
	int r = policy_pattern_parse(s->host, strlen(s->host), &x->pattern, e);

	if (r < 0)
		return err_wrap(e, r, "credential '%s'", c->name);
	if (s->path[0]) {
		r = policy_path_pattern_check(s->path, e);
		if (r < 0)
			return err_wrap(e, r, "credential '%s'", c->name);
	}
	/* The port is part of where a credential may go. */
	if (x->pattern.port == 0)
		x->pattern.port = 443;
	x->credential = c;
	x->slot = s;
	v->n_slots++;
	return 0;
}

static int read_slots(struct vault_config *v, struct err *e)
{
	size_t n = 1;

	for (uint32_t i = 0; i < v->c.n_credentials; i++)
		n += v->c.credentials[i].n_slots;
	v->slots = calloc(n, sizeof(*v->slots));
	if (!v->slots)
		return err_sys(e, -ENOMEM, "read credentials");
	for (uint32_t i = 0; i < v->c.n_credentials; i++) {
		const struct egress_credential *c = &v->c.credentials[i];

		if (strlen(c->sentinel) < SENTINEL_LEAST)
			return err_set(e, ERR_INVALID, -EINVAL,
				"credential '%s': its stand-in is too short", c->name);
		for (uint16_t j = 0; j < c->n_slots; j++) {
			int r = read_slot(v, c, &c->slots[j], e);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int read_authz(struct vault_config *v, struct err *e)
{
	const char *path = "";
	size_t n;

	if (!v->c.authz_url[0])
		return 0;
	if (!parse_url(v->c.authz_url, &v->authz, &path) || v->authz.kind > PROXY_HTTPS ||
		v->authz.user[0] || strpbrk(path, "?# "))
		return err_set(e, ERR_INVALID, -EINVAL, "ext_authz: not a URL of a service");
	n = strlen(path);
	while (n > 0 && path[n - 1] == '/')
		n--;
	if (n >= sizeof(v->authz_path))
		return err_set(e, ERR_INVALID, -EINVAL, "ext_authz: its path is too long");
	memcpy(v->authz_path, path, n);
	v->has_authz = true;
	return 0;
}

int vault_config_new(const void *bytes, size_t len, struct vault_config **ret_c, struct err *e)
{
	struct vault_config *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return err_sys(e, -ENOMEM, "read the configuration");
	v->refs = 1;
	if (egress_get_config(bytes, len, &v->c) != PROTO_OK)
		r = err_set(e, ERR_INVALID, -EBADMSG, "the configuration is malformed");
	else if ((r = policy_decode(v->c.policy, v->c.policy_len, &v->policy)) < 0)
		err_set(e, ERR_INVALID, r, "the policy is malformed");
	else if (v->c.n_redirects && !redirect_supported())
		r = err_set(e, ERR_INVALID, -EINVAL, "redirects are for tests");
	if (r == 0)
		r = read_proxies(v, e);
	if (r == 0)
		r = read_slots(v, e);
	if (r == 0)
		r = read_authz(v, e);
	if (r < 0) {
		vault_config_unref(v);
		return r;
	}
	*ret_c = v;
	return 0;
}

struct vault_config *vault_config_ref(struct vault_config *c)
{
	c->refs++;
	return c;
}

void vault_config_unref(struct vault_config *c)
{
	if (!c || --c->refs > 0)
		return;
	policy_free(c->policy);
	free(c->proxies);
	free(c->slots);
	egress_config_fini(&c->c);
	free(c);
}
