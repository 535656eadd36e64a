/* hello.h - a TLS ClientHello read from the first bytes of a connection, before any TLS library
 *
 * RFC 8446 4.1.2, RFC 6066 3 (server name), RFC 7301 (ALPN), RFC 9849 (encrypted ClientHello).
 * Strict: lengths must fit exactly, an extension stands once, one server name at most. Pure: no I/O,
 * no allocation. Nothing here is believed: it is what the client says it wants.
 */
#ifndef TLS_HELLO_H
#define TLS_HELLO_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_HELLO_MAX	16384 /* bytes of the message; its records together may have a bit more */
#define TLS_HELLO_BYTES (TLS_HELLO_MAX + 4096) /* nothing longer is waited for */
#define TLS_SNI_MAX	255

enum tls_hello_result {
	TLS_HELLO_MORE, /* may become one: more bytes are needed */
	TLS_HELLO_OK,
	TLS_HELLO_BAD, /* begins like TLS, and breaks its rules or our limits */
	TLS_HELLO_OTHER, /* no TLS at all */
};

struct tls_hello {
	char sni[TLS_SNI_MAX + 1]; /* as sent, "" when there is none; not judged as a host name */
	uint16_t version; /* highest that is offered: 0x0304 is TLS 1.3 */
	bool alpn; /* the extension is there */
	bool alpn_h2, alpn_http11, alpn_other; /* what it lists */
	bool ech; /* the name that is really meant is encrypted */
	bool early_data;
};

enum tls_hello_result tls_hello_parse(
	const void *p, size_t len, struct tls_hello *ret_hello) MUST_USE;
#endif
