/* netlink.h - netlink messages: built into bounded memory, sent, and their answers judged
 *
 * Builders never fail one by one: what does not fit marks the batch as bad, and nl_talk() refuses it.
 * No I/O but in nl_talk(). Numbers in attributes are in the kernel's own order unless the name says
 * "be" (nf_tables wants those).
 */
#ifndef GUEST_NETLINK_H
#define GUEST_NETLINK_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NL_BYTES 65536

struct nl {
	_Alignas(8) uint8_t p[NL_BYTES];
	size_t len, msg; /* bytes so far; where the message that is being built begins */
	unsigned asked; /* messages that will be answered */
	bool bad;
};

void nl_init(struct nl *n);
/* nl_begin() - a message with @flags and NLM_F_REQUEST, and its family's own header (@len bytes) */
void nl_begin(struct nl *n, uint16_t type, uint16_t flags, const void *header, size_t len);
void nl_end(struct nl *n);
void nl_put(struct nl *n, uint16_t type, const void *p, size_t len);
void nl_put_str(struct nl *n, uint16_t type, const char *s); /* with its NUL */
void nl_put_u32(struct nl *n, uint16_t type, uint32_t v);
void nl_put_be32(struct nl *n, uint16_t type, uint32_t v);
/* nl_nest()/nl_unnest() - what is put in between lies within attribute @type */
size_t nl_nest(struct nl *n, uint16_t type) MUST_USE;
void nl_unnest(struct nl *n, size_t nest);

/* nl_talk() - send all, wait for every message's answer; the first refusal, or -ETIMEDOUT after
 * @timeout_ms. @protocol: NETLINK_ROUTE, NETLINK_NETFILTER.
 */
int nl_talk(const struct nl *n, int protocol, int timeout_ms) MUST_USE;
#endif
