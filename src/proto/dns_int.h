/* dns_int.h - the insides shared by the two ends of dns.h: cursor and names */
#ifndef PROTO_DNS_INT_H
#define PROTO_DNS_INT_H
#include "proto/dns.h"

#define DNS_HEADER   12
#define DNS_CLASS_IN 1
#define DNS_WIRE_MAX 255 /* a name on the wire, with its root */

struct dns_cursor {
	const uint8_t *p; /* the whole message: names point back into it */
	size_t len, at;
	bool bad;
};

uint8_t dns_u8(struct dns_cursor *c);
uint16_t dns_u16(struct dns_cursor *c);
uint32_t dns_u32(struct dns_cursor *c);
/* dns_skip() - @n bytes, in place; NULL when there are fewer */
const uint8_t *dns_skip(struct dns_cursor *c, size_t n);
/* dns_wire_name() - a name, pointers followed, in lower case and wire form; its length, 0 when bad */
size_t dns_wire_name(struct dns_cursor *c, uint8_t dst[DNS_WIRE_MAX]);
/* dns_text() - wire form to text; false: odd */
bool dns_text(const uint8_t *wire, size_t len, char dst[DNS_NAME_MAX + 1]);
/* dns_from_text() - text to wire form; its length, 0 when it is no name */
size_t dns_from_text(const char *name, uint8_t dst[DNS_WIRE_MAX]);
#endif
