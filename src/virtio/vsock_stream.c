/* One stream's socket.
 *
 * Watching is level-triggered, so every state in which an event could not be used is one in which
 * it is not asked for: no reading while the guest has no room or receive buffers (readable stays
 * set), no writing without buffered bytes. EPOLLHUP cannot be masked; once it was seen, a socket
 * with nothing to ask for is not watched at all.
 */
#include "virtio/vsock_priv.h"
#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define IOV	      64
#define DISCARD_READS 128

static void on_fd(void *ctx, uint32_t events);

void vsock_watch(struct vsock_stream *s)
{
	bool in = s->state == VSOCK_OPEN && !s->host_end && !s->readable &&
		  !(s->shut_got & VIRTIO_VSOCK_SHUTDOWN_RCV);
	uint32_t want = (in ? (uint32_t)EPOLLIN : 0u) | (s->buf_len > 0 ? (uint32_t)EPOLLOUT : 0u);
	int r = 0;

	if (s->fd < 0)
		return;
	if (want == 0 && s->hup) {
		loop_del_fd(s->src);
		s->src = NULL;
		return;
	}
	if (!s->src)
		r = loop_add_fd(s->v->loop, s->fd, want, on_fd, s, &s->src);
	else if (want != s->watched)
		r = loop_mod_fd(s->src, want);
	s->watched = want;
	if (r < 0 && s->state != VSOCK_DRAINING)
		vsock_reset_stream(s); /* no memory left on the host, or nothing to wait for */
	else if (r < 0)
		vsock_move(s, VSOCK_DEAD);
}

/* --- the list of streams that have something for the guest --- */

static bool has_something(const struct vsock_stream *s)
{
	return s->owes || (s->state == VSOCK_OPEN && s->readable && vsock_room(s) > 0);
}

void vsock_ready(struct vsock_stream *s)
{
	struct vsock *v = s->v;

	if (s->is_ready || !has_something(s))
		return;
	s->is_ready = true;
	s->next_ready = NULL;
	s->prev_ready = v->ready_end;
	*v->ready_end = s;
	v->ready_end = &s->next_ready;
}

void vsock_unready(struct vsock_stream *s)
{
	if (!s->is_ready)
		return;
	s->is_ready = false;
	*s->prev_ready = s->next_ready;
	if (s->next_ready)
		s->next_ready->prev_ready = s->prev_ready;
	else
		s->v->ready_end = s->prev_ready;
}

void vsock_owe(struct vsock_stream *s, uint32_t what)
{
	if (s->state == VSOCK_DRAINING || s->state == VSOCK_DEAD)
		return;
	s->owes |= what;
	vsock_ready(s);
}

/* --- credit --- */

uint32_t vsock_room(const struct vsock_stream *s)
{
	uint32_t used = s->sent - s->peer_fwd;

	return used >= s->peer_alloc ? 0 : s->peer_alloc - used;
}

/* Counters wrap. A guest's threads may put a newer count before an older one into the queue, so an
 * older count is passed over; one that is ahead of what was sent is a lie.
 */
bool vsock_credit(struct vsock_stream *s, uint32_t peer_alloc, uint32_t peer_fwd)
{
	uint32_t unused = s->sent - peer_fwd;

	if (unused > INT32_MAX)
		return false;
	if (unused < s->sent - s->peer_fwd)
		s->peer_fwd = peer_fwd;
	s->peer_alloc = peer_alloc;
	if (vsock_room(s) > 0) {
		s->asked_credit = false;
		vsock_ready(s);
	}
	return true;
}

/* The guest learns of our progress with every packet; alone only when it could be stuck. */
static void tell_credit(struct vsock_stream *s)
{
	if (s->fwd - s->told_fwd >= s->alloc / 2)
		vsock_owe(s, VSOCK_OWES_CREDIT_UPDATE);
}

/* --- ends --- */

/* A unix socket closed with unread bytes gives its peer ECONNRESET instead of the end. */
void vsock_close_fd(struct vsock_stream *s)
{
	char sink[4096];

	loop_del_fd(s->src);
	s->src = NULL;
	if (s->fd < 0)
		return;
	(void)shutdown(s->fd, SHUT_RDWR);
	for (unsigned i = 0; i < DISCARD_READS; i++)
		if (recv(s->fd, sink, sizeof(sink), MSG_DONTWAIT) <= 0)
			break;
	own_close_fd(&s->fd);
}

static void drop_buffer(struct vsock_stream *s)
{
	s->fwd += s->buf_len;
	s->buf_len = 0;
	tell_credit(s);
}

/* host_gone() - nobody is at the socket's other end any more, in either direction */
static void host_gone(struct vsock_stream *s)
{
	s->host_end = s->host_deaf = true;
	s->readable = false;
	if (s->state == VSOCK_DRAINING) {
		vsock_move(s, VSOCK_DEAD);
		return;
	}
	vsock_move(s, VSOCK_CLOSING);
	drop_buffer(s);
	vsock_close_fd(s);
	vsock_set_deadline(s, VSOCK_ANSWER_MS);
	vsock_owe(s, VSOCK_OWES_SHUTDOWN);
}

static void host_deaf(struct vsock_stream *s)
{
	s->host_deaf = true;
	if (s->host_end || s->state == VSOCK_DRAINING) {
		host_gone(s);
		return;
	}
	drop_buffer(s);
	vsock_owe(s, VSOCK_OWES_SHUTDOWN);
}

void vsock_host_ended(struct vsock_stream *s)
{
	s->host_end = true;
	s->readable = false;
	if (s->hup || s->host_deaf)
		host_gone(s);
	else
		vsock_owe(s, VSOCK_OWES_SHUTDOWN);
}

/* drained() - the host has everything: do what had to wait for it */
static void drained(struct vsock_stream *s)
{
	if (s->state == VSOCK_DRAINING)
		vsock_move(s, VSOCK_DEAD);
	else if (s->state == VSOCK_OPEN && (s->shut_got & VIRTIO_VSOCK_SHUTDOWN_SEND))
		(void)shutdown(s->fd, SHUT_WR);
}

void vsock_finish(struct vsock_stream *s)
{
	vsock_move(s, VSOCK_DRAINING);
	if (s->buf_len == 0)
		vsock_move(s, VSOCK_DEAD);
	else
		vsock_watch(s);
}

void vsock_guest_shut(struct vsock_stream *s, uint32_t flags)
{
	s->shut_got |= flags & VSOCK_SHUT_BOTH;
	if (s->shut_got == VSOCK_SHUT_BOTH) {
		struct vsock_reset r = {
			VSOCK_HOST_CID, s->host_port, s->guest_port, VIRTIO_VSOCK_TYPE_STREAM};

		vsock_reset_to(s->v, &r); /* the answer the guest waits for */
		if (s->state == VSOCK_CLOSING)
			vsock_move(s, VSOCK_DEAD);
		else
			vsock_finish(s);
		return;
	}
	if (s->state != VSOCK_OPEN)
		return;
	if (flags & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		(void)shutdown(s->fd, SHUT_RD);
		s->readable = false;
		if (!s->owes)
			vsock_unready(s);
	}
	if (s->buf_len == 0)
		drained(s);
	vsock_watch(s);
}

void vsock_guest_reset(struct vsock_stream *s)
{
	if (s->state == VSOCK_OPEN && (s->shut_got & VIRTIO_VSOCK_SHUTDOWN_SEND))
		vsock_finish(s);
	else
		vsock_move(s, VSOCK_DEAD);
}

void vsock_opened(struct vsock_stream *s)
{
	vsock_set_deadline(s, 0);
	s->readable = true; /* found out by reading */
	vsock_ready(s);
	vsock_watch(s);
}

/* --- bytes to the host --- */

/* send_spans() - returns bytes sent; fewer than asked when the socket is full or its peer deaf */
static size_t send_spans(struct vsock_stream *s, struct iovec *iov, unsigned n)
{
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t sent = sendmsg(s->fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0) {
		if (errno != EAGAIN && errno != EINTR)
			host_deaf(s);
		return 0;
	}
	s->fwd += (uint32_t)sent;
	s->v->stats.to_host_bytes += (uint64_t)sent;
	return (size_t)sent;
}

void vsock_flush(struct vsock_stream *s)
{
	while (s->buf_len > 0 && s->fd >= 0) {
		uint32_t to_end = s->alloc - s->buf_at;
		struct iovec iov[2] = {
			{s->buf + s->buf_at, s->buf_len < to_end ? s->buf_len : to_end},
			{s->buf, s->buf_len > to_end ? s->buf_len - to_end : 0}};
		size_t n = send_spans(s, iov, iov[1].iov_len ? 2 : 1);

		if (n == 0)
			return; /* full, or deaf: then all is dropped already */
		s->buf_at = (s->buf_at + (uint32_t)n) % s->alloc;
		s->buf_len -= (uint32_t)n;
		tell_credit(s);
	}
	if (s->fd >= 0)
		drained(s);
}

static int keep(struct vsock_stream *s, const struct vchain *c, size_t offset, uint32_t len)
{
	uint32_t at = (s->buf_at + s->buf_len) % s->alloc, first = s->alloc - at;
	size_t got;

	assert(len <= s->alloc - s->buf_len);
	if (!s->buf)
		s->buf = malloc(s->alloc);
	if (!s->buf)
		return -ENOMEM;
	if (first > len)
		first = len;
	got = vchain_read(c, offset, s->buf + at, first);
	got += vchain_read(c, offset + first, s->buf, len - first);
	assert(got == len); /* the payload's length was checked */
	s->buf_len += len;
	return 0;
}

int vsock_to_host(struct vsock_stream *s, const struct vchain *c, uint32_t len)
{
	uint32_t done = 0;
	int r = 0;

	s->taken += len;
	while (s->buf_len == 0 && done < len && !s->host_deaf) {
		struct iovec iov[IOV];
		size_t asked, sent;
		unsigned n = vchain_in(c, VSOCK_HDR_BYTES + done, len - done, iov, IOV, &asked);

		sent = send_spans(s, iov, n);
		done += (uint32_t)sent;
		if (sent < asked)
			break;
	}
	if (s->host_deaf)
		s->fwd += len - done;
	else if (done < len)
		r = keep(s, c, VSOCK_HDR_BYTES + done, len - done);
	tell_credit(s);
	if (r == 0 && s->buf_len > 0)
		vsock_watch(s);
	return r;
}

/* --- events of the socket --- */

static void on_fd(void *ctx, uint32_t events)
{
	struct vsock_stream *s = ctx;
	struct vsock *v = s->v;
	bool outermost = vsock_enter(v);

	if (events & (EPOLLHUP | EPOLLERR))
		s->hup = true;
	if (s->buf_len > 0)
		vsock_flush(s);
	if (s->state == VSOCK_OPEN) {
		bool done = s->host_end || (s->shut_got & VIRTIO_VSOCK_SHUTDOWN_RCV);

		if (done && s->hup)
			host_gone(s);
		else if (!done && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
			s->readable = true;
		vsock_ready(s);
	}
	vsock_rx_run(v);
	if (s->state != VSOCK_DEAD)
		vsock_watch(s);
	vsock_leave(v, outermost);
}
