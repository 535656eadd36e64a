/* port_spec.h - SPEC of a published port: [[HOSTIP:]HOSTPORT:]PORT[/tcp|tcp4|tcp6], and back to text
 *
 * Pure. Only loopback addresses of the host: a service of a sandbox is nobody else's business.
 * Only TCP, and "udp" is refused by its name.
 */
#ifndef DAEMON_PORT_SPEC_H
#define DAEMON_PORT_SPEC_H
#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

#define PORT_SPEC_MAX	 128 /* bytes of a SPEC */
#define PORT_ADDRESS_MAX 16 /* with NUL: 127.255.255.255, ::1 */
#define PORT_LOOPBACK4	 "127.0.0.1"
#define PORT_LOOPBACK6	 "::1"
#define PORT_LABEL_MAX	 80

struct port_spec {
	uint16_t container; /* inside; never 0 */
	uint16_t host; /* 0: one that is free */
	char address[PORT_ADDRESS_MAX]; /* of the host; "": both loopback addresses */
};

int port_spec_parse(const char *text, struct port_spec *ret, struct err *e) MUST_USE;
/* port_spec_address() - may a port be published there? */
bool port_spec_address(const char *address);
/* port_spec_label() - "127.0.0.1:8080->3000/tcp"; without a host port "3000/tcp" */
const char *port_spec_label(
	const char *address, uint16_t host, uint16_t container, char dst[PORT_LABEL_MAX]);
#endif
