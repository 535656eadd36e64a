/* egress_config.h - what sbxd tells front and vault to enforce: one configuration, struct ⇄ bytes
 *
 * Travels in a sealed memfd (CONFIG of docs/protocol/egress.md). One form for both programs; each
 * gets the parts it needs and the others empty: the front never gets credentials, the vault never
 * the CA's key. No secret is in it: values come by SECRET. Decoded lists are heap memory, texts
 * point into one copy which the struct owns. No I/O.
 */
#ifndef PROTO_EGRESS_CONFIG_H
#define PROTO_EGRESS_CONFIG_H
#include "proto/egress.h"

#define EGRESS_CONFIG_MAX  (4U << 20)
#define EGRESS_SERVERS_MAX 8
#define EGRESS_LIST_MAX	   4096

/* Where a credential's value goes in a request. */
enum egress_slot_kind {
	EGRESS_SLOT_HEADER = 1, /* @header, value by @format with one %s */
	EGRESS_SLOT_BASIC, /* Authorization: Basic, @username and the value */
	EGRESS_SLOT_QUERY, /* parameter @header of the query */
	EGRESS_SLOT_PLACEHOLDER, /* the sentinel is replaced wherever @header says: a field's name */
	EGRESS_SLOT_SIGV4, /* the request is signed anew; @username is the access key id's credential, "": the
			    * value is "ID:KEY" and the stand-in is both */
};

struct egress_slot {
	enum egress_slot_kind kind;
	const char *host; /* pattern of policy/pattern.h, with its port or 443 */
	const char *path; /* pattern of policy/path.h, "" for all */
	const char *header, *format, *username;
};

struct egress_credential {
	const char *name; /* "github" */
	const char *sentinel; /* what the guest holds */
	uint16_t n_slots;
	struct egress_slot *slots;
	bool pass_body; /* the stand-in may stand in bodies to the slots' hosts; it is not replaced there */
	bool claims; /* a JWT: the guest's has the same header and claims, the sentinel is its signature */
};

/* A token endpoint whose answers are kept from the guest. Fields are keys of the JSON answer, "" for none.
 * The access token is the secret @credential; ".refresh", ".id" and ".device" behind that name the others.
 */
struct egress_oauth {
	const char *credential;
	const char *host, *path;
	const char *access_field, *refresh_field;
	const char *access_sentinel, *refresh_sentinel;
	const char *id_field, *id_sentinel; /* the sentinel stands for the signature alone */
	const char *device_path; /* where device codes are asked for (RFC 8628); "" for nowhere */
	const char *device_field, *device_sentinel;
	bool claims; /* of the access token: as in egress_credential */
};

struct egress_host { /* a line of the host's hosts file */
	const char *name;
	struct egress_addr addr;
};

struct egress_proxy {
	const char *pattern; /* hosts it is for; "**" for all */
	const char *url; /* scheme://[user:password@]host:port; "" : direct */
};

struct egress_server {
	struct egress_addr addr;
	uint16_t port;
};

/* Builds for tests only: a vetted address is dialled elsewhere, after all checks. */
struct egress_redirect {
	struct egress_addr from, to;
	uint16_t from_port, to_port; /* from_port 0: every port, to_port is then added to it */
};

struct egress_config {
	uint64_t generation;
	const char *id, *name, *agent; /* of the sandbox */
	const uint8_t *policy; /* policy_decode() */
	size_t policy_len;
	uint32_t ask_ms; /* how long a question waits; 0: 120 s */
	const char *deny_hint; /* printf-free text before the resource: "sbx policy allow" */
	/* the vault's */
	const char *extra_ca; /* PEM, "" for none */
	const char *authz_url; /* ext_authz HTTP service, "" for none */
	uint32_t authz_ms;
	uint32_t n_servers, n_hosts, n_credentials, n_oauth, n_proxies, n_redirects;
	struct egress_server *servers;
	struct egress_host *hosts;
	struct egress_credential *credentials;
	struct egress_oauth *oauth;
	struct egress_proxy *proxies;
	struct egress_redirect *redirects;
	void *bytes; /* the copy that texts point into; NULL in a config that is to be encoded */
};

int egress_put_config(struct buf *out, const struct egress_config *c) MUST_USE;
/* egress_get_config() - *ret_c is to be _fini()d, also when it is empty after PROTO_MALFORMED (no
 * memory counts as that)
 */
enum proto_result egress_get_config(
	const void *p, size_t len, struct egress_config *ret_c) MUST_USE;
void egress_config_fini(struct egress_config *c);
#endif
