/* vsock_priv.h - what the files of the vsock device share
 *
 *   vsock.c         table of streams, API, deadlines, device ops
 *   vsock_stream.c  one stream's socket: buffer, events, half-close
 *   vsock_tx.c      packets from the guest
 *   vsock_rx.c      packets to the guest
 *
 * A stream's life (state), and what the guest may send in it:
 *
 *   WAITING  the host asked for it, the driver is not up        nothing
 *   ASKED    REQUEST is sent or queued                          RESPONSE, RST
 *   OPEN     bytes flow; each way can be shut on its own        RW, CREDIT_*, SHUTDOWN, RST
 *   CLOSING  the host's end is gone, SHUTDOWN of both is sent   the same; bytes are dropped
 *   DRAINING the guest is done with it; what it sent before     not known to the guest any more
 *            still goes to the host's socket
 *   DEAD     closed, freed when the outermost call returns
 *
 * WAITING → ASKED → OPEN → CLOSING → DEAD, OPEN → DRAINING → DEAD; any → DEAD by RST or reset.
 */
#ifndef VIRTIO_VSOCK_PRIV_H
#define VIRTIO_VSOCK_PRIV_H
#include "virtio/vsock.h"
#include <linux/virtio_vsock.h>

#define VSOCK_QUEUE_RX	  0
#define VSOCK_QUEUE_TX	  1
#define VSOCK_QUEUE_EVENT 2
#define VSOCK_HDR_BYTES	  sizeof(struct virtio_vsock_hdr)
#define VSOCK_BUCKETS	  1024u
#define VSOCK_RESETS	  256u /* RSTs to unknown streams that wait for a receive buffer */
#define VSOCK_SHUT_BOTH	  (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)
#define VSOCK_BUDGET	  256 /* packets each way before other sources get their turn */

enum vsock_state {
	VSOCK_WAITING,
	VSOCK_ASKED,
	VSOCK_OPEN,
	VSOCK_CLOSING,
	VSOCK_DRAINING,
	VSOCK_DEAD,
};

/* Packets that a stream owes the guest, sent in this order before its bytes. */
#define VSOCK_OWES_REQUEST	  1u
#define VSOCK_OWES_RESPONSE	  2u
#define VSOCK_OWES_CREDIT_UPDATE  4u
#define VSOCK_OWES_CREDIT_REQUEST 8u
#define VSOCK_OWES_SHUTDOWN	  16u

struct vsock_stream {
	struct vsock *v;
	struct vsock_stream *next_hash, *next_all, **prev_all;
	struct vsock_stream *next_ready, **prev_ready; /* the list of who has something to send */
	bool is_ready;
	enum vsock_state state;
	bool by_guest;
	uint32_t host_port, guest_port;
	int64_t deadline; /* 0: none */
	int fd;
	struct loop_fd *src; /* NULL: not watched */
	uint32_t watched; /* events asked for */
	bool hup; /* the socket's peer is gone altogether */
	bool readable; /* the socket has bytes or its end, as far as we know */
	bool host_end; /* its end was read */
	bool host_deaf; /* its peer does not read any more: the guest's bytes are dropped */
	uint32_t owes;
	uint32_t shut_got; /* VIRTIO_VSOCK_SHUTDOWN_* flags of the guest */
	/* towards the guest: bytes sent, and what the guest says it has room for and has used */
	uint32_t sent, peer_alloc, peer_fwd;
	bool asked_credit; /* since it last gave some */
	/* from the guest: bytes taken, and of them given to the host; what the guest was last told */
	uint32_t taken, fwd, told_fwd;
	uint32_t alloc; /* granted buffer */
	uint8_t *buf; /* NULL until first needed; alloc bytes, used round and round */
	uint32_t buf_at, buf_len;
};

struct vsock_reset {
	uint64_t host_cid;
	uint32_t host_port, guest_port;
	uint16_t type;
};

struct vsock {
	struct virtio_dev dev; /* first */
	struct loop *loop;
	struct vsock_events events;
	struct vsock_stream *hash[VSOCK_BUCKETS];
	struct vsock_stream *all, *dead;
	struct vsock_stream *ready, **ready_end; /* first in, first out */
	unsigned n_streams, n_by_guest, n_connecting, n_deadlines;
	uint32_t pool_used, next_port;
	struct vsock_reset reset[VSOCK_RESETS]; /* used round and round */
	unsigned reset_at, n_resets;
	struct loop_timer *sweep, *again, *tell;
	unsigned untold; /* packets of the guest that are done with, which it was not told yet */
	bool busy; /* between vsock_enter() and vsock_leave() */
	struct vsock_stats stats;
	struct vchain tx_chain, rx_chain; /* at hand */
};

/* vsock.c */
struct vsock_stream *vsock_find(struct vsock *v, uint32_t host_port, uint32_t guest_port);
/* vsock_add() - a new stream in the table; takes @fd on success only. NULL: caps, or no memory */
struct vsock_stream *vsock_add(
	struct vsock *v, uint32_t host_port, uint32_t guest_port, int fd, bool by_guest);
void vsock_move(struct vsock_stream *s, enum vsock_state to); /* the one place that changes state */
void vsock_set_deadline(struct vsock_stream *s, int64_t in_ms); /* 0: none */
/* vsock_reset_to() - queue a RST that belongs to no stream; dropped when too many wait */
void vsock_reset_to(struct vsock *v, const struct vsock_reset *r);
/* vsock_reset_stream() - RST to the guest, and the stream is dead */
void vsock_reset_stream(struct vsock_stream *s);
void vsock_fault(struct vsock *v);
/* vsock_enter()/vsock_leave() - around every way in from outside. The outermost leave() frees the
 * streams that died meanwhile: in between no pointer to one goes stale.
 */
bool vsock_enter(struct vsock *v) MUST_USE;
void vsock_leave(struct vsock *v, bool outermost);
/* vsock_later() - come back to the queues after other sources had their turn */
void vsock_later(struct vsock *v);

/* vsock_stream.c */
void vsock_watch(struct vsock_stream *s); /* watch the socket for what can be used now */
void vsock_ready(struct vsock_stream *s); /* it has something to send */
void vsock_unready(struct vsock_stream *s);
void vsock_owe(struct vsock_stream *s, uint32_t what);
/* vsock_room() - bytes the guest has room for */
uint32_t vsock_room(const struct vsock_stream *s);
/* vsock_credit() - the guest said how much room it has and what it used; false: a lie */
bool vsock_credit(struct vsock_stream *s, uint32_t peer_alloc, uint32_t peer_fwd);
/* vsock_to_host() - @len bytes of @c's payload (after the header) to the socket or the buffer; the
 * caller has checked that they fit. -ENOMEM: no buffer
 */
int vsock_to_host(struct vsock_stream *s, const struct vchain *c, uint32_t len) MUST_USE;
void vsock_flush(struct vsock_stream *s);
/* vsock_guest_shut() - the guest sent SHUTDOWN with @flags */
void vsock_guest_shut(struct vsock_stream *s, uint32_t flags);
/* vsock_finish() - the guest is done with the open stream; only bytes it sent before are left */
void vsock_finish(struct vsock_stream *s);
/* vsock_guest_reset() - the guest sent RST: what it had finished sending still goes out */
void vsock_guest_reset(struct vsock_stream *s);
/* vsock_host_ended() - the socket's end was read */
void vsock_host_ended(struct vsock_stream *s);
/* vsock_opened() - the guest agreed, bytes may flow */
void vsock_opened(struct vsock_stream *s);
void vsock_close_fd(struct vsock_stream *s);

/* vsock_tx.c, vsock_rx.c */
void vsock_tx_run(struct vsock *v);
void vsock_rx_run(struct vsock *v);
#endif
