/* trust.h - the guest trusts the sandbox's certificate authority: Debian's store, the stores of its JVMs,
 * and variables for programs that bring a store of their own
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
#define TRUST_DER_MAX	8192 /* of one certificate */
#define TRUST_JAVA_MAX	(2U << 20) /* of a JVM's store; those that JVMs come with have 0.2 MiB */

/* NAME=path; the same for every command of a guest that trusts one */
extern const char *const trust_variables[TRUST_VARIABLES];

/* trust_install() - @pem beneath @root ("" but for tests); "" takes away what an earlier start left */
int trust_install(const char *root, const char *pem, struct err *e) MUST_USE;
/* trust_bundle() - @old, a bundle, with @pem at its end in place of what we put there before */
int trust_bundle(const char *old, const char *pem, struct buf *out) MUST_USE;
/* trust_java() - @pem into the store of every JVM that is there beneath @root; how many hold it now (or,
 * with "", do not any more). One that cannot be written is told to the log: a JVM is no reason not to start.
 */
size_t trust_java(const char *root, const char *pem);
/* trust_java_store() - a JVM's store as it is, with @pem ("" for none) in place of what we put there
 * before. -EBADMSG: it is no store, -EKEYREJECTED: it has a password of its own, or as buf_add().
 */
int trust_java_store(const void *old, size_t len, const char *pem, struct buf *out) MUST_USE;
/* trust_hash() - of the first certificate's subject, as OpenSSL names it in a directory (eight
 * digits); -EBADMSG
 */
int trust_hash(const char *pem, char dst[9]) MUST_USE;
/* trust_der() - the bytes of the first certificate of @pem; -EBADMSG */
int trust_der(const char *pem, uint8_t dst[TRUST_DER_MAX], size_t *ret_len) MUST_USE;
void trust_sha1(const void *p, size_t len, uint8_t dst[20]);
#endif
