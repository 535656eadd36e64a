/* test_rules.c - netlink messages byte for byte, and the rules that are made of them */
#include "check.h"
#include "guest/rules.h"
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>

static struct nl n;

static void test_message(void **state)
{
	static const uint8_t want[] = {/* length, type, flags, sequence, port */
		48, 0, 0, 0, 0x10, 0, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0,
		/* the family's header, padded */
		'h', 'd', 'r', 0,
		/* "lo" with its NUL, padded */
		7, 0, 3, 0, 'l', 'o', 0, 0,
		/* a number in its own order */
		8, 0, 4, 0, 0xdc, 5, 0, 0,
		/* a nest of one number in network order */
		12, 0, 1, 0x80, 8, 0, 2, 0, 0, 0, 1, 2};
	size_t nest;

	(void)state;
	nl_init(&n);
	nl_begin(&n, 16, NLM_F_ACK, "hdr", 3);
	nl_put_str(&n, 3, "lo");
	nl_put_u32(&n, 4, 1500);
	nest = nl_nest(&n, 1);
	nl_put_be32(&n, 2, 0x102);
	nl_unnest(&n, nest);
	nl_end(&n);
	assert_false(n.bad);
	assert_int_equal(n.len, sizeof(want));
	assert_memory_equal(n.p, want, sizeof(want));
	assert_int_equal(n.asked, 1);
}

static void test_too_much(void **state)
{
	static uint8_t big[70000];

	(void)state;
	nl_init(&n);
	nl_put(&n, 1, big, sizeof(big));
	assert_true(n.bad);
	assert_int_equal(n.len, 0);
	nl_init(&n);
	for (unsigned i = 0; i < NL_BYTES; i++)
		nl_put(&n, 1, big, 100);
	assert_true(n.bad && n.len <= NL_BYTES);
	assert_int_equal(nl_talk(&n, NETLINK_ROUTE, 100), -EMSGSIZE);
}

/* One rule of the table, as nft(8) sends it for "tcp dport 53 redirect to :61002". */
static const uint8_t dns_by_tcp[] = {
	/* meta load l4proto => reg 1 */
	0x24, 0, 1, 0x80, 9, 0, 1, 0, 'm', 'e', 't', 'a', 0, 0, 0, 0, 0x14, 0, 2, 0x80, 8, 0, 1, 0,
	0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 16,
	/* cmp eq reg 1 6 */
	0x2c, 0, 1, 0x80, 8, 0, 1, 0, 'c', 'm', 'p', 0, 0x20, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1, 8,
	0, 2, 0, 0, 0, 0, 0, 12, 0, 3, 0x80, 5, 0, 1, 0, 6, 0, 0, 0,
	/* payload load 2b @ transport header + 2 => reg 1 */
	0x34, 0, 1, 0x80, 12, 0, 1, 0, 'p', 'a', 'y', 'l', 'o', 'a', 'd', 0, 0x24, 0, 2, 0x80, 8, 0,
	1, 0, 0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 2, 8, 0, 3, 0, 0, 0, 0, 2, 8, 0, 4, 0, 0, 0, 0, 2,
	/* cmp eq reg 1 53 */
	0x2c, 0, 1, 0x80, 8, 0, 1, 0, 'c', 'm', 'p', 0, 0x20, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1, 8,
	0, 2, 0, 0, 0, 0, 0, 12, 0, 3, 0x80, 6, 0, 1, 0, 0, 53, 0, 0,
	/* immediate reg 1 61002 */
	0x2c, 0, 1, 0x80, 14, 0, 1, 0, 'i', 'm', 'm', 'e', 'd', 'i', 'a', 't', 'e', 0, 0, 0, 0x18,
	0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1, 12, 0, 2, 0x80, 6, 0, 1, 0, 0xee, 0x4a, 0, 0,
	/* redir proto_min reg 1 */
	0x1c, 0, 1, 0x80, 10, 0, 1, 0, 'r', 'e', 'd', 'i', 'r', 0, 0, 0, 12, 0, 2, 0x80, 8, 0, 1, 0,
	0, 0, 0, 1};

static size_t count(const void *needle, size_t len)
{
	size_t found = 0;

	for (size_t at = 0; at + len <= n.len; at++)
		found += memcmp(n.p + at, needle, len) == 0;
	return found;
}

/* walk() - every message is whole; *ret_rules of them are rules */
static unsigned walk(unsigned *ret_rules)
{
	unsigned messages = 0;

	*ret_rules = 0;
	for (size_t at = 0; at < n.len;) {
		struct nlmsghdr h;

		assert_true(n.len - at >= sizeof(h));
		memcpy(&h, n.p + at, sizeof(h));
		assert_in_range(h.nlmsg_len, sizeof(h), n.len - at);
		*ret_rules += h.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE);
		messages++;
		at += NLMSG_ALIGN(h.nlmsg_len);
	}
	return messages;
}

static void test_rules(void **state)
{
	const struct rules_prefix bridge = {4, 16, {172, 17, 0, 1}};
	static const uint8_t net[] = {12, 0, 3, 0x80, 8, 0, 1, 0, 172, 17, 0, 0};
	unsigned none, one, all;

	(void)state;
	rules_build(&n, NULL, 0);
	assert_false(n.bad);
	/* begin, end, three of the table, two chains */
	all = walk(&none);
	assert_int_equal(all, 7 + none);
	assert_int_equal(n.asked, 5 + none);
	assert_int_equal(count(dns_by_tcp, sizeof(dns_by_tcp)), 2); /* in both chains */
	rules_build(&n, &bridge, 1);
	(void)walk(&one);
	assert_int_equal(one, none + 1);
	assert_int_equal(count(net, sizeof(net)), 1); /* without the bits of its host */
}

static void test_as_many_networks_as_there_may_be(void **state)
{
	static struct rules_prefix many[RULES_PREFIX_MAX + 1];
	unsigned rules;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = (struct rules_prefix){6, 64, {0xfd, (uint8_t)i}};
	rules_build(&n, many, ARRAY_LEN(many));
	assert_false(n.bad);
	(void)walk(&rules);
	assert_int_equal(rules, RULES_PREFIX_MAX + 5 + 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_as_many_networks_as_there_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
