/* test_hello.c - what a ClientHello says, however its bytes are cut, and what is refused */
#include "check.h"
#include "tls/hello.h"
#include <string.h>

/* ---- a ClientHello made piece by piece ---- */

struct maker {
	uint8_t b[TLS_HELLO_BYTES + 4096];
	size_t len;
};

static void put(struct maker *m, const void *p, size_t n)
{
	memcpy(m->b + m->len, p, n);
	m->len += n;
}

static void put16(struct maker *m, size_t v)
{
	const uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	put(m, b, 2);
}

static void put_ext(struct maker *m, unsigned type, const void *p, size_t n)
{
	put16(m, type);
	put16(m, n);
	put(m, p, n);
}

static void put_sni(struct maker *m, const char *name, size_t n)
{
	uint8_t b[300] = {
		(uint8_t)((n + 3) >> 8), (uint8_t)(n + 3), 0, (uint8_t)(n >> 8), (uint8_t)n};

	memcpy(b + 5, name, n);
	put_ext(m, 0, b, n + 5);
}

/* wrap() - record and handshake heads around version, random, suites and the extensions of @ext */
static struct maker wrap(const struct maker *ext)
{
	static const uint8_t zero[33], suites[] = {0, 2, 0x13, 1, 1, 0};
	struct maker m = {.len = 0};
	size_t hello = 2 + 33 + sizeof(suites) + 2 + ext->len;

	put(&m, "\x16\x03\x01", 3);
	put16(&m, hello + 4);
	put(&m, "\x01\x00", 2);
	put16(&m, hello);
	put(&m, "\x03\x03", 2);
	put(&m, zero, 33);
	put(&m, suites, sizeof(suites));
	put16(&m, ext->len);
	put(&m, ext->b, ext->len);
	return m;
}

static const uint8_t alpn_both[] = {0, 12, 2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
static const uint8_t versions[] = {6, 0x1a, 0x1a, 3, 4, 3, 3};

static struct maker sample(void)
{
	struct maker e = {.len = 0};

	put_sni(&e, "Api.example.com", 15);
	put_ext(&e, 16, alpn_both, sizeof(alpn_both));
	put_ext(&e, 43, versions, sizeof(versions));
	return wrap(&e);
}

static void says_what_it_wants(void **state)
{
	struct maker m = sample();
	struct tls_hello h;
	(void)state;

	assert_int_equal(tls_hello_parse(m.b, m.len, &h), TLS_HELLO_OK);
	assert_string_equal(h.sni, "Api.example.com");
	assert_true(h.alpn && h.alpn_h2 && h.alpn_http11);
	assert_false(h.alpn_other || h.ech || h.early_data);
	assert_int_equal(h.version, 0x0304);
}

static void every_cut_wants_more(void **state)
{
	struct maker m = sample();
	struct tls_hello h;
	(void)state;

	for (size_t n = 0; n < m.len; n++) {
		assert_int_equal(tls_hello_parse(m.b, n, &h), TLS_HELLO_MORE);
		assert_int_equal(h.sni[0], '\0');
	}
}

static void split_over_records(void **state)
{
	struct maker m = sample(), s = {.len = 0};
	struct tls_hello h;
	(void)state;

	for (size_t at = 5; at < m.len; at += 7) {
		size_t n = m.len - at < 7 ? m.len - at : 7;

		put(&s, "\x16\x03\x01", 3);
		put16(&s, n);
		put(&s, m.b + at, n);
	}
	assert_int_equal(tls_hello_parse(s.b, s.len, &h), TLS_HELLO_OK);
	assert_string_equal(h.sni, "Api.example.com");
	for (size_t n = 0; n < s.len; n++)
		assert_int_equal(tls_hello_parse(s.b, n, &h), TLS_HELLO_MORE);
}

static void encrypted_name_is_seen(void **state)
{
	struct maker e = {.len = 0}, m;
	struct tls_hello h;
	(void)state;

	put_sni(&e, "outer.test", 10);
	put_ext(&e, 0xfe0d, "12345678", 8);
	put_ext(&e, 42, "", 0);
	m = wrap(&e);
	assert_int_equal(tls_hello_parse(m.b, m.len, &h), TLS_HELLO_OK);
	assert_true(h.ech && h.early_data);
}

static void expect(const struct maker *ext, enum tls_hello_result want)
{
	struct maker m = wrap(ext);
	struct tls_hello h;

	assert_int_equal(tls_hello_parse(m.b, m.len, &h), want);
	assert_int_equal(h.sni[0] != '\0', want == TLS_HELLO_OK && ext->len > 0);
}

static void refused(void **state)
{
	char long_name[300];
	struct maker e = {.len = 0};
	(void)state;

	memset(long_name, 'a', sizeof(long_name));
	expect(&e, TLS_HELLO_OK); /* no extensions at all */
	put_sni(&e, "a.test", 6);
	expect(&e, TLS_HELLO_OK);
	put_sni(&e, "b.test", 6); /* twice */
	expect(&e, TLS_HELLO_BAD);
	e.len = 0;
	put_sni(&e, "a.test\0.b", 9);
	expect(&e, TLS_HELLO_BAD);
	e.len = 0;
	put_sni(&e, "", 0);
	expect(&e, TLS_HELLO_BAD);
	e.len = 0;
	put_sni(&e, long_name, 256);
	expect(&e, TLS_HELLO_BAD);
	e.len = 0;
	put_sni(&e, long_name, 255);
	expect(&e, TLS_HELLO_OK);
	e.len = 0;
	put_ext(&e, 0, "\0\4\0\0\1a!", 7); /* bytes behind the list */
	expect(&e, TLS_HELLO_BAD);
	e.len = 0;
	put_ext(&e, 16, "\0\1\0", 3); /* an empty protocol */
	expect(&e, TLS_HELLO_BAD);
	e.len = 0;
	put_ext(&e, 43, "\3\3\4\3", 4); /* half a version */
	expect(&e, TLS_HELLO_BAD);
	e.len = 0;
	for (unsigned i = 0; i < 65; i++)
		put_ext(&e, 1000 + i, "", 0);
	expect(&e, TLS_HELLO_BAD);
}

static void not_tls(void **state)
{
	struct tls_hello h;
	uint8_t big[TLS_HELLO_BYTES] = {0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xff};
	(void)state;

	assert_int_equal(tls_hello_parse("GET / HTTP/1.1", 14, &h), TLS_HELLO_OTHER);
	assert_int_equal(tls_hello_parse("SSH-2.0-x", 9, &h), TLS_HELLO_OTHER);
	assert_int_equal(tls_hello_parse("\x16\x02", 2, &h), TLS_HELLO_OTHER);
	assert_int_equal(tls_hello_parse("\x15\x03\x01", 3, &h), TLS_HELLO_OTHER);
	assert_int_equal(tls_hello_parse("\x16\x03\x01\0\0", 5, &h), TLS_HELLO_BAD);
	assert_int_equal(
		tls_hello_parse("\x16\x03\x01\0\1\2", 6, &h), TLS_HELLO_BAD); /* ServerHello */
	assert_int_equal(tls_hello_parse("\x16\x03\x01\0\4\1\0\x40\0", 9, &h), TLS_HELLO_BAD);
	assert_int_equal(
		tls_hello_parse(big, sizeof(big), &h), TLS_HELLO_BAD); /* never gets whole */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_it_wants),
		cmocka_unit_test(every_cut_wants_more),
		cmocka_unit_test(split_over_records),
		cmocka_unit_test(encrypted_name_is_seen),
		cmocka_unit_test(refused),
		cmocka_unit_test(not_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
