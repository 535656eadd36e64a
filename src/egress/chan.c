#include "egress/chan.h"
#include "base/clock.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define IN_MAX	  (4 * (EGRESS_FRAME_HEAD + EGRESS_FRAME_MAX))
#define OUT_MAX	  (VAULT_QUEUE_MAX + 8 * (EGRESS_FRAME_HEAD + EGRESS_FRAME_MAX))
#define KEEP_IDLE 32768 /* bytes of buffers an idle channel keeps */
#define PIECE	  16384 /* so much of a frame of DATA is not waited with */

static void on_fd(void *ctx, uint32_t events);

int chan_new(struct vault *v, int fd)
{
	struct chan *c = v->n_chans < VAULT_CHANNELS_MAX ? calloc(1, sizeof(*c)) : NULL;
	int r;

	if (!c) {
		close(fd);
		return -ENOSPC;
	}
	*c = (struct chan){.v = v, .fd = fd, .events = EPOLLIN, .moved_ms = clock_ms()};
	buf_init(&c->in, IN_MAX);
	buf_init(&c->out, OUT_MAX);
	buf_init(&c->frame, EGRESS_FRAME_MAX);
	buf_init(&c->body, VAULT_QUEUE_MAX);
	r = loop_add_fd(v->loop, fd, c->events, on_fd, c, &c->src);
	if (r < 0) {
		close(fd);
		free(c);
		return r;
	}
	c->next = v->chans;
	v->chans = c;
	v->n_chans++;
	return 0;
}

void chan_close(struct chan *c)
{
	if (c->dead)
		return;
	c->dead = true;
	c->v->any_dead = true;
	tunnel_break(c);
	exchange_clear(c);
	loop_del_fd(c->src);
	c->src = NULL;
	own_close_fd(&c->fd);
}

void chan_free(struct chan *c)
{
	buf_fini(&c->in);
	buf_fini(&c->out);
	buf_fini(&c->frame);
	buf_fini(&c->body);
	free(c);
}

/* ---- out ---- */

void chan_dirty(struct chan *c)
{
	if (c->dirty || c->dead)
		return;
	c->dirty = true;
	c->next_dirty = c->v->dirty_chans;
	c->v->dirty_chans = c;
}

bool chan_room(const struct chan *c)
{
	/* Many channels share what all queues together may hold. */
	size_t share = VAULT_QUEUES_MAX / (c->v->n_chans ? c->v->n_chans : 1);

	return !c->full &&
	       c->out.len - c->out_pos < (share < VAULT_QUEUE_MAX ? share : VAULT_QUEUE_MAX);
}

void chan_put_failed(struct chan *c)
{
	chan_close(c);
}

/* wants_frames() - may the next frame be taken? */
static bool wants_frames(const struct chan *c)
{
	if (c->state == CHAN_WAIT)
		return false;
	return c->in.len - c->in_pos < IN_MAX / 2;
}

static void watch(struct chan *c)
{
	uint32_t events = 0;

	if (c->dead)
		return;
	if (wants_frames(c))
		events |= EPOLLIN;
	if (c->out.len > c->out_pos)
		events |= EPOLLOUT;
	if (events == c->events)
		return;
	c->events = events;
	if (loop_mod_fd(c->src, events) < 0)
		chan_close(c);
}

void chan_flush(struct chan *c)
{
	if (c->out.len > c->out_pos && !c->full) {
		ssize_t n = send(
			c->fd, c->out.data + c->out_pos, c->out.len - c->out_pos, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			chan_close(c);
			return;
		}
		if (n > 0) {
			c->out_pos += (size_t)n;
			c->moved_ms = clock_ms();
		}
	}
	c->full = c->out_pos < c->out.len; /* until the kernel tells of room */
	if (!c->full) {
		buf_clear(&c->out);
		c->out_pos = 0;
		if (c->state == CHAN_IDLE && c->out.cap > KEEP_IDLE)
			buf_fini(&c->out);
	} else if (c->out_pos > VAULT_QUEUE_MAX / 2) {
		/* early: behind a full queue a whole window of HTTP/2 may still come */
		buf_eat(&c->out, c->out_pos);
		c->out_pos = 0;
	}
	if (c->up && c->up->h2 && c->state != CHAN_IDLE)
		h2up_room(c);
	else if (c->up && c->up->state == UP_READY && !c->up_end && chan_room(c))
		up_want(c->up, true);
	chan_resume(c);
	watch(c);
}

/* ---- the ends of an exchange ---- */

static void idle(struct chan *c)
{
	bool more = !c->front_end;

	exchange_clear(c);
	c->state = more ? CHAN_DRAIN : CHAN_IDLE;
	chan_dirty(c);
}

void chan_fail(struct chan *c, int status, const char *code, const char *fmt, ...)
{
	char text[400];
	struct egress_failed x = {.status = (uint16_t)status, .code = code, .text = text};
	va_list ap;

	if (c->dead)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->v->denials += status == 403;
	if (c->answered || egress_put_failed(&c->out, &x) < 0) {
		chan_close(c);
		return;
	}
	idle(c);
}

void chan_done(struct chan *c)
{
	const struct egress_done d = {.bytes_up = c->bytes_up,
		.bytes_down = c->bytes_down,
		.credential = c->cred.used,
		.note = c->cred.note};

	if (egress_put_done(&c->out, &d) < 0)
		chan_close(c);
	else
		idle(c);
}

/* ---- in ---- */

static void fault(struct chan *c)
{
	c->v->faults++;
	chan_close(c);
}

static void begin(struct chan *c, const struct egress_frame *f)
{
	c->front_end = f->end;
	if (f->type != EGRESS_REQUEST && f->type != EGRESS_TUNNEL && f->type != EGRESS_RESOLVE) {
		fault(c);
		return;
	}
	if (!c->v->config) {
		c->front_end = f->end || f->type == EGRESS_TUNNEL;
		chan_fail(c, 503, "not_ready", "the way out is not configured yet");
		return;
	}
	/* The texts must outlive the bytes that were read. */
	buf_clear(&c->frame);
	if (buf_add(&c->frame, f->body, f->len) < 0) {
		chan_close(c);
		return;
	}
	const struct egress_frame kept = {.type = f->type,
		.end = f->end,
		.body = (const uint8_t *)c->frame.data,
		.len = c->frame.len};
	c->config = vault_config_ref(c->v->config);
	c->v->requests++;
	if (f->type == EGRESS_REQUEST)
		exchange_begin(c, &kept);
	else if (f->type == EGRESS_TUNNEL)
		tunnel_begin(c, &kept);
	else
		names_begin(c, &kept);
}

/* take() - one frame; false: it has to wait */
static bool take(struct chan *c, const struct egress_frame *f)
{
	bool data = f->type == EGRESS_DATA || f->type == EGRESS_TRAILERS;

	if (c->state == CHAN_IDLE) {
		begin(c, f);
		return true;
	}
	if (!data || c->front_end || (c->state == CHAN_TUNNEL && f->type != EGRESS_DATA)) {
		fault(c);
		return true;
	}
	switch (c->state) {
	case CHAN_GATHER:
	case CHAN_BODY:
		return exchange_frame(c, f);
	case CHAN_TUNNEL:
		return tunnel_frame(c, f);
	case CHAN_DRAIN:
		c->front_end = f->end;
		if (f->end)
			c->state = CHAN_IDLE;
		return true;
	case CHAN_IDLE:
	case CHAN_WAIT:
	case CHAN_NAMES:
		break;
	}
	fault(c);
	return true;
}

/* What is taken next: a frame, or some of a long one of DATA. */
struct piece {
	struct egress_frame f;
	size_t used; /* bytes it takes up */
	size_t left; /* of the frame, afterwards */
	bool end; /* of the frame */
};

static enum frame_result next_piece(
	const struct chan *c, const uint8_t *p, size_t len, struct piece *ret)
{
	enum frame_result r;

	*ret = (struct piece){0};
	if (c->data_left > 0) {
		size_t n = len < c->data_left ? len : c->data_left;

		ret->used = n;
		ret->left = c->data_left - n;
		ret->end = c->data_end;
		ret->f = (struct egress_frame){.type = EGRESS_DATA,
			.end = c->data_end && ret->left == 0,
			.body = p,
			.len = n};
		return n > 0 ? FRAME_GOT : FRAME_MORE;
	}
	r = egress_next_frame(p, len, &ret->used, &ret->f);
	if (r != FRAME_MORE || len < PIECE)
		return r;
	r = egress_next_data(p, len, &ret->f, &ret->left, &ret->end);
	ret->used = len;
	return r;
}

/* take_all() - what can be taken of @p now; how many bytes it was */
static size_t take_all(struct chan *c, const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (!c->dead && c->state != CHAN_WAIT && at < len) {
		struct piece x;
		enum frame_result r = next_piece(c, p + at, len - at, &x);

		if (r == FRAME_MORE)
			break;
		if (r != FRAME_GOT) {
			fault(c);
			break;
		}
		if (!take(c, &x.f))
			break;
		at += x.used;
		c->data_left = x.left;
		c->data_end = x.end;
	}
	return at;
}

void chan_resume(struct chan *c)
{
	if (c->in.len > c->in_pos)
		c->in_pos +=
			take_all(c, (const uint8_t *)c->in.data + c->in_pos, c->in.len - c->in_pos);
	if (c->in_pos == c->in.len) {
		buf_clear(&c->in);
		c->in_pos = 0;
		if (c->state == CHAN_IDLE && c->in.cap > KEEP_IDLE)
			buf_fini(&c->in);
	} else if (c->in_pos > IN_MAX / 2) {
		buf_eat(&c->in, c->in_pos);
		c->in_pos = 0;
	}
}

/* came() - @n bytes stand in v->frames. What cannot be taken now is kept. */
static void came(struct chan *c, size_t n)
{
	size_t used = take_all(c, c->v->frames, n);

	if (!c->dead && used < n && buf_add(&c->in, c->v->frames + used, n - used) < 0)
		chan_close(c);
}

/* read_in() - false: closed */
static bool read_in(struct chan *c)
{
	bool fresh = c->in.len == c->in_pos;
	char *room = (char *)c->v->frames;
	size_t want = fresh ? sizeof(c->v->frames) : EGRESS_FRAME_MAX;
	ssize_t n;

	if (!fresh && c->in.len + want > IN_MAX) {
		buf_eat(&c->in, c->in_pos);
		c->in_pos = 0;
	}
	if (!fresh && buf_room(&c->in, want, &room) < 0) {
		chan_close(c);
		return false;
	}
	n = recv(c->fd, room, want, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		chan_close(c);
		return false;
	}
	if (n < 0)
		return true;
	c->moved_ms = clock_ms();
	if (fresh) {
		came(c, (size_t)n);
	} else {
		buf_grew(&c->in, (size_t)n);
		chan_resume(c);
	}
	return !c->dead;
}

static void on_fd(void *ctx, uint32_t events)
{
	struct chan *c = ctx;

	if (c->dead)
		return;
	if (events & EPOLLOUT)
		c->full = false;
	if ((events & EPOLLIN) && wants_frames(c)) {
		if (!read_in(c))
			return;
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		chan_close(c);
		return;
	}
	chan_dirty(c);
}
