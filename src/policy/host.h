/* host.h - the one canonical form of a host: a name, an address, or the host's own loopback
 *
 * Pure. A name: lower case, without its trailing dot; at most 253 bytes, labels of 1 to 63 bytes of
 * letters, digits, '-' and '_'; no label begins or ends with '-', the last one has no '_' and is no
 * number (then it would be an odd spelling of an address). International names come as xn-- only.
 * Every other byte (spaces, '%', '@', non-ASCII, ...) makes the host refused, never repaired.
 */
#ifndef POLICY_HOST_H
#define POLICY_HOST_H
#include "policy/address.h"

#define POLICY_HOST_MAX 253

enum policy_host_kind {
	POLICY_HOST_NONE,
	POLICY_HOST_NAME,
	POLICY_HOST_ADDRESS,
	POLICY_HOST_LOCAL, /* localhost, host.sbx.internal, host.docker.internal: one resource */
};

struct policy_host {
	enum policy_host_kind kind;
	uint16_t len; /* of name */
	char name[POLICY_HOST_MAX +
		  1]; /* an address in canonical text, without brackets; LOCAL: "localhost" */
	struct policy_address address; /* of an ADDRESS, else family 0 */
};

/* policy_host_parse() - @len bytes as a client wrote them: "GitHub.com.", "10.0.0.1", "[::1]",
 * "::1"; no port. False: refused, @ret_h untouched.
 */
bool policy_host_parse(const char *text, size_t len, struct policy_host *ret_h) MUST_USE;
/* policy_host_from_address() - the host that has no other name than @a (family 4 or 6) */
void policy_host_from_address(const struct policy_address *a, struct policy_host *ret_h);
/* policy_host_inside() - a name that has a meaning inside only (gateway.sbx.internal and all of
 * sbx.internal): never looked up outside
 */
bool policy_host_inside(const struct policy_host *h);
#endif
