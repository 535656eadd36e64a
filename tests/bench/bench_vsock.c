/* bench_vsock.c - one vsock stream, measured in the device harness: no VM, rings in plain memory
 *
 * Three threads: the guest's driver (this harness), the device in its loop, the host's peer of the
 * stream. Kicks and interrupts are eventfds and are spared by EVENT_IDX, as between QEMU and us.
 * Packets are as Linux 6.1 makes them: up to 64 KiB from the guest, 4 KiB receive buffers.
 * Prints a JSON line for each direction: the median of RUNS, the least and the most.
 */
#include "../unit/virtio/vsock_guest.h"
#include "base/clock.h"
#include "link/link.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#define RUNS	  21
#define RUN_BYTES (64u << 20)
#define CHUNK	  (64u << 10)
#define RX_BYTES  4096u
#define PORT	  1u
#define GPORT	  5000u

struct bench {
	struct loop *l;
	struct vsock *v;
	struct vsock_guest vg;
	int kick[2], irq, peer; /* eventfds; the host's end of the stream */
	uint32_t sent, got, fwd, alloc;
	uint16_t kicked[2]; /* avail.idx when the device was last looked at */
	atomic_bool stop;
};

static void must(int r, const char *what)
{
	if (r >= 0)
		return;
	fprintf(stderr, "bench_vsock: %s: %s\n", what, strerror(r == -1 ? errno : -r));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void ring(int efd)
{
	uint64_t one = 1;

	must(write(efd, &one, sizeof(one)) == sizeof(one) ? 0 : -1, "eventfd");
}

static void hush(int efd)
{
	uint64_t n;

	if (read(efd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		must(-1, "eventfd");
}

/* --- the device's thread --- */

static void on_rx_kick(void *ctx, uint32_t events)
{
	struct bench *b = ctx;

	(void)events;
	hush(b->kick[0]);
	virtio_dev_kick(vsock_dev(b->v), 0);
}

static void on_tx_kick(void *ctx, uint32_t events)
{
	struct bench *b = ctx;

	(void)events;
	hush(b->kick[1]);
	if (atomic_load(&b->stop))
		loop_stop(b->l);
	virtio_dev_kick(vsock_dev(b->v), 1);
}

static void on_signal(void *transport, unsigned index)
{
	struct bench *b = transport;

	(void)index;
	ring(b->irq);
}

static int on_incoming(void *ctx, uint32_t host_port)
{
	struct bench *b = ctx;
	int p[2];

	(void)host_port;
	must(link_pair(p), "socketpair");
	b->peer = p[1];
	return p[0];
}

static void *device(void *arg)
{
	struct bench *b = arg;

	must(loop_run(b->l), "loop");
	return NULL;
}

/* --- the guest --- */

static void guest_kick(void *ctx, unsigned queue)
{
	struct bench *b = ctx;
	struct rg_queue *q = queue ? &b->vg.tx : &b->vg.rx;
	uint16_t event = __atomic_load_n(rg_avail_event(q), __ATOMIC_SEQ_CST);
	uint16_t old = b->kicked[queue];

	b->kicked[queue] = q->avail_idx;
	if ((uint16_t)(q->avail_idx - event - 1) < (uint16_t)(q->avail_idx - old))
		ring(b->kick[queue]);
}

static void take(struct bench *b, unsigned *ret_packets)
{
	struct virtio_vsock_hdr h;

	*ret_packets = 0;
	while (vg_recv(&b->vg, &h, NULL)) {
		b->fwd = h.fwd_cnt;
		b->alloc = h.buf_alloc;
		b->got += h.len;
		++*ret_packets;
	}
	vg_post(&b->vg, *ret_packets);
}

static void sleep_until_used(struct bench *b)
{
	struct rg_queue *rx = &b->vg.rx, *tx = &b->vg.tx;
	struct pollfd p = {.fd = b->irq, .events = POLLIN};

	__atomic_store_n(rg_used_event(rx), rx->seen_used, __ATOMIC_SEQ_CST);
	__atomic_store_n(rg_used_event(tx), tx->seen_used, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&rx->used[1], __ATOMIC_SEQ_CST) != rx->seen_used ||
		__atomic_load_n(&tx->used[1], __ATOMIC_SEQ_CST) != tx->seen_used)
		return;
	must(poll(&p, 1, -1), "poll");
	hush(b->irq);
}

static void send_packet(struct bench *b, uint16_t op, uint32_t len)
{
	struct vg_packet p = {
		.host_port = PORT, .guest_port = GPORT, .op = op, .len = len, .fwd = b->got};

	while (!vg_queue(&b->vg, &p))
		sleep_until_used(b);
	b->sent += len;
	vg_kick(&b->vg, 1);
}

static void guest_sends(struct bench *b, uint32_t bytes)
{
	uint32_t until = b->sent + bytes;
	unsigned n;

	while (b->sent != until) {
		uint32_t room = b->alloc - (b->sent - b->fwd);

		take(b, &n);
		if (room >= CHUNK)
			send_packet(b, VIRTIO_VSOCK_OP_RW, CHUNK);
		else if (n == 0)
			sleep_until_used(b);
	}
}

static void guest_takes(struct bench *b, uint32_t bytes)
{
	uint32_t until = b->got + bytes, told = b->got;
	unsigned n;

	while (b->got != until) {
		take(b, &n);
		if (b->got - told > VG_GUEST_BUF / 2) {
			told = b->got;
			send_packet(b, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0);
		}
		if (n == 0)
			sleep_until_used(b);
	}
	send_packet(b, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0);
}

/* --- the host's peer --- */

static void *host_reads(void *arg)
{
	struct bench *b = arg;
	static char buf[256 << 10];
	uint32_t left = RUN_BYTES;

	while (left > 0) {
		ssize_t n = read(b->peer, buf, sizeof(buf));

		must(n > 0 ? 0 : -1, "read");
		left -= (uint32_t)n;
	}
	return NULL;
}

static void *host_writes(void *arg)
{
	struct bench *b = arg;
	static char buf[64 << 10];
	uint32_t left = RUN_BYTES;

	while (left > 0) {
		ssize_t n = write(b->peer, buf, left < sizeof(buf) ? left : sizeof(buf));

		must(n > 0 ? 0 : -1, "write");
		left -= (uint32_t)n;
	}
	return NULL;
}

static double run(struct bench *b, bool to_host)
{
	pthread_t host;
	double t = now();

	must(-pthread_create(&host, NULL, to_host ? host_reads : host_writes, b), "thread");
	if (to_host)
		guest_sends(b, RUN_BYTES);
	else
		guest_takes(b, RUN_BYTES);
	pthread_join(host, NULL);
	return RUN_BYTES / (now() - t);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void measure(struct bench *b, bool to_host)
{
	double rate[RUNS];

	(void)run(b, to_host); /* warm */
	for (unsigned i = 0; i < RUNS; i++)
		rate[i] = run(b, to_host);
	qsort(rate, RUNS, sizeof(rate[0]), by_value);
	printf("{\"bench\":\"vsock stream, %s\",\"name\":\"vsock_stream\",\"bytes_per_s\":%.0f,"
	       "\"median\":%.0f,\"min\":%.0f,\"max\":%.0f,\"unit\":\"MB/s\",\"runs\":%d}\n",
		to_host ? "guest to host" : "host to guest", rate[RUNS / 2], rate[RUNS / 2] / 1e6,
		rate[0] / 1e6, rate[RUNS - 1] / 1e6, RUNS);
}

static void start(struct bench *b)
{
	struct vg_packet request = {
		.host_port = PORT, .guest_port = GPORT, .op = VIRTIO_VSOCK_OP_REQUEST};
	unsigned n = 0;

	b->l = loop_new();
	b->v = vsock_new(b->l, &(struct vsock_events){on_incoming, b});
	vg_init(&b->vg, vsock_dev(b->v), RX_BYTES);
	b->irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (unsigned i = 0; i < 2; i++)
		b->kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	must(loop_add_fd(b->l, b->kick[0], EPOLLIN, on_rx_kick, b, NULL), "loop");
	must(loop_add_fd(b->l, b->kick[1], EPOLLIN, on_tx_kick, b, NULL), "loop");
	vg_start(&b->vg, true);
	vsock_dev(b->v)->signal = on_signal;
	vsock_dev(b->v)->transport = b;
	vg_send(&b->vg, &request);
	take(b, &n);
	must(n == 1 && b->alloc ? 0 : -ECONNREFUSED, "connect");
	b->kicked[0] = b->vg.rx.avail_idx;
	b->kicked[1] = b->vg.tx.avail_idx;
	b->vg.kick = guest_kick;
	b->vg.kick_ctx = b;
}

int main(void)
{
	static struct bench b;
	pthread_t dev;

	start(&b);
	must(-pthread_create(&dev, NULL, device, &b), "thread");
	measure(&b, true);
	measure(&b, false);
	atomic_store(&b.stop, true);
	ring(b.kick[1]);
	pthread_join(dev, NULL);
	close(b.peer);
	vsock_free(b.v);
	loop_free(b.l);
	vg_fini(&b.vg);
	return 0;
}
