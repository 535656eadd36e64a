#include "policy/internal.h"
#include <errno.h>
#include <string.h>

uint32_t policy_hash_name(const char *s, size_t len)
{
	uint32_t h = POLICY_HASH_INIT;

	while (len-- > 0)
		h = policy_hash_back(h, s[len]);
	return h;
}

uint32_t policy_hash_net(const struct policy_address *a, unsigned prefix)
{
	uint32_t h = policy_hash_back(POLICY_HASH_INIT, (char)(a->family << 4 | 1));
	unsigned whole = prefix / 8, rest = prefix % 8;

	h = policy_hash_back(h, (char)prefix);
	for (unsigned i = 0; i < whole; i++)
		h = policy_hash_back(h, (char)a->byte[i]);
	if (rest)
		h = policy_hash_back(h, (char)(a->byte[whole] & (0xff00U >> rest)));
	return h;
}

/* chain_of() - where the rule is found from */
static uint32_t *chain_of(struct policy_layer *l, struct policy_entry *en)
{
	switch (en->kind) {
	case POLICY_PATTERN_ALL:
		return &l->all;
	case POLICY_PATTERN_LOCAL:
		return &l->local;
	case POLICY_PATTERN_NET:
		l->lengths[en->net.family == 6][en->prefix / 64] |= 1ULL << en->prefix % 64;
		en->hash = policy_hash_net(&en->net, en->prefix);
		break;
	case POLICY_PATTERN_NAME:
	case POLICY_PATTERN_BELOW:
	case POLICY_PATTERN_GLOB:
	default:
		en->hash = policy_hash_name(en->host + en->tail, en->len - en->tail);
	}
	return &l->heads[en->hash & l->mask];
}

static bool is_name(enum policy_pattern_kind kind)
{
	return kind == POLICY_PATTERN_NAME || kind == POLICY_PATTERN_BELOW ||
	       kind == POLICY_PATTERN_GLOB;
}

int policy_index(struct policy_layer *l)
{
	uint32_t size = 16;

	while (size < 2 * l->n)
		size *= 2;
	free(l->heads);
	l->heads = malloc(size * sizeof(*l->heads));
	if (!l->heads)
		return -ENOMEM;
	memset(l->heads, 0xff, size * sizeof(*l->heads));
	memset(l->lengths, 0, sizeof(l->lengths));
	l->mask = size - 1;
	l->all = l->local = NO_ENTRY;
	/* from the last to the first, so that each chain is in the order of the rules */
	l->narrows_names = false;
	for (uint32_t i = l->n; i-- > 0;) {
		uint32_t *head = chain_of(l, &l->entries[i]);

		l->narrows_names |=
			l->entries[i].rule.decision != POLICY_ALLOW && is_name(l->entries[i].kind);
		l->entries[i].next = *head;
		*head = i;
	}
	return 0;
}
