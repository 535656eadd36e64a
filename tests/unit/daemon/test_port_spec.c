/* test_port_spec.c - every form of a SPEC, and everything that is none */
#include "check.h"
#include "daemon/port_spec.h"
#include <errno.h>
#include <string.h>

static const struct {
	const char *text, *address;
	uint16_t host, container;
} good[] = {
	{"3000", "127.0.0.1", 0, 3000},
	{"3000/tcp4", "127.0.0.1", 0, 3000},
	{"3000/tcp6", "::1", 0, 3000},
	{"3000/tcp", "", 0, 3000},
	{"8080:3000", "127.0.0.1", 8080, 3000},
	{"0:3000", "127.0.0.1", 0, 3000},
	{":3000", "127.0.0.1", 0, 3000},
	{"8080:3000/tcp", "", 8080, 3000},
	{"127.0.0.1:8080:3000", "127.0.0.1", 8080, 3000},
	{"127.0.0.1::3000", "127.0.0.1", 0, 3000},
	{"127.0.0.1:0:3000/tcp", "127.0.0.1", 0, 3000},
	{"127.9.8.7:1:65535", "127.9.8.7", 1, 65535},
	{"[::1]:8080:3000/tcp6", "::1", 8080, 3000},
	{"[::1]::3000/tcp", "::1", 0, 3000},
	{"localhost:8080:3000/tcp", "", 8080, 3000},
	{"localhost::3000", "127.0.0.1", 0, 3000},
};

static const struct {
	const char *text;
	int num;
} wrong[] = {
	{"", -EINVAL},
	{"0", -EINVAL},
	{"65536", -EINVAL},
	{"-1", -EINVAL},
	{"+80", -EINVAL},
	{" 80", -EINVAL},
	{"80 ", -EINVAL},
	{"0x50", -EINVAL},
	{"000080", -EINVAL},
	{"a", -EINVAL},
	{"80:", -EINVAL},
	{"80:a", -EINVAL},
	{"a:80", -EINVAL},
	{"70000:80", -EINVAL},
	{":80:80", -EINVAL},
	{"1:2:3:4", -EINVAL},
	{"::1:80:80", -EINVAL},
	{"[::1:80:80", -EINVAL},
	{"[]:80:80/tcp6", -EINVAL},
	{"80/", -EINVAL},
	{"80/tcp/tcp", -EINVAL},
	{"80/TCP", -EINVAL},
	{"80/sctp", -EINVAL},
	{"80/udp", -EPROTONOSUPPORT},
	{"1:80/udp4", -EPROTONOSUPPORT},
	{"80/udp6", -EPROTONOSUPPORT},
	{"0.0.0.0:80:80", -EADDRNOTAVAIL},
	{"192.0.2.1::80", -EADDRNOTAVAIL},
	{"[::]:1:80/tcp6", -EADDRNOTAVAIL},
	{"[::ffff:127.0.0.1]:1:80/tcp6", -EADDRNOTAVAIL},
	{"[fe80::1]:1:80/tcp6", -EADDRNOTAVAIL},
	{"example.com:1:80", -EADDRNOTAVAIL},
	{"127.1:1:80", -EADDRNOTAVAIL},
	{"127.0.0.1:1:80/tcp6", -EINVAL},
	{"[::1]:1:80", -EINVAL},
	{"[::1]:1:80/tcp4", -EINVAL},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct port_spec p;
		struct err e = {0};
		int r = port_spec_parse(good[i].text, &p, &e);

		if (r < 0)
			print_message("%s: %s\n", good[i].text, e.msg);
		assert_int_equal(r, 0);
		assert_string_equal(p.address, good[i].address);
		assert_int_equal(p.host, good[i].host);
		assert_int_equal(p.container, good[i].container);
	}
}

static void test_wrong(void **state)
{
	char big[PORT_SPEC_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct port_spec p;
		struct err e = {0};

		if (port_spec_parse(wrong[i].text, &p, &e) != wrong[i].num)
			print_message("'%s': %s\n", wrong[i].text, e.msg);
		assert_int_equal(e.num, wrong[i].num);
		assert_non_null(strstr(e.msg, "port '"));
	}
	memset(big, '1', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(port_spec_parse(big, &(struct port_spec){0}, NULL), -EINVAL);
}

static void test_label(void **state)
{
	char text[PORT_LABEL_MAX];

	(void)state;
	assert_string_equal(
		port_spec_label("127.0.0.1", 8080, 3000, text), "127.0.0.1:8080->3000/tcp");
	assert_string_equal(port_spec_label("::1", 8080, 3000, text), "[::1]:8080->3000/tcp");
	assert_string_equal(port_spec_label("127.0.0.1", 0, 3000, text), "3000/tcp");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_label),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
