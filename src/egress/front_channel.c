/* Channels to the vault: each carries one exchange at a time, as frames over a stream socket. */
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "egress/front.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define READS 4

static void watch(struct front_channel *ch)
{
	uint32_t want = (ch->held ? 0 : EPOLLIN) | (ch->out_at < ch->out.len ? EPOLLOUT : 0);

	if (ch->src && want != ch->events && loop_mod_fd(ch->src, want) == 0)
		ch->events = want;
}

/* broken() - the vault went, or broke the rules: the exchange ends without its answer */
static void broken(struct front_channel *ch)
{
	struct front_exchange *x = ch->x;

	log_debug("a channel broke (%s)", x ? "in use" : "idle");
	front_channel_kill(ch);
	if (x)
		front_exchange_cut(x, 502, "vault", "the way out was interrupted");
}

/* What is taken next: a frame, or some of a long one of DATA. */
struct piece {
	struct egress_frame fr;
	size_t used; /* bytes it takes up */
	size_t left; /* of the frame, afterwards */
	bool end; /* of the frame */
};

static enum frame_result next_piece(
	const struct front_channel *ch, const uint8_t *p, size_t len, struct piece *ret)
{
	enum frame_result r;

	*ret = (struct piece){0};
	if (ch->data_left > 0) {
		size_t n = len < ch->data_left ? len : ch->data_left;

		ret->used = n;
		ret->left = ch->data_left - n;
		ret->end = ch->data_end;
		ret->fr = (struct egress_frame){.type = EGRESS_DATA,
			.end = ch->data_end && ret->left == 0,
			.body = p,
			.len = n};
		return n > 0 ? FRAME_GOT : FRAME_MORE;
	}
	r = egress_next_frame(p, len, &ret->used, &ret->fr);
	if (r != FRAME_MORE || len < FRONT_DIRECT)
		return r;
	r = egress_next_data(p, len, &ret->fr, &ret->left, &ret->end);
	ret->used = len;
	return r;
}

/* take() - the frames at @p; how many bytes they were */
static size_t take(struct front_channel *ch, const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (!ch->dead && !ch->held) {
		struct piece x;

		switch (next_piece(ch, p + at, len - at, &x)) {
		case FRAME_MORE:
			return at;
		case FRAME_GOT:
			break;
		case FRAME_BAD:
		default:
			ch->f->stats.faults++;
			broken(ch);
			return len;
		}
		if (!ch->x) { /* an idle channel has nothing to say */
			ch->f->stats.faults++;
			broken(ch);
			return len;
		}
		if (!front_exchange_frame(ch->x, &x.fr)) {
			ch->held = true;
			return at;
		}
		at += x.used;
		ch->data_left = x.left;
		ch->data_end = x.end;
	}
	return ch->dead ? len : at;
}

/* input() - false: nothing more now */
static bool input(struct front_channel *ch)
{
	struct front *f = ch->f;
	size_t asked = sizeof(f->scratch);
	char *room;
	ssize_t n;

	if (ch->in.len == 0) {
		size_t used;

		n = read(ch->fd, f->scratch, sizeof(f->scratch));
		if (n > 0) {
			used = take(ch, f->scratch, (size_t)n);
			if (!ch->dead && used < (size_t)n &&
				buf_add(&ch->in, f->scratch + used, (size_t)n - used) < 0)
				broken(ch);
		}
	} else {
		size_t want = EGRESS_FRAME_HEAD + EGRESS_FRAME_MAX;

		if (ch->in.len >= want || buf_room(&ch->in, want - ch->in.len, &room) < 0) {
			broken(ch);
			return false;
		}
		asked = want - ch->in.len;
		n = read(ch->fd, room, asked);
		if (n > 0) {
			buf_grew(&ch->in, (size_t)n);
			buf_eat(&ch->in, take(ch, (const uint8_t *)ch->in.data, ch->in.len));
		}
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		broken(ch);
		return false;
	}
	/* Less than there was room for: it was all. */
	return n == (ssize_t)asked && !ch->dead && !ch->held;
}

static void on_event(void *ctx, uint32_t events)
{
	struct front_channel *ch = ctx;

	ch->f->now = clock_ms();
	if (events & EPOLLOUT) {
		ch->full = false;
		front_channel_dirty(ch);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		/* Held: what it still has to say is read when there is room, and then its end. */
		if (ch->held && (events & (EPOLLHUP | EPOLLERR))) {
			loop_del_fd(ch->src);
			ch->src = NULL;
			return;
		}
		/* It may be held since the kernel was told what we wait for. */
		for (unsigned i = 0; i < READS && !ch->held && input(ch); i++)
			;
		front_channel_dirty(ch);
	}
}

/* open_one() - a new pair, one end of which goes to the vault */
static struct front_channel *open_one(struct front *f)
{
	struct front_channel *ch;
	int fds[2];
	AUTO_FD ours = -1, theirs = -1;

	if (f->peer_fd < 0 || f->n_channels >= FRONT_CHANNELS_MAX)
		return NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return NULL;
	ours = fds[0];
	theirs = fds[1];
	if (io_send_fd(f->peer_fd, "\1", 1, theirs, 0) < 0)
		return NULL;
	ch = calloc(1, sizeof(*ch));
	if (!ch)
		return NULL;
	ch->f = f;
	ch->events = EPOLLIN;
	buf_init(&ch->in, EGRESS_FRAME_HEAD + EGRESS_FRAME_MAX + FRONT_SCRATCH);
	buf_init(&ch->out, 4 * FRONT_QUEUE_MAX);
	if (loop_add_fd(f->loop, ours, ch->events, on_event, ch, &ch->src) < 0) {
		free(ch);
		return NULL;
	}
	ch->fd = TAKE_FD(ours);
	ch->next = f->channels;
	f->channels = ch;
	f->n_channels++;
	return ch;
}

struct front_channel *front_channel_get(struct front *f, struct front_exchange *x)
{
	/* The one used last comes first: the others may go when they have been idle for long. */
	struct front_channel *ch = f->idle;

	if (ch) {
		f->idle = ch->next_idle;
		f->n_idle--;
	} else {
		ch = open_one(f);
	}
	if (ch)
		ch->x = x;
	return ch;
}

/* close_it() - of no use to anybody any more; not among the idle ones */
static void close_it(struct front_channel *ch)
{
	ch->dead = true;
	ch->f->any_dead = true;
	ch->x = NULL;
	loop_del_fd(ch->src);
	ch->src = NULL;
	own_close_fd(&ch->fd);
	front_charge(ch->f, &ch->charged, 0);
}

void front_channel_put(struct front_channel *ch)
{
	struct front *f = ch->f;

	ch->x = NULL;
	if (ch->dead)
		return;
	if (f->n_idle >= FRONT_IDLE_MAX || ch->out_at < ch->out.len || ch->in.len > 0 ||
		ch->data_left > 0) {
		close_it(ch);
		return;
	}
	ch->next_idle = f->idle;
	f->idle = ch;
	f->n_idle++;
	ch->held = false;
	ch->idle_since = f->now;
	front_channel_dirty(ch);
	front_tick_at(f, f->now + FRONT_KEEPALIVE_MS);
}

void front_channel_kill(struct front_channel *ch)
{
	struct front_channel **at = &ch->f->idle;

	if (ch->dead)
		return;
	if (ch->x) {
		ch->x->ch = NULL;
	} else {
		while (*at != ch)
			at = &(*at)->next_idle;
		*at = ch->next_idle;
		ch->f->n_idle--;
	}
	close_it(ch);
}

void front_channel_free(struct front_channel *ch)
{
	ch->f->n_channels--;
	buf_fini(&ch->in);
	buf_fini(&ch->out);
	free(ch);
}

void front_channel_dirty(struct front_channel *ch)
{
	if (ch->dirty)
		return;
	ch->dirty = true;
	ch->next_dirty = ch->f->dirty_channels;
	ch->f->dirty_channels = ch;
}

void front_channel_go_on(struct front_channel *ch)
{
	if (ch->dead || !ch->held)
		return;
	ch->held = false;
	if (ch->in.len > 0) {
		size_t used = take(ch, (const uint8_t *)ch->in.data, ch->in.len);

		if (ch->dead)
			return;
		buf_eat(&ch->in, used);
	}
	ch->again = !ch->src && !ch->held;
	front_channel_dirty(ch);
}

int front_channel_send(struct front_channel *ch, const void *p, size_t len)
{
	uint8_t head[EGRESS_FRAME_HEAD];
	struct iovec v[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)p, len}};
	const struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
	const uint8_t *body = p;
	size_t sent = 0;
	ssize_t n;
	int r = 0;

	if (len < FRONT_DIRECT || ch->dead || ch->out.len > ch->out_at)
		return egress_put_data(&ch->out, p, len, false);
	egress_frame_head(head, EGRESS_DATA, false, len);
	n = sendmsg(ch->fd, &m, MSG_NOSIGNAL);
	if (n > 0) /* what is wrong shows again when the rest is written */
		sent = (size_t)n;
	ch->full = n > 0 ? sent < sizeof(head) + len : errno == EAGAIN;
	if (sent < sizeof(head))
		r = buf_add(&ch->out, head + sent, sizeof(head) - sent);
	sent = sent < sizeof(head) ? 0 : sent - sizeof(head);
	return r < 0 || sent == len ? r : buf_add(&ch->out, body + sent, len - sent);
}

/* room() - the guest's side may send again */
static void room(struct front_channel *ch)
{
	struct front_exchange *x = ch->x;

	if (!x || !x->s || ch->full || ch->out.len - ch->out_at >= FRONT_QUEUE_MAX / 2)
		return;
	if (x->id)
		front_h2_room(x);
	else
		front_stream_go_on(x->s);
}

void front_channel_push(struct front_channel *ch)
{
	ssize_t n =
		ch->dead ? 0 : write(ch->fd, ch->out.data + ch->out_at, ch->out.len - ch->out_at);

	if (n > 0)
		ch->out_at += (size_t)n;
}

void front_channel_flush(struct front_channel *ch)
{
	ch->dirty = false;
	if (ch->again) { /* its end was seen while it was held */
		ch->again = false;
		while (!ch->dead && !ch->held)
			(void)input(ch);
	}
	while (!ch->dead && ch->out_at < ch->out.len && !ch->full) {
		ssize_t n = write(ch->fd, ch->out.data + ch->out_at, ch->out.len - ch->out_at);

		if (n < 0 && errno == EINTR)
			continue;
		ch->full = n < 0 ? errno == EAGAIN : (size_t)n < ch->out.len - ch->out_at;
		if (n < 0 && ch->full)
			break;
		if (n < 0) {
			/* The vault may have said why before it closed. */
			if (!input(ch) && !ch->dead)
				broken(ch);
			break;
		}
		ch->out_at += (size_t)n;
	}
	if (ch->dead)
		return;
	if (ch->out_at == ch->out.len) {
		buf_clear(&ch->out);
		ch->out_at = 0;
		front_buf_spare(ch->f, &ch->out, ch->x != NULL);
	} else if (ch->out_at >= FRONT_QUEUE_MAX / 2) {
		buf_eat(&ch->out, ch->out_at);
		ch->out_at = 0;
	}
	front_buf_spare(ch->f, &ch->in, ch->x != NULL);
	room(ch);
	front_charge(ch->f, &ch->charged, ch->in.cap + ch->out.cap);
	watch(ch);
}

void front_channel_peer(struct front *f, int fd)
{
	AUTO_FD own = fd;

	for (struct front_channel *ch = f->channels; ch; ch = ch->next)
		if (!ch->dead)
			broken(ch);
	loop_del_fd(f->peer_src);
	f->peer_src = NULL;
	own_close_fd(&f->peer_fd);
	if (own >= 0 && io_set_nonblock(own, true) == 0)
		f->peer_fd = TAKE_FD(own);
}
