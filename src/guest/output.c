/* What a command writes goes to its stream and, for a session, into the ring. While the stream has
 * no room nothing is read, so that the command waits. Once the process has ended, its pipes may
 * be held open by what it left in the background: they get GUEST_DRAIN_MS to end, then what is
 * in them at that moment still goes through, and no more.
 */
#include "base/clock.h"
#include "guest/proc_impl.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

static char scratch[FRAME_DATA_MAX]; /* output that nobody follows */

int ring_init(struct ring *r)
{
	r->bytes = malloc(GUEST_RING_BYTES);
	return r->bytes ? 0 : -ENOMEM;
}

void ring_add(struct ring *r, const char *bytes, size_t len)
{
	if (!r->bytes)
		return;
	r->total += len;
	if (len > GUEST_RING_BYTES) {
		bytes += len - GUEST_RING_BYTES;
		len = GUEST_RING_BYTES;
	}
	while (len > 0) {
		size_t at = (r->start + r->len) % GUEST_RING_BYTES;
		size_t n = GUEST_RING_BYTES - at < len ? GUEST_RING_BYTES - at : len;

		memcpy(r->bytes + at, bytes, n);
		bytes += n;
		len -= n;
		r->len += n;
		if (r->len > GUEST_RING_BYTES) {
			r->start = (r->start + r->len - GUEST_RING_BYTES) % GUEST_RING_BYTES;
			r->len = GUEST_RING_BYTES;
		}
	}
}

int ring_replay(const struct ring *r, struct buf *out)
{
	size_t at = r->start, left = r->bytes ? r->len : 0;

	while (left > 0) {
		size_t n = GUEST_RING_BYTES - at < left ? GUEST_RING_BYTES - at : left;
		int err;

		if (n > FRAME_DATA_MAX)
			n = FRAME_DATA_MAX;
		err = frame_add(out, FRAME_STDOUT, r->bytes + at, n);
		if (err < 0)
			return err;
		at = (at + n) % GUEST_RING_BYTES;
		left -= n;
	}
	return 0;
}

void outlet_close(struct outlet *o)
{
	loop_del_fd(o->src);
	o->src = NULL;
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}

/* read_to_client() - straight into the stream's buffer, behind a header that is filled in after */
static ssize_t read_to_client(struct outlet *o, size_t max)
{
	struct proc *p = o->p;
	struct buf *out = stream_out(p->client);
	char *room;
	ssize_t n;

	if (buf_room(out, FRAME_HEADER + max, &room) < 0)
		return -ENOBUFS;
	n = read(o->fd, room + FRAME_HEADER, max);
	if (n < 0)
		return -errno;
	if (n == 0)
		return 0;
	frame_head((uint8_t *)room, o->type, (size_t)n);
	ring_add(&p->ring, room + FRAME_HEADER, (size_t)n);
	buf_grew(out, FRAME_HEADER + (size_t)n);
	(void)stream_send(p->client, 0); /* when it is gone, its callback has told us */
	return n;
}

static ssize_t read_to_ring(struct outlet *o, size_t max)
{
	ssize_t n = read(o->fd, scratch, max);

	if (n < 0)
		return -errno;
	ring_add(&o->p->ring, scratch, (size_t)n);
	return n;
}

/* read_once() - true when there may be more to read at once */
static bool read_once(struct outlet *o)
{
	size_t max = o->limited && o->left < FRAME_DATA_MAX ? o->left : FRAME_DATA_MAX;
	ssize_t n;

	if (o->fd < 0)
		return false;
	if (max == 0) {
		outlet_close(o);
		return false;
	}
	if (o->p->client && !stream_has_room(o->p->client)) {
		/* Not watched at all: a hung-up pipe reports itself whatever was asked for. */
		loop_del_fd(o->src);
		o->src = NULL;
		return false;
	}
	n = o->p->client ? read_to_client(o, max) : read_to_ring(o, max);
	if (n == -EAGAIN || n == -EINTR) {
		if (o->limited)
			outlet_close(o);
		return false;
	}
	if (n <= 0) { /* EIO: the last one who had the terminal has closed it */
		outlet_close(o);
		return false;
	}
	if (o->limited)
		o->left -= (size_t)n;
	watch_go_on(o->p);
	return true;
}

static void on_output(void *ctx, uint32_t events)
{
	struct outlet *o = ctx;

	(void)events;
	(void)read_once(o);
	proc_finish_if_done(o->p);
}

int outlet_open(struct proc *p, unsigned i, int fd, enum frame_type type)
{
	struct outlet *o = &p->out[i];
	int r;

	*o = (struct outlet){.p = p, .fd = -1, .type = type};
	r = loop_add_fd(p->g->loop, fd, EPOLLIN, on_output, o, &o->src);
	if (r == 0)
		o->fd = fd;
	return r;
}

void output_go_on(struct proc *p)
{
	for (unsigned i = 0; i < ARRAY_LEN(p->out); i++) {
		struct outlet *o = &p->out[i];

		if (o->fd >= 0 && !o->src &&
			loop_add_fd(p->g->loop, o->fd, EPOLLIN, on_output, o, &o->src) < 0)
			outlet_close(o);
	}
}

bool output_is_done(const struct proc *p)
{
	return p->out[0].fd < 0 && p->out[1].fd < 0;
}

/* limit() - from now on only what is there at this moment */
static void limit(struct proc *p)
{
	for (unsigned i = 0; i < ARRAY_LEN(p->out); i++) {
		struct outlet *o = &p->out[i];
		int left = 0;

		if (o->fd < 0)
			continue;
		if (ioctl(o->fd, FIONREAD, &left) < 0 || left < 0)
			left = 0;
		o->limited = true;
		o->left = (size_t)left;
		while (read_once(o))
			;
	}
}

static void drain_over(void *ctx)
{
	struct proc *p = ctx;

	p->drain = NULL;
	limit(p);
	proc_finish_if_done(p);
}

void output_drain(struct proc *p)
{
	for (unsigned i = 0; i < ARRAY_LEN(p->out); i++)
		for (unsigned n = 0; n < 4 && read_once(&p->out[i]); n++)
			;
	if (!output_is_done(p) && !p->drain &&
		loop_add_timer(p->g->loop, clock_ms() + GUEST_DRAIN_MS, drain_over, p, &p->drain) <
			0)
		limit(p);
}
