/* rules.h - the guest's nf_tables rules: every TCP connection and DNS query goes to the forwarder
 *
 * Table "inet sbx", chains "output" (own programs) and "prerouting" (containers behind bridges). What
 * leaves by sbx0, or comes from a bridge for none of the guest's own networks, is redirected: TCP to
 * the forwarder, port 53 to its DNS, other UDP to a port where nobody listens, so that the kernel
 * refuses it at once. Builds bytes only.
 */
#ifndef GUEST_RULES_H
#define GUEST_RULES_H
#include "guest/netlink.h"

#define RULES_DEVICE	 "sbx0"
#define RULES_TCP_PORT	 61001 /* above what the kernel gives to programs by itself */
#define RULES_DNS_PORT	 61002
#define RULES_CLOSED	 61003
#define RULES_PREFIX_MAX 96

/* A network that is inside the guest. */
struct rules_prefix {
	uint8_t family; /* 4 or 6 */
	uint8_t bits;
	uint8_t addr[16];
};

/* rules_build() - replaces the table in one transaction, so that no packet passes in between */
void rules_build(struct nl *n, const struct rules_prefix *own, size_t n_own);
#endif
