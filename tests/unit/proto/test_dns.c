/* test_dns.c - questions and answers, the forms that are refused, and chains that do not end */
#include "check.h"
#include "proto/dns.h"
#include <string.h>

struct msg {
	uint8_t b[2048];
	size_t len;
};

static void put(struct msg *m, const void *p, size_t n)
{
	assert_true(m->len + n <= sizeof(m->b));
	memcpy(m->b + m->len, p, n);
	m->len += n;
}

static void put16(struct msg *m, unsigned v)
{
	const uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	put(m, b, 2);
}

/* put_name() - "a.b" as labels; ends with the root unless it ends with '*': then with a pointer to
 * the first name of the message
 */
static void put_name(struct msg *m, const char *s)
{
	while (*s && *s != '*') {
		size_t n = strcspn(s, ".*");
		uint8_t len = (uint8_t)n;

		put(m, &len, 1);
		put(m, s, n);
		s += n + (s[n] == '.');
	}
	if (*s == '*')
		put16(m, 0xc00c);
	else
		put(m, "", 1);
}

static struct msg head(
	unsigned id, unsigned flags, unsigned qd, unsigned an, unsigned ns, unsigned ar)
{
	struct msg m = {.len = 0};

	put16(&m, id);
	put16(&m, flags);
	put16(&m, qd);
	put16(&m, an);
	put16(&m, ns);
	put16(&m, ar);
	return m;
}

static void put_question(struct msg *m, const char *name, unsigned type)
{
	put_name(m, name);
	put16(m, type);
	put16(m, 1);
}

static void put_rr(struct msg *m, const char *owner, unsigned type, unsigned ttl, const void *rdata,
	size_t len)
{
	put_name(m, owner);
	put16(m, type);
	put16(m, 1);
	put16(m, ttl >> 16);
	put16(m, ttl & 0xffff);
	put16(m, (unsigned)len);
	put(m, rdata, len);
}

static void put_cname(struct msg *m, const char *owner, const char *target)
{
	struct msg t = {.len = 0};

	put_name(&t, target);
	put_rr(m, owner, DNS_CNAME, 60, t.b, t.len);
}

static void query_is_read(void **state)
{
	struct msg m = head(7, 0x0100, 1, 0, 0, 1);
	struct dns_query q;
	(void)state;

	put_question(&m, "Api.EXAMPLE.com", DNS_AAAA);
	put(&m, "\0\0\x29\x10\0\0\0\0\0\0\0", 11);
	assert_int_equal(dns_get_query(m.b, m.len, &q), DNS_OK);
	assert_string_equal(q.name, "api.example.com");
	assert_int_equal(q.type, DNS_AAAA);
	assert_int_equal(q.udp_bytes, 4096);
	assert_true(q.edns && q.recursion);
	for (size_t n = 0; n < m.len; n++)
		assert_int_equal(dns_get_query(m.b, n, &q), DNS_BAD);
	put(&m, "x", 1); /* something behind it */
	assert_int_equal(dns_get_query(m.b, m.len, &q), DNS_BAD);
}

static void query_refused(void **state)
{
	struct dns_query q;
	struct msg m;
	(void)state;

	m = head(7, 0x8100, 1, 0, 0, 0); /* an answer */
	put_question(&m, "a.test", DNS_A);
	assert_int_equal(dns_get_query(m.b, m.len, &q), DNS_BAD);
	assert_false(q.answerable);
	m = head(7, 0x2800, 1, 0, 0, 0); /* UPDATE */
	put_question(&m, "a.test", DNS_A);
	assert_int_equal(dns_get_query(m.b, m.len, &q), DNS_BAD);
	assert_true(q.answerable);
	m = head(7, 0, 2, 0, 0, 0);
	put_question(&m, "a.test", DNS_A);
	put_question(&m, "b.test", DNS_A);
	assert_int_equal(dns_get_query(m.b, m.len, &q), DNS_BAD);
	m = head(7, 0, 1, 0, 0, 0); /* the name points at itself */
	put(&m, "\xc0\x0c\0\1\0\1", 6);
	assert_int_equal(dns_get_query(m.b, m.len, &q), DNS_BAD);
	m = head(7, 0, 1, 0, 0, 0);
	put(&m, "\3a\0b\4test\0\0\1\0\1", 14); /* NUL in a label */
	assert_int_equal(dns_get_query(m.b, m.len, &q), DNS_ODD);
	assert_string_equal(q.name, "");
	m = head(7, 0, 1, 0, 0, 0);
	put(&m, "\3a.b\4test\0\0\1\0\1", 14); /* a dot in a label */
	assert_int_equal(dns_get_query(m.b, m.len, &q), DNS_ODD);
	m = head(7, 0, 1, 0, 0, 0);
	put(&m, "\4test\0\0\1\0\3", 10); /* class CHAOS */
	assert_int_equal(dns_get_query(m.b, m.len, &q), DNS_ODD);
	m = head(7, 0, 1, 0, 0, 0);
	for (int i = 0; i < 5; i++)
		put(&m,
			"\x3f"
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			64);
	put(&m, "\0\0\1\0\1", 5); /* a name of 321 bytes */
	assert_int_equal(dns_get_query(m.b, m.len, &q), DNS_BAD);
}

static void reply_repeats_the_question(void **state)
{
	struct msg m = head(0x1234, 0x0100, 1, 0, 0, 0);
	struct dns_record rec = {DNS_A, 60, (const uint8_t *)"\1\2\3\4", 4};
	struct dns_reply back;
	struct dns_query q;
	struct buf out;
	(void)state;

	put_question(&m, "MiXed.test", DNS_A);
	assert_int_equal(dns_get_query(m.b, m.len, &q), DNS_OK);
	buf_init(&out, DNS_MESSAGE_MAX);
	assert_int_equal(dns_put_reply(&out, &q, DNS_NOERROR, &rec, 1, 512), 0);
	assert_memory_equal(out.data + 12, m.b + 12, m.len - 12);
	assert_int_equal(
		dns_get_reply(out.data, out.len, 0x1234, "mixed.test", DNS_A, &back), DNS_OK);
	assert_int_equal(back.n, 1);
	assert_memory_equal(back.records[0].rdata, "\1\2\3\4", 4);
	assert_int_equal(back.ttl_s, 60);
	buf_clear(&out);
	assert_int_equal(dns_put_reply(&out, &q, DNS_NOERROR, &rec, 1, 40), 0); /* does not fit */
	assert_int_equal(
		dns_get_reply(out.data, out.len, 0x1234, "mixed.test", DNS_A, &back), DNS_OK);
	assert_true(back.truncated);
	assert_int_equal(back.n, 0);
	buf_fini(&out);
}

static void reply_must_be_ours(void **state)
{
	struct dns_reply r;
	struct msg m = head(9, 0x8180, 1, 1, 0, 0);
	(void)state;

	put_question(&m, "a.test", DNS_A);
	put_rr(&m, "*", DNS_A, 5, "\1\2\3\4", 4);
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "a.test", DNS_A, &r), DNS_OK);
	assert_int_equal(dns_get_reply(m.b, m.len, 10, "a.test", DNS_A, &r), DNS_BAD);
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "b.test", DNS_A, &r), DNS_BAD);
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "a.test", DNS_AAAA, &r), DNS_BAD);
	for (size_t n = 0; n < m.len; n++)
		assert_int_equal(dns_get_reply(m.b, n, 9, "a.test", DNS_A, &r), DNS_BAD);
}

static void records_of_others_are_not_taken(void **state)
{
	struct dns_reply r;
	struct msg m = head(9, 0x8180, 1, 2, 0, 0);
	(void)state;

	put_question(&m, "a.test", DNS_A);
	put_rr(&m, "bank.test", DNS_A, 5, "\6\6\6\6", 4);
	put_rr(&m, "a.test", DNS_A, 9, "\1\2\3\4", 4);
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "a.test", DNS_A, &r), DNS_OK);
	assert_int_equal(r.n, 1);
	assert_memory_equal(r.records[0].rdata, "\1\2\3\4", 4);
}

static void chains(void **state)
{
	struct dns_reply r;
	struct msg m = head(9, 0x8180, 1, 3, 0, 0);
	(void)state;

	put_question(&m, "a.test", DNS_A);
	put_cname(&m, "a.test", "b.test");
	put_rr(&m, "c.test", DNS_A, 300, "\1\2\3\4", 4);
	put_cname(&m, "b.test", "c.test");
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "a.test", DNS_A, &r), DNS_OK);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.ttl_s, 60); /* the way there is not valid for longer */

	m = head(9, 0x8180, 1, 1, 0, 0); /* leads out of the message */
	put_question(&m, "a.test", DNS_A);
	put_cname(&m, "a.test", "b.test");
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "a.test", DNS_A, &r), DNS_OK);
	assert_int_equal(r.n, 0);
	assert_string_equal(r.next, "b.test");

	m = head(9, 0x8180, 1, 2, 0, 0); /* in a circle */
	put_question(&m, "a.test", DNS_A);
	put_cname(&m, "a.test", "b.test");
	put_cname(&m, "b.test", "a.test");
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "a.test", DNS_A, &r), DNS_BAD);
}

static void bad_rdata(void **state)
{
	struct dns_reply r;
	struct msg m = head(9, 0x8180, 1, 1, 0, 0);
	(void)state;

	put_question(&m, "a.test", DNS_A);
	put_rr(&m, "*", DNS_A, 5, "\1\2\3", 3);
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "a.test", DNS_A, &r), DNS_BAD);
	m = head(9, 0x8180, 1, 1, 0, 0);
	put_question(&m, "a.test", DNS_TXT);
	put_rr(&m, "*", DNS_TXT, 5, "\5abc", 4);
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "a.test", DNS_TXT, &r), DNS_BAD);
	m = head(9, 0x8180, 1, 1, 0, 0); /* compressed target, written out */
	put_question(&m, "a.test", DNS_SRV);
	put_rr(&m, "*", DNS_SRV, 5, "\0\1\0\2\0\x50\2xx\xc0\x0c", 11);
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "a.test", DNS_SRV, &r), DNS_OK);
	assert_int_equal(r.records[0].len, 6 + 3 + 8);
	assert_memory_equal(r.records[0].rdata + 6, "\2xx\1a\4test", 10);
	m.b[m.len - 1] = (uint8_t)(m.len - 2); /* points at itself */
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "a.test", DNS_SRV, &r), DNS_BAD);
}

static void nothing_there(void **state)
{
	static const uint8_t soa[] = "\1x\0\1y\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\x1e";
	struct dns_reply r;
	struct msg m = head(9, 0x8183, 1, 0, 1, 0);
	(void)state;

	put_question(&m, "a.test", DNS_A);
	put_rr(&m, "test", DNS_SOA, 900, soa, sizeof(soa) - 1);
	assert_int_equal(dns_get_reply(m.b, m.len, 9, "a.test", DNS_A, &r), DNS_OK);
	assert_int_equal(r.rcode, DNS_NXDOMAIN);
	assert_int_equal(r.ttl_s, 30);
}

static void ech_key_goes(void **state)
{
	uint8_t rdata[] = {0, 1, 0, 0, 1, 0, 3, 2, 'h', '2', 0, 5, 0, 2, 9, 9, 0, 6, 0, 1, 7};
	const uint8_t want[] = {0, 1, 0, 0, 1, 0, 3, 2, 'h', '2', 0, 6, 0, 1, 7};
	uint8_t twice[] = {0, 1, 0, 0, 5, 0, 0, 0, 5, 0, 0};
	size_t len = sizeof(rdata);
	(void)state;

	assert_true(dns_strip_ech(rdata, &len));
	assert_int_equal(len, sizeof(want));
	assert_memory_equal(rdata, want, len);
	len = sizeof(twice);
	assert_false(dns_strip_ech(twice, &len));
	len = 1;
	assert_false(dns_strip_ech(twice, &len));
}

static void names(void **state)
{
	static const struct {
		const char *name;
		int family;
	} ptr[] = {{"4.3.2.1.in-addr.arpa", 4}, {"04.3.2.1.in-addr.arpa", 0},
		{"256.3.2.1.in-addr.arpa", 0}, {"3.2.1.in-addr.arpa", 0},
		{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", 6},
		{"g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", 0},
		{"a.test", 0}};
	uint8_t addr[16];
	char text[16];
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(ptr); i++)
		assert_int_equal(dns_ptr_name(ptr[i].name, addr), ptr[i].family);
	assert_int_equal(dns_ptr_name("4.3.2.1.in-addr.arpa", addr), 4);
	assert_memory_equal(addr, "\1\2\3\4", 4);
	assert_true(dns_name_ok("a-b_c.test") && !dns_name_ok("a..b") && !dns_name_ok("a.") &&
		    !dns_name_ok("") && !dns_name_ok("a b"));
	assert_string_equal(dns_type_name(DNS_HTTPS, text), "HTTPS");
	assert_string_equal(dns_type_name(999, text), "TYPE999");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(query_is_read),
		cmocka_unit_test(query_refused),
		cmocka_unit_test(reply_repeats_the_question),
		cmocka_unit_test(reply_must_be_ours),
		cmocka_unit_test(records_of_others_are_not_taken),
		cmocka_unit_test(chains),
		cmocka_unit_test(bad_rdata),
		cmocka_unit_test(nothing_there),
		cmocka_unit_test(ech_key_goes),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
