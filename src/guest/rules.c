#include "guest/rules.h"
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>

#define TABLE	     "sbx"
#define PRIORITY     (-100) /* where destinations are rewritten */
#define DNS	     53
#define DEVICE_BYTES 16 /* IFNAMSIZ: names are compared whole */

/* nf_tables numbers of netfilter's hooks, which the C library's headers fight about */
enum { HOOK_PREROUTING = 0, HOOK_OUTPUT = 3 };

/* Networks that are never outside: loopback, multicast and what lies above it, link-local. */
static const struct rules_prefix always[] = {
	{4, 8, {127}},
	{4, 3, {224}},
	{6, 128, {[15] = 1}},
	{6, 10, {0xfe, 0x80}},
	{6, 8, {0xff}},
};

static void begin(struct nl *n, uint16_t type, uint16_t flags)
{
	const struct nfgenmsg g = {.nfgen_family = NFPROTO_INET, .version = NFNETLINK_V0};

	nl_begin(n, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags | NLM_F_ACK, &g, sizeof(g));
}

static void bracket(struct nl *n, uint16_t type)
{
	const struct nfgenmsg g = {.nfgen_family = AF_UNSPEC,
		.version = NFNETLINK_V0,
		.res_id = htons(NFNL_SUBSYS_NFTABLES)};

	nl_begin(n, type, 0, &g, sizeof(g));
	nl_end(n);
}

static void table(struct nl *n, uint16_t type, uint16_t flags)
{
	begin(n, type, flags);
	nl_put_str(n, NFTA_TABLE_NAME, TABLE);
	nl_end(n);
}

static void chain(struct nl *n, const char *name, uint32_t hook)
{
	size_t nest;

	begin(n, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	nl_put_str(n, NFTA_CHAIN_TABLE, TABLE);
	nl_put_str(n, NFTA_CHAIN_NAME, name);
	nest = nl_nest(n, NFTA_CHAIN_HOOK);
	nl_put_be32(n, NFTA_HOOK_HOOKNUM, hook);
	nl_put_be32(n, NFTA_HOOK_PRIORITY, (uint32_t)PRIORITY);
	nl_unnest(n, nest);
	nl_put_be32(n, NFTA_CHAIN_POLICY, NF_ACCEPT);
	nl_put_str(n, NFTA_CHAIN_TYPE, "nat");
	nl_end(n);
}

/* ---- rules: a message, in it a list of expressions, each with a name and attributes ---- */

struct rule {
	struct nl *n;
	size_t list, elem, data;
};

static struct rule rule_begin(struct nl *n, const char *in_chain)
{
	struct rule r = {.n = n};

	begin(n, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	nl_put_str(n, NFTA_RULE_TABLE, TABLE);
	nl_put_str(n, NFTA_RULE_CHAIN, in_chain);
	r.list = nl_nest(n, NFTA_RULE_EXPRESSIONS);
	return r;
}

static void rule_end(struct rule *r)
{
	nl_unnest(r->n, r->list);
	nl_end(r->n);
}

static void expr_begin(struct rule *r, const char *name)
{
	r->elem = nl_nest(r->n, NFTA_LIST_ELEM);
	nl_put_str(r->n, NFTA_EXPR_NAME, name);
	r->data = nl_nest(r->n, NFTA_EXPR_DATA);
}

static void expr_end(struct rule *r)
{
	nl_unnest(r->n, r->data);
	nl_unnest(r->n, r->elem);
}

static void put_value(struct nl *n, uint16_t type, const void *p, size_t len)
{
	size_t nest = nl_nest(n, type);

	nl_put(n, NFTA_DATA_VALUE, p, len);
	nl_unnest(n, nest);
}

static void expr_meta(struct rule *r, uint32_t key)
{
	expr_begin(r, "meta");
	nl_put_be32(r->n, NFTA_META_DREG, NFT_REG_1);
	nl_put_be32(r->n, NFTA_META_KEY, key);
	expr_end(r);
}

static void expr_payload(struct rule *r, uint32_t base, uint32_t offset, uint32_t len)
{
	expr_begin(r, "payload");
	nl_put_be32(r->n, NFTA_PAYLOAD_DREG, NFT_REG_1);
	nl_put_be32(r->n, NFTA_PAYLOAD_BASE, base);
	nl_put_be32(r->n, NFTA_PAYLOAD_OFFSET, offset);
	nl_put_be32(r->n, NFTA_PAYLOAD_LEN, len);
	expr_end(r);
}

static void expr_mask(struct rule *r, const uint8_t *mask, uint32_t len)
{
	static const uint8_t none[16];

	expr_begin(r, "bitwise");
	nl_put_be32(r->n, NFTA_BITWISE_SREG, NFT_REG_1);
	nl_put_be32(r->n, NFTA_BITWISE_DREG, NFT_REG_1);
	nl_put_be32(r->n, NFTA_BITWISE_LEN, len);
	put_value(r->n, NFTA_BITWISE_MASK, mask, len);
	put_value(r->n, NFTA_BITWISE_XOR, none, len);
	expr_end(r);
}

static void expr_cmp(struct rule *r, uint32_t op, const void *p, size_t len)
{
	expr_begin(r, "cmp");
	nl_put_be32(r->n, NFTA_CMP_SREG, NFT_REG_1);
	nl_put_be32(r->n, NFTA_CMP_OP, op);
	put_value(r->n, NFTA_CMP_DATA, p, len);
	expr_end(r);
}

static void expr_accept(struct rule *r)
{
	size_t data, verdict;

	expr_begin(r, "immediate");
	nl_put_be32(r->n, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = nl_nest(r->n, NFTA_IMMEDIATE_DATA);
	verdict = nl_nest(r->n, NFTA_DATA_VERDICT);
	nl_put_be32(r->n, NFTA_VERDICT_CODE, NF_ACCEPT);
	nl_unnest(r->n, verdict);
	nl_unnest(r->n, data);
	expr_end(r);
}

static void expr_redirect(struct rule *r, uint16_t port)
{
	const uint8_t be[2] = {(uint8_t)(port >> 8), (uint8_t)port};

	expr_begin(r, "immediate");
	nl_put_be32(r->n, NFTA_IMMEDIATE_DREG, NFT_REG_1);
	put_value(r->n, NFTA_IMMEDIATE_DATA, be, sizeof(be));
	expr_end(r);
	expr_begin(r, "redir");
	nl_put_be32(r->n, NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
	expr_end(r);
}

/* leave_alone_device() - what does not go (@key out) or come (in) by @device is decided elsewhere */
static void leave_alone_device(
	struct nl *n, const char *in_chain, uint32_t key, uint32_t op, const char *device)
{
	struct rule r = rule_begin(n, in_chain);
	char name[DEVICE_BYTES] = "";

	memcpy(name, device, strnlen(device, sizeof(name) - 1));
	expr_meta(&r, key);
	expr_cmp(&r, op, name, sizeof(name));
	expr_accept(&r);
	rule_end(&r);
}

static void leave_alone_network(struct nl *n, const char *in_chain, const struct rules_prefix *p)
{
	struct rule r = rule_begin(n, in_chain);
	const uint8_t family = p->family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
	uint32_t len = p->family == 4 ? 4 : 16;
	uint8_t mask[16] = {0}, net[16];

	for (uint32_t bit = 0; bit < p->bits && bit < len * 8; bit++)
		mask[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
	for (uint32_t i = 0; i < sizeof(net); i++)
		net[i] = p->addr[i] & mask[i];
	expr_meta(&r, NFT_META_NFPROTO);
	expr_cmp(&r, NFT_CMP_EQ, &family, sizeof(family));
	expr_payload(&r, NFT_PAYLOAD_NETWORK_HEADER, p->family == 4 ? 16 : 24, len);
	expr_mask(&r, mask, len);
	expr_cmp(&r, NFT_CMP_EQ, net, len);
	expr_accept(&r);
	rule_end(&r);
}

/* redirect() - @proto, and with @from_port only that destination port, to @to_port */
static void redirect(
	struct nl *n, const char *in_chain, uint8_t proto, uint16_t from_port, uint16_t to_port)
{
	struct rule r = rule_begin(n, in_chain);
	const uint8_t be[2] = {(uint8_t)(from_port >> 8), (uint8_t)from_port};

	expr_meta(&r, NFT_META_L4PROTO);
	expr_cmp(&r, NFT_CMP_EQ, &proto, sizeof(proto));
	if (from_port) {
		expr_payload(&r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
		expr_cmp(&r, NFT_CMP_EQ, be, sizeof(be));
	}
	expr_redirect(&r, to_port);
	rule_end(&r);
}

static void redirect_all(struct nl *n, const char *in_chain)
{
	redirect(n, in_chain, IPPROTO_UDP, DNS, RULES_DNS_PORT);
	redirect(n, in_chain, IPPROTO_TCP, DNS, RULES_DNS_PORT);
	redirect(n, in_chain, IPPROTO_TCP, 0, RULES_TCP_PORT);
	redirect(n, in_chain, IPPROTO_UDP, 0, RULES_CLOSED);
}

void rules_build(struct nl *n, const struct rules_prefix *own, size_t n_own)
{
	nl_init(n);
	bracket(n, NFNL_MSG_BATCH_BEGIN);
	table(n, NFT_MSG_NEWTABLE, NLM_F_CREATE); /* so that there is one to delete */
	table(n, NFT_MSG_DELTABLE, 0);
	table(n, NFT_MSG_NEWTABLE, NLM_F_CREATE);
	chain(n, "output", HOOK_OUTPUT);
	leave_alone_device(n, "output", NFT_META_OIFNAME, NFT_CMP_NEQ, RULES_DEVICE);
	redirect_all(n, "output");
	chain(n, "prerouting", HOOK_PREROUTING);
	leave_alone_device(n, "prerouting", NFT_META_IIFNAME, NFT_CMP_EQ, "lo");
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		leave_alone_network(n, "prerouting", &always[i]);
	for (size_t i = 0; i < n_own && i < RULES_PREFIX_MAX; i++)
		leave_alone_network(n, "prerouting", &own[i]);
	redirect_all(n, "prerouting");
	bracket(n, NFNL_MSG_BATCH_END);
}
