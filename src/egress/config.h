/* config.h - a configuration in force, with what the vault makes of it: policy and patterns parsed
 *
 * Counted references: an exchange keeps the one it began with.
 */
#ifndef EGRESS_CONFIG_H
#define EGRESS_CONFIG_H
#include "policy/pattern.h"
#include "policy/policy.h"
#include "proto/egress_config.h"

#define PROXIES_MAX    64
#define SENTINEL_LEAST 12 /* shorter ones would be found where nobody meant them */

enum proxy_kind { PROXY_DIRECT, PROXY_HTTP, PROXY_HTTPS, PROXY_SOCKS5, PROXY_SOCKS5H };

struct proxy {
	struct policy_pattern pattern;
	enum proxy_kind kind;
	struct policy_host host;
	uint16_t port;
	char user[256], password[256]; /* decoded; "" for none */
};

struct slot {
	const struct egress_credential *credential;
	const struct egress_slot *slot;
	struct policy_pattern pattern;
};

struct vault_config {
	unsigned refs;
	struct egress_config c;
	struct policy *policy;
	struct proxy *proxies;
	size_t n_proxies;
	struct slot *slots;
	size_t n_slots;
	bool has_authz;
	struct proxy authz; /* host and port of the ext_authz service; kind HTTP or HTTPS */
	char authz_path[256]; /* prefix, without trailing '/' */
};

/* vault_config_new() - -EINVAL with the reason: nothing of it is used then */
int vault_config_new(
	const void *bytes, size_t len, struct vault_config **ret_c, struct err *e) MUST_USE;
struct vault_config *vault_config_ref(struct vault_config *c) MUST_USE;
void vault_config_unref(struct vault_config *c); /* NULL is fine */
/* vault_config_proxy() - for that host and port; NULL: direct */
const struct proxy *vault_config_proxy(
	const struct vault_config *c, const struct policy_host *host, uint16_t port);
/* slot_matches() - is @s for requests to that host, port and path? */
bool slot_matches(
	const struct slot *s, const struct policy_host *host, uint16_t port, const char *path);
/* pattern_matches() - by host and port, without an address */
bool pattern_matches(const struct policy_pattern *p, const struct policy_host *h, uint16_t port);
#endif
