/* test_vhost_user.c - a front-end that speaks as QEMU does, and one that was taken over */
#include "ring_guest.h"
#include "virtio/vhost_user.h"
#include "base/clock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <cmocka.h>

#define RAM  (1u << 20)
#define SIZE 8

/* A device of two queues that gives every chain back at once. */
struct echo {
	struct virtio_dev dev;
	unsigned chains, resets, ready;
};

struct fix {
	struct loop *l;
	struct echo e;
	struct vhost_user *u;
	struct ring_guest g;
	struct rg_queue q[2];
	int fe; /* the front-end's end */
	int kick[2], call[2]; /* eventfds */
	bool closed, up;
	enum vu_result why;
	unsigned n_broken, broken_queue;
	char broken_why[80];
};

static struct vchain chain;

static void echo_kick(struct virtio_dev *d, unsigned index)
{
	struct echo *e = (struct echo *)(void *)d;

	do {
		while (virtio_dev_pop(d, index, &chain) == VQ_CHAIN) {
			e->chains++;
			vqueue_push(&d->vq[index], chain.head, 0);
		}
	} while (!virtio_dev_idle(d, index));
	virtio_dev_signal(d, index);
}

static void echo_reset(struct virtio_dev *d)
{
	((struct echo *)(void *)d)->resets++;
}

static void echo_ready(struct virtio_dev *d, unsigned index, bool ready)
{
	struct echo *e = (struct echo *)(void *)d;

	(void)index;
	e->ready = ready ? e->ready + 1 : e->ready - 1;
}

static void echo_config(struct virtio_dev *d, uint32_t offset, void *dst, size_t len)
{
	static const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	(void)d;
	for (size_t i = 0; i < len && offset + i < sizeof(bytes); i++)
		((uint8_t *)dst)[i] = bytes[offset + i];
}

static const struct virtio_ops echo_ops = {
	.name = "echo",
	.id = 42,
	.n_queues = 2,
	.config = echo_config,
	.queue_ready = echo_ready,
	.kick = echo_kick,
	.reset = echo_reset,
};

static void on_closed(void *ctx, enum vu_result why)
{
	struct fix *f = ctx;

	f->closed = true;
	f->why = why;
}

static void on_running(void *ctx, bool up)
{
	struct fix *f = ctx;

	f->up = up;
}

static void on_broken(void *ctx, unsigned index, const char *why)
{
	struct fix *f = ctx;

	f->n_broken++;
	f->broken_queue = index;
	(void)snprintf(f->broken_why, sizeof(f->broken_why), "%s", why);
}

static void connect_again(struct fix *f)
{
	int p[2];

	vhost_user_free(f->u);
	own_close_fd(&f->fe);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	f->fe = p[1];
	f->closed = false;
	f->why = VU_OK;
	f->u = vhost_user_new(f->l, p[0], &f->e.dev,
		&(struct vhost_user_events){on_closed, on_running, f, on_broken});
	assert_non_null(f->u);
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	f->fe = -1;
	f->l = loop_new();
	rg_init(&f->g, RAM);
	for (unsigned i = 0; i < 2; i++) {
		rg_queue_init(&f->g, &f->q[i], SIZE);
		f->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		f->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	virtio_dev_init(&f->e.dev, &echo_ops);
	connect_again(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	vhost_user_free(f->u);
	own_close_fd(&f->fe);
	for (unsigned i = 0; i < 2; i++) {
		own_close_fd(&f->kick[i]);
		own_close_fd(&f->call[i]);
	}
	loop_free(f->l);
	rg_fini(&f->g);
	free(f);
	return 0;
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* --- the front-end --- */

static void raw(struct fix *f, const void *p, size_t len, const int *fds, unsigned n_fds)
{
	char control[CMSG_SPACE(sizeof(int) * 32)] = {0};
	struct iovec iov = {(void *)(uintptr_t)p, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds) {
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	assert_int_equal(sendmsg(f->fe, &mh, MSG_NOSIGNAL), len);
}

static void spin(struct fix *f)
{
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(loop_once(f->l, 0), 0);
}

static void say_flags(struct fix *f, uint32_t request, uint32_t flags, const void *p, uint32_t len,
	const int *fds, unsigned n_fds)
{
	uint8_t m[12 + 4096] = {0};
	uint32_t h[3] = {request, flags, len};

	memcpy(m, h, sizeof(h));
	if (len)
		memcpy(m + 12, p, len);
	raw(f, m, 12 + len, fds, n_fds);
	spin(f);
}

static void say(struct fix *f, uint32_t request, const void *p, uint32_t len)
{
	say_flags(f, request, 1, p, len, NULL, 0);
}

static void say_u64(struct fix *f, uint32_t request, uint64_t v)
{
	say(f, request, &v, sizeof(v));
}

static void say_ring(struct fix *f, uint32_t request, uint32_t index, uint32_t num)
{
	uint32_t v[2] = {index, num};

	say(f, request, v, sizeof(v));
}

static void say_ring_fd(struct fix *f, uint32_t request, uint64_t v, int fd)
{
	say_flags(f, request, 1, &v, sizeof(v), &fd, fd < 0 ? 0 : 1);
}

static size_t hear(struct fix *f, uint32_t request, void *p, size_t cap)
{
	uint8_t m[12 + VU_PAYLOAD_MAX];
	uint32_t h[3];
	ssize_t n = recv(f->fe, m, sizeof(m), MSG_DONTWAIT);

	assert_true(n >= 12);
	memcpy(h, m, sizeof(h));
	assert_int_equal(h[0], request);
	assert_int_equal(h[1], 5);
	assert_int_equal(h[2], n - 12);
	assert_true(h[2] <= cap);
	memcpy(p, m + 12, h[2]);
	return h[2];
}

static uint64_t hear_u64(struct fix *f, uint32_t request)
{
	uint64_t v = 0;

	assert_int_equal(hear(f, request, &v, sizeof(v)), sizeof(v));
	return v;
}

struct mem_table {
	uint32_t n, pad;
	struct {
		uint64_t gpa, size, user, offset;
	} r[VU_REGIONS_MAX + 1];
};

static void say_mem(struct fix *f)
{
	struct mem_table t = {.n = 1, .r[0] = {RG_BASE, RAM, RG_USER, 0}};

	say_flags(f, VU_SET_MEM_TABLE, 1, &t, 40, &f->g.ram_fd, 1);
}

struct addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

static struct addr addr_of(const struct rg_queue *q, unsigned index)
{
	return (struct addr){.index = index,
		.desc = RG_USER + (q->desc_gpa - RG_BASE),
		.used = RG_USER + (q->used_gpa - RG_BASE),
		.avail = RG_USER + (q->avail_gpa - RG_BASE)};
}

static const uint64_t features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_INDIRECT_DESC |
				 1ull << VU_F_PROTOCOL_FEATURES;

static void say_start(struct fix *f, unsigned i, uint32_t base)
{
	struct addr a = addr_of(&f->q[i], i);

	say_ring(f, VU_SET_VRING_NUM, i, SIZE);
	say_ring(f, VU_SET_VRING_BASE, i, base);
	say(f, VU_SET_VRING_ADDR, &a, sizeof(a));
	say_ring_fd(f, VU_SET_VRING_KICK, i, f->kick[i]);
}

/* What QEMU 7.2 sends from connecting to the driver being up. */
static void handshake(struct fix *f)
{
	say(f, VU_GET_FEATURES, NULL, 0);
	assert_int_equal(hear_u64(f, VU_GET_FEATURES), features | 1ull << VIRTIO_F_EVENT_IDX);
	say(f, VU_GET_PROTOCOL_FEATURES, NULL, 0);
	uint64_t offer = hear_u64(f, VU_GET_PROTOCOL_FEATURES);
	assert_true(offer & 1ull << VU_P_CONFIG && offer & 1ull << VU_P_REPLY_ACK);
	say_u64(f, VU_SET_PROTOCOL_FEATURES, offer);
	say(f, VU_GET_QUEUE_NUM, NULL, 0);
	assert_int_equal(hear_u64(f, VU_GET_QUEUE_NUM), 2);
	say(f, VU_SET_OWNER, NULL, 0);
	for (unsigned i = 0; i < 2; i++) {
		say_ring_fd(f, VU_SET_VRING_CALL, i, f->call[i]);
		say_ring_fd(f, VU_SET_VRING_ERR, i, f->call[i]);
	}
	say_u64(f, VU_SET_FEATURES, features);
	say_mem(f);
	for (unsigned i = 0; i < 2; i++)
		say_start(f, i, 0);
	assert_false(f->up);
	for (unsigned i = 0; i < 2; i++)
		say_ring(f, VU_SET_VRING_ENABLE, i, 1);
	assert_false(f->closed);
	assert_true(f->up);
	assert_int_equal(f->e.ready, 2);
}

static void offer(struct fix *f, unsigned i)
{
	const uint64_t one = 1;

	rg_chain(&f->q[i], &(struct rg_span){RG_BASE, 1, false}, 1);
	assert_int_equal(write(f->kick[i], &one, sizeof(one)), sizeof(one));
	spin(f);
}

static uint64_t calls(struct fix *f, unsigned i)
{
	uint64_t n = 0;

	return read(f->call[i], &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static uint32_t stop_ring(struct fix *f, unsigned i)
{
	uint32_t v[2] = {0, 0};

	say_ring(f, VU_GET_VRING_BASE, i, 0);
	assert_int_equal(hear(f, VU_GET_VRING_BASE, v, sizeof(v)), sizeof(v));
	assert_int_equal(v[0], i);
	return v[1];
}

/* --- as QEMU does --- */

static void test_life(void **state)
{
	struct fix *f = *state;

	handshake(f);
	offer(f, 0);
	offer(f, 1);
	assert_int_equal(f->e.chains, 2);
	assert_true(rg_used(&f->q[0], NULL, NULL));
	assert_int_equal(calls(f, 0), 1);
	assert_int_equal(calls(f, 1), 1);
	own_close_fd(&f->fe);
	spin(f);
	assert_true(f->closed);
	assert_int_equal(f->why, VU_CLOSED);
	assert_false(f->up);
	assert_int_equal(f->e.ready, 0);
	assert_int_equal(f->e.resets, 1);
}

static void test_pause_and_reset(void **state)
{
	struct fix *f = *state;

	handshake(f);
	offer(f, 0);
	offer(f, 0);
	assert_int_equal(stop_ring(f, 0), 2);
	assert_true(f->up);
	assert_int_equal(stop_ring(f, 1), 0);
	assert_false(f->up);
	offer(f, 0); /* meanwhile */
	assert_int_equal(f->e.chains, 2);
	say_start(f, 0, 2); /* on where it stopped: the same life */
	say_start(f, 1, 0);
	assert_true(f->up);
	assert_int_equal(f->e.chains, 3);
	assert_int_equal(f->e.resets, 0);
	assert_int_equal(stop_ring(f, 0), 3);
	assert_int_equal(stop_ring(f, 1), 0);
	rg_queue_init(&f->g, &f->q[0], SIZE);
	rg_queue_init(&f->g, &f->q[1], SIZE);
	say_start(f, 0, 0); /* from the start: a new driver */
	say_start(f, 1, 0);
	assert_int_equal(f->e.resets, 1);
	offer(f, 0);
	assert_int_equal(f->e.chains, 4);
	say(f, VU_RESET_DEVICE, NULL, 0);
	assert_int_equal(f->e.resets, 2);
	assert_false(f->up);
	assert_false(f->closed);
}

static void test_memory_moves_under_rings(void **state)
{
	struct fix *f = *state;

	handshake(f);
	offer(f, 0);
	say_mem(f);
	assert_true(f->up);
	offer(f, 0);
	assert_int_equal(f->e.chains, 2);
	assert_int_equal(f->e.resets, 0);
	/* And away from under them. */
	struct mem_table t = {.n = 1, .r[0] = {RG_BASE, 4096, 0x1000, 0}};
	say_flags(f, VU_SET_MEM_TABLE, 1, &t, 40, &f->g.ram_fd, 1);
	assert_int_equal(f->why, VU_BAD_RING);
}

static void test_without_protocol_features(void **state)
{
	struct fix *f = *state;

	say_u64(f, VU_SET_FEATURES, 1ull << VIRTIO_F_VERSION_1);
	say_mem(f);
	say_start(f, 0, 0);
	assert_true(f->up); /* enabled from the start */
	offer(f, 0);
	assert_int_equal(f->e.chains, 1);
}

static void test_config(void **state)
{
	struct fix *f = *state;
	uint32_t q[5] = {4, 8, 0, 0, 0};
	uint8_t got[20];

	say(f, VU_GET_CONFIG, q, sizeof(q));
	assert_int_equal(hear(f, VU_GET_CONFIG, got, sizeof(got)), sizeof(got));
	assert_memory_equal(got + 12, "\5\6\7\10\0\0\0\0", 8);
	say(f, VU_SET_CONFIG, q, sizeof(q));
	assert_false(f->closed);
}

static void test_acknowledge(void **state)
{
	struct fix *f = *state;
	uint64_t v = 1ull << VU_P_REPLY_ACK;

	say_flags(f, VU_SET_OWNER, 9, NULL, 0, NULL, 0);
	assert_int_equal(recv(f->fe, &v, 1, MSG_DONTWAIT), -1); /* not agreed */
	say_flags(f, VU_SET_PROTOCOL_FEATURES, 9, &v, sizeof(v), NULL, 0);
	assert_int_equal(hear_u64(f, VU_SET_PROTOCOL_FEATURES), 0);
	say_flags(f, VU_GET_FEATURES, 9, NULL, 0, NULL, 0); /* one answer, not two */
	(void)hear_u64(f, VU_GET_FEATURES);
	assert_int_equal(recv(f->fe, &v, 1, MSG_DONTWAIT), -1);
}

static void test_byte_by_byte(void **state)
{
	struct fix *f = *state;
	uint8_t m[20] = {VU_SET_VRING_CALL, 0, 0, 0, 1, 0, 0, 0, 8};

	raw(f, m, 1, &f->call[0], 1); /* descriptors come with the first byte */
	for (unsigned i = 1; i < sizeof(m); i++) {
		spin(f);
		raw(f, m + i, 1, NULL, 0);
	}
	spin(f);
	assert_false(f->closed);
	handshake(f);
}

/* --- as QEMU never does --- */

static void assert_ended(struct fix *f, enum vu_result why, unsigned fds)
{
	assert_true(f->closed);
	if (f->why != why)
		print_error("%s, not %s\n", vu_result_name(f->why), vu_result_name(why));
	assert_int_equal(f->why, why);
	assert_int_equal(open_fds(), fds - 1); /* all it had, and its socket */
	assert_int_equal(f->e.ready, 0);
	connect_again(f);
}

/* Every request with every payload size but its own. */
static void test_sizes(void **state)
{
	static const struct {
		uint32_t request;
		int size; /* -1: depends on the content, which is zero here */
	} all[] = {{VU_GET_FEATURES, 0}, {VU_SET_FEATURES, 8}, {VU_SET_OWNER, 0},
		{VU_RESET_OWNER, 0}, {VU_SET_MEM_TABLE, -1}, {VU_SET_VRING_NUM, 8},
		{VU_SET_VRING_ADDR, 40}, {VU_SET_VRING_BASE, 8}, {VU_GET_VRING_BASE, 8},
		{VU_SET_VRING_KICK, 8}, {VU_SET_VRING_CALL, 8}, {VU_SET_VRING_ERR, 8},
		{VU_GET_PROTOCOL_FEATURES, 0}, {VU_SET_PROTOCOL_FEATURES, 8}, {VU_GET_QUEUE_NUM, 0},
		{VU_SET_VRING_ENABLE, 8}, {VU_GET_CONFIG, 12}, {VU_SET_CONFIG, 12},
		{VU_RESET_DEVICE, 0}};
	uint8_t payload[VU_PAYLOAD_MAX] = {0};
	unsigned right = 0;
	struct vu_msg m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (uint32_t size = 0; size <= VU_PAYLOAD_MAX; size++) {
			struct vu_header h = {all[i].request, 1, size};
			enum vu_result r = vu_decode(&h, payload, 0, &m);

			if ((int)size == all[i].size && r != VU_BAD_SIZE)
				right++;
			else if (all[i].size >= 0)
				assert_int_equal(r, VU_BAD_SIZE);
			else
				assert_int_not_equal(r, VU_OK);
		}
	assert_int_equal(right, ARRAY_LEN(all) - 1);
}

static void test_headers(void **state)
{
	static const struct {
		uint32_t h[3];
		enum vu_result why;
	} bad[] = {
		{{VU_GET_FEATURES, 0, 0}, VU_BAD_HEADER}, /* version */
		{{VU_GET_FEATURES, 2, 0}, VU_BAD_HEADER},
		{{VU_GET_FEATURES, 5, 0}, VU_BAD_HEADER}, /* is a reply */
		{{VU_GET_FEATURES, 0x11, 0}, VU_BAD_HEADER},
		{{0, 1, 0}, VU_BAD_REQUEST},
		{{6, 1, 8}, VU_BAD_REQUEST}, /* SET_LOG_BASE: not offered */
		{{21, 1, 8}, VU_BAD_REQUEST}, /* SET_SLAVE_REQ_FD */
		{{35, 1, 0}, VU_BAD_REQUEST},
		{{UINT32_MAX, 1, 0}, VU_BAD_REQUEST},
		{{VU_GET_CONFIG, 1, VU_PAYLOAD_MAX + 1}, VU_BAD_SIZE},
		{{VU_GET_CONFIG, 1, UINT32_MAX}, VU_BAD_SIZE},
	};
	struct fix *f = *state;
	unsigned fds = open_fds();

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		raw(f, bad[i].h, 12, NULL, 0);
		spin(f);
		assert_ended(f, bad[i].why, fds);
	}
	raw(f, bad[0].h, 5, NULL, 0); /* ends in a header */
	spin(f);
	assert_int_equal(shutdown(f->fe, SHUT_WR), 0);
	spin(f);
	assert_ended(f, VU_BAD_SIZE, fds);
}

static void test_descriptors(void **state)
{
	struct fix *f = *state;
	unsigned fds = open_fds();
	int many[20], p[2];
	uint8_t m[20] = {VU_SET_VRING_CALL, 0, 0, 0, 1, 0, 0, 0, 8};
	uint64_t index = 0;

	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = f->call[0];
	say_flags(f, VU_GET_FEATURES, 1, NULL, 0, many, 1); /* wants none */
	assert_ended(f, VU_BAD_FDS, fds);
	say_flags(f, VU_SET_VRING_CALL, 1, &index, 8, many, 2); /* wants one */
	assert_ended(f, VU_BAD_FDS, fds);
	say_flags(f, VU_SET_VRING_CALL, 1, &index, 8, many, VU_FDS_MAX + 1);
	assert_ended(f, VU_BAD_FDS, fds);
	say_flags(f, VU_SET_VRING_CALL, 1, &index, 8, many, 20);
	assert_ended(f, VU_BAD_FDS, fds);
	say_ring_fd(f, VU_SET_VRING_KICK, 0, -1);
	assert_ended(f, VU_BAD_FDS, fds);
	say_ring_fd(f, VU_SET_VRING_KICK, 0x100, -1); /* "poll the ring": we do not */
	assert_ended(f, VU_BAD_VALUE, fds);
	say_ring_fd(f, VU_SET_VRING_CALL, 0x100, f->call[0]); /* none stated, one sent */
	assert_ended(f, VU_BAD_FDS, fds);
	raw(f, m, 12, NULL, 0);
	raw(f, m + 12, 8, many, 1); /* not with the first byte */
	spin(f);
	assert_ended(f, VU_BAD_FDS, fds);
	/* Not event descriptors. */
	assert_int_equal(pipe(p), 0);
	for (unsigned i = 0; i < 2; i++) {
		say_ring_fd(f, i ? VU_SET_VRING_CALL : VU_SET_VRING_KICK, 0, p[i]);
		assert_ended(f, VU_BAD_FDS, fds + 2);
	}
	say_ring_fd(f, VU_SET_VRING_CALL, 0, f->g.ram_fd);
	assert_ended(f, VU_BAD_FDS, fds + 2);
	say_ring_fd(f, VU_SET_VRING_KICK, 0, f->fe);
	assert_ended(f, VU_BAD_FDS, fds + 2);
	close(p[0]);
	close(p[1]);
}

/* An event descriptor that stays readable, as it is no eventfd, does not wake us for ever. */
static void test_kick_that_is_no_counter(void **state)
{
	struct fix *f = *state;
	AUTO_FD ep = epoll_create1(EPOLL_CLOEXEC);
	const uint64_t one = 1;
	int64_t t;

	assert_int_equal(
		epoll_ctl(ep, EPOLL_CTL_ADD, f->kick[1], &(struct epoll_event){.events = EPOLLIN}),
		0);
	assert_int_equal(write(f->kick[1], &one, sizeof(one)), sizeof(one));
	handshake(f);
	say_ring_fd(f, VU_SET_VRING_KICK, 0, ep);
	assert_false(f->closed);
	t = clock_ms();
	assert_int_equal(loop_once(f->l, 30), 0);
	assert_true(clock_ms() - t >= 29);
	own_close_fd(&f->fe);
	spin(f);
	assert_true(f->closed);
}

/* A counter that is full, and blocks whoever adds to it, as the peer made it: no signal waits. */
static void test_call_that_would_block(void **state)
{
	struct fix *f = *state;
	AUTO_FD full = eventfd(0, EFD_CLOEXEC);
	const uint64_t most = UINT64_MAX - 1;
	int64_t t = clock_ms();

	assert_int_equal(write(full, &most, sizeof(most)), sizeof(most));
	handshake(f);
	say_ring_fd(f, VU_SET_VRING_CALL, 0, full);
	for (unsigned i = 0; i < 3; i++)
		offer(f, 0);
	assert_int_equal(f->e.chains, 3);
	assert_true(clock_ms() - t < 5000);
	assert_false(f->closed);
}

static void test_values(void **state)
{
	static const uint32_t rings[] = {
		VU_SET_VRING_NUM, VU_SET_VRING_BASE, VU_GET_VRING_BASE, VU_SET_VRING_ENABLE};
	static const uint32_t nums[] = {0, 3, 1025, 2048, 65536, UINT32_MAX};
	struct fix *f = *state;
	unsigned fds = open_fds();

	for (size_t i = 0; i < ARRAY_LEN(rings); i++) {
		say_ring(f, rings[i], 2, 1);
		assert_ended(f, VU_BAD_VALUE, fds);
		say_ring(f, rings[i], UINT32_MAX, 1);
		assert_ended(f, VU_BAD_VALUE, fds);
	}
	say_ring_fd(f, VU_SET_VRING_CALL, 2, f->call[0]);
	assert_ended(f, VU_BAD_VALUE, fds);
	say_ring_fd(f, VU_SET_VRING_CALL, 0x200, f->call[0]);
	assert_ended(f, VU_BAD_VALUE, fds);
	for (size_t i = 0; i < ARRAY_LEN(nums); i++) {
		say_ring(f, VU_SET_VRING_NUM, 0, nums[i]);
		assert_ended(f, VU_BAD_VALUE, fds);
	}
	say_ring(f, VU_SET_VRING_BASE, 0, 65536);
	assert_ended(f, VU_BAD_VALUE, fds);
	say_ring(f, VU_SET_VRING_ENABLE, 0, 2);
	assert_ended(f, VU_BAD_VALUE, fds);
	say_u64(f, VU_SET_FEATURES, features | 1ull << 26); /* logging was not offered */
	assert_ended(f, VU_BAD_VALUE, fds);
	say_u64(f, VU_SET_PROTOCOL_FEATURES, 1ull << 5);
	assert_ended(f, VU_BAD_VALUE, fds);
	uint32_t config[3 + 64] = {1, 256, 0};
	say(f, VU_GET_CONFIG, config, sizeof(config));
	assert_ended(f, VU_BAD_VALUE, fds);
	config[0] = UINT32_MAX;
	say(f, VU_GET_CONFIG, config, sizeof(config));
	assert_ended(f, VU_BAD_VALUE, fds);
}

static void test_states(void **state)
{
	struct fix *f = *state;
	unsigned fds = open_fds();
	struct addr a = addr_of(&f->q[0], 0);

	handshake(f);
	say_ring(f, VU_SET_VRING_NUM, 0, SIZE);
	assert_ended(f, VU_BAD_STATE, fds);
	handshake(f);
	say_ring(f, VU_SET_VRING_BASE, 0, 0);
	assert_ended(f, VU_BAD_STATE, fds);
	handshake(f);
	say(f, VU_SET_VRING_ADDR, &a, sizeof(a));
	assert_ended(f, VU_BAD_STATE, fds);
	handshake(f);
	say_u64(f, VU_SET_FEATURES, features); /* the same again is fine */
	assert_true(f->up);
	say_u64(f, VU_SET_FEATURES, 1ull << VIRTIO_F_VERSION_1);
	assert_ended(f, VU_BAD_STATE, fds);
}

static void say_table(struct fix *f, const struct mem_table *t, int fd)
{
	int fds[VU_REGIONS_MAX];

	for (unsigned i = 0; i < VU_REGIONS_MAX; i++)
		fds[i] = fd;
	say_flags(f, VU_SET_MEM_TABLE, 1, t, 8 + 32 * t->n, fds, t->n);
}

static void test_memory_tables(void **state)
{
	static const struct mem_table bad[] = {
		{.n = 1, .r = {{RG_BASE, RAM + 1, RG_USER, 0}}},
		{.n = 1, .r = {{RG_BASE, RAM, RG_USER, 4096}}},
		{.n = 1, .r = {{RG_BASE, 4096, RG_USER, 1}}},
		{.n = 1, .r = {{RG_BASE, 0, RG_USER, 0}}},
		{.n = 1, .r = {{RG_BASE, UINT64_MAX, RG_USER, 0}}},
		{.n = 1, .r = {{UINT64_MAX - 10, 4096, RG_USER, 0}}},
		{.n = 1, .r = {{RG_BASE, 4096, UINT64_MAX - 10, 0}}},
		{.n = 1, .r = {{RG_BASE, 4096, RG_USER, UINT64_MAX - 4095}}},
		{.n = 2, .r = {{RG_BASE, 8192, RG_USER, 0}, {RG_BASE + 4096, 8192, 0x1000, 0}}},
		{.n = 2, .r = {{RG_BASE, 8192, 0x1000, 0}, {RG_HIGH, 8192, 0x2000, 0}}},
	};
	struct fix *f = *state;
	unsigned fds = open_fds();
	struct mem_table t = {.n = VU_REGIONS_MAX + 1};
	char path[] = "/tmp/vhostXXXXXX";

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		say_table(f, &bad[i], f->g.ram_fd);
		assert_ended(f, VU_BAD_MEMORY, fds);
	}
	say_flags(f, VU_SET_MEM_TABLE, 1, &t, 8, NULL, 0); /* more regions than there may be */
	assert_ended(f, VU_BAD_VALUE, fds);
	t.n = 0;
	say_flags(f, VU_SET_MEM_TABLE, 1, &t, 8, NULL, 0);
	assert_ended(f, VU_BAD_VALUE, fds);
	AUTO_FD file = mkstemp(path); /* can be cut under us */
	unlink(path);
	assert_int_equal(ftruncate(file, RAM), 0);
	t = (struct mem_table){.n = 1, .r[0] = {RG_BASE, RAM, RG_USER, 0}};
	say_table(f, &t, file);
	assert_ended(f, VU_BAD_MEMORY, fds + 1);
	say_table(f, &t, f->call[0]);
	assert_ended(f, VU_BAD_MEMORY, fds + 1);
}

static void try_addr(struct fix *f, struct addr a, enum vu_result why, unsigned fds)
{
	say_u64(f, VU_SET_FEATURES, features);
	say_mem(f);
	say_ring(f, VU_SET_VRING_NUM, 0, SIZE);
	say_ring_fd(f, VU_SET_VRING_KICK, 0, f->kick[0]);
	say_ring(f, VU_SET_VRING_ENABLE, 0, 1);
	assert_false(f->closed);
	say(f, VU_SET_VRING_ADDR, &a, sizeof(a));
	assert_ended(f, why, fds);
}

static void test_ring_addresses(void **state)
{
	struct fix *f = *state;
	unsigned fds = open_fds();
	const struct addr good = addr_of(&f->q[0], 0);
	struct addr a = good;

	a.desc = RG_BASE; /* guest-physical is not the front-end's address */
	try_addr(f, a, VU_BAD_RING, fds);
	a = good;
	a.desc = RG_USER + RAM - 16; /* ends outside */
	try_addr(f, a, VU_BAD_RING, fds);
	a = good;
	a.used = UINT64_MAX - 3;
	try_addr(f, a, VU_BAD_RING, fds);
	a = good;
	a.avail += 1; /* misaligned */
	try_addr(f, a, VU_BAD_RING, fds);
	a = good;
	a.used = a.avail & ~3ull; /* one upon the other */
	try_addr(f, a, VU_BAD_RING, fds);
	a = good;
	a.flags = 1;
	try_addr(f, a, VU_BAD_VALUE, fds);
}

static void test_answers_not_read(void **state)
{
	struct fix *f = *state;
	const uint32_t h[3] = {VU_GET_FEATURES, 1, 0};

	for (unsigned i = 0; i < 100000 && !f->closed; i++) {
		if (send(f->fe, h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			assert_int_equal(errno, EAGAIN);
		assert_int_equal(loop_once(f->l, 0), 0);
	}
	assert_int_equal(f->why, VU_HOST_FAILED);
}

/* A guest that breaks a ring: the queue is silent, the connection and the other queue live on. */
static void test_guest_breaks_a_ring(void **state)
{
	struct fix *f = *state;
	const uint64_t one = 1;

	handshake(f);
	rg_offer(&f->q[0], SIZE);
	assert_int_equal(write(f->kick[0], &one, sizeof(one)), sizeof(one));
	spin(f);
	offer(f, 0);
	assert_int_equal(f->e.chains, 0);
	assert_int_equal(virtio_dev_faults(&f->e.dev), 1);
	assert_int_equal(f->n_broken, 1);
	assert_int_equal(f->broken_queue, 0);
	assert_string_equal(f->broken_why, "a descriptor's number is out of range");
	assert_int_equal(virtio_dev_broken(&f->e.dev), 1);
	offer(f, 1);
	assert_int_equal(f->e.chains, 1);
	assert_false(f->closed);
	assert_int_equal(f->n_broken, 1);
	stop_ring(f, 0); /* as QEMU does when the driver resets the device */
	assert_int_equal(virtio_dev_broken(&f->e.dev), 0);
}

/* free() within closed() is allowed. */
static void on_closed_free(void *ctx, enum vu_result why)
{
	struct fix *f = ctx;

	on_closed(ctx, why);
	vhost_user_free(f->u);
	f->u = NULL;
}

static void test_free_in_closed(void **state)
{
	struct fix *f = *state;
	int p[2];

	vhost_user_free(f->u);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
	f->u = vhost_user_new(f->l, p[0], &f->e.dev,
		&(struct vhost_user_events){.closed = on_closed_free, .ctx = f});
	close(p[1]);
	spin(f);
	assert_true(f->closed);
	assert_null(f->u);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_life),
		T(test_pause_and_reset),
		T(test_memory_moves_under_rings),
		T(test_without_protocol_features),
		T(test_config),
		T(test_acknowledge),
		T(test_byte_by_byte),
		cmocka_unit_test(test_sizes),
		T(test_headers),
		T(test_descriptors),
		T(test_kick_that_is_no_counter),
		T(test_call_that_would_block),
		T(test_values),
		T(test_states),
		T(test_memory_tables),
		T(test_ring_addresses),
		T(test_answers_not_read),
		T(test_guest_breaks_a_ring),
		T(test_free_in_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
