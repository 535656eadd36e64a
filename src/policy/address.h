/* address.h - IP addresses as policy sees them: one canonical form, one judgement of their class
 *
 * Pure. An address has one spelling: IPv4 as four decimal numbers without leading zeros, IPv6 as
 * RFC 4291 writes it, without zone; an IPv4-mapped IPv6 address *is* its IPv4 one. Every other
 * spelling (one number, hexadecimal, octal, short forms, zones, escapes) is refused.
 */
#ifndef POLICY_ADDRESS_H
#define POLICY_ADDRESS_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct policy_address {
	uint8_t family; /* 4, 6; 0: none */
	uint8_t byte[16]; /* network order; IPv4: the first four, the rest zero */
};

/* The class decides what may be reached without being named: only PUBLIC addresses. */
enum policy_address_class {
	POLICY_ADDRESS_PUBLIC,
	POLICY_ADDRESS_PRIVATE, /* RFC 1918, unique local, shared (carrier) and site-local space */
	POLICY_ADDRESS_LOOPBACK,
	POLICY_ADDRESS_LINKLOCAL,
	POLICY_ADDRESS_METADATA, /* where clouds hand out credentials: never but by a rule for exactly it */
	POLICY_ADDRESS_MULTICAST,
	POLICY_ADDRESS_UNSPECIFIED,
	POLICY_ADDRESS_EMBEDDED, /* an IPv4 address in disguise: NAT64, 6to4, Teredo, compatible, ISATAP */
	POLICY_ADDRESS_RESERVED, /* documentation, benchmarks, broadcast, future use; not an address */
	POLICY_ADDRESS_CLASSES
};

#define POLICY_ADDRESS_TEXT 46 /* longest text with its NUL */

/* policy_address_parse() - @len bytes of text without brackets; false when it is not canonical in
 * the sense above. IPv6 letters may have either case and zeros may be written out.
 */
bool policy_address_parse(const char *text, size_t len, struct policy_address *ret_a) MUST_USE;
/* policy_address_from() - @family 4 or 6 and its bytes as they came over a wire; false on another
 * family. A mapped address becomes IPv4; bytes beyond an IPv4 address are ignored.
 */
bool policy_address_from(
	unsigned family, const uint8_t byte[16], struct policy_address *ret_a) MUST_USE;
/* policy_address_text() - the one spelling (RFC 5952); "" for family 0. Returns dst. */
char *policy_address_text(const struct policy_address *a, char dst[POLICY_ADDRESS_TEXT]);
bool policy_address_same(const struct policy_address *a, const struct policy_address *b);

/* policy_address_class() - the only judge of it: resolver vetting, front and vault ask here.
 * Family 0 is RESERVED.
 */
enum policy_address_class policy_address_class(const struct policy_address *a);
const char *policy_address_class_name(enum policy_address_class c); /* "public", ...; never NULL */

/* policy_address_host() - does it stand for the host's own loopback? 127.0.0.1, ::1, and what
 * host.sbx.internal is inside (198.18.0.254, fd53:6278::fe)
 */
bool policy_address_host(const struct policy_address *a);
/* policy_address_inside() - has it a meaning inside only (198.18.0.0/24, fd53:6278::/64)? */
bool policy_address_inside(const struct policy_address *a);
/* policy_address_in() - is @a in @net/@prefix? Families differ: false. */
bool policy_address_in(
	const struct policy_address *a, const struct policy_address *net, unsigned prefix);
#endif
