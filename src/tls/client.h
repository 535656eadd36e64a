/* client.h - the upstream side: TLS 1.2 and 1.3 to a server whose certificate is verified
 *
 * Verified always: chain to a trusted root, dates, purpose, and host name or address in the subject's
 * alternative names. There is no switch that turns it off. Nothing is fetched (no OCSP, CRL, AIA).
 * Roots are read at load: afterwards nothing is opened. Sessions are kept by host and port and reused
 * once; they end with the context, so new roots mean a new verification.
 */
#ifndef TLS_CLIENT_H
#define TLS_CLIENT_H
#include "base/err.h"
#include "tls/session.h"

#define TLS_SESSIONS_MAX 128 /* kept for reuse */

struct tls_roots; /* trusted certificates in memory */
struct tls_client; /* what all sessions to upstream share */

/* tls_roots_new() - none yet */
struct tls_roots *tls_roots_new(void) MUST_USE;
void tls_roots_free(struct tls_roots *r);
/* tls_roots_add() - every certificate of a PEM text; *ret_n may be NULL. -EINVAL: none, or a broken one
 * (@strict), which otherwise is passed over
 */
int tls_roots_add(struct tls_roots *r, const void *pem, size_t len, bool strict, size_t *ret_n,
	struct err *e) MUST_USE;
/* tls_roots_system() - the host's store (SSL_CERT_FILE is not looked at): the first file that is there */
int tls_roots_system(struct tls_roots *r, struct err *e) MUST_USE;
size_t tls_roots_count(const struct tls_roots *r);

/* tls_client_ctx_new() - trusts @a and @b (borrowed, may be NULL; not needed afterwards) */
int tls_client_ctx_new(const struct tls_roots *a, const struct tls_roots *b,
	struct tls_client **ret_ctx, struct err *e) MUST_USE;
/* tls_client_ctx_free() - sessions that still run go on without being kept for reuse */
void tls_client_ctx_free(struct tls_client *ctx);

struct tls_dial {
	int fd; /* borrowed; -1 with under */
	struct tls *under; /* a session to a proxy that carries this one; borrowed; NULL: none */
	const char *host; /* name, or address in text: what the certificate must be for */
	uint16_t port; /* with host the key of the session cache */
	bool h2; /* offer h2 before http/1.1 */
	bool http; /* offer http/1.1; neither: no ALPN */
};

/* tls_client_new() - -EINVAL: no certificate can be for that host; -ENOMEM */
int tls_client_new(struct tls_client *ctx, const struct tls_dial *d, struct tls **ret_tls) MUST_USE;
/* tls_client_verified() - the handshake is over and the server is who it should be (an assertion) */
bool tls_client_verified(const struct tls *t);
#endif
