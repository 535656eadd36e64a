/* key.h - keys that sign kits: ECDSA on P-256 with SHA-256, as cosign has them
 *
 * Public keys are PEM "PUBLIC KEY"; private ones PKCS#8 PEM, "ENCRYPTED PRIVATE KEY" (PBES2) or plain. Signatures
 * are DER, in base64 where they are kept. Of keys of other kinds nothing is taken. libcrypto only. Thread: any.
 */
#ifndef DIST_KEY_H
#define DIST_KEY_H
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>

#define DIST_KEY_FILE_MAX 16384
#define DIST_PASSWORD_MAX 1024
#define DIST_HINT_MAX	  64 /* base64 of a SHA-256 */
#define DIST_SIG_MAX	  512 /* in base64 */

struct dist_key; /* private or public */

/* dist_key_public() - @text is a PEM file, named @name in errors */
int dist_key_public(const char *name, const char *text, size_t len, struct dist_key **ret,
	struct err *e) MUST_USE;
/* dist_key_private() - -EKEYREJECTED: the password is wrong; -ENOKEY: it is encrypted and @password is NULL */
int dist_key_private(const char *name, const char *text, size_t len, const char *password,
	struct dist_key **ret, struct err *e) MUST_USE;
void dist_key_free(struct dist_key *k); /* NULL is fine */
void dist_key_freep(struct dist_key **k);
#define AUTO_DIST_KEY __attribute__((cleanup(dist_key_freep))) struct dist_key

/* dist_key_make() - a new pair as two PEM texts; @password NULL or "": the private one is not encrypted */
int dist_key_make(const char *password, struct buf *private_pem, struct buf *public_pem,
	struct err *e) MUST_USE;
/* dist_key_hint() - base64 of the SHA-256 of the public key in DER: names a key, proves nothing */
int dist_key_hint(const struct dist_key *k, char ret[DIST_HINT_MAX]) MUST_USE;

int dist_sign(const struct dist_key *k, const void *p, size_t len, char ret[DIST_SIG_MAX],
	struct err *e) MUST_USE;
/* dist_signed() - is @signature (base64) one of @k over these bytes? Malformed ones are none. */
bool dist_signed(const struct dist_key *k, const void *p, size_t len, const char *signature);

/* dist_sha256() - as 64 digits; false without memory */
bool dist_sha256(const void *p, size_t len, char ret_hex[65]) MUST_USE;
/* dist_base64() - of at most 64 bytes, terminated; dist_unbase64(): -1 when it is malformed or does not fit */
void dist_base64(const void *p, size_t len, char *dst);
int dist_unbase64(const char *text, unsigned char *dst, size_t cap);
#endif
