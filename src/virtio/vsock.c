/* The table of streams, the ways in from outside, and deadlines.
 *
 * Every way in (a kick, a socket's event, a timer, a connect) ends in vsock_leave(), which frees
 * the streams that died meanwhile: nothing below has to ask whether a stream is still there.
 */
#include "virtio/vsock_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include <assert.h>
#include <errno.h>

#define SWEEP_MS   500
#define FIRST_PORT 0x40000000u /* host ports of our connects; no port that is listened on */

static unsigned bucket(uint32_t host_port, uint32_t guest_port)
{
	return (host_port * 2654435761u ^ guest_port * 2246822519u) >> 22;
}
static_assert(VSOCK_BUCKETS == 1u << 10, "10 bits are left by the shift");

struct vsock_stream *vsock_find(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_stream *s = v->hash[bucket(host_port, guest_port)];

	while (s && (s->host_port != host_port || s->guest_port != guest_port))
		s = s->next_hash;
	return s;
}

static void unhash(struct vsock_stream *s)
{
	struct vsock_stream **at = &s->v->hash[bucket(s->host_port, s->guest_port)];

	while (*at && *at != s)
		at = &(*at)->next_hash;
	if (*at)
		*at = s->next_hash;
}

/* A share of what is left of the pool: many streams get less each, none gets nothing. */
static uint32_t grant(const struct vsock *v)
{
	uint32_t left = v->pool_used < VSOCK_POOL_BYTES ? VSOCK_POOL_BYTES - v->pool_used : 0;
	uint32_t share = left / 16;

	if (share > VSOCK_BUF_BYTES)
		return VSOCK_BUF_BYTES;
	return share < VSOCK_BUF_LEAST ? VSOCK_BUF_LEAST : share;
}

struct vsock_stream *vsock_add(
	struct vsock *v, uint32_t host_port, uint32_t guest_port, int fd, bool by_guest)
{
	struct vsock_stream *s, **slot = &v->hash[bucket(host_port, guest_port)];

	if (v->n_streams >= VSOCK_STREAMS || (by_guest && v->n_by_guest >= VSOCK_GUEST_STREAMS))
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	*s = (struct vsock_stream){.v = v,
		.state = by_guest ? VSOCK_OPEN : VSOCK_WAITING,
		.by_guest = by_guest,
		.host_port = host_port,
		.guest_port = guest_port,
		.fd = fd,
		.alloc = grant(v),
		.next_hash = *slot,
		.next_all = v->all,
		.prev_all = &v->all};
	*slot = s;
	if (v->all)
		v->all->prev_all = &s->next_all;
	v->all = s;
	v->pool_used += s->alloc;
	v->n_streams++;
	v->n_by_guest += by_guest;
	v->n_connecting += !by_guest;
	return s;
}

static bool connecting(enum vsock_state st)
{
	return st == VSOCK_WAITING || st == VSOCK_ASKED;
}

void vsock_move(struct vsock_stream *s, enum vsock_state to)
{
	/* from → to, one bit each */
	static const unsigned allowed[] = {
		[VSOCK_WAITING] = 1u << VSOCK_ASKED | 1u << VSOCK_DEAD,
		[VSOCK_ASKED] = 1u << VSOCK_OPEN | 1u << VSOCK_DEAD,
		[VSOCK_OPEN] = 1u << VSOCK_CLOSING | 1u << VSOCK_DRAINING | 1u << VSOCK_DEAD,
		[VSOCK_CLOSING] = 1u << VSOCK_DEAD,
		[VSOCK_DRAINING] = 1u << VSOCK_DEAD,
		[VSOCK_DEAD] = 0,
	};
	struct vsock *v = s->v;

	assert(allowed[s->state] & 1u << to);
	v->n_connecting -= connecting(s->state) && !connecting(to);
	s->state = to;
	if (to != VSOCK_DRAINING && to != VSOCK_DEAD)
		return;
	unhash(s); /* the guest may use its name again */
	vsock_unready(s);
	s->owes = 0;
	if (to == VSOCK_DRAINING)
		return;
	vsock_set_deadline(s, 0);
	vsock_close_fd(s);
	*s->prev_all = s->next_all;
	if (s->next_all)
		s->next_all->prev_all = s->prev_all;
	s->next_all = v->dead;
	v->dead = s;
	v->pool_used -= s->alloc;
	v->n_streams--;
	v->n_by_guest -= s->by_guest;
}

void vsock_reset_to(struct vsock *v, const struct vsock_reset *r)
{
	if (v->n_resets == VSOCK_RESETS)
		return;
	v->reset[(v->reset_at + v->n_resets++) % VSOCK_RESETS] = *r;
}

void vsock_reset_stream(struct vsock_stream *s)
{
	struct vsock_reset r = {
		VSOCK_HOST_CID, s->host_port, s->guest_port, VIRTIO_VSOCK_TYPE_STREAM};

	vsock_reset_to(s->v, &r);
	vsock_move(s, VSOCK_DEAD);
}

void vsock_fault(struct vsock *v)
{
	v->stats.faults++;
}

bool vsock_enter(struct vsock *v)
{
	bool outermost = !v->busy;

	v->busy = true;
	return outermost;
}

void vsock_leave(struct vsock *v, bool outermost)
{
	if (!outermost)
		return;
	v->busy = false;
	while (v->dead) {
		struct vsock_stream *s = v->dead;

		v->dead = s->next_all;
		free(s->buf);
		free(s);
	}
}

static bool driver_up(const struct vsock *v)
{
	return v->dev.vq[VSOCK_QUEUE_RX].ready && v->dev.vq[VSOCK_QUEUE_TX].ready;
}

static void run(struct vsock *v)
{
	vsock_tx_run(v);
	vsock_rx_run(v);
}

/* --- timers --- */

static void on_again(void *ctx)
{
	struct vsock *v = ctx;
	bool outermost = vsock_enter(v);

	v->again = NULL;
	run(v);
	vsock_leave(v, outermost);
}

void vsock_later(struct vsock *v)
{
	if (!v->again && loop_add_timer(v->loop, clock_ms(), on_again, v, &v->again) < 0)
		log_debug("vsock: no memory for a timer");
}

static void on_sweep(void *ctx);

static void arm_sweep(struct vsock *v)
{
	if (!v->sweep && v->n_deadlines > 0 &&
		loop_add_timer(v->loop, clock_ms() + SWEEP_MS, on_sweep, v, &v->sweep) < 0)
		log_debug("vsock: no memory for a timer");
}

void vsock_set_deadline(struct vsock_stream *s, int64_t in_ms)
{
	s->v->n_deadlines -= s->deadline != 0;
	s->deadline = in_ms ? clock_ms() + in_ms : 0;
	s->v->n_deadlines += s->deadline != 0;
	arm_sweep(s->v);
}

static void on_sweep(void *ctx)
{
	struct vsock *v = ctx;
	bool outermost = vsock_enter(v);
	int64_t now = clock_ms();
	struct vsock_stream *next;

	v->sweep = NULL;
	for (struct vsock_stream *s = v->all; s; s = next) {
		next = s->next_all;
		if (!s->deadline || s->deadline > now)
			continue;
		if (!driver_up(v) && s->state != VSOCK_WAITING)
			continue; /* a guest that is paused cannot answer */
		if (s->state == VSOCK_WAITING)
			vsock_move(s, VSOCK_DEAD);
		else
			vsock_reset_stream(s);
	}
	vsock_rx_run(v);
	arm_sweep(v);
	vsock_leave(v, outermost);
}

/* --- device --- */

static struct vsock *from_dev(struct virtio_dev *d)
{
	return (struct vsock *)(void *)d;
}

static void on_config(struct virtio_dev *d, uint32_t offset, void *dst, size_t len)
{
	const uint64_t cid = VSOCK_GUEST_CID;

	(void)d;
	if (offset < sizeof(cid))
		memcpy(dst, (const uint8_t *)&cid + offset,
			len < sizeof(cid) - offset ? len : sizeof(cid) - offset);
}

static void ask(struct vsock_stream *s)
{
	vsock_move(s, VSOCK_ASKED);
	vsock_set_deadline(s, VSOCK_ANSWER_MS);
	vsock_owe(s, VSOCK_OWES_REQUEST);
}

/* The queues start one after the other; what had to wait goes on when both run. */
static void on_queue_ready(struct virtio_dev *d, unsigned index, bool ready)
{
	struct vsock *v = from_dev(d);

	if (!ready || index == VSOCK_QUEUE_EVENT || !driver_up(v))
		return;
	for (struct vsock_stream *s = v->all; s; s = s->next_all)
		if (s->state == VSOCK_WAITING)
			ask(s);
		else if (s->deadline)
			vsock_set_deadline(s, VSOCK_ANSWER_MS); /* from now: there was a pause */
}

static void on_kick(struct virtio_dev *d, unsigned index)
{
	struct vsock *v = from_dev(d);
	bool outermost = vsock_enter(v);

	if (index != VSOCK_QUEUE_EVENT && driver_up(v))
		run(v);
	vsock_leave(v, outermost);
}

static void on_reset(struct virtio_dev *d)
{
	struct vsock *v = from_dev(d);
	bool outermost = vsock_enter(v);
	struct vsock_stream *next;

	for (struct vsock_stream *s = v->all; s; s = next) {
		next = s->next_all;
		/* What the guest sent before still reaches the host; what waits for a driver waits
		 * for the next one.
		 */
		if (s->state == VSOCK_OPEN)
			vsock_finish(s);
		else if (s->state != VSOCK_DRAINING && s->state != VSOCK_WAITING)
			vsock_move(s, VSOCK_DEAD);
	}
	v->n_resets = 0;
	v->untold = 0;
	vsock_leave(v, outermost);
}

static const struct virtio_ops ops = {
	.name = "vsock",
	.id = VSOCK_DEVICE_ID,
	.n_queues = 3,
	.config = on_config,
	.queue_ready = on_queue_ready,
	.kick = on_kick,
	.reset = on_reset,
};

/* --- API --- */

struct vsock *vsock_new(struct loop *l, const struct vsock_events *events)
{
	struct vsock *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	virtio_dev_init(&v->dev, &ops);
	v->loop = l;
	v->events = *events;
	v->ready_end = &v->ready;
	v->next_port = FIRST_PORT;
	return v;
}

void vsock_free(struct vsock *v)
{
	if (!v)
		return;
	while (v->all)
		vsock_move(v->all, VSOCK_DEAD);
	vsock_leave(v, true);
	loop_del_timer(v->sweep);
	loop_del_timer(v->again);
	loop_del_timer(v->tell);
	free(v);
}

struct virtio_dev *vsock_dev(struct vsock *v)
{
	return &v->dev;
}

static uint32_t free_port(struct vsock *v, uint32_t guest_port)
{
	uint32_t port;

	do {
		port = v->next_port;
		v->next_port = port == 2 * FIRST_PORT - 1 ? FIRST_PORT : port + 1;
	} while (vsock_find(v, port, guest_port)); /* ends: there are fewer streams than ports */
	return port;
}

int vsock_connect(struct vsock *v, uint32_t guest_port, int fd)
{
	AUTO_FD own = fd;
	bool outermost;
	struct vsock_stream *s;

	if (v->n_connecting >= VSOCK_CONNECTING || v->n_streams >= VSOCK_STREAMS)
		return -EAGAIN;
	s = vsock_add(v, free_port(v, guest_port), guest_port, own, false);
	if (!s)
		return -ENOMEM;
	(void)TAKE_FD(own);
	outermost = vsock_enter(v);
	if (driver_up(v))
		ask(s);
	else
		vsock_set_deadline(s, VSOCK_DRIVER_MS);
	if (outermost) /* else the call that we are inside of does it at its end */
		vsock_rx_run(v);
	vsock_leave(v, outermost);
	return 0;
}

void vsock_stats(const struct vsock *v, struct vsock_stats *ret_stats)
{
	*ret_stats = v->stats;
	ret_stats->streams = v->n_streams;
	ret_stats->connecting = v->n_connecting;
	ret_stats->faults += virtio_dev_faults(&v->dev);
}
