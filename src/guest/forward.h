/* forward.h - the resolver of a sandbox without network: every name is refused, at once
 *
 * Answers on 127.0.0.1 and ::1, port 53, UDP and TCP, with REFUSED. TCP elsewhere needs no help:
 * without a route the kernel refuses it immediately.
 */
#ifndef GUEST_FORWARD_H
#define GUEST_FORWARD_H
#include "base/loop.h"
#include <stddef.h>
#include <stdint.h>

#define FORWARD_DNS_MAX 512

/* forward_start() - listen as long as the loop lives; -errno when not even IPv4 can be served */
int forward_start(struct loop *l) MUST_USE;
/* forward_refuse() - the answer to a query of @len bytes; 0 when it deserves none */
size_t forward_refuse(const uint8_t *query, size_t len, uint8_t dst[FORWARD_DNS_MAX]);
#endif
