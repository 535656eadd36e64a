/* The client against certificates that are wrong in one way each. */
#include "pair.h"
#include "base/err.h"
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define DAY 86400

struct made { /* how a server's certificate is made */
	const char *san; /* "DNS:good.test"; NULL: none */
	const char *eku; /* NULL: none */
	const char *cn;
	int64_t from_s, until_s; /* from now */
	bool self_signed, unknown_ca, sha1, is_ca;
	unsigned rsa_bits; /* 0: P-256 */
};

static EVP_PKEY *ca_key, *other_key;
static X509 *ca_cert, *other_cert;

static X509 *make(const struct made *m, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *x = X509_new();
	X509_NAME *n = X509_get_subject_name(x);
	X509V3_CTX ctx;

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	ASN1_TIME_set(X509_getm_notBefore(x), time(NULL) + m->from_s);
	ASN1_TIME_set(X509_getm_notAfter(x), time(NULL) + m->until_s);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)m->cn, -1, -1, 0);
	X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : n);
	X509V3_set_ctx(&ctx, issuer ? issuer : x, x, NULL, NULL, 0);
	const struct {
		int nid;
		const char *value;
	} ext[] = {{NID_subject_alt_name, m->san}, {NID_ext_key_usage, m->eku},
		{NID_basic_constraints, m->is_ca ? "critical,CA:TRUE" : NULL}};
	for (size_t i = 0; i < ARRAY_LEN(ext); i++) {
		X509_EXTENSION *e;

		if (!ext[i].value)
			continue;
		e = X509V3_EXT_conf_nid(NULL, &ctx, ext[i].nid, ext[i].value);
		assert_non_null(e);
		X509_add_ext(x, e, -1);
		X509_EXTENSION_free(e);
	}
	assert_true(X509_sign(x, issuer_key, m->sha1 ? EVP_sha1() : EVP_sha256()) > 0);
	return x;
}

static struct tls_client *client_for_tests(void)
{
	struct tls_roots *roots = tls_roots_new();
	struct tls_client *client;
	BIO *b = BIO_new(BIO_s_mem());
	char *pem;
	long len;

	PEM_write_bio_X509(b, ca_cert);
	len = BIO_get_mem_data(b, &pem);
	assert_int_equal(tls_roots_add(roots, pem, (size_t)len, true, NULL, NULL), 0);
	BIO_free(b);
	assert_int_equal(tls_client_ctx_new(NULL, roots, &client, NULL), 0);
	tls_roots_free(roots);
	return client;
}

/* try() - the client's outcome; why into @why */
static enum tls_step try(const struct made *m, const char *host, char why[TLS_WHY_MAX])
{
	EVP_PKEY *key = m->rsa_bits ? EVP_RSA_gen(m->rsa_bits) : EVP_EC_gen("P-256");
	X509 *x = m->self_signed  ? make(m, key, NULL, key)
		  : m->unknown_ca ? make(m, key, other_cert, other_key)
				  : make(m, key, ca_cert, ca_key);
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct tls_client *client = client_for_tests();
	struct pair p;
	struct tls_dial d = {.host = host, .port = 443, .http = true};
	enum tls_step c = TLS_WANT;
	SSL *ssl;

	SSL_CTX_set_security_level(ctx, 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	pair_open(&p);
	d.fd = p.fd[1];
	assert_int_equal(tls_client_new(client, &d, &p.client), 0);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, p.fd[0]);
	SSL_set_accept_state(ssl);
	for (int i = 0; i < 20 && c == TLS_WANT; i++) {
		c = tls_handshake(p.client);
		SSL_do_handshake(ssl);
	}
	(void)snprintf(why, TLS_WHY_MAX, "%s", tls_why(p.client));
	assert_int_equal(tls_client_verified(p.client), c == TLS_DONE);
	SSL_free(ssl);
	pair_close(&p);
	tls_client_ctx_free(client);
	SSL_CTX_free(ctx);
	X509_free(x);
	EVP_PKEY_free(key);
	return c;
}

#define SAN "DNS:good.test,DNS:*.wild.test,IP:192.0.2.1"
#define CERT(names, use, from, until)                                                              \
	.san = (names), .eku = (use), .cn = "good.test", .from_s = (from), .until_s = (until)
#define GOOD CERT(SAN, "serverAuth", -DAY, DAY)

static void test_good_ones(void **state)
{
	static const char *const hosts[] = {"good.test", "GOOD.test", "a.wild.test", "192.0.2.1"};
	const struct made good = {GOOD};
	char why[TLS_WHY_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		assert_int_equal(try(&good, hosts[i], why), TLS_DONE);
}

static void test_each_fault_has_its_reason(void **state)
{
	const struct {
		struct made m;
		const char *host, *why;
	} cases[] = {
		{{GOOD}, "other.test", "the certificate is for another host"},
		{{GOOD}, "a.b.wild.test", "the certificate is for another host"},
		{{GOOD}, "wild.test", "the certificate is for another host"},
		{{GOOD}, "192.0.2.2", "the certificate is for another host"},
		{{CERT(SAN, "serverAuth", -DAY, -60)}, "good.test", "the certificate has expired"},
		{{CERT(SAN, "serverAuth", 3600, DAY)}, "good.test",
			"the certificate is not valid yet"},
		{{GOOD, .self_signed = true}, "good.test", "the certificate is self-signed"},
		{{GOOD, .unknown_ca = true}, "good.test",
			"the certificate is from an authority that is not trusted"},
		{{GOOD, .rsa_bits = 1024}, "good.test", "the certificate is too weak"},
		{{GOOD, .sha1 = true}, "good.test", "the certificate is too weak"},
		{{CERT(SAN, "clientAuth", -DAY, DAY)}, "good.test",
			"the certificate is not for a server"},
		/* no alternative names: the common name does not count */
		{{CERT(NULL, "serverAuth", -DAY, DAY)}, "good.test",
			"the certificate is for another host"},
		{{CERT("DNS:192.0.2.7", "serverAuth", -DAY, DAY)}, "192.0.2.7",
			"the certificate is for another host"},
		{{CERT("DNS:g*.test", "serverAuth", -DAY, DAY)}, "good.test",
			"the certificate is for another host"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[TLS_WHY_MAX];

		assert_int_equal(try(&cases[i].m, cases[i].host, why), TLS_FAILED);
		assert_string_equal(why, cases[i].why);
	}
}

static void test_names_no_certificate_is_for(void **state)
{
	static const char *const bad[] = {"", "a..b", "*.test", "a b", "x.", "[::1]"};
	struct tls_client *client = client_for_tests();
	struct tls *t = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct tls_dial d = {.fd = 0, .host = bad[i], .port = 443};

		assert_int_equal(tls_client_new(client, &d, &t), -EINVAL);
	}
	assert_null(t);
	tls_client_ctx_free(client);
}

static void test_roots(void **state)
{
	static const char none[] = "nothing\n";
	static const char broken[] =
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	struct tls_roots *r = tls_roots_new();
	struct err e = {0};

	(void)state;
	assert_int_equal(tls_roots_add(r, none, sizeof(none) - 1, true, NULL, &e), -EINVAL);
	assert_int_equal(tls_roots_add(r, broken, sizeof(broken) - 1, true, NULL, &e), -EINVAL);
	assert_int_equal(tls_roots_count(r), 0);
	tls_roots_free(r);
}

static int set_up(void **state)
{
	const struct made ca = {.cn = "ca", .from_s = -DAY, .until_s = DAY, .is_ca = true};

	(void)state;
	ca_key = EVP_EC_gen("P-256");
	other_key = EVP_EC_gen("P-256");
	ca_cert = make(&ca, ca_key, NULL, ca_key);
	other_cert =
		make(&(struct made){.cn = "other", .from_s = -DAY, .until_s = DAY, .is_ca = true},
			other_key, NULL, other_key);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	X509_free(ca_cert);
	X509_free(other_cert);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(other_key);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_ones),
		cmocka_unit_test(test_each_fault_has_its_reason),
		cmocka_unit_test(test_names_no_certificate_is_for),
		cmocka_unit_test(test_roots),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
