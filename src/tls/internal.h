/* internal.h - what the files of this directory share: the session's insides, OpenSSL's types */
#ifndef TLS_INTERNAL_H
#define TLS_INTERNAL_H
#include "base/err.h"
#include "tls/session.h"
#include <openssl/ssl.h>

#define TLS_ALPN_MAX 32 /* bytes of an ALPN list in wire form */
#define TLS_NAME_MAX 253

struct tls {
	SSL *ssl;
	int fd; /* borrowed */
	struct tls *under; /* carries this one instead of a descriptor; borrowed */
	uint8_t *ahead; /* owned: bytes that were read before the session began */
	size_t ahead_len, ahead_pos;
	/* records that the descriptor did not take, and how many bytes of the last one the caller has not
	 * been told are gone: a caller that has nothing left to write would never come again */
	uint8_t *left; /* owned */
	size_t left_len, left_pos, owed;
	ssize_t late; /* what tls_read() is to say next, if is_late */
	uint32_t wants;
	bool eof, broken, is_late;
	bool gathers; /* records are collected, to be sent at once */
	bool server, chosen, hello_seen;
	char why[TLS_WHY_MAX];
	/* server */
	char sni[TLS_NAME_MAX + 1];
	uint8_t offered[256]; /* the client's ALPN list, wire form */
	size_t offered_len;
	char alpn[TLS_ALPN_MAX]; /* what the caller chose */
	/* client */
	struct tls_client *client; /* borrowed; NULL: its sessions are not kept */
	char key[TLS_NAME_MAX + 32]; /* of the session cache */
};

/* tls_start() - once: OpenSSL without its configuration file */
int tls_start(struct err *e) MUST_USE;
/* tls_context() - what both sides share: versions, ciphers, modes */
SSL_CTX *tls_context(bool server) MUST_USE;
/* tls_new() - a session of @ctx over @fd, or carried by @under */
struct tls *tls_new(SSL_CTX *ctx, int fd, struct tls *under) MUST_USE;
/* tls_client_forget() - a client's session ends: its context may go with it */
void tls_client_forget(struct tls *t);
struct tls_roots;
int tls_roots_put(const struct tls_roots *r, X509_STORE *store) MUST_USE;
/* tls_ssl_error() - the reason at the head of OpenSSL's queue, as text; clears the queue */
void tls_ssl_error(char *dst, size_t cap, const char *otherwise);
/* tls_err() - fill @e with it; returns -EPROTO */
int tls_err(struct err *e, const char *what);
/* tls_name_ok() - may a certificate be for that host name? lower or upper case letters, digits, '-', '_' */
bool tls_name_ok(const char *name);
/* tls_is_address() - IPv4 or IPv6 in text; *ret_len 4 or 16 */
bool tls_is_address(const char *name, uint8_t ret_address[16], size_t *ret_len);
#endif
