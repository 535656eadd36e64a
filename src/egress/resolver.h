/* resolver.h - the child of the vault that speaks DNS: forked before there is any secret, jailed by itself
 *
 * Asks the name servers it is told, by UDP from a new port with a new id each time, by TCP when the answer was
 * cut; follows CNAMEs. Knows names and servers only.
 */
#ifndef EGRESS_RESOLVER_H
#define EGRESS_RESOLVER_H
#include "egress/vault.h"

/* resolver_fork() - *ret_fd: the vault's end (a SEQPACKET socket, non-blocking) */
int resolver_fork(struct vault *v, int *ret_fd, struct err *e) MUST_USE;
/* The child's own part, without any jail; for resolver_fork() and tests. resolver_serve() returns when the
 * peer of @fd (borrowed) has closed, and frees it.
 */
struct resolver;
struct resolver *resolver_new(int fd) MUST_USE;
int resolver_serve(struct resolver *r) MUST_USE;
#endif
