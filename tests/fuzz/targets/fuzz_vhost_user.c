/* fuzz_vhost_user.c - messages of a front-end that was taken over, with descriptors
 *
 * Input: a script of messages. Each: how many descriptors (low 4 bits) and of which kind (high bits,
 * one for all: memory, eventfd, pipe, the connection itself), request, flags, a cut (0: whole, else
 * the message goes in two pieces), payload length (2 bytes), payload. A request with bit 7 set is
 * one no front-end sends: its 32 bits come from the payload. The 16 KiB of guest memory behind a
 * memory table are the last bytes of the input, so rings can be valid.
 */
#include "virtio/vhost_user.h"
#include <assert.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define RAM_BYTES 16384u

struct script {
	const uint8_t *p;
	size_t left;
};

static struct loop *l;
static struct virtio_dev dev;
static struct vchain chain;
static int ram_fd, event_fd, pipe_fd[2], fe;
static bool closed;

static uint8_t byte(struct script *s)
{
	if (s->left == 0)
		return 0;
	s->left--;
	return *s->p++;
}

static void on_kick(struct virtio_dev *d, unsigned index)
{
	for (unsigned i = 0; i < 64 && virtio_dev_pop(d, index, &chain) == VQ_CHAIN; i++)
		vqueue_push(&d->vq[index], chain.head, 0);
	if (virtio_dev_idle(d, index))
		virtio_dev_signal(d, index);
}

static void on_reset(struct virtio_dev *d)
{
	(void)d;
}

static void on_closed(void *ctx, enum vu_result why)
{
	(void)ctx;
	assert(why > VU_OK && why < VU_RESULT_COUNT);
	closed = true;
}

static const struct virtio_ops ops = {
	.name = "fuzz", .id = 1, .n_queues = 2, .kick = on_kick, .reset = on_reset};

static void once(void)
{
	ram_fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l = loop_new();
	if (ram_fd < 0 || ftruncate(ram_fd, RAM_BYTES) < 0 || event_fd < 0 || pipe(pipe_fd) < 0 ||
		!l)
		abort();
}

static void send_piece(const uint8_t *p, size_t len, int fd, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 15)];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)p, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds) {
		mh.msg_control = control.bytes;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		for (unsigned i = 0; i < n_fds; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	}
	if (sendmsg(fe, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		closed = true; /* full: nothing more to learn */
	for (unsigned i = 0; i < 2 && !closed; i++)
		if (loop_once(l, 0) < 0)
			abort();
}

static void message(struct script *s)
{
	const int kinds[] = {ram_fd, event_fd, pipe_fd[1], fe};
	uint8_t m[VU_HEADER_BYTES + 512] = {0}, how = byte(s);
	uint32_t h[3] = {byte(s), byte(s), 0};
	uint8_t cut = byte(s), low = byte(s);
	size_t len = (low | (size_t)byte(s) << 8) % 513;

	for (size_t i = 0; i < len; i++)
		m[VU_HEADER_BYTES + i] = byte(s);
	h[2] = (uint32_t)len;
	if (h[0] & 0x80) {
		memcpy(h, m + VU_HEADER_BYTES, sizeof(h));
		len = 0;
	}
	memcpy(m, h, sizeof(h));
	len += VU_HEADER_BYTES;
	if (cut == 0 || cut >= len)
		cut = (uint8_t)(len < 255 ? len : 255);
	send_piece(m, cut, kinds[how >> 4 & 3], how & 15);
	if (cut < len && !closed)
		send_piece(m + cut, len - cut, -1, 0);
}

static void drain(void)
{
	char sink[4096];

	while (recv(fe, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = {data, size < 8192 ? size : 8192};
	struct vhost_user *u;
	int p[2];

	if (!l)
		once();
	if (pwrite(ram_fd, data + size - s.left, s.left, 0) < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0)
		abort();
	closed = false;
	fe = p[1];
	virtio_dev_init(&dev, &ops);
	u = vhost_user_new(l, p[0], &dev, &(struct vhost_user_events){.closed = on_closed});
	if (!u)
		abort();
	while (s.left > 0 && !closed) {
		const uint64_t one = 1;

		message(&s);
		drain();
		if (write(event_fd, &one, sizeof(one)) < 0) /* kick all rings */
			abort();
	}
	vhost_user_free(u);
	own_close_fd(&fe);
	for (unsigned i = 0; i < 2; i++)
		if (loop_once(l, 0) < 0)
			abort();
	return 0;
}
