#include "check.h"
#include "base/err.h"
#include "tls/leaf.h"
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define NOW 1800000000
#define DAY 86400

static X509 *read_pem(const char *text)
{
	BIO *b = BIO_new_mem_buf(text, -1);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);

	BIO_free(b);
	assert_non_null(x);
	return x;
}

static int temp(void)
{
	int fd = memfd_create("ca", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void open_ca(int key, int cert, int64_t now, bool want_made, char pem[TLS_CA_PEM_MAX])
{
	struct tls_ca *ca = NULL;
	struct err e = {0};
	bool made;

	assert_int_equal(tls_ca_open(key, cert, "box", now, &ca, &made, &e), 0);
	assert_int_equal(made, want_made);
	(void)snprintf(pem, TLS_CA_PEM_MAX, "%s", tls_ca_pem(ca));
	tls_ca_free(ca);
}

static void test_a_ca_is_kept(void **state)
{
	char first[TLS_CA_PEM_MAX], second[TLS_CA_PEM_MAX];
	AUTO_FD key = temp();
	AUTO_FD cert = temp();

	(void)state;
	open_ca(key, cert, NOW, true, first);
	open_ca(key, cert, NOW + DAY, false, second);
	assert_string_equal(first, second);
	/* less than half of its days left */
	open_ca(key, cert, NOW + 6 * DAY, true, second);
	assert_string_not_equal(first, second);
	/* the clock went back: it would be valid for longer than it may */
	open_ca(key, cert, NOW - 30 * DAY, true, second);
}

static void test_broken_files_are_made_anew(void **state)
{
	char first[TLS_CA_PEM_MAX], second[TLS_CA_PEM_MAX];
	AUTO_FD key = temp();
	AUTO_FD cert = temp();
	AUTO_FD other = temp();

	(void)state;
	open_ca(key, cert, NOW, true, first);
	assert_int_equal(pwrite(cert, "rubbish", 7, 40), 7);
	open_ca(key, cert, NOW, true, second);
	open_ca(key, cert, NOW, false, second);
	open_ca(other, cert, NOW, true, first); /* the key of another */
	assert_int_equal(ftruncate(other, 0), 0);
	open_ca(other, cert, NOW, true, second);
}

static void test_what_the_ca_says(void **state)
{
	struct tls_ca *ca;
	struct err e = {0};
	X509 *x;

	(void)state;
	assert_int_equal(tls_ca_make("box", NOW, &ca, &e), 0);
	x = read_pem(tls_ca_pem(ca));
	assert_int_equal(X509_check_ca(x), 1);
	assert_int_equal(X509_get_pathlen(x), 0);
	assert_int_equal(X509_get_key_usage(x), KU_KEY_CERT_SIGN);
	assert_int_equal(tls_ca_until(ca), NOW + TLS_CA_DAYS * DAY);
	X509_free(x);
	tls_ca_free(ca);
}

static void leaf_of(struct tls_leaves *l, const char *name, int64_t now, char *pem)
{
	const struct tls_leaf *leaf = NULL;
	struct err e = {0};

	assert_int_equal(tls_leaves_get(l, name, now, &leaf, &e), 0);
	assert_int_equal(tls_leaf_pem(leaf, pem, TLS_CA_PEM_MAX), 0);
}

static void test_leaves(void **state)
{
	char a[TLS_CA_PEM_MAX], b[TLS_CA_PEM_MAX];
	struct tls_leaves *l;
	struct tls_ca *ca;
	struct err e = {0};
	X509 *x, *y;

	(void)state;
	assert_int_equal(tls_ca_make("box", NOW, &ca, &e), 0);
	assert_int_equal(tls_leaves_new(ca, 3, &l, &e), 0);
	leaf_of(l, "API.example.com", NOW, a);
	x = read_pem(a);
	y = read_pem(tls_ca_pem(ca));
	assert_int_equal(X509_check_host(x, "api.example.com", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(x, "x.example.com", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ca(x), 0);
	assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER);
	assert_int_equal(X509_verify(x, X509_get0_pubkey(y)), 1);
	assert_int_equal(X509_check_issued(y, x), X509_V_OK);
	X509_free(x);
	X509_free(y);

	leaf_of(l, "api.example.com", NOW + 100, b);
	assert_string_equal(a, b);
	leaf_of(l, "api.example.com", NOW + DAY + 100, b); /* half of its time is over */
	assert_string_not_equal(a, b);
	assert_int_equal(tls_leaves_minted(l), 2);
	leaf_of(l, "one.example.com", NOW, a);
	leaf_of(l, "two.example.com", NOW, a);
	leaf_of(l, "three.example.com", NOW, a); /* the oldest goes */
	leaf_of(l, "two.example.com", NOW, a);
	assert_int_equal(tls_leaves_minted(l), 5);
	leaf_of(l, "api.example.com", NOW, a);
	assert_int_equal(tls_leaves_minted(l), 6);
	tls_leaves_free(l);
	tls_ca_free(ca);
}

/* TL-02: ever new names cost a bounded time and no memory; who was there already is served, and comes back */
static void test_many_names(void **state)
{
	const struct tls_leaf *leaf = NULL;
	char name[64], pem[TLS_CA_PEM_MAX];
	unsigned got = 0, refused = 0, names = 0;
	struct tls_leaves *l;
	struct tls_ca *ca;
	struct err e = {0};

	(void)state;
	assert_int_equal(tls_ca_make("box", NOW, &ca, &e), 0);
	assert_int_equal(tls_leaves_new(ca, 16, &l, &e), 0);
	for (; names < 100000; names++) {
		/* 50,000 a second */
		int64_t now = NOW + names / 50000;
		int r;

		(void)snprintf(name, sizeof(name), "n%u.many.example.com", names);
		r = tls_leaves_get(l, name, now, &leaf, &e);
		if (r == 0) {
			got++;
			continue;
		}
		assert_int_equal(r, -EBUSY);
		assert_int_equal(e.code, ERR_LIMIT);
		refused++;
	}
	assert_int_equal(got, TLS_MINT_BURST + TLS_MINT_PER_S);
	assert_int_equal(got + refused, names);
	assert_int_equal(tls_leaves_minted(l), got);
	/* the last that was made is kept, the first of all long gone, and a clock set back gives nothing */
	(void)snprintf(name, sizeof(name), "n%u.many.example.com", 50000 + TLS_MINT_PER_S - 1);
	leaf_of(l, name, NOW + 1, pem);
	assert_int_equal(tls_leaves_get(l, "n0.many.example.com", NOW + 1, &leaf, &e), -EBUSY);
	assert_int_equal(tls_leaves_get(l, "n0.many.example.com", NOW - 99, &leaf, &e), -EBUSY);
	leaf_of(l, "n0.many.example.com", NOW + 2, pem);
	assert_int_equal(tls_leaves_minted(l), got + 1);
	tls_leaves_free(l);
	tls_ca_free(ca);
}

static void test_no_leaf_outlives_the_ca(void **state)
{
	char pem[TLS_CA_PEM_MAX];
	struct tls_leaves *l;
	struct tls_ca *ca;
	struct err e = {0};
	struct tm tm;
	X509 *x;

	(void)state;
	assert_int_equal(tls_ca_make("box", NOW, &ca, &e), 0);
	assert_int_equal(tls_leaves_new(ca, 3, &l, &e), 0);
	leaf_of(l, "late.example.com", NOW + 9 * DAY, pem);
	x = read_pem(pem);
	assert_int_equal(ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm), 1);
	assert_int_equal(timegm(&tm), NOW + 10 * DAY);
	X509_free(x);
	tls_leaves_free(l);
	tls_ca_free(ca);
}

static void test_odd_names(void **state)
{
	static const char *const bad[] = {"", ".", "a..b", "a.", ".a", "*.example.com", "a b",
		"a/b", "ex\xc3\xa4mple.com", "a,DNS:b", "[::1]", "fe80::1%eth0", "a\nb",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.com"};
	static const char *const good[] = {"localhost", "_x.example.com", "xn--bcher-kva.example",
		"192.0.2.1", "2001:db8::1", "a-b.c"};
	const struct tls_leaf *leaf = NULL;
	char pem[TLS_CA_PEM_MAX], longest[260];
	struct tls_leaves *l;
	struct tls_ca *ca;
	struct err e = {0};
	X509 *x;

	(void)state;
	assert_int_equal(tls_ca_make("box", NOW, &ca, &e), 0);
	assert_int_equal(tls_leaves_new(ca, 3, &l, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(tls_leaves_get(l, bad[i], NOW, &leaf, &e), -EINVAL);
	assert_int_equal(tls_leaves_minted(l), 0);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		leaf_of(l, good[i], NOW, pem);
	leaf_of(l, "2001:db8::1", NOW, pem);
	x = read_pem(pem);
	assert_int_equal(X509_check_ip_asc(x, "2001:db8::1", 0), 1);
	assert_int_equal(X509_check_ip_asc(x, "2001:db8::2", 0), 0);
	X509_free(x);
	memset(longest, 'a', sizeof(longest));
	for (size_t i = 50; i < 253; i += 51)
		longest[i] = '.';
	longest[253] = 0;
	leaf_of(l, longest, NOW, pem);
	longest[253] = 'a';
	longest[254] = 0;
	assert_int_equal(tls_leaves_get(l, longest, NOW, &leaf, &e), -EINVAL);
	tls_leaves_free(l);
	tls_ca_free(ca);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_ca_is_kept),
		cmocka_unit_test(test_broken_files_are_made_anew),
		cmocka_unit_test(test_what_the_ca_says),
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_no_leaf_outlives_the_ca),
		cmocka_unit_test(test_odd_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
