/* forward.h - the guest's side of the network: redirected connections and DNS become streams of the
 * host, and streams of the host become connections to services inside
 *
 * docs/protocol/egress.md, "Streams". A process of its own beside PID 1, so that traffic never slows
 * commands down: PID 1 opens the listeners, makes the network and starts it, and starts it anew when
 * it ends. It decides nothing: where a connection may go is judged on the host.
 */
#ifndef GUEST_FORWARD_H
#define GUEST_FORWARD_H
#include "base/err.h"
#include "guest/guest.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORWARD_CONNS	    1024
#define FORWARD_HEADER	    32
#define FORWARD_DIALS	    256 /* connections to services inside, those that dial included */
#define FORWARD_DIAL_MS	    5000 /* for a service to answer, on all its addresses */
#define FORWARD_DNS_PENDING 256
#define FORWARD_DNS_CLIENTS 64
#define FORWARD_DNS_MS	    5000
#define FORWARD_DNS_QUERY   4096 /* a longer query is none */

/* Where a client wanted to go. */
struct forward_dest {
	uint8_t family; /* 4 or 6 */
	uint8_t addr[16];
	uint16_t port;
	bool proxy; /* it is the gateway's explicit proxy */
};

/* How the outside is reached: vsock and the kernel's record of connections, or a test's. */
struct forward_ops {
	/* dial() - a non-blocking stream on its way to host port @port; negative errno */
	int (*dial)(void *ctx, uint32_t port);
	/* origin() - where the accepted @fd was going before it was redirected; negative errno */
	int (*origin)(void *ctx, int fd, struct forward_dest *ret);
	void *ctx;
};

enum {
	FORWARD_TCP4,
	FORWARD_TCP6,
	FORWARD_DNS4,
	FORWARD_DNS6,
	FORWARD_DNS_TCP4,
	FORWARD_DNS_TCP6,
	FORWARD_DIAL, /* PID 1 hands streams over by it */
	FORWARD_SOCKETS
};

/* ---- forward.c ---- */
/* forward_start() - network up, listeners open, process running; fails as a whole */
int forward_start(struct guest *g, struct err *e) MUST_USE;
/* forward_dial() - guest.dial: hand @stream (borrowed) to the process; never waits */
int forward_dial(uint16_t port, int stream) MUST_USE;

/* ---- forward_tcp.c ---- */
struct tcp_forward;
/* tcp_forward_new() - NULL without memory; ops borrowed */
struct tcp_forward *tcp_forward_new(struct loop *l, const struct forward_ops *ops) MUST_USE;
void tcp_forward_free(struct tcp_forward *f); /* with all its connections */
/* tcp_forward_listen() - accept from @fd (borrowed) as long as @f lives */
int tcp_forward_listen(struct tcp_forward *f, int fd) MUST_USE;
/* tcp_forward_add() - one accepted client; takes @fd in every case */
void tcp_forward_add(struct tcp_forward *f, int fd);
unsigned tcp_forward_count(const struct tcp_forward *f);
void forward_header(const struct forward_dest *d, uint8_t dst[FORWARD_HEADER]);

/* ---- forward_dial.c ---- */
struct dial_forward;
/* dial_forward_new() - @addresses (borrowed): where a service is looked for, in order; NULL: no memory */
struct dial_forward *dial_forward_new(
	struct loop *l, const char *const *addresses, size_t n_addresses) MUST_USE;
void dial_forward_free(struct dial_forward *f);
/* dial_forward_listen() - take streams from @fd (borrowed): messages of a u16 and a descriptor */
int dial_forward_listen(struct dial_forward *f, int fd) MUST_USE;
/* dial_forward_add() - answer DIAL on @stream, which it takes in every case */
void dial_forward_add(struct dial_forward *f, uint16_t port, int stream);
unsigned dial_forward_count(const struct dial_forward *f);

/* ---- forward_dns.c ---- */
struct dns_forward;
struct dns_forward *dns_forward_new(struct loop *l, const struct forward_ops *ops) MUST_USE;
void dns_forward_free(struct dns_forward *f);
/* dns_forward_udp(), dns_forward_tcp() - serve @fd (borrowed): a datagram socket that tells where
 * its packets went, or a listener
 */
int dns_forward_udp(struct dns_forward *f, int fd) MUST_USE;
int dns_forward_tcp(struct dns_forward *f, int fd) MUST_USE;
/* dns_fail() - the answer @rcode to a query of @len bytes; 0 when it deserves none */
size_t dns_fail(const uint8_t *query, size_t len, uint8_t rcode, uint8_t dst[512]);
/* dns_udp_max() - bytes that the sender of @query takes in one datagram */
size_t dns_udp_max(const uint8_t *query, size_t len);
#endif
