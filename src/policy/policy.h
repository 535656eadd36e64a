/* policy.h - rules, and the one function that judges a request by them
 *
 * Pure: no I/O; policy_decide() neither allocates nor writes to the policy, which any number of threads
 * may share once it is sealed. Enforcement (front, vault, resolver), `sbx policy check`, the log and
 * children's policies all ask policy_decide().
 *
 * How it judges (docs/policy.md):
 *  1. a denial that matches wins, whoever wrote it and whatever else there is;
 *  2. else an `ask` that matches asks, if something allows or that rule itself may;
 *     `ask **` is the exception: it asks only where nothing else allows;
 *  3. else an `allow` allows; name rules come before address rules;
 *  4. else it is denied.
 * Addresses that are not public are reached only where a rule names them (an address or a range within
 * their class; metadata services: exactly that address), whatever name led to them; the host's loopback
 * only by `localhost:PORT`. Names are looked up only where a name rule could allow something.
 * With an organisation's policy (governed) only its allows count, denials from everywhere do.
 * A policy has layers, its own and its ancestors': each must allow (the strictest verdict wins).
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H
#include "base/buf.h"
#include "base/err.h"
#include "policy/host.h"
#include <stdbool.h>
#include <stdint.h>

#define POLICY_RULES_MAX  8192 /* in one layer */
#define POLICY_LAYERS_MAX 8
#define POLICY_BYPASS_MAX 256
#define POLICY_ID_MAX	  63
#define POLICY_ORIGIN_MAX 127
#define POLICY_GRPC_MAX	  255
#define POLICY_BYTES_MAX  (4U << 20) /* encoded */

enum policy_decision { POLICY_DENY, POLICY_ASK, POLICY_ALLOW };

enum policy_source {
	POLICY_SOURCE_ORG,
	POLICY_SOURCE_USER, /* this user's rules for all sandboxes, the preset among them */
	POLICY_SOURCE_SANDBOX,
	POLICY_SOURCE_KIT,
	POLICY_SOURCE_PARENT, /* of a verdict only: a rule of an ancestor's layer */
	POLICY_SOURCE_COUNT
};

/* methods of a rule; 0: all, unknown ones too */
enum {
	POLICY_GET = 1,
	POLICY_HEAD = 2,
	POLICY_POST = 4,
	POLICY_PUT = 8,
	POLICY_PATCH = 16,
	POLICY_DELETE = 32,
	POLICY_OPTIONS = 64,
	POLICY_CONNECT = 128,
	POLICY_TRACE = 256,
	POLICY_METHODS = 511,
};

/* A rule. One without methods, path, websocket and grpc is about connections: it covers all that can
 * be sent over them. The others look into requests. All text is canonical, as policy_add() made it.
 */
struct policy_rule {
	const char *id; /* unique among the rules one sees together; [A-Za-z0-9._:-]+ */
	const char *resource; /* pattern.h */
	const char *path; /* path.h; NULL: any */
	const char *grpc; /* "package.Service/Method", either part may be '*'; NULL: any */
	const char
		*origin; /* who wrote it, for people: "preset balanced", "kit claude"; never NULL */
	uint16_t methods; /* POLICY_GET | ...; 0: any */
	enum policy_source source;
	enum policy_decision decision;
	bool websocket; /* about WebSocket handshakes only */
};

enum policy_kind {
	/* May this name be looked up (or, an address: its PTR record)? Ports and requests do not
	 * count. ASK: nobody looks it up before the answer, since names carry data out: the front
	 * asks, and the vault takes an ASK for answered. A name that stands whole in an ask rule is
	 * ALLOW: its look-up tells nobody anything.
	 */
	POLICY_DNS,
	POLICY_TCP, /* may a connection be opened, whose requests will be judged one by one if `inspect`? */
	POLICY_TUNNEL, /* may bytes pass that nobody looks into: raw TCP, TLS of a bypass host? */
	POLICY_HTTP,
	POLICY_WEBSOCKET,
	POLICY_GRPC, /* path "/package.Service/Method" */
	POLICY_KINDS
};

struct policy_request {
	enum policy_kind kind;
	const struct policy_host *host; /* what the client named; NULL: only an address is known */
	struct policy_address address; /* claimed or about to be dialled; family 0: not known yet */
	uint16_t port; /* 0 with DNS only */
	const char *
		method; /* HTTP; as sent (methods are case-sensitive). WEBSOCKET and GRPC: ignored */
	const char *path; /* of HTTP, WEBSOCKET, GRPC: from policy_path_canon() */
	unsigned path_flags; /* from policy_path_canon() */
};

enum policy_reason {
	POLICY_REASON_RULE, /* verdict.rule decided */
	POLICY_REASON_DEFAULT, /* no rule allows it */
	POLICY_REASON_HTTP, /* rules allow other requests to this host, not this one */
	POLICY_REASON_GOVERNED, /* a rule allows it, but only the organisation's allows count */
	POLICY_REASON_ADDRESS, /* no rule names the address: it is not public, or names are denied */
	POLICY_REASON_METADATA, /* a metadata service, and no rule names exactly it */
	POLICY_REASON_LOCAL, /* the host's loopback, and no rule names that port of it */
	POLICY_REASON_PATH, /* a path that servers read differently, where a rule looks at paths */
	POLICY_REASON_UNSEEN, /* requests must be judged and cannot be seen in this flow */
	POLICY_REASON_INSIDE, /* a name or address that means the sandbox's own way out */
	POLICY_REASON_BAD, /* the request contradicts itself: nothing that may be sent */
	POLICY_REASON_COUNT
};

struct policy_verdict {
	enum policy_decision decision;
	enum policy_reason reason;
	const struct policy_rule *rule; /* borrowed from the policy; NULL: no rule decided */
	enum policy_source source; /* of rule; PARENT when it is an ancestor's */
	bool inspect; /* TCP: each request must be judged; what cannot be inspected is to be refused */
	bool bypass; /* TCP, TUNNEL: TLS to it is not inspected */
};

struct policy;

/* building: new, add..., seal. All failures leave the policy as it was. */
struct policy *policy_new(void) MUST_USE; /* NULL: no memory */
void policy_free(struct policy *p); /* NULL is fine */
void policy_freep(struct policy **p);
#define AUTO_POLICY                                                                                \
	__attribute__((cleanup(policy_freep))) struct policy /* AUTO_POLICY *p = NULL; */

/* policy_add() - @r is copied, its resource and path made canonical; one resource, no list
 * -EINVAL: the rule says nothing sensible; -ENOSPC: POLICY_RULES_MAX; -ENOMEM.
 */
int policy_add(struct policy *p, const struct policy_rule *r, struct err *e) MUST_USE;
/* policy_check_rule() - as policy_add() would judge it, without a policy */
int policy_check_rule(const struct policy_rule *r, struct err *e) MUST_USE;
/* policy_add_bypass() - TLS to @resource (a name pattern, with or without port) is not inspected */
int policy_add_bypass(struct policy *p, const char *resource, struct err *e) MUST_USE;
/* policy_govern() - an organisation's policy is in force: only its allows count */
void policy_govern(struct policy *p);
/* policy_inherit() - everything must also be allowed by @parent (sealed; its layers are copied) */
int policy_inherit(struct policy *p, const struct policy *parent, struct err *e) MUST_USE;
int policy_seal(struct policy *p) MUST_USE; /* -ENOMEM */

/* reading; rules in the order they were added; borrowed */
size_t policy_layers(const struct policy *p);
size_t policy_rules(const struct policy *p, size_t layer);
const struct policy_rule *policy_rule_at(const struct policy *p, size_t layer, size_t i);
bool policy_governed(const struct policy *p); /* the own layer is */
size_t policy_bypasses(const struct policy *p, size_t layer);
const char *policy_bypass_at(const struct policy *p, size_t layer, size_t i);

/* policy_encode() - bytes for CONFIG; policy_decode() - strict: what it accepts encodes to the same
 * bytes. The result is sealed. -EBADMSG: not a policy; -ENOMEM.
 */
int policy_encode(const struct policy *p, struct buf *out) MUST_USE;
int policy_decode(const void *bytes, size_t len, struct policy **ret_p) MUST_USE;

/* policy_decide() - @p is sealed. Never fails: what it cannot judge it denies. */
void policy_decide(
	const struct policy *p, const struct policy_request *r, struct policy_verdict *ret_v);
/* policy_may_answer() - vetting of an address in a DNS answer: public, or named by an allow rule.
 * Never the host's loopback nor an address that has a meaning inside only.
 */
bool policy_may_answer(const struct policy *p, const struct policy_address *a);
/* policy_bypass() - TLS to that host and port is not inspected (all layers say so) */
bool policy_bypass(const struct policy *p, const struct policy_host *host, uint16_t port);

/* words, for the store, the API, the command line and records */
const char *policy_decision_name(enum policy_decision d); /* "deny", "ask", "allow" */
bool policy_decision_from(const char *name, enum policy_decision *ret_d) MUST_USE;
const char *policy_source_name(
	enum policy_source s); /* "org", "user", "sandbox", "kit", "parent" */
bool policy_source_from(const char *name, enum policy_source *ret_s) MUST_USE;
const char *policy_reason_name(enum policy_reason r); /* "default-deny", ... */
const char *policy_reason_text(enum policy_reason r); /* a sentence without its full stop */
/* policy_method_bit() - 0: none of the known methods (they are upper case) */
unsigned policy_method_bit(const char *method);
/* policy_methods_parse() - "GET,post" in any case, or "ANY" alone (0). -EINVAL. */
int policy_methods_parse(const char *text, uint16_t *ret_methods, struct err *e) MUST_USE;
#define POLICY_METHODS_TEXT 64
char *policy_methods_text(uint16_t methods, char dst[POLICY_METHODS_TEXT]); /* "GET,POST"; "ANY" */
#endif
