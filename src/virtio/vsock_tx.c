/* Packets from the guest: the header is copied once and judged; then the stream does its part. */
#include "virtio/vsock_priv.h"
#include "base/clock.h"

#define TELL_MS	   20
#define TELL_SHARE 4 /* of the ring: so much of it is never kept back */

struct packet {
	struct virtio_vsock_hdr h; /* our copy; little-endian is the host's order */
	const struct vchain *chain;
};

static void reset_back(struct vsock *v, const struct packet *p)
{
	struct vsock_reset r = {p->h.dst_cid, p->h.dst_port, p->h.src_port, p->h.type};

	if (p->h.op != VIRTIO_VSOCK_OP_RST) /* never an answer to an answer */
		vsock_reset_to(v, &r);
}

/* bad() - a rule is broken: counted, and whatever it was about is reset */
static void bad(struct vsock *v, struct vsock_stream *s, const struct packet *p)
{
	vsock_fault(v);
	if (s)
		vsock_reset_stream(s);
	else
		reset_back(v, p);
}

static void on_request(struct vsock *v, const struct packet *p)
{
	struct vsock_stream *s = NULL;
	AUTO_FD fd = -1;

	if (v->n_streams < VSOCK_STREAMS && v->n_by_guest < VSOCK_GUEST_STREAMS)
		fd = v->events.incoming(v->events.ctx, p->h.dst_port);
	if (fd >= 0)
		s = vsock_add(v, p->h.dst_port, p->h.src_port, fd, true);
	if (!s) {
		v->stats.refused++;
		reset_back(v, p);
		return;
	}
	(void)TAKE_FD(fd);
	(void)vsock_credit(s, p->h.buf_alloc, 0);
	vsock_owe(s, VSOCK_OWES_RESPONSE);
	vsock_opened(s);
}

static void on_bytes(struct vsock_stream *s, const struct packet *p)
{
	uint32_t len = p->h.len;

	if (s->shut_got & VIRTIO_VSOCK_SHUTDOWN_SEND || len > s->alloc - (s->taken - s->fwd)) {
		bad(s->v, s, p);
		return;
	}
	if (vsock_to_host(s, p->chain, len) < 0)
		vsock_reset_stream(s);
}

/* A stream that bytes may flow on, in whatever direction. */
static void on_open_stream(struct vsock_stream *s, const struct packet *p)
{
	switch (p->h.op) {
	case VIRTIO_VSOCK_OP_RW:
		on_bytes(s, p);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		vsock_guest_shut(s, p->h.flags);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break; /* vsock_credit() has it */
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		vsock_owe(s, VSOCK_OWES_CREDIT_UPDATE);
		break;
	default: /* REQUEST, RESPONSE, and what does not exist */
		bad(s->v, s, p);
	}
}

static void on_stream(struct vsock_stream *s, const struct packet *p)
{
	if (p->h.op == VIRTIO_VSOCK_OP_RST) {
		vsock_guest_reset(s);
		return;
	}
	if (!vsock_credit(s, p->h.buf_alloc, p->h.fwd_cnt)) {
		bad(s->v, s, p);
		return;
	}
	if (s->state == VSOCK_OPEN || s->state == VSOCK_CLOSING) {
		on_open_stream(s, p);
	} else if (s->state == VSOCK_ASKED && p->h.op == VIRTIO_VSOCK_OP_RESPONSE &&
		   !(s->owes & VSOCK_OWES_REQUEST)) {
		vsock_move(s, VSOCK_OPEN);
		vsock_opened(s);
	} else {
		bad(s->v, s, p);
	}
}

static void on_packet(struct vsock *v, const struct vchain *c)
{
	struct packet p = {.chain = c};
	struct vsock_stream *s;

	if (vchain_read(c, 0, &p.h, sizeof(p.h)) != sizeof(p.h) || p.h.src_cid != VSOCK_GUEST_CID) {
		vsock_fault(v); /* nobody to answer */
		return;
	}
	if (p.h.dst_cid != VSOCK_HOST_CID || p.h.type != VIRTIO_VSOCK_TYPE_STREAM) {
		bad(v, NULL, &p);
		return;
	}
	s = vsock_find(v, p.h.dst_port, p.h.src_port);
	if (p.h.len > c->in_bytes - sizeof(p.h))
		bad(v, s, &p);
	else if (s)
		on_stream(s, &p);
	else if (p.h.op == VIRTIO_VSOCK_OP_REQUEST)
		on_request(v, &p);
	else
		reset_back(v, &p); /* may be in flight since before we reset it: no fault */
}

static void tell(struct vsock *v)
{
	loop_del_timer(v->tell);
	v->tell = NULL;
	v->untold = 0;
	virtio_dev_signal(&v->dev, VSOCK_QUEUE_TX);
}

static void on_tell(void *ctx)
{
	struct vsock *v = ctx;
	bool outermost = vsock_enter(v);

	v->tell = NULL; /* the loop has it */
	tell(v);
	vsock_leave(v, outermost);
}

/* used() - @n packets of the guest are done with. It has to hear of that only before its ring is
 * full: an interrupt for each would have two of its workers run in the way of the command.
 */
static void used(struct vsock *v, unsigned n)
{
	v->untold += n;
	if (v->untold >= v->dev.vq[VSOCK_QUEUE_TX].size / TELL_SHARE)
		tell(v);
	else if (!v->tell &&
		 loop_add_timer(v->loop, clock_ms() + TELL_MS, on_tell, v, &v->tell) < 0)
		tell(v);
}

void vsock_tx_run(struct vsock *v)
{
	unsigned n = 0;

	while (n < VSOCK_BUDGET) {
		enum vq_result r = virtio_dev_pop(&v->dev, VSOCK_QUEUE_TX, &v->tx_chain);

		if (r == VQ_CHAIN) {
			on_packet(v, &v->tx_chain);
			vqueue_push(&v->dev.vq[VSOCK_QUEUE_TX], v->tx_chain.head, 0);
			n++;
		} else if (r == VQ_BROKEN || virtio_dev_idle(&v->dev, VSOCK_QUEUE_TX)) {
			break;
		}
	}
	if (n == VSOCK_BUDGET)
		vsock_later(v);
	if (n > 0)
		used(v, n);
}
