/* trust.h - the guest trusts the sandbox's certificate authority: Debian's store, and variables for
 * programs that bring a store of their own
 *
 * What is done at each start, so that a renewed authority replaces the one before; programs that look
 * after the store by themselves (update-ca-certificates) find the file where they expect it.
 */
#ifndef GUEST_TRUST_H
#define GUEST_TRUST_H
#include "base/buf.h"
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

#define TRUST_VARIABLES 12

/* NAME=path; the same for every command of a guest that trusts one */
extern const char *const trust_variables[TRUST_VARIABLES];

/* trust_install() - @pem beneath @root ("" but for tests); "" takes away what an earlier start left */
int trust_install(const char *root, const char *pem, struct err *e) MUST_USE;
/* trust_bundle() - @old, a bundle, with @pem at its end in place of what we put there before */
int trust_bundle(const char *old, const char *pem, struct buf *out) MUST_USE;
/* trust_hash() - of the first certificate's subject, as OpenSSL names it in a directory (eight
 * digits); -EBADMSG
 */
int trust_hash(const char *pem, char dst[9]) MUST_USE;
void trust_sha1(const void *p, size_t len, uint8_t dst[20]);
#endif
