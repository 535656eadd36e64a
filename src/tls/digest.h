/* digest.h - SHA-256, HMAC-SHA-256, random bytes and comparison in constant time, for those above this layer */
#ifndef TLS_DIGEST_H
#define TLS_DIGEST_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_SHA256 32

/* All return 0, or -ENOMEM/-EIO when libcrypto cannot. */
int tls_sha256(const void *p, size_t len, uint8_t ret_md[TLS_SHA256]) MUST_USE;
int tls_hmac_sha256(const void *key, size_t key_len, const void *p, size_t len,
	uint8_t ret_md[TLS_SHA256]) MUST_USE;
int tls_random(void *p, size_t len) MUST_USE;
bool tls_same(const void *a, const void *b, size_t len); /* takes as long for any difference */

/* a SHA-256 over pieces */
struct tls_hash;
struct tls_hash *tls_hash_new(void) MUST_USE; /* NULL: no memory */
int tls_hash_add(struct tls_hash *h, const void *p, size_t len) MUST_USE;
/* tls_hash_end() - the result; @h is freed, whatever comes of it */
int tls_hash_end(struct tls_hash *h, uint8_t ret_md[TLS_SHA256]) MUST_USE;
void tls_hash_free(struct tls_hash *h);
#endif
