/* x509.h - pieces of certificates that ca.c and leaf.c put together; within this directory only */
#ifndef TLS_X509_H
#define TLS_X509_H
#include "tls/ca.h"
#include "tls/leaf.h"
#include <openssl/evp.h>
#include <openssl/x509.h>

struct tls_ca {
	EVP_PKEY *key;
	X509 *cert;
	int64_t until_s;
	char pem[TLS_CA_PEM_MAX];
};

struct tls_leaf {
	X509 *cert; /* owned by the cache */
	EVP_PKEY *key; /* borrowed from it */
};

EVP_PKEY *x509_new_key(void); /* P-256; NULL with OpenSSL's error queue set */
int x509_set_serial(X509 *x) MUST_USE; /* 127 random bits */
int x509_set_times(X509 *x, int64_t from_s, int64_t until_s) MUST_USE;
/* x509_add_ext() - by OpenSSL's configuration syntax; never with text from outside */
int x509_add_ext(X509 *x, X509 *issuer, int nid, const char *value) MUST_USE;
#endif
