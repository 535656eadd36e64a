/* The connection: bytes and descriptors come in, one message at a time is decoded (vhost_user_msg)
 * and carried out here.
 *
 * A ring runs when it has size, addresses, a kick descriptor, memory, features and is enabled
 * (from the start when VU_F_PROTOCOL_FEATURES was not agreed). GET_VRING_BASE stops it; then it
 * needs a new kick descriptor. Ring addresses are kept as the front-end's, because a new memory
 * table moves them.
 */
#include "virtio/vhost_user.h"
#include "base/io.h"
#include "base/log.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define MESSAGES_PER_WAKE 32
#define PROTOCOL_OFFER                                                                             \
	(1ull << VU_P_MQ | 1ull << VU_P_REPLY_ACK | 1ull << VU_P_CONFIG | 1ull << VU_P_RESET_DEVICE)

struct ring {
	struct vhost_user *v;
	unsigned index;
	uint16_t num; /* 0: not set */
	uint16_t base;
	uint64_t desc, avail, used; /* the front-end's addresses */
	bool has_addr, enabled;
	bool stopped; /* ran before, up to stopped_at */
	uint16_t stopped_at;
	int kick_fd, call_fd;
	struct loop_fd *kick_src;
};

struct vhost_user {
	struct loop *loop;
	int fd;
	struct loop_fd *src;
	struct virtio_dev *dev;
	struct vhost_user_events events;
	struct gmem mem;
	struct ring ring[VIRTIO_QUEUES_MAX];
	bool features_set, up;
	uint64_t protocol; /* agreed protocol features */
	/* the message that is coming in */
	uint8_t in[VU_HEADER_BYTES + VU_PAYLOAD_MAX];
	size_t have;
	struct vu_header header; /* valid once have >= VU_HEADER_BYTES */
	int fds[VU_FDS_MAX];
	unsigned n_fds;
};

static bool running(const struct ring *r)
{
	return r->v->dev->vq[r->index].ready;
}

static bool any_running(const struct vhost_user *v)
{
	for (unsigned i = 0; i < v->dev->ops->n_queues; i++)
		if (running(&v->ring[i]))
			return true;
	return false;
}

static void tell_running(struct vhost_user *v)
{
	bool up = any_running(v);

	if (up == v->up)
		return;
	v->up = up;
	if (v->events.running)
		v->events.running(v->events.ctx, up);
}

/* --- rings --- */

/* Edge-triggered and never read: every write to an eventfd wakes us once, its counter has room for
 * all kicks of a life, and a descriptor that is none of those, or that its other owner made block,
 * can neither hold us up nor wake us for ever.
 */
static void on_kick(void *ctx, uint32_t events)
{
	struct ring *r = ctx;

	(void)events;
	virtio_dev_kick(r->v->dev, r->index);
}

static void on_dev_signal(void *transport, unsigned index)
{
	struct vhost_user *v = transport;
	const uint64_t one = 1;

	/* It does not block: is_event() saw to it, and the engine's jail lets nobody undo it.
	 * EAGAIN: the counter is full, so the signal is there already.
	 */
	if (v->ring[index].call_fd >= 0 && write(v->ring[index].call_fd, &one, sizeof(one)) < 0 &&
		errno != EAGAIN)
		log_debug("%s: signal queue %u: errno %d", v->dev->ops->name, index, errno);
}

/* The protocol has no NEEDS_RESET that would reach the guest: QEMU 7.2 knows no F_STATUS, has no use
 * for a change of the configuration of these devices, and drops what comes by SET_VRING_ERR. So the
 * queue stays silent until the driver starts anew, and our owner is told.
 */
static void on_dev_broken(void *transport, unsigned index)
{
	struct vhost_user *v = transport;

	log_debug("%s: the guest broke queue %u: %s", v->dev->ops->name, index,
		v->dev->vq[index].why);
	if (v->events.broken)
		v->events.broken(v->events.ctx, index, v->dev->vq[index].why);
}

static void drop_kick(struct ring *r)
{
	loop_del_fd(r->kick_src);
	r->kick_src = NULL;
	own_close_fd(&r->kick_fd);
}

static void ring_stop(struct ring *r)
{
	if (!running(r))
		return;
	r->stopped_at = virtio_dev_stop(r->v->dev, r->index);
	r->base = r->stopped_at;
	r->stopped = true;
}

static enum vu_result ring_run(struct ring *r)
{
	struct vhost_user *v = r->v;
	uint64_t bytes[3];
	int ret;

	vqueue_ring_bytes(r->num, bytes);
	if (r->stopped && r->stopped_at != r->base) {
		v->dev->ops->reset(v->dev); /* a new driver */
		for (unsigned i = 0; i < v->dev->ops->n_queues; i++)
			v->ring[i].stopped = false; /* once a life */
	}
	ret = virtio_dev_start(v->dev, r->index, r->num, gmem_user_span(&v->mem, r->desc, bytes[0]),
		gmem_user_span(&v->mem, r->avail, bytes[1]),
		gmem_user_span(&v->mem, r->used, bytes[2]), r->base);
	return ret < 0 ? VU_BAD_RING : VU_OK;
}

/* ring_settle() - start or stop the ring as what is known of it says */
static enum vu_result ring_settle(struct ring *r)
{
	struct vhost_user *v = r->v;
	bool want = r->num && r->has_addr && r->kick_fd >= 0 && r->enabled && v->features_set &&
		    v->mem.n > 0;
	enum vu_result ret = VU_OK;

	if (want && !running(r))
		ret = ring_run(r);
	else if (!want)
		ring_stop(r);
	if (ret == VU_OK)
		tell_running(v);
	return ret;
}

/* An eventfd, or at least something without a type, unlike files, pipes and sockets: those could
 * block us, raise SIGPIPE, or be a file that a write would damage.
 */
static bool is_event(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0 && io_set_nonblock(fd, true) == 0;
}

/* --- requests --- */

static enum vu_result answer(
	struct vhost_user *v, enum vu_request request, const void *p, size_t len)
{
	uint8_t out[VU_HEADER_BYTES + VU_PAYLOAD_MAX];
	size_t n = vu_encode(out, request, p, len);

	/* The front-end waits for an answer, so there is room; one that does not read is hostile. */
	return send(v->fd, out, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n ? VU_OK
									      : VU_HOST_FAILED;
}

static enum vu_result answer_u64(struct vhost_user *v, enum vu_request request, uint64_t value)
{
	return answer(v, request, &value, sizeof(value));
}

static void reset_device(struct vhost_user *v)
{
	for (unsigned i = 0; i < v->dev->ops->n_queues; i++) {
		struct ring *r = &v->ring[i];

		drop_kick(r);
		r->num = r->base = 0;
		r->has_addr = r->enabled = r->stopped = false;
	}
	virtio_dev_reset(v->dev);
	v->features_set = false;
	tell_running(v);
}

static enum vu_result set_features(struct vhost_user *v, uint64_t bits)
{
	bool protocol = bits & 1ull << VU_F_PROTOCOL_FEATURES;
	int r = virtio_dev_agree(v->dev, bits & ~(1ull << VU_F_PROTOCOL_FEATURES));

	if (r < 0)
		return r == -EBUSY ? VU_BAD_STATE : VU_BAD_VALUE;
	v->features_set = true;
	for (unsigned i = 0; i < v->dev->ops->n_queues; i++) {
		enum vu_result bad;

		if (!protocol)
			v->ring[i].enabled = true;
		bad = ring_settle(&v->ring[i]);
		if (bad != VU_OK)
			return bad;
	}
	return VU_OK;
}

/* A new table may come while rings run: they stop, and go on in the new mapping. */
static enum vu_result set_mem(struct vhost_user *v, const struct vu_msg *m)
{
	bool was[VIRTIO_QUEUES_MAX] = {false};
	enum vu_result ret = VU_OK;
	struct gmem next;

	gmem_init(&next);
	for (unsigned i = 0; i < m->mem.n; i++) {
		const struct vu_region *g = &m->mem.region[i];
		int r = gmem_map(&next, g->gpa, g->size, g->user, v->fds[i], g->offset);

		if (r < 0) {
			log_debug("%s: memory region %u: errno %d", v->dev->ops->name, i, -r);
			gmem_fini(&next);
			return VU_BAD_MEMORY;
		}
	}
	for (unsigned i = 0; i < v->dev->ops->n_queues; i++) {
		was[i] = running(&v->ring[i]);
		ring_stop(&v->ring[i]);
	}
	gmem_fini(&v->mem);
	v->mem = next;
	virtio_dev_set_mem(v->dev, &v->mem);
	for (unsigned i = 0; i < v->dev->ops->n_queues && ret == VU_OK; i++)
		if (was[i])
			ret = ring_settle(&v->ring[i]);
	return ret;
}

static enum vu_result set_ring_fd(struct vhost_user *v, const struct vu_msg *m)
{
	struct ring *r = &v->ring[m->ring_fd.index];
	AUTO_FD fd = m->ring_fd.has_fd ? TAKE_FD(v->fds[0]) : -1;

	if (m->request == VU_SET_VRING_ERR)
		return VU_OK; /* nothing is ever said on it */
	if (fd >= 0 && !is_event(fd))
		return VU_BAD_FDS;
	if (m->request == VU_SET_VRING_CALL) {
		own_close_fd(&r->call_fd);
		r->call_fd = TAKE_FD(fd);
		return VU_OK;
	}
	if (fd < 0)
		return VU_BAD_VALUE; /* we do not poll */
	drop_kick(r);
	r->kick_fd = TAKE_FD(fd);
	if (loop_add_fd(v->loop, r->kick_fd, EPOLLIN | EPOLLET, on_kick, r, &r->kick_src) < 0)
		return VU_BAD_FDS; /* cannot be waited for, or the host has no memory left */
	return ring_settle(r);
}

static enum vu_result set_addr(struct vhost_user *v, const struct vu_msg *m)
{
	struct ring *r = &v->ring[m->addr.index];

	if (m->addr.flags)
		return VU_BAD_VALUE; /* logging was not offered */
	if (running(r))
		return VU_BAD_STATE;
	r->desc = m->addr.desc;
	r->avail = m->addr.avail;
	r->used = m->addr.used;
	r->has_addr = true;
	return ring_settle(r);
}

static enum vu_result set_ring(struct vhost_user *v, const struct vu_msg *m)
{
	struct ring *r = &v->ring[m->ring.index];
	uint32_t num = m->ring.num;

	if (m->request == VU_SET_VRING_ENABLE) {
		if (num > 1)
			return VU_BAD_VALUE;
		r->enabled = num;
		return ring_settle(r);
	}
	if (running(r))
		return VU_BAD_STATE;
	if (m->request == VU_SET_VRING_BASE) {
		if (num > UINT16_MAX)
			return VU_BAD_VALUE;
		r->base = (uint16_t)num;
		return VU_OK;
	}
	if (num == 0 || num > VQUEUE_SIZE_MAX || (num & (num - 1)))
		return VU_BAD_VALUE;
	r->num = (uint16_t)num;
	return ring_settle(r);
}

static enum vu_result get_ring_base(struct vhost_user *v, const struct vu_msg *m)
{
	struct ring *r = &v->ring[m->ring.index];
	uint32_t state[2] = {m->ring.index, 0};

	drop_kick(r);
	ring_stop(r);
	tell_running(v);
	state[1] = r->base;
	return answer(v, VU_GET_VRING_BASE, state, sizeof(state));
}

static enum vu_result get_config(struct vhost_user *v, const struct vu_msg *m)
{
	uint32_t out[3 + VU_CONFIG_MAX / 4] = {m->config.offset, m->config.size, m->config.flags};

	virtio_dev_config(v->dev, m->config.offset, &out[3], m->config.size);
	return answer(v, VU_GET_CONFIG, out, 12 + m->config.size);
}

/* ring_index() - of the requests that name a ring; else 0 */
static uint32_t ring_index(const struct vu_msg *m)
{
	switch ((int)m->request) {
	case VU_SET_VRING_NUM:
	case VU_SET_VRING_BASE:
	case VU_GET_VRING_BASE:
	case VU_SET_VRING_ENABLE:
		return m->ring.index;
	case VU_SET_VRING_ADDR:
		return m->addr.index;
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		return m->ring_fd.index;
	default:
		return 0;
	}
}

static enum vu_result handle(struct vhost_user *v, const struct vu_msg *m)
{
	if (ring_index(m) >= v->dev->ops->n_queues)
		return VU_BAD_VALUE;
	switch (m->request) {
	case VU_GET_FEATURES:
		return answer_u64(
			v, m->request, virtio_dev_offers(v->dev) | 1ull << VU_F_PROTOCOL_FEATURES);
	case VU_SET_FEATURES:
		return set_features(v, m->u64);
	case VU_GET_PROTOCOL_FEATURES:
		return answer_u64(v, m->request, PROTOCOL_OFFER);
	case VU_SET_PROTOCOL_FEATURES:
		if (m->u64 & ~PROTOCOL_OFFER)
			return VU_BAD_VALUE;
		v->protocol = m->u64;
		return VU_OK;
	case VU_GET_QUEUE_NUM:
		return answer_u64(v, m->request, v->dev->ops->n_queues);
	case VU_SET_OWNER:
		return VU_OK;
	case VU_RESET_OWNER:
	case VU_RESET_DEVICE:
		reset_device(v);
		return VU_OK;
	case VU_SET_MEM_TABLE:
		return set_mem(v, m);
	case VU_SET_VRING_NUM:
	case VU_SET_VRING_BASE:
	case VU_SET_VRING_ENABLE:
		return set_ring(v, m);
	case VU_SET_VRING_ADDR:
		return set_addr(v, m);
	case VU_GET_VRING_BASE:
		return get_ring_base(v, m);
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		return set_ring_fd(v, m);
	case VU_GET_CONFIG:
		return get_config(v, m);
	case VU_SET_CONFIG: /* no device of ours has anything to set: taken and dropped */
		return VU_OK;
	case VU_REQUEST_COUNT:
		break;
	}
	return VU_BAD_REQUEST;
}

/* --- the connection --- */

static void drop_fds(struct vhost_user *v)
{
	for (unsigned i = 0; i < v->n_fds; i++)
		own_close_fd(&v->fds[i]);
	v->n_fds = 0;
}

/* keep_fds() - take the descriptors of a recvmsg(); surplus ones are closed and refused */
static enum vu_result keep_fds(struct vhost_user *v, struct msghdr *mh)
{
	bool first = v->have == 0, bad = mh->msg_flags & MSG_CTRUNC;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (first && v->n_fds < VU_FDS_MAX) {
				v->fds[v->n_fds++] = fd;
			} else {
				own_close_fd(&fd);
				bad = true;
			}
		}
	}
	return bad ? VU_BAD_FDS : VU_OK;
}

/* take_bytes() - read up to the end of the header, or of the message. *@ret_more: came something? */
static enum vu_result take_bytes(struct vhost_user *v, size_t want, bool *ret_more)
{
	char control[CMSG_SPACE(sizeof(int) * 2 * VU_FDS_MAX)];
	struct iovec iov = {v->in + v->have, want - v->have};
	struct msghdr mh = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	enum vu_result bad;
	ssize_t n = recvmsg(v->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*ret_more = false;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? VU_OK : VU_CLOSED;
	bad = keep_fds(v, &mh);
	if (bad != VU_OK)
		return bad;
	if (n == 0)
		return v->have ? VU_BAD_SIZE : VU_CLOSED;
	v->have += (size_t)n;
	*ret_more = true;
	return VU_OK;
}

static enum vu_result one_message(struct vhost_user *v)
{
	struct vu_msg m;
	enum vu_result r = vu_decode(&v->header, v->in + VU_HEADER_BYTES, v->n_fds, &m);

	if (r == VU_OK) {
		r = handle(v, &m);
		log_debug("%s: %s: %s", v->dev->ops->name, vu_request_name(m.request),
			vu_result_name(r));
	}
	drop_fds(v);
	v->have = 0;
	if (r == VU_OK && m.need_reply && (v->protocol & 1ull << VU_P_REPLY_ACK) &&
		!vu_has_answer(m.request))
		r = answer_u64(v, m.request, 0);
	return r;
}

static enum vu_result pump(struct vhost_user *v)
{
	for (unsigned done = 0; done < MESSAGES_PER_WAKE;) {
		bool more = true;
		enum vu_result r = VU_OK;

		if (v->have < VU_HEADER_BYTES) {
			r = take_bytes(v, VU_HEADER_BYTES, &more);
			if (r == VU_OK && v->have == VU_HEADER_BYTES)
				r = vu_decode_header(v->in, &v->header);
		} else if (v->have < VU_HEADER_BYTES + v->header.size) {
			r = take_bytes(v, VU_HEADER_BYTES + v->header.size, &more);
		}
		if (r != VU_OK || !more)
			return r;
		if (v->have >= VU_HEADER_BYTES && v->have == VU_HEADER_BYTES + v->header.size) {
			r = one_message(v);
			if (r != VU_OK)
				return r;
			done++;
		}
	}
	return VU_OK;
}

/* shut() - nothing of the connection is left, the device is as new */
static void shut(struct vhost_user *v)
{
	reset_device(v);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		own_close_fd(&v->ring[i].call_fd);
	virtio_dev_set_mem(v->dev, NULL);
	gmem_fini(&v->mem);
	drop_fds(v);
	loop_del_fd(v->src);
	v->src = NULL;
	own_close_fd(&v->fd);
}

/* The owner may free us in closed(): the last thing a callback does. */
static void die(struct vhost_user *v, enum vu_result why)
{
	shut(v);
	if (v->events.closed)
		v->events.closed(v->events.ctx, why);
}

static void on_socket(void *ctx, uint32_t events)
{
	struct vhost_user *v = ctx;
	enum vu_result r = pump(v);

	(void)events;
	if (r != VU_OK)
		die(v, r);
}

struct vhost_user *vhost_user_new(
	struct loop *l, int fd, struct virtio_dev *dev, const struct vhost_user_events *events)
{
	AUTO_FD own = fd;
	AUTO_FREE struct vhost_user *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return NULL;
	*v = (struct vhost_user){.loop = l, .fd = -1, .dev = dev, .events = *events};
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		v->ring[i] = (struct ring){.v = v, .index = i, .kick_fd = -1, .call_fd = -1};
	r = loop_add_fd(l, own, EPOLLIN, on_socket, v, &v->src);
	if (r < 0) {
		errno = -r;
		return NULL;
	}
	v->fd = TAKE_FD(own);
	gmem_init(&v->mem);
	dev->signal = on_dev_signal;
	dev->broken = on_dev_broken;
	dev->transport = v;
	virtio_dev_set_mem(dev, &v->mem);
	return TAKE(v);
}

void vhost_user_free(struct vhost_user *v)
{
	if (!v)
		return;
	v->events = (struct vhost_user_events){0};
	shut(v);
	free(v);
}
