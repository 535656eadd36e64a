/* test_vsock.c - the vsock device against a guest that is right, and one that lies (VM-12) */
#include "vsock_guest.h"
#include "virtio/vsock_priv.h"
#include "base/clock.h"
#include "link/link.h"
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <cmocka.h>

#define PORT   1u /* of the host: the guest may connect */
#define GPORT  5000u /* of the guest */
#define RX_LEN 4096u

enum {
	REQUEST = VIRTIO_VSOCK_OP_REQUEST,
	RESPONSE = VIRTIO_VSOCK_OP_RESPONSE,
	RST = VIRTIO_VSOCK_OP_RST,
	SHUTDOWN = VIRTIO_VSOCK_OP_SHUTDOWN,
	RW = VIRTIO_VSOCK_OP_RW,
	CREDIT_UPDATE = VIRTIO_VSOCK_OP_CREDIT_UPDATE,
	CREDIT_REQUEST = VIRTIO_VSOCK_OP_CREDIT_REQUEST,
	RCV = VIRTIO_VSOCK_SHUTDOWN_RCV,
	SEND = VIRTIO_VSOCK_SHUTDOWN_SEND,
};

struct fix {
	struct loop *l;
	struct vsock *v;
	struct vsock_guest vg;
	int peer; /* host's end of the last incoming stream */
	bool keep_none; /* incoming(): close the host's end at once */
	struct virtio_vsock_hdr h;
	const uint8_t *payload;
};

static int on_incoming(void *ctx, uint32_t host_port)
{
	struct fix *f = ctx;
	int p[2];

	if (host_port != PORT)
		return -ECONNREFUSED;
	if (link_pair(p) < 0)
		return -EMFILE;
	own_close_fd(&f->peer);
	f->peer = p[1];
	if (f->keep_none)
		own_close_fd(&f->peer);
	return p[0];
}

static int setup_down(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	f->peer = -1;
	f->l = loop_new();
	f->v = vsock_new(f->l, &(struct vsock_events){on_incoming, f});
	vg_init(&f->vg, vsock_dev(f->v), RX_LEN);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	setup_down(state);
	vg_start(&((struct fix *)*state)->vg, true);
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	own_close_fd(&f->peer);
	vsock_free(f->v);
	loop_free(f->l);
	vg_fini(&f->vg);
	free(f);
	return 0;
}

static void spin(struct fix *f)
{
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(loop_once(f->l, 0), 0);
}

/* The loop sleeps: nothing wakes it again and again. */
static void assert_idle(struct fix *f)
{
	int64_t t;

	spin(f);
	assert_int_equal(loop_once(f->l, 25), 0); /* an interrupt that was kept back, once */
	t = clock_ms();
	assert_int_equal(loop_once(f->l, 30), 0);
	assert_true(clock_ms() - t >= 29);
}

static void expect(struct fix *f, uint16_t op, uint32_t host_port, uint32_t guest_port)
{
	assert_true(vg_recv(&f->vg, &f->h, &f->payload));
	assert_int_equal(f->h.op, op);
	assert_int_equal(f->h.src_port, host_port);
	assert_int_equal(f->h.dst_port, guest_port);
	assert_int_equal(f->h.src_cid, VSOCK_HOST_CID);
	assert_int_equal(f->h.dst_cid, VSOCK_GUEST_CID);
	assert_int_equal(f->h.type, VIRTIO_VSOCK_TYPE_STREAM);
}

static void expect_nothing(struct fix *f)
{
	spin(f);
	assert_false(vg_recv(&f->vg, &f->h, &f->payload));
}

static void send_op(struct fix *f, uint16_t op, uint32_t flags)
{
	vg_send(&f->vg, &(struct vg_packet){
				.host_port = PORT, .guest_port = GPORT, .op = op, .flags = flags});
}

static void send_bytes(struct fix *f, const void *p, uint32_t len)
{
	vg_send(&f->vg, &(struct vg_packet){.host_port = PORT,
				.guest_port = GPORT,
				.op = RW,
				.payload = p,
				.len = len});
}

static void open_stream(struct fix *f)
{
	send_op(f, REQUEST, 0);
	expect(f, RESPONSE, PORT, GPORT);
	assert_int_equal(f->h.buf_alloc, VSOCK_BUF_BYTES);
	assert_true(f->peer >= 0);
}

static struct vsock_stats stats(const struct fix *f)
{
	struct vsock_stats s;

	vsock_stats(f->v, &s);
	return s;
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

static ssize_t peek_recv(int fd, void *p, size_t n)
{
	return recv(fd, p, n, MSG_DONTWAIT);
}

/* --- what a guest does --- */

static void test_guest_connects(void **state)
{
	struct fix *f = *state;
	char got[32];

	open_stream(f);
	assert_int_equal(stats(f).streams, 1);
	send_bytes(f, "hello", 5);
	assert_int_equal(peek_recv(f->peer, got, sizeof(got)), 5);
	assert_memory_equal(got, "hello", 5);
	assert_int_equal(send(f->peer, "welcome", 7, 0), 7);
	spin(f);
	expect(f, RW, PORT, GPORT);
	assert_int_equal(f->h.len, 7);
	assert_memory_equal(f->payload, "welcome", 7);
	assert_int_equal(f->h.fwd_cnt, 5);
	expect_nothing(f);
	send_op(f, CREDIT_REQUEST, 0);
	expect(f, CREDIT_UPDATE, PORT, GPORT);
	assert_int_equal(stats(f).faults, 0);
	assert_int_equal(stats(f).to_guest_bytes, 7);
	assert_int_equal(stats(f).to_host_bytes, 5);
	assert_idle(f);
}

/* tx_told() - interrupts for what the guest sent; it wants one for whatever comes next */
static unsigned tx_told(struct fix *f)
{
	uint16_t used = __atomic_load_n(&f->vg.tx.used[1], __ATOMIC_ACQUIRE);

	__atomic_store_n(rg_used_event(&f->vg.tx), used, __ATOMIC_SEQ_CST);
	return f->vg.g.signals[VSOCK_QUEUE_TX];
}

/* The driver is told late of what is done with, but before its ring is full. */
static void test_few_interrupts(void **state)
{
	struct fix *f = *state;
	unsigned before;
	int64_t t;

	open_stream(f);
	assert_idle(f);
	before = tx_told(f);
	for (unsigned i = 0; i < VG_QUEUE / 4 - 1; i++)
		send_bytes(f, "x", 1);
	assert_int_equal(f->vg.g.signals[VSOCK_QUEUE_TX], before);
	t = clock_ms();
	while (f->vg.g.signals[VSOCK_QUEUE_TX] == before && clock_ms() - t < 5000)
		assert_int_equal(loop_once(f->l, 30), 0);
	assert_int_equal(tx_told(f), before + 1);
	for (unsigned i = 0; i < VG_QUEUE / 4; i++)
		send_bytes(f, "x", 1);
	assert_int_equal(tx_told(f), before + 2); /* at once */
	assert_idle(f);
	assert_int_equal(tx_told(f), before + 2); /* and not again */
}

static void test_refused(void **state)
{
	struct fix *f = *state;

	vg_send(&f->vg, &(struct vg_packet){.host_port = 99, .guest_port = GPORT, .op = REQUEST});
	expect(f, RST, 99, GPORT);
	assert_int_equal(stats(f).streams, 0);
	assert_int_equal(stats(f).refused, 1);
}

static uint32_t connect_out(struct fix *f, int *ret_peer)
{
	int p[2];

	assert_int_equal(link_pair(p), 0);
	assert_int_equal(vsock_connect(f->v, 1024, p[0]), 0);
	*ret_peer = p[1];
	assert_true(vg_recv(&f->vg, &f->h, &f->payload));
	assert_int_equal(f->h.op, REQUEST);
	assert_int_equal(f->h.dst_port, 1024);
	return f->h.src_port;
}

static void test_host_connects(void **state)
{
	struct fix *f = *state;
	AUTO_FD peer = -1;
	AUTO_FD other = -1;
	uint32_t port = connect_out(f, &peer), port2 = connect_out(f, &other);
	char c;

	assert_int_not_equal(port, port2);
	assert_int_equal(stats(f).connecting, 2);
	assert_int_equal(send(peer, "x", 1, 0), 1);
	expect_nothing(f); /* not before the guest agreed */
	vg_send(&f->vg, &(struct vg_packet){.host_port = port, .guest_port = 1024, .op = RESPONSE});
	expect(f, RW, port, 1024);
	vg_send(&f->vg, &(struct vg_packet){.host_port = port2, .guest_port = 1024, .op = RST});
	assert_int_equal(peek_recv(other, &c, 1), 0); /* refused: the end */
	assert_int_equal(stats(f).connecting, 0);
	assert_int_equal(stats(f).streams, 1);
	assert_int_equal(stats(f).faults, 0);
}

static void test_connect_waits_for_driver(void **state)
{
	struct fix *f = *state;
	int p[2], peers[VSOCK_CONNECTING];

	for (unsigned i = 0; i < VSOCK_CONNECTING; i++) {
		assert_int_equal(link_pair(p), 0);
		peers[i] = p[1];
		assert_int_equal(vsock_connect(f->v, 1024, p[0]), 0);
	}
	assert_int_equal(link_pair(p), 0);
	assert_int_equal(vsock_connect(f->v, 1024, p[0]), -EAGAIN);
	assert_int_equal(close(p[1]), 0);
	vg_start(&f->vg, true);
	unsigned asked = 0;
	while (vg_recv(&f->vg, &f->h, NULL)) {
		assert_int_equal(f->h.op, REQUEST);
		asked++;
		vg_post(&f->vg, 1);
	}
	assert_int_equal(asked, VSOCK_CONNECTING);
	for (unsigned i = 0; i < VSOCK_CONNECTING; i++)
		close(peers[i]);
}

static void pass_deadlines(struct fix *f)
{
	for (struct vsock_stream *s = f->v->all; s; s = s->next_all)
		if (s->deadline)
			s->deadline = 1;
	int64_t end = clock_ms() + 2000;
	while (f->v->n_deadlines && clock_ms() < end)
		assert_int_equal(loop_once(f->l, 1000), 0);
}

static void test_no_answer(void **state)
{
	struct fix *f = *state;
	AUTO_FD peer = -1;
	uint32_t port = connect_out(f, &peer);
	char c;

	pass_deadlines(f);
	expect(f, RST, port, 1024);
	assert_int_equal(peek_recv(peer, &c, 1), 0);
	assert_int_equal(stats(f).streams, 0);
	assert_idle(f);
}

/* The host's reader is slow: at most the granted buffer is taken, and the guest is told later. */
static void test_backpressure_to_host(void **state)
{
	struct fix *f = *state;
	static uint8_t bytes[65536], got[65536];
	uint32_t sent = 0, fwd, read = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 >> 3);
	open_stream(f);
	fwd = f->h.fwd_cnt;
	while (sent - fwd <= VSOCK_BUF_BYTES - sizeof(bytes)) { /* as credit allows */
		send_bytes(f, bytes, sizeof(bytes));
		sent += sizeof(bytes);
		while (vg_recv(&f->vg, &f->h, NULL)) {
			assert_int_equal(f->h.op, CREDIT_UPDATE);
			fwd = f->h.fwd_cnt;
			vg_post(&f->vg, 1);
		}
	}
	assert_int_equal(stats(f).faults, 0);
	assert_idle(f);
	while (read < sent) {
		ssize_t n = recv(f->peer, got, sizeof(got), MSG_DONTWAIT);

		if (n < 0) {
			spin(f);
			continue;
		}
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(got[i], bytes[(read + (size_t)i) % sizeof(bytes)]);
		read += (uint32_t)n;
	}
	while (vg_recv(&f->vg, &f->h, NULL))
		fwd = f->h.fwd_cnt;
	assert_true(sent - fwd < VSOCK_BUF_BYTES / 2);
	assert_idle(f);
}

/* The guest's reader is slow: no byte beyond its credit, one request for more, then silence. */
static void test_backpressure_to_guest(void **state)
{
	struct fix *f = *state;
	static uint8_t bytes[200000];
	uint32_t got = 0;

	vg_send(&f->vg, &(struct vg_packet){.host_port = PORT,
				.guest_port = GPORT,
				.op = REQUEST,
				.lie_alloc = true,
				.alloc = 10000});
	expect(f, RESPONSE, PORT, GPORT);
	assert_int_equal(send(f->peer, bytes, 100000, MSG_DONTWAIT), 100000);
	spin(f);
	while (got < 10000) {
		expect(f, RW, PORT, GPORT);
		got += f->h.len;
	}
	assert_int_equal(got, 10000);
	expect(f, CREDIT_REQUEST, PORT, GPORT);
	expect_nothing(f);
	assert_idle(f);
	vg_post(&f->vg, 8);
	vg_send(&f->vg, &(struct vg_packet){.host_port = PORT,
				.guest_port = GPORT,
				.op = CREDIT_UPDATE,
				.fwd = 4000,
				.lie_alloc = true,
				.alloc = 10000});
	expect(f, RW, PORT, GPORT);
	assert_int_equal(f->h.len, 4000);
	assert_int_equal(stats(f).faults, 0);
}

static void test_no_receive_buffers(void **state)
{
	struct fix *f = *state;
	static uint8_t bytes[100000];
	uint32_t got = 0;

	vg_start(&f->vg, false);
	send_op(f, REQUEST, 0);
	vg_post(&f->vg, 1);
	expect(f, RESPONSE, PORT, GPORT);
	assert_int_equal(send(f->peer, bytes, sizeof(bytes), MSG_DONTWAIT), sizeof(bytes));
	close(f->peer); /* a hang-up cannot be masked: must not wake us for ever */
	f->peer = -1;
	assert_idle(f);
	while (got < sizeof(bytes)) {
		vg_post(&f->vg, 1);
		spin(f);
		expect(f, RW, PORT, GPORT);
		got += f->h.len;
	}
	vg_post(&f->vg, 1);
	spin(f);
	expect(f, SHUTDOWN, PORT, GPORT);
	assert_int_equal(f->h.flags, RCV | SEND);
	assert_idle(f);
}

/* --- ends --- */

static void test_half_close_by_guest(void **state)
{
	struct fix *f = *state;
	char got[8];

	open_stream(f);
	send_bytes(f, "last", 4);
	send_op(f, SHUTDOWN, SEND);
	assert_int_equal(peek_recv(f->peer, got, sizeof(got)), 4);
	assert_int_equal(peek_recv(f->peer, got, sizeof(got)), 0);
	assert_int_equal(send(f->peer, "more", 4, 0), 4); /* the other way goes on */
	spin(f);
	expect(f, RW, PORT, GPORT);
	assert_int_equal(stats(f).faults, 0);
	send_op(f, SHUTDOWN, RCV | SEND);
	expect(f, RST, PORT, GPORT); /* the answer to a full shutdown */
	assert_int_equal(stats(f).streams, 0);
	assert_int_equal(send(f->peer, "x", 1, MSG_NOSIGNAL), -1);
}

static void test_half_close_by_host(void **state)
{
	struct fix *f = *state;
	char got[8];

	open_stream(f);
	assert_int_equal(send(f->peer, "q", 1, 0), 1);
	assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
	spin(f);
	expect(f, RW, PORT, GPORT);
	expect(f, SHUTDOWN, PORT, GPORT);
	assert_int_equal(f->h.flags, SEND);
	assert_idle(f);
	send_bytes(f, "answer", 6); /* the other way goes on */
	assert_int_equal(peek_recv(f->peer, got, sizeof(got)), 6);
	close(f->peer); /* now altogether, noticed without any byte */
	f->peer = -1;
	spin(f);
	expect(f, SHUTDOWN, PORT, GPORT);
	assert_int_equal(f->h.flags, RCV | SEND);
	assert_idle(f);
	send_op(f, RST, 0);
	assert_int_equal(stats(f).streams, 0);
	expect_nothing(f);
}

static void test_host_closes(void **state)
{
	struct fix *f = *state;

	open_stream(f);
	assert_int_equal(send(f->peer, "bye", 3, 0), 3);
	close(f->peer);
	f->peer = -1;
	spin(f);
	expect(f, RW, PORT, GPORT);
	expect(f, SHUTDOWN, PORT, GPORT);
	assert_int_equal(f->h.flags, RCV | SEND);
	send_bytes(f, "late", 4); /* was under way: dropped, no fault */
	expect_nothing(f);
	assert_int_equal(stats(f).streams, 1);
	pass_deadlines(f); /* a guest that never answers does not keep it */
	expect(f, RST, PORT, GPORT);
	assert_int_equal(stats(f).streams, 0);
	assert_int_equal(stats(f).faults, 0);
}

static void test_host_deaf(void **state)
{
	struct fix *f = *state;

	open_stream(f);
	assert_int_equal(shutdown(f->peer, SHUT_RD), 0);
	send_bytes(f, "nobody reads", 12);
	expect(f, SHUTDOWN, PORT, GPORT);
	assert_int_equal(f->h.flags, RCV);
	assert_int_equal(f->h.fwd_cnt, 12);
	assert_int_equal(send(f->peer, "x", 1, 0), 1);
	spin(f);
	expect(f, RW, PORT, GPORT);
	assert_idle(f);
}

static void test_guest_does_not_receive(void **state)
{
	struct fix *f = *state;

	open_stream(f);
	send_op(f, SHUTDOWN, RCV);
	assert_int_equal(send(f->peer, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	send_bytes(f, "still", 5);
	char got[8];
	assert_int_equal(peek_recv(f->peer, got, sizeof(got)), 5);
	assert_idle(f);
}

/* What the guest sent before it closed, or was reset, reaches a slow reader. */
static void drains(struct fix *f, bool by_reset)
{
	static uint8_t bytes[65536], got[65536];
	size_t sum = 0;
	ssize_t n;

	open_stream(f);
	for (unsigned i = 0; i < 4; i++)
		send_bytes(f, bytes, sizeof(bytes));
	while (vg_recv(&f->vg, &f->h, NULL))
		assert_int_equal(f->h.op, CREDIT_UPDATE);
	if (by_reset) {
		virtio_dev_reset(vsock_dev(f->v));
	} else {
		send_op(f, SHUTDOWN, RCV | SEND);
		expect(f, RST, PORT, GPORT); /* at once */
		send_op(f, RST, 0); /* means nothing now */
	}
	assert_int_equal(stats(f).streams, 1);
	assert_idle(f);
	for (;;) {
		n = peek_recv(f->peer, got, sizeof(got));
		if (n < 0)
			spin(f);
		else if (n == 0)
			break;
		else
			sum += (size_t)n;
	}
	assert_int_equal(sum, 4 * sizeof(bytes));
	assert_int_equal(stats(f).streams, 0);
}

static void test_drains_after_close(void **state)
{
	drains(*state, false);
}

static void test_drains_after_reset(void **state)
{
	drains(*state, true);
}

static void test_drain_ends_with_the_reader(void **state)
{
	struct fix *f = *state;
	static uint8_t bytes[65536];

	open_stream(f);
	for (unsigned i = 0; i < 4; i++)
		send_bytes(f, bytes, sizeof(bytes));
	send_op(f, SHUTDOWN, RCV | SEND);
	assert_int_equal(stats(f).streams, 1);
	own_close_fd(&f->peer);
	spin(f);
	assert_int_equal(stats(f).streams, 0);
}

static void test_reset_by_driver(void **state)
{
	struct fix *f = *state;
	AUTO_FD a = -1;
	AUTO_FD b = -1;
	uint32_t port;
	char c;

	open_stream(f);
	(void)connect_out(f, &a);
	virtio_dev_reset(vsock_dev(f->v));
	assert_int_equal(peek_recv(f->peer, &c, 1), 0);
	assert_int_equal(peek_recv(a, &c, 1), 0);
	assert_int_equal(stats(f).streams, 0);
	/* A connect now waits for the next life, in which the old names mean nothing. */
	int p[2];
	assert_int_equal(link_pair(p), 0);
	b = p[1];
	assert_int_equal(vsock_connect(f->v, 1024, p[0]), 0);
	assert_idle(f);
	vg_start(&f->vg, true);
	assert_true(vg_recv(&f->vg, &f->h, NULL));
	assert_int_equal(f->h.op, REQUEST);
	port = f->h.src_port;
	send_bytes(f, "old", 3);
	expect(f, RST, PORT, GPORT);
	vg_send(&f->vg, &(struct vg_packet){.host_port = port, .guest_port = 1024, .op = RESPONSE});
	assert_int_equal(send(b, "x", 1, 0), 1);
	spin(f);
	expect(f, RW, port, 1024);
}

/* The queues stop and go on where they were: nothing is lost, nobody is blamed for the pause. */
static void test_pause(void **state)
{
	struct fix *f = *state;
	struct virtio_dev *d = vsock_dev(f->v);
	struct rg_queue *rx = &f->vg.rx, *tx = &f->vg.tx;
	AUTO_FD peer = -1;
	uint16_t next[2];
	uint32_t port;

	open_stream(f);
	port = connect_out(f, &peer);
	next[0] = virtio_dev_stop(d, 0);
	next[1] = virtio_dev_stop(d, 1);
	assert_int_equal(send(f->peer, "x", 1, 0), 1);
	for (struct vsock_stream *s = f->v->all; s; s = s->next_all)
		s->deadline = s->deadline ? 1 : 0;
	assert_int_equal(loop_once(f->l, 600), 0); /* the sweep, or the byte */
	assert_int_equal(loop_once(f->l, 600), 0);
	assert_int_equal(stats(f).streams, 2);
	assert_int_equal(
		virtio_dev_start(d, 0, VG_QUEUE, rx->desc, rx->avail, rx->used, next[0]), 0);
	assert_int_equal(
		virtio_dev_start(d, 1, VG_QUEUE, tx->desc, tx->avail, tx->used, next[1]), 0);
	expect(f, RW, PORT, GPORT);
	vg_send(&f->vg, &(struct vg_packet){.host_port = port, .guest_port = 1024, .op = RESPONSE});
	assert_int_equal(loop_once(f->l, 600), 0);
	expect_nothing(f);
	assert_int_equal(stats(f).connecting, 0);
	assert_int_equal(stats(f).streams, 2);
	assert_int_equal(stats(f).faults, 0);
}

/* Headers in pieces (VM-09), and header and payload in one, as newer kernels have it. */
static void test_odd_buffers(void **state)
{
	struct fix *f = *state;
	struct virtio_vsock_hdr h = {.src_cid = VSOCK_GUEST_CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = GPORT,
		.dst_port = PORT,
		.len = 2,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = RW};
	struct rg_span s[sizeof(h) + 2];
	uint64_t at = rg_alloc(&f->vg.g, 8192, 1);
	uint32_t len;
	char got[8];

	vg_start(&f->vg, false);
	send_op(f, REQUEST, 0);
	rg_chain(&f->vg.rx, &(struct rg_span){at + 4096, 4096, true}, 1);
	vg_kick(&f->vg, 0);
	assert_true(rg_used(&f->vg.rx, NULL, &len));
	assert_int_equal(len, sizeof(h));
	h.buf_alloc = 4096;
	memcpy(rg_host(&f->vg.g, at), &h, sizeof(h));
	memcpy(rg_host(&f->vg.g, at + sizeof(h)), "ab", 2);
	for (unsigned i = 0; i < ARRAY_LEN(s); i++)
		s[i] = (struct rg_span){at + i, 1, false};
	rg_chain(&f->vg.tx, s, ARRAY_LEN(s));
	vg_kick(&f->vg, 1);
	assert_int_equal(peek_recv(f->peer, got, sizeof(got)), 2);
	assert_memory_equal(got, "ab", 2);
	assert_int_equal(send(f->peer, "0123456789", 10, 0), 10);
	for (unsigned i = 0; i < ARRAY_LEN(s); i++)
		s[i].write = true;
	rg_chain(&f->vg.rx, s, ARRAY_LEN(s)); /* room for two bytes */
	vg_kick(&f->vg, 0);
	assert_true(rg_used(&f->vg.rx, NULL, &len));
	assert_int_equal(len, sizeof(h) + 2);
	assert_memory_equal(rg_host(&f->vg.g, at + sizeof(h)), "01", 2);
	rg_chain(&f->vg.rx, &(struct rg_span){at + 4096, 4096, true}, 1);
	vg_kick(&f->vg, 0);
	assert_memory_equal(rg_host(&f->vg.g, at + 4096 + sizeof(h)), "23456789", 8);
	assert_int_equal(stats(f).faults, 0);
}

/* --- what no guest does: VM-12 --- */

static void test_forged_and_unknown(void **state)
{
	struct fix *f = *state;
	struct vg_packet p = {.host_port = PORT, .guest_port = GPORT, .op = RW, .len = 4};

	vg_send(&f->vg, &p); /* no such stream */
	expect(f, RST, PORT, GPORT);
	assert_int_equal(stats(f).faults, 0); /* may have been under way */
	open_stream(f);
	p.src_cid = 4;
	vg_send(&f->vg, &p);
	p.src_cid = UINT64_MAX;
	vg_send(&f->vg, &p);
	expect_nothing(f); /* nobody to answer */
	assert_int_equal(stats(f).faults, 2);
	p.src_cid = 0;
	p.dst_cid = 3;
	vg_send(&f->vg, &p);
	assert_true(vg_recv(&f->vg, &f->h, NULL));
	assert_int_equal(f->h.op, RST);
	assert_int_equal(f->h.src_cid, 3);
	p.op = RST; /* never an answer to an answer */
	vg_send(&f->vg, &p);
	p.dst_cid = 0;
	p.type = 9;
	vg_send(&f->vg, &p);
	expect_nothing(f);
	p.op = REQUEST;
	vg_send(&f->vg, &p);
	assert_true(vg_recv(&f->vg, &f->h, NULL));
	assert_int_equal(f->h.op, RST);
	assert_int_equal(f->h.type, 9);
	assert_int_equal(stats(f).faults, 6);
	assert_int_equal(stats(f).streams, 1); /* the honest one lives */
	send_bytes(f, "ok", 2);
	char c[2];
	assert_int_equal(peek_recv(f->peer, c, 2), 2);
}

/* Each of these on an open stream resets it, and is counted. */
static void test_lies_reset_the_stream(void **state)
{
	static const struct vg_packet lies[] = {
		{.op = REQUEST},
		{.op = RESPONSE},
		{.op = 0},
		{.op = 8},
		{.op = 65535},
		{.op = RW, .len = 10, .extra_len = 1},
		{.op = RW, .len = 10, .extra_len = UINT32_MAX - 10},
		{.op = CREDIT_UPDATE, .fwd = 1}, /* more than was ever sent */
		{.op = CREDIT_UPDATE, .fwd = 0x7fffffff},
	};
	struct fix *f = *state;
	char c;

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct vg_packet p = lies[i];

		open_stream(f);
		vg_post(&f->vg, 4);
		p.host_port = PORT;
		p.guest_port = GPORT;
		vg_send(&f->vg, &p);
		expect(f, RST, PORT, GPORT);
		assert_int_equal(peek_recv(f->peer, &c, 1), 0);
		assert_int_equal(stats(f).streams, 0);
		assert_int_equal(stats(f).faults, i + 1);
	}
}

static void test_more_than_credit(void **state)
{
	struct fix *f = *state;
	static uint8_t bytes[65536];
	bool reset = false;

	open_stream(f);
	for (unsigned i = 0; i < 20 && !reset; i++) {
		send_bytes(f, bytes, sizeof(bytes));
		while (vg_recv(&f->vg, &f->h, NULL))
			reset = reset || f->h.op == RST;
	}
	assert_true(reset);
	assert_int_equal(stats(f).faults, 1);
	assert_int_equal(stats(f).streams, 0);
}

static void test_bytes_after_shutdown(void **state)
{
	struct fix *f = *state;

	open_stream(f);
	send_op(f, SHUTDOWN, SEND);
	send_bytes(f, "x", 1);
	expect(f, RST, PORT, GPORT);
	assert_int_equal(stats(f).faults, 1);
}

/* The guest takes its room back while bytes wait for a receive buffer: they wait on. */
static void test_room_taken_back(void **state)
{
	struct fix *f = *state;
	struct vg_packet p = {
		.host_port = PORT, .guest_port = GPORT, .op = CREDIT_UPDATE, .lie_alloc = true};

	vg_start(&f->vg, false);
	send_op(f, REQUEST, 0);
	vg_post(&f->vg, 1);
	expect(f, RESPONSE, PORT, GPORT);
	assert_int_equal(send(f->peer, "x", 1, 0), 1);
	spin(f);
	vg_send(&f->vg, &p);
	vg_post(&f->vg, 4);
	expect_nothing(f);
	assert_idle(f);
	p.alloc = 1;
	vg_send(&f->vg, &p);
	expect(f, RW, PORT, GPORT);
	assert_int_equal(stats(f).faults, 0);
}

/* An older count behind a newer one is what two threads of a guest can do: passed over. */
static void test_credit_out_of_order(void **state)
{
	struct fix *f = *state;
	struct vg_packet p = {.host_port = PORT, .guest_port = GPORT, .op = CREDIT_UPDATE};

	open_stream(f);
	assert_int_equal(send(f->peer, "0123456789", 10, 0), 10);
	spin(f);
	expect(f, RW, PORT, GPORT);
	p.fwd = 10;
	vg_send(&f->vg, &p);
	p.fwd = 4;
	vg_send(&f->vg, &p);
	assert_int_equal(stats(f).faults, 0);
	assert_int_equal(f->v->all->peer_fwd, 10);
	/* No room at all, and all the room in the world: neither is a fault, nor costs us memory. */
	p.fwd = 10;
	p.lie_alloc = true;
	vg_send(&f->vg, &p);
	assert_int_equal(send(f->peer, "x", 1, 0), 1);
	expect_nothing(f);
	assert_idle(f);
	p.alloc = UINT32_MAX;
	vg_send(&f->vg, &p);
	expect(f, RW, PORT, GPORT);
	assert_int_equal(stats(f).faults, 0);
}

static void test_lies_while_connecting(void **state)
{
	static const uint16_t ops[] = {REQUEST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST, 77};
	struct fix *f = *state;
	char c;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		AUTO_FD peer = -1;
		uint32_t port = connect_out(f, &peer);

		vg_send(&f->vg,
			&(struct vg_packet){.host_port = port, .guest_port = 1024, .op = ops[i]});
		expect(f, RST, port, 1024);
		assert_int_equal(peek_recv(peer, &c, 1), 0);
		assert_int_equal(stats(f).faults, i + 1);
		assert_int_equal(stats(f).connecting, 0);
	}
}

static void test_short_packets(void **state)
{
	struct fix *f = *state;
	uint64_t at = rg_alloc(&f->vg.g, 64, 4);

	rg_chain(&f->vg.tx, &(struct rg_span){at, 43, false}, 1);
	vg_kick(&f->vg, 1);
	rg_chain(&f->vg.tx, &(struct rg_span){at, 64, true}, 1); /* nothing readable */
	vg_kick(&f->vg, 1);
	assert_int_equal(stats(f).faults, 2);
	assert_true(rg_used(&f->vg.tx, NULL, NULL)); /* given back all the same */
	assert_true(rg_used(&f->vg.tx, NULL, NULL));
	open_stream(f);
}

static void test_short_receive_buffers(void **state)
{
	struct fix *f = *state;
	uint64_t at = rg_alloc(&f->vg.g, 64, 4);
	char c;

	vg_start(&f->vg, false);
	rg_chain(&f->vg.rx, &(struct rg_span){at, 44, true}, 1);
	send_op(f, REQUEST, 0); /* the answer fits, a byte does not */
	assert_true(rg_used(&f->vg.rx, NULL, NULL));
	assert_int_equal(send(f->peer, "x", 1, 0), 1);
	rg_chain(&f->vg.rx, &(struct rg_span){at, 44, true}, 1);
	vg_kick(&f->vg, 0);
	assert_true(rg_used(&f->vg.rx, NULL, NULL)); /* the RST */
	assert_int_equal(peek_recv(f->peer, &c, 1), 0);
	assert_int_equal(stats(f).faults, 1);
	rg_chain(&f->vg.rx, &(struct rg_span){at, 43, true}, 1);
	send_bytes(f, "x", 1); /* wants a RST: no room for its header */
	assert_int_equal(f->vg.g.broken[0], 1);
	assert_int_equal(stats(f).faults, 2);
	assert_idle(f);
}

static void test_broken_queue_is_told_once(void **state)
{
	struct fix *f = *state;

	rg_offer(&f->vg.tx, VG_QUEUE); /* head out of range */
	vg_kick(&f->vg, 1);
	vg_kick(&f->vg, 1);
	assert_int_equal(f->vg.g.broken[1], 1);
	assert_int_equal(stats(f).faults, 1);
	assert_idle(f);
}

/* 100,000 connects: streams and host descriptors stay below the cap; the host gets its share. */
static void test_request_storm(void **state)
{
	struct fix *f = *state;
	unsigned before = open_fds(), accepted = 0, refused = 0;

	f->keep_none = true;
	for (uint32_t i = 0; i < 100000; i++) {
		vg_send(&f->vg,
			&(struct vg_packet){.host_port = PORT, .guest_port = i, .op = REQUEST});
		while (vg_recv(&f->vg, &f->h, NULL)) {
			accepted += f->h.op == RESPONSE;
			refused += f->h.op == RST;
			vg_post(&f->vg, 1);
		}
	}
	assert_int_equal(accepted, VSOCK_GUEST_STREAMS);
	assert_int_equal(refused, 100000 - VSOCK_GUEST_STREAMS);
	assert_true(open_fds() <= before + VSOCK_GUEST_STREAMS);
	assert_int_equal(stats(f).streams, VSOCK_GUEST_STREAMS);
	assert_true(f->v->pool_used <= VSOCK_POOL_BYTES + VSOCK_GUEST_STREAMS * VSOCK_BUF_LEAST);
	AUTO_FD peer = -1;
	(void)connect_out(f, &peer);
	virtio_dev_reset(vsock_dev(f->v));
	assert_int_equal(f->v->pool_used, 0);
	own_close_fd(&peer);
	assert_int_equal(open_fds(), before);
}

/* Resets wait for receive buffers, in a bounded list. */
static void test_resets_wait(void **state)
{
	struct fix *f = *state;
	unsigned resets = 0;

	vg_start(&f->vg, false);
	for (uint32_t i = 0; i < 1000; i++)
		vg_send(&f->vg, &(struct vg_packet){.host_port = PORT, .guest_port = i, .op = RW});
	assert_idle(f);
	for (unsigned i = 0; i < 1000; i++) {
		vg_post(&f->vg, 1);
		resets += vg_recv(&f->vg, &f->h, NULL);
	}
	assert_int_equal(resets, VSOCK_RESETS);
}

/* --- property: bytes arrive whole and in order, whatever the pace --- */

#define SOAK_STREAMS 6
#define SOAK_BYTES   300000u

struct soak {
	uint32_t sent_to_host, got_from_host, fwd_seen, alloc; /* guest's side */
	uint32_t sent_to_guest, got_from_guest; /* host's side */
	int fd;
};

static uint8_t pattern(unsigned stream, uint32_t at)
{
	return (uint8_t)((at * 2654435761u >> 13) + stream);
}

static unsigned rnd(uint32_t *seed, unsigned below)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (*seed >> 8) % below;
}

static void soak_guest_sends(struct fix *f, struct soak *s, unsigned i, uint32_t *seed)
{
	static uint8_t bytes[20000];
	uint32_t room = s->alloc - (s->sent_to_host - s->fwd_seen), len = rnd(seed, 20000);

	if (len > SOAK_BYTES - s->sent_to_host)
		len = SOAK_BYTES - s->sent_to_host;
	if (len > room)
		len = room;
	for (uint32_t k = 0; k < len; k++)
		bytes[k] = pattern(i, s->sent_to_host + k);
	s->sent_to_host += len;
	vg_send(&f->vg, &(struct vg_packet){.host_port = PORT,
				.guest_port = i,
				.op = len ? RW : CREDIT_UPDATE,
				.payload = bytes,
				.len = len,
				.fwd = s->got_from_host});
}

static void soak_guest_takes(struct fix *f, struct soak *all)
{
	while (vg_recv(&f->vg, &f->h, &f->payload)) {
		unsigned i = f->h.dst_port;

		assert_true(i < SOAK_STREAMS);
		assert_true(f->h.op == RW || f->h.op == CREDIT_UPDATE ||
			    f->h.op == CREDIT_REQUEST || f->h.op == RESPONSE);
		all[i].fwd_seen = f->h.fwd_cnt;
		all[i].alloc = f->h.buf_alloc;
		for (uint32_t k = 0; k < f->h.len; k++)
			assert_int_equal(f->payload[k], pattern(i, all[i].got_from_host + k));
		all[i].got_from_host += f->h.len;
	}
}

static void soak_host(struct soak *s, unsigned i, uint32_t *seed)
{
	static uint8_t bytes[30000];
	uint32_t len = 1 + rnd(seed, 30000);
	ssize_t n;

	if (rnd(seed, 2)) {
		n = recv(s->fd, bytes, len, MSG_DONTWAIT);
		for (ssize_t k = 0; k < n; k++)
			assert_int_equal(bytes[k], pattern(i, s->got_from_guest + (uint32_t)k));
		s->got_from_guest += n > 0 ? (uint32_t)n : 0;
		return;
	}
	if (len > SOAK_BYTES - s->sent_to_guest)
		len = SOAK_BYTES - s->sent_to_guest;
	for (uint32_t k = 0; k < len; k++)
		bytes[k] = pattern(i, s->sent_to_guest + k);
	n = len ? send(s->fd, bytes, len, MSG_DONTWAIT) : 0;
	s->sent_to_guest += n > 0 ? (uint32_t)n : 0;
}

static void test_soak(void **state)
{
	struct fix *f = *state;
	struct soak all[SOAK_STREAMS] = {0};
	uint32_t seed = 42;
	bool done = false;

	for (unsigned i = 0; i < SOAK_STREAMS; i++) {
		vg_send(&f->vg,
			&(struct vg_packet){.host_port = PORT, .guest_port = i, .op = REQUEST});
		all[i].fd = f->peer;
		f->peer = -1;
	}
	for (unsigned round = 0; !done && round < 2000000; round++) {
		unsigned i = rnd(&seed, SOAK_STREAMS);

		switch (rnd(&seed, 5)) {
		case 0:
			soak_guest_sends(f, &all[i], i, &seed);
			break;
		case 1:
			soak_guest_takes(f, all);
			break;
		case 2:
			vg_post(&f->vg, rnd(&seed, 20));
			break;
		case 3:
			soak_host(&all[i], i, &seed);
			break;
		default:
			assert_int_equal(loop_once(f->l, 0), 0);
		}
		done = true;
		for (i = 0; i < SOAK_STREAMS; i++)
			done = done && all[i].got_from_guest == SOAK_BYTES &&
			       all[i].got_from_host == SOAK_BYTES;
	}
	assert_true(done);
	assert_int_equal(stats(f).faults, 0);
	for (unsigned i = 0; i < SOAK_STREAMS; i++)
		close(all[i].fd);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_guest_connects),
		T(test_few_interrupts),
		T(test_refused),
		T(test_host_connects),
		cmocka_unit_test_setup_teardown(
			test_connect_waits_for_driver, setup_down, teardown),
		T(test_no_answer),
		T(test_backpressure_to_host),
		T(test_backpressure_to_guest),
		cmocka_unit_test_setup_teardown(test_no_receive_buffers, setup_down, teardown),
		T(test_half_close_by_guest),
		T(test_half_close_by_host),
		T(test_host_closes),
		T(test_host_deaf),
		T(test_guest_does_not_receive),
		T(test_drains_after_close),
		T(test_drains_after_reset),
		T(test_drain_ends_with_the_reader),
		T(test_reset_by_driver),
		cmocka_unit_test_setup_teardown(test_odd_buffers, setup_down, teardown),
		T(test_pause),
		T(test_forged_and_unknown),
		T(test_lies_reset_the_stream),
		T(test_more_than_credit),
		T(test_bytes_after_shutdown),
		T(test_credit_out_of_order),
		cmocka_unit_test_setup_teardown(test_room_taken_back, setup_down, teardown),
		T(test_lies_while_connecting),
		T(test_short_packets),
		cmocka_unit_test_setup_teardown(test_short_receive_buffers, setup_down, teardown),
		T(test_broken_queue_is_told_once),
		T(test_request_storm),
		cmocka_unit_test_setup_teardown(test_resets_wait, setup_down, teardown),
		T(test_soak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
