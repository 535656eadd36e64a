/* ca.h - the certificate authority of one sandbox: made, kept in two files, loaded again
 *
 * EC P-256, self-signed, path length 0, valid for TLS_CA_DAYS. A name constraint is not possible: the
 * hosts are not known beforehand. What bounds it is that one sandbox trusts it, that its key is with the
 * one process that mints, and its days. The key never leaves in any other way than into @key_fd.
 * Thread: one at a time.
 */
#ifndef TLS_CA_H
#define TLS_CA_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_CA_DAYS    10
#define TLS_CA_PEM_MAX 4096

struct tls_ca;

/* tls_ca_open() - load key and certificate; make them anew when they are not there, do not belong together, are
 * broken, or when less than half of their days is left
 * @key_fd, @cert_fd: files open for reading and writing (borrowed; the key's is 0600 already)
 * @name: of the sandbox, for people who look at the certificate
 * @now_s: seconds since 1970
 */
int tls_ca_open(int key_fd, int cert_fd, const char *name, int64_t now_s, struct tls_ca **ret_ca,
	bool *ret_made, struct err *e) MUST_USE;
/* tls_ca_make() - one that is in memory only */
int tls_ca_make(const char *name, int64_t now_s, struct tls_ca **ret_ca, struct err *e) MUST_USE;
void tls_ca_free(struct tls_ca *ca); /* NULL is fine */
/* tls_ca_pem() - the certificate; borrowed, terminated */
const char *tls_ca_pem(const struct tls_ca *ca);
int64_t tls_ca_until(const struct tls_ca *ca); /* seconds since 1970 */
#endif
