/* test_address.c - one spelling per address, one judgement of its class (NW-06, NW-07) */
#include "check.h"
#include "policy/host.h"
#include <string.h>

static const struct {
	const char *text, *canonical, *class; /* canonical NULL: refused */
} table[] = {
	{"8.8.8.8", "8.8.8.8", "public"},
	{"1.1.1.1", "1.1.1.1", "public"},
	{"192.0.1.255", "192.0.1.255", "public"},
	{"172.32.0.1", "172.32.0.1", "public"},
	{"100.128.0.1", "100.128.0.1", "public"},
	{"2606:4700:0:0::1111", "2606:4700::1111", "public"},
	{"2606:4700::ABCD", "2606:4700::abcd", "public"},
	{"10.0.0.1", "10.0.0.1", "private"},
	{"172.16.0.1", "172.16.0.1", "private"},
	{"172.31.255.255", "172.31.255.255", "private"},
	{"192.168.1.1", "192.168.1.1", "private"},
	{"100.64.0.1", "100.64.0.1", "private"},
	{"fc00::1", "fc00::1", "private"},
	{"fdff::1", "fdff::1", "private"},
	{"fec0::1", "fec0::1", "private"},
	{"127.0.0.1", "127.0.0.1", "loopback"},
	{"127.255.255.254", "127.255.255.254", "loopback"},
	{"::1", "::1", "loopback"},
	{"0:0:0:0:0:0:0:1", "::1", "loopback"},
	{"::ffff:127.0.0.1", "127.0.0.1", "loopback"},
	{"::ffff:7f00:1", "127.0.0.1", "loopback"},
	{"169.254.1.1", "169.254.1.1", "link-local"},
	{"fe80::1", "fe80::1", "link-local"},
	{"169.254.169.254", "169.254.169.254", "metadata"},
	{"169.254.170.2", "169.254.170.2", "metadata"},
	{"100.100.100.200", "100.100.100.200", "metadata"},
	{"168.63.129.16", "168.63.129.16", "metadata"},
	{"192.0.0.192", "192.0.0.192", "metadata"},
	{"fd00:ec2::254", "fd00:ec2::254", "metadata"},
	{"fd00:0ec2:0:0:0:0:0:0254", "fd00:ec2::254", "metadata"},
	{"fe80::a9fe:a9fe", "fe80::a9fe:a9fe", "metadata"},
	{"::ffff:a9fe:a9fe", "169.254.169.254", "metadata"},
	{"::ffff:169.254.169.254", "169.254.169.254", "metadata"},
	{"64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe", "metadata"},
	{"64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe", "metadata"},
	{"2002:a9fe:a9fe::1", "2002:a9fe:a9fe::1", "metadata"},
	{"::169.254.169.254", "::169.254.169.254", "metadata"},
	{"2001:0:1:2:3:4:5601:5601", "2001:0:1:2:3:4:5601:5601", "metadata"},
	{"::127.0.0.1", "::127.0.0.1", "embedded"},
	{"64:ff9b::7f00:1", "64:ff9b::7f00:1", "embedded"},
	{"64:ff9b:1::1", "64:ff9b:1::1", "embedded"},
	{"2002:7f00:1::", "2002:7f00:1::", "embedded"},
	{"2001::1", "2001::1", "embedded"},
	{"2606:4700::5efe:a00:1", "2606:4700::5efe:a00:1", "embedded"},
	{"0.0.0.0", "0.0.0.0", "unspecified"},
	{"::", "::", "unspecified"},
	{"0.1.2.3", "0.1.2.3", "reserved"},
	{"198.18.0.1", "198.18.0.1", "reserved"},
	{"203.0.113.9", "203.0.113.9", "reserved"},
	{"255.255.255.255", "255.255.255.255", "reserved"},
	{"240.0.0.1", "240.0.0.1", "reserved"},
	{"2001:db8::1", "2001:db8::1", "reserved"},
	{"4000::1", "4000::1", "reserved"},
	{"224.0.0.1", "224.0.0.1", "multicast"},
	{"ff02::1", "ff02::1", "multicast"},
	/* spellings of case NW-07, and their like */
	{"2130706433", NULL, NULL},
	{"0x7f000001", NULL, NULL},
	{"0x7f.1", NULL, NULL},
	{"0x7f.0.0.1", NULL, NULL},
	{"0177.0.0.1", NULL, NULL},
	{"127.1", NULL, NULL},
	{"127.0.1", NULL, NULL},
	{"127.0.0.01", NULL, NULL},
	{"127.0.0.1.", NULL, NULL},
	{"127.0.0.256", NULL, NULL},
	{"127.0.0.1 ", NULL, NULL},
	{" 127.0.0.1", NULL, NULL},
	{"127.0.0.+1", NULL, NULL},
	{"127..0.1", NULL, NULL},
	{"1.2.3.4.5", NULL, NULL},
	{"0", NULL, NULL},
	{"00", NULL, NULL},
	{"", NULL, NULL},
	{"fe80::1%eth0", NULL, NULL},
	{"fe80::1%25eth0", NULL, NULL},
	{"::1/128", NULL, NULL},
	{"::ffff:127.1", NULL, NULL},
	{"::ffff:0x7f.0.0.1", NULL, NULL},
	{"1:2:3:4:5:6:7", NULL, NULL},
	{"1:2:3:4:5:6:7:8:9", NULL, NULL},
	{"1::2::3", NULL, NULL},
	{":::", NULL, NULL},
	{"12345::", NULL, NULL},
	{"%31%32%37.0.0.1", NULL, NULL},
	{"169.254.169.254%00", NULL, NULL},
	{"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1", NULL, NULL},
	{"\xe2\x91\xa0.1.1.1", NULL, NULL},
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct policy_address a = {0}, again;
		char text[POLICY_ADDRESS_TEXT];
		bool ok = policy_address_parse(table[i].text, strlen(table[i].text), &a);
		struct policy_host h;

		if (ok != !!table[i].canonical)
			fail_msg("'%s' was %s", table[i].text, ok ? "taken" : "refused");
		if (!ok) {
			/* nor is any of them a host's name */
			if (policy_host_parse(table[i].text, strlen(table[i].text), &h))
				assert_string_equal(h.name, "127.0.0.1");
			continue;
		}
		assert_string_equal(policy_address_text(&a, text), table[i].canonical);
		assert_string_equal(
			policy_address_class_name(policy_address_class(&a)), table[i].class);
		assert_true(policy_address_parse(text, strlen(text), &again));
		assert_true(policy_address_same(&a, &again));
	}
}

static void test_from_wire(void **state)
{
	static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 169, 254, 169, 254};
	static const uint8_t four[16] = {10, 1, 2, 3, 99};
	struct policy_address a, raw = {.family = 6};
	char text[POLICY_ADDRESS_TEXT];

	(void)state;
	assert_true(policy_address_from(6, mapped, &a));
	assert_string_equal(policy_address_text(&a, text), "169.254.169.254");
	assert_true(policy_address_from(4, four, &a));
	assert_int_equal(a.byte[4], 0); /* what follows an IPv4 address is no part of it */
	assert_false(policy_address_from(0, four, &a));
	assert_false(policy_address_from(7, four, &a));
	/* also when somebody filled the struct by hand */
	memcpy(raw.byte, mapped, 16);
	assert_int_equal(policy_address_class(&raw), POLICY_ADDRESS_METADATA);
	raw.family = 0;
	assert_int_equal(policy_address_class(&raw), POLICY_ADDRESS_RESERVED);
}

static struct policy_address addr(const char *text)
{
	struct policy_address a = {0};

	assert_true(policy_address_parse(text, strlen(text), &a));
	return a;
}

static void test_in(void **state)
{
	struct policy_address net = addr("10.128.0.0"), in = addr("10.191.255.255");
	struct policy_address out = addr("10.192.0.0"), six = addr("2001:db8::"),
			      s1 = addr("2001:db8:1::");

	(void)state;
	assert_true(policy_address_in(&in, &net, 10));
	assert_false(policy_address_in(&out, &net, 10));
	assert_true(policy_address_in(&out, &net, 8));
	assert_true(policy_address_in(&out, &net, 0));
	assert_false(policy_address_in(&out, &net, 33));
	assert_true(policy_address_in(&s1, &six, 32));
	assert_false(policy_address_in(&s1, &six, 48));
	assert_false(policy_address_in(&in, &six, 0)); /* another family */
}

static void test_host_and_inside(void **state)
{
	static const char *const host[] = {"127.0.0.1", "::1", "198.18.0.254", "fd53:6278::fe"};
	static const char *const inside[] = {"198.18.0.1", "198.18.0.2", "fd53:6278::1"};
	struct policy_address a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(host); i++) {
		a = addr(host[i]);
		assert_true(policy_address_host(&a));
	}
	for (size_t i = 0; i < ARRAY_LEN(inside); i++) {
		a = addr(inside[i]);
		assert_true(policy_address_inside(&a));
		assert_false(policy_address_host(&a));
	}
	a = addr("127.0.0.2");
	assert_false(policy_address_host(&a));
	a = addr("198.19.0.1");
	assert_false(policy_address_inside(&a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_from_wire),
		cmocka_unit_test(test_in),
		cmocka_unit_test(test_host_and_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
