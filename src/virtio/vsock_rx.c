/* Packets to the guest: resets first, then the ready streams in turn, one packet each. A receive
 * buffer is taken from the queue only when there is something to put in; one that was not used
 * goes back.
 */
#include "virtio/vsock_priv.h"
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#define IOV	     64
#define PACKET_BYTES (64u << 10) /* what Linux takes at most */

static void put(struct vsock *v, const struct virtio_vsock_hdr *h)
{
	size_t n = vchain_write(&v->rx_chain, 0, h, sizeof(*h));

	assert(n == sizeof(*h));
	vqueue_push(&v->dev.vq[VSOCK_QUEUE_RX], v->rx_chain.head, (uint32_t)sizeof(*h) + h->len);
}

static void put_reset(struct vsock *v)
{
	const struct vsock_reset *r = &v->reset[v->reset_at];
	struct virtio_vsock_hdr h = {.src_cid = r->host_cid,
		.dst_cid = VSOCK_GUEST_CID,
		.src_port = r->host_port,
		.dst_port = r->guest_port,
		.type = r->type,
		.op = VIRTIO_VSOCK_OP_RST};

	v->reset_at = (v->reset_at + 1) % VSOCK_RESETS;
	v->n_resets--;
	put(v, &h);
}

static void put_stream(struct vsock_stream *s, uint16_t op, uint32_t len, uint32_t flags)
{
	struct virtio_vsock_hdr h = {.src_cid = VSOCK_HOST_CID,
		.dst_cid = VSOCK_GUEST_CID,
		.src_port = s->host_port,
		.dst_port = s->guest_port,
		.len = len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.flags = flags,
		.buf_alloc = s->alloc,
		.fwd_cnt = s->fwd};

	put(s->v, &h);
	s->told_fwd = s->fwd;
	s->owes &= ~VSOCK_OWES_CREDIT_UPDATE; /* said with this one */
}

static void put_owed(struct vsock_stream *s)
{
	uint32_t what = s->owes & (0u - s->owes); /* the lowest: the first in order */
	uint32_t flags = (s->host_end ? VIRTIO_VSOCK_SHUTDOWN_SEND : 0u) |
			 (s->host_deaf ? VIRTIO_VSOCK_SHUTDOWN_RCV : 0u);

	s->owes &= ~what;
	switch (what) {
	case VSOCK_OWES_REQUEST:
		put_stream(s, VIRTIO_VSOCK_OP_REQUEST, 0, 0);
		break;
	case VSOCK_OWES_RESPONSE:
		put_stream(s, VIRTIO_VSOCK_OP_RESPONSE, 0, 0);
		break;
	case VSOCK_OWES_CREDIT_UPDATE:
		put_stream(s, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
		break;
	case VSOCK_OWES_CREDIT_REQUEST:
		put_stream(s, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, 0);
		break;
	default:
		assert(what == VSOCK_OWES_SHUTDOWN);
		put_stream(s, VIRTIO_VSOCK_OP_SHUTDOWN, 0, flags);
	}
}

/* put_bytes() - from the socket into the guest's buffer; false: there were none, it is unused */
static bool put_bytes(struct vsock_stream *s)
{
	struct vchain *c = &s->v->rx_chain;
	uint32_t room = vsock_room(s);
	struct iovec iov[IOV];
	struct msghdr mh = {.msg_iov = iov};
	ssize_t n;

	if (room == 0)
		return false; /* the guest took it back while the stream was in the list */
	mh.msg_iovlen = vchain_out(
		c, VSOCK_HDR_BYTES, room < PACKET_BYTES ? room : PACKET_BYTES, iov, IOV, NULL);
	if (mh.msg_iovlen == 0) { /* a buffer for a header only: no driver does that */
		vsock_fault(s->v);
		vsock_reset_stream(s);
		return false;
	}
	n = recvmsg(s->fd, &mh, MSG_DONTWAIT);
	if (n > 0) {
		s->sent += (uint32_t)n;
		s->v->stats.to_guest_bytes += (uint64_t)n;
		put_stream(s, VIRTIO_VSOCK_OP_RW, (uint32_t)n, 0);
		if (vsock_room(s) == 0 && !s->asked_credit) {
			s->asked_credit = true;
			s->owes |= VSOCK_OWES_CREDIT_REQUEST;
		}
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		s->readable = false;
		vsock_watch(s);
	} else if (n < 0 && errno == ECONNRESET && s->by_guest) {
		vsock_reset_stream(
			s); /* not an orderly end: a client inside must not take it for one */
	} else {
		if (n < 0)
			s->hup = true;
		vsock_host_ended(s);
		if (s->state == VSOCK_OPEN)
			vsock_watch(s);
	}
	return false;
}

/* send_one() - one packet into rx_chain; false: it was not used */
static bool send_one(struct vsock *v)
{
	struct vsock_stream *s = v->ready;
	bool used = true;

	if (v->n_resets > 0) {
		put_reset(v);
		return true;
	}
	vsock_unready(s);
	if (s->owes)
		put_owed(s);
	else
		used = put_bytes(s);
	vsock_ready(s); /* at the end of the list, if there is more */
	return used;
}

void vsock_rx_run(struct vsock *v)
{
	bool have = false, sent = false;
	unsigned n = 0;

	while (n < VSOCK_BUDGET && (v->n_resets > 0 || v->ready)) {
		if (!have) {
			enum vq_result r = virtio_dev_pop(&v->dev, VSOCK_QUEUE_RX, &v->rx_chain);

			if (r == VQ_EMPTY && !virtio_dev_idle(&v->dev, VSOCK_QUEUE_RX))
				continue;
			if (r != VQ_CHAIN)
				break;
			have = true;
			if (v->rx_chain.out_bytes < VSOCK_HDR_BYTES) {
				virtio_dev_break(&v->dev, VSOCK_QUEUE_RX,
					"a receive buffer without room for a header");
				break;
			}
		}
		have = !send_one(v);
		sent = sent || !have;
		n++;
	}
	if (have)
		vqueue_unpop(&v->dev.vq[VSOCK_QUEUE_RX]);
	if (n == VSOCK_BUDGET)
		vsock_later(v);
	if (sent)
		virtio_dev_signal(&v->dev, VSOCK_QUEUE_RX);
}
