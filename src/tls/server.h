/* server.h - the guest-facing side: TLS 1.2 and 1.3 with a leaf that is chosen after the ClientHello
 *
 *   tls_server_new() -> tls_handshake(): TLS_HELLO -> tls_server_name(), tls_server_offers()
 *   -> tls_leaves_get() -> tls_server_choose() -> tls_handshake() until TLS_DONE
 * Who knows the name beforehand calls tls_server_choose() first; TLS_HELLO does not come then. Between
 * TLS_HELLO and the choice any time may pass. Resumption is by tickets; their keys live as long as
 * the context. No early data, no renegotiation, no client certificates.
 */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H
#include "tls/leaf.h"
#include "tls/session.h"

struct tls_server; /* what all sessions of a process share */

int tls_server_ctx_new(struct tls_server **ret_ctx, struct err *e) MUST_USE;
void tls_server_ctx_free(struct tls_server *ctx); /* NULL is fine */

/* tls_server_new() - over @fd (borrowed); @ahead: bytes of the connection that were read already
 * NULL: no memory.
 */
struct tls *tls_server_new(
	struct tls_server *ctx, int fd, const void *ahead, size_t ahead_len) MUST_USE;
/* tls_server_name() - SNI as sent, "" when there is none or it is no name; from TLS_HELLO on */
const char *tls_server_name(const struct tls *t);
/* tls_server_offers() - does the client offer @alpn ("h2")? from TLS_HELLO on */
bool tls_server_offers(const struct tls *t, const char *alpn);
/* tls_server_choose() - answer with @leaf; @alpn NULL: agree on no protocol. It must be one of those
 * offered, else none is agreed on.
 */
int tls_server_choose(struct tls *t, const struct tls_leaf *leaf, const char *alpn) MUST_USE;
/* tls_server_refuse() - instead of a choice: the handshake fails with the alert unrecognized_name */
void tls_server_refuse(struct tls *t);
#endif
