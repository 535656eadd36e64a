/* pem.h - is a text a file of certificates? For whoever is told of one, before anything relies on it
 *
 * Strict: only certificates in PEM form, each whole and readable; text between them is allowed, as in files
 * that tools write. libcrypto only. Thread: any; no I/O.
 */
#ifndef TLS_PEM_H
#define TLS_PEM_H
#include "base/err.h"
#include <stddef.h>

#define TLS_PEM_CERTS_MAX 1024

/* tls_pem_check() - -EINVAL or -E2BIG, and a sentence that begins with FILE:LINE */
int tls_pem_check(
	const char *file, const char *text, size_t len, size_t *ret_n, struct err *e) MUST_USE;
#endif
