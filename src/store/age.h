/* age.h - files in the age format, version 1 (age-encryption.org), with X25519 identities
 *
 * What secrets at rest are kept in: any age program opens them with the identity. No passphrases, no
 * armour; stanzas for others in a header are skipped. libcrypto does the arithmetic. All
 * that is secret is wiped. Input is untrusted: strict and bounded. Thread: any.
 */
#ifndef STORE_AGE_H
#define STORE_AGE_H
#include "base/buf.h"

#define AGE_KEY_BYTES	   32
#define AGE_TEXT_BYTES	   80 /* "AGE-SECRET-KEY-1…" with its NUL */
#define AGE_FILE_MAX	   (16U << 20)
#define AGE_RECIPIENTS_MAX 2

struct age_identity {
	unsigned char secret[AGE_KEY_BYTES], recipient[AGE_KEY_BYTES];
};

/* age_identity_new() - a fresh one; -EIO without randomness */
int age_identity_new(struct age_identity *ret_id) MUST_USE;
/* age_identity_parse()/_print() - the text form of age-keygen; -EINVAL */
int age_identity_parse(const char *text, struct age_identity *ret_id) MUST_USE;
void age_identity_print(const struct age_identity *id, char dst[AGE_TEXT_BYTES]);
void age_identity_wipe(struct age_identity *id);

/* age_seal() - append the file for @n recipients (1 to AGE_RECIPIENTS_MAX) with @len bytes inside */
int age_seal(const unsigned char *const *recipients, size_t n, const void *p, size_t len,
	struct buf *out) MUST_USE;
/* age_open() - append what is inside; -EBADMSG: malformed or altered, -EKEYREJECTED: not for @id.
 * After a failure @out is as before.
 */
int age_open(const struct age_identity *id, const void *p, size_t len, struct buf *out) MUST_USE;
#endif
