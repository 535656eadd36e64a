/* net.h - the guest's network: an interface that leads nowhere, and rules that lead to the forwarder
 *
 * docs/protocol/egress.md, "Addresses inside". Needs the modules of root_load_net(). Everything may
 * be done again: what is there stays.
 */
#ifndef GUEST_NET_H
#define GUEST_NET_H
#include "base/err.h"

#define NET_GATEWAY4   "198.18.0.1"
#define NET_GATEWAY6   "fd53:6278::1"
#define NET_ADDRESS4   "198.18.0.2"
#define NET_ADDRESS6   "fd53:6278::2"
#define NET_PROXY_PORT 3128

/* net_begin() - @load and net_up() in a child, beside the rest of the start: it takes a third of a
 * second of an emulated machine. net_wait(): until that is done, or what went wrong.
 */
void net_begin(void (*load)(void));
int net_wait(struct err *e) MUST_USE;
/* net_up() - the interface with its addresses and default routes, then the rules */
int net_up(struct err *e) MUST_USE;
/* net_rules() - the rules anew, for the networks that are inside the guest now; negative errno */
int net_rules(void) MUST_USE;
/* net_watch() - a descriptor that becomes readable when an address comes or goes; negative errno
 * net_watched() - take what it says; what it was is found out by net_rules()
 */
int net_watch(void) MUST_USE;
void net_watched(int fd);
#endif
