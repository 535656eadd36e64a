/* internal.h - how a policy lies in memory; for src/policy alone
 *
 * A layer is an array of rules with an index: one hash table, in which a rule stands under the literal
 * labels at the end of its name (or under its masked address), so that a request finds its candidates by
 * one look for each suffix of its name and each length of range that occurs. Rules for everything and
 * for the host's loopback are two chains of their own.
 */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H
#include "policy/pattern.h"
#include "policy/policy.h"

#define NO_ENTRY UINT32_MAX

struct policy_entry {
	struct policy_rule rule; /* strings in the policy's arena */
	enum policy_pattern_kind kind;
	enum policy_address_class class; /* the special class a NET lies in; PUBLIC: none */
	uint16_t port, len, tail;
	uint8_t prefix;
	bool http; /* looks into requests */
	struct policy_address net;
	const char *host;
	uint32_t hash, next;
};

struct policy_layer {
	struct policy_entry *entries;
	uint32_t n, cap;
	uint32_t *heads; /* mask + 1 of them */
	uint32_t mask, all, local; /* first of the chains */
	uint64_t lengths[2][3]; /* bit n: a range of n bits occurs; [0] IPv4, [1] IPv6 */
	struct policy_pattern *bypass;
	const char **bypass_text;
	uint32_t n_bypass;
	bool governed;
	bool narrows_names; /* some rule denies or asks about names */
};

struct policy_chunk {
	struct policy_chunk *next;
	size_t used, cap;
	char bytes[];
};

struct policy {
	struct policy_layer *layers[POLICY_LAYERS_MAX]; /* [0] is the own one */
	size_t n_layers;
	struct policy_chunk *chunks;
	bool sealed;
};

/* policy_hash_back() - one more byte, in front of what was hashed; POLICY_HASH_INIT for none */
#define POLICY_HASH_INIT 2166136261U
static inline uint32_t policy_hash_back(uint32_t h, char c)
{
	return (h ^ (unsigned char)c) * 16777619U;
}
uint32_t policy_hash_name(const char *s, size_t len);
uint32_t policy_hash_net(const struct policy_address *a, unsigned prefix);
/* policy_index() - make the index of a layer; -ENOMEM */
int policy_index(struct policy_layer *l) MUST_USE;
/* policy_pattern_hits() - a bypass pattern against a host and port */
bool policy_pattern_hits(
	const struct policy_pattern *p, const struct policy_host *host, uint16_t port);
struct policy_layer *policy_layer_new(struct policy *p);
#endif
