/* fuzz_vsock.c - packets of a guest, and a host whose sockets do what they like
 *
 * Input: a script. Each step is one byte for what to do, and its arguments:
 *   0-7   a packet: op, port (low 2 bits: host, next 2: guest), flags, what to lie about, length/256,
 *         credit; lies take their 32 bits from the script
 *   8     n receive buffers are posted          9     take what came
 *   10    host connects                         11    host writes    12  host reads
 *   13    host shuts down one way               14    host closes    15  driver resets and begins anew
 */
#include "../../unit/virtio/vsock_guest.h"
#include "link/link.h"
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#define PEERS 8

struct script {
	const uint8_t *p;
	size_t left;
};

static struct vsock_guest vg;
static struct loop *l;
static int peer[PEERS];
static unsigned next_peer;

static uint8_t byte(struct script *s)
{
	if (s->left == 0)
		return 0;
	s->left--;
	return *s->p++;
}

static uint32_t word(struct script *s)
{
	uint32_t a = byte(s), b = byte(s), c = byte(s), d = byte(s);

	return a | b << 8 | c << 16 | d << 24;
}

static void keep_peer(int fd)
{
	int *slot = &peer[next_peer++ % PEERS];

	own_close_fd(slot);
	*slot = fd;
}

static int on_incoming(void *ctx, uint32_t host_port)
{
	int p[2];

	(void)ctx;
	if (host_port == 0 || link_pair(p) < 0)
		return -ECONNREFUSED;
	keep_peer(p[1]);
	return p[0];
}

static void packet(struct script *s)
{
	uint8_t op = byte(s), ports = byte(s), flags = byte(s), lie = byte(s);
	struct vg_packet p = {.op = op & 15,
		.host_port = ports & 3,
		.guest_port = ports >> 2 & 3,
		.flags = flags & 3,
		.len = byte(s) * 257u,
		.fwd = byte(s)};

	if (ports & 16) /* a stream the host asked for */
		p.host_port = 0x40000000u + (ports >> 5);
	if (lie & 1)
		p.fwd = word(s);
	if (lie & 2) {
		p.lie_alloc = true;
		p.alloc = word(s);
	}
	if (lie & 4)
		p.extra_len = word(s);
	if (lie & 8)
		p.src_cid = word(s);
	if (lie & 16)
		p.dst_cid = word(s);
	if (lie & 32)
		p.type = (uint16_t)word(s);
	if (lie & 64)
		p.op = (uint16_t)word(s);
	if (lie & 128)
		p.flags = word(s);
	if (vg_queue(&vg, &p))
		vg_kick(&vg, 1);
}

static void step(struct vsock *v, struct script *s)
{
	static uint8_t bytes[65536];
	struct virtio_vsock_hdr h;
	uint8_t what = byte(s);
	int *fd = &peer[what >> 4 & (PEERS - 1)], p[2];

	switch (what & 15) {
	case 8:
		vg_post(&vg, byte(s) & 63);
		break;
	case 9:
		while (vg_recv(&vg, &h, NULL))
			assert(h.op >= 1 && h.op <= 7 && h.len <= vg.rx_bytes);
		break;
	case 10:
		if (link_pair(p) == 0) {
			keep_peer(p[1]);
			if (vsock_connect(v, byte(s) & 3, p[0]) < 0)
				return;
		}
		break;
	case 11:
		if (*fd >= 0)
			(void)send(*fd, bytes, byte(s) * 257u, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 12:
		if (*fd >= 0)
			(void)recv(*fd, bytes, byte(s) * 257u, MSG_DONTWAIT);
		break;
	case 13:
		if (*fd >= 0)
			(void)shutdown(*fd, byte(s) & 1);
		break;
	case 14:
		own_close_fd(fd);
		break;
	case 15:
		virtio_dev_reset(vsock_dev(v));
		vg_start(&vg, true);
		break;
	default:
		packet(s);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static size_t brk;
	struct script s = {data, size < 4096 ? size : 4096};
	struct vsock_stats st;
	struct vsock *v;

	if (!l) {
		l = loop_new();
		vg_init(&vg, NULL, 4096);
		brk = vg.g.brk;
		for (unsigned i = 0; i < PEERS; i++)
			peer[i] = -1;
	}
	v = vsock_new(l, &(struct vsock_events){on_incoming, NULL});
	vg.dev = vsock_dev(v);
	vg.g.brk = brk;
	next_peer = 0;
	vg_start(&vg, byte(&s) & 1);
	while (s.left > 0 && vg.g.size - vg.g.brk > 65536) {
		step(v, &s);
		if (loop_once(l, 0) < 0)
			abort();
		vsock_stats(v, &st);
		assert(st.streams <= VSOCK_STREAMS && st.connecting <= VSOCK_CONNECTING);
	}
	vsock_free(v);
	for (unsigned i = 0; i < PEERS; i++)
		own_close_fd(&peer[i]);
	return 0;
}
