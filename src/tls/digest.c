#include "tls/digest.h"
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

/* struct tls_hash is OpenSSL's own context under a name of ours. */
static EVP_MD_CTX *ctx_of(struct tls_hash *h)
{
	return (EVP_MD_CTX *)(void *)h;
}

int tls_sha256(const void *p, size_t len, uint8_t ret_md[TLS_SHA256])
{
	unsigned n = 0;

	return EVP_Digest(p, len, ret_md, &n, EVP_sha256(), NULL) == 1 && n == TLS_SHA256 ? 0
											  : -ENOMEM;
}

int tls_hmac_sha256(
	const void *key, size_t key_len, const void *p, size_t len, uint8_t ret_md[TLS_SHA256])
{
	unsigned n = 0;

	if (key_len > INT_MAX)
		return -EINVAL;
	return HMAC(EVP_sha256(), key, (int)key_len, p, len, ret_md, &n) && n == TLS_SHA256
		       ? 0
		       : -ENOMEM;
}

int tls_random(void *p, size_t len)
{
	return len <= INT_MAX && RAND_bytes(p, (int)len) == 1 ? 0 : -EIO;
}

bool tls_same(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

struct tls_hash *tls_hash_new(void)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(c);
		c = NULL;
	}
	return (struct tls_hash *)(void *)c;
}

int tls_hash_add(struct tls_hash *h, const void *p, size_t len)
{
	return EVP_DigestUpdate(ctx_of(h), p, len) == 1 ? 0 : -ENOMEM;
}

int tls_hash_end(struct tls_hash *h, uint8_t ret_md[TLS_SHA256])
{
	unsigned n = 0;
	int ok = EVP_DigestFinal_ex(ctx_of(h), ret_md, &n) == 1 && n == TLS_SHA256;

	tls_hash_free(h);
	return ok ? 0 : -ENOMEM;
}

void tls_hash_free(struct tls_hash *h)
{
	EVP_MD_CTX_free(ctx_of(h));
}
