#include "base/relay.h"
#include "base/clock.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define STEPS_A_ROUND 4

enum { TCP, STREAM };

struct relay;

struct side {
	struct relay *c;
	int fd;
	struct loop_fd *src; /* NULL: not watched */
	uint32_t watched;
	uint8_t *held; /* bytes from here that the other side has not taken */
	size_t held_at, held_len;
	bool ended; /* its end was read */
	bool shut; /* that end was passed on */
	bool deaf; /* it takes nothing more: what is meant for it is thrown away */
};

struct relay {
	struct relay_group *g;
	struct relay *next, **prev;
	struct side side[2];
	unsigned tag;
	bool dialing;
	bool answered; /* the stream has said something */
	struct loop_timer *linger;
};

struct relay_group {
	struct loop *loop;
	struct relay *all;
	unsigned count;
	size_t held; /* bytes, of all */
	uint8_t step[RELAY_STEP];
};

void relay_reset_on_close(int fd, bool reset)
{
	const struct linger l = {.l_onoff = reset, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static void let_go(struct side *s)
{
	s->c->g->held -= s->held_len;
	free(TAKE(s->held));
	s->held_at = s->held_len = 0;
}

static void relay_free(struct relay *c)
{
	for (int i = 0; i < 2; i++) {
		let_go(&c->side[i]);
		loop_del_fd(c->side[i].src);
		own_close_fd(&c->side[i].fd);
	}
	loop_del_timer(c->linger);
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->g->count--;
	free(c);
}

/* break_off() - no orderly end: the client shall not take it for one */
static void break_off(struct relay *c)
{
	relay_reset_on_close(c->side[TCP].fd, true);
	relay_free(c);
}

static int hold(struct side *from, const uint8_t *p, size_t len)
{
	from->held = malloc(len);
	if (!from->held)
		return -ENOMEM;
	memcpy(from->held, p, len);
	from->held_len = len;
	from->c->g->held += len;
	return 0;
}

/* give() - as much of @p as @to takes now; negative errno: it is broken */
static ssize_t give(struct side *to, const uint8_t *p, size_t len)
{
	ssize_t n;

	if (to->deaf)
		return (ssize_t)len;
	n = send(to->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	if (to != &to->c->side[STREAM] || (errno != EPIPE && errno != ECONNRESET))
		return -errno;
	to->deaf = true; /* the host may still have an answer on its way */
	return (ssize_t)len;
}

static int flush_held(struct side *from, struct side *to)
{
	ssize_t n = give(to, from->held + from->held_at, from->held_len);

	if (n < 0)
		return (int)n;
	from->held_at += (size_t)n;
	from->held_len -= (size_t)n;
	from->c->g->held -= (size_t)n;
	if (from->held_len == 0)
		let_go(from);
	return 0;
}

static int on_bytes(struct side *from, struct side *to, const uint8_t *p, size_t len)
{
	ssize_t n;

	if (from == &from->c->side[STREAM])
		from->c->answered = true;
	n = give(to, p, len);
	if (n < 0)
		return (int)n;
	return (size_t)n < len ? hold(from, p + n, len - (size_t)n) : 0;
}

/* stream_listens() - a stream of which only our direction is left may be read there, or be gone */
static bool stream_listens(struct side *stream)
{
	if (!stream->deaf && send(stream->fd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		stream->deaf = errno == EPIPE || errno == ECONNRESET;
	return !stream->deaf;
}

/* on_end() - -ECONNRESET: the host refused without a word, or its end is no orderly one: who ends in order
 * ends its own direction, and hears us until we have ended ours
 */
static int on_end(struct side *from, struct side *to)
{
	struct relay *c = from->c;

	from->ended = true;
	if (from == &c->side[STREAM] && !c->side[TCP].ended &&
		(!c->answered || !stream_listens(from)))
		return -ECONNRESET;
	if (!from->shut && !to->deaf)
		(void)shutdown(to->fd, SHUT_WR);
	from->shut = true;
	return 0;
}

/* move_bytes() - from one side to the other until there is nothing, or no room; negative errno: broken */
static int move_bytes(struct side *from, struct side *to)
{
	struct relay_group *g = from->c->g;

	for (unsigned i = 0; i < STEPS_A_ROUND && !from->ended; i++) {
		size_t want = g->held < RELAY_HELD_MAX ? RELAY_STEP : RELAY_STEP_SMALL;
		ssize_t n;
		int r;

		if (from->held_len > 0) {
			r = flush_held(from, to);
			if (r < 0 || from->held_len > 0)
				return r;
		}
		n = recv(from->fd, g->step, want, MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		r = n == 0 ? on_end(from, to) : on_bytes(from, to, g->step, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

static void on_side(void *ctx, uint32_t events);

static int watch(struct side *s)
{
	struct side *other = &s->c->side[s == &s->c->side[TCP]];
	uint32_t want = 0;

	if (!s->ended && s->held_len == 0 && !s->c->dialing)
		want |= EPOLLIN;
	if (other->held_len > 0)
		want |= EPOLLOUT;
	if (want == 0) { /* a hang-up would be told again and again */
		loop_del_fd(s->src);
		s->src = NULL;
	} else if (!s->src) {
		s->watched = want;
		return loop_add_fd(s->c->g->loop, s->fd, want, on_side, s, &s->src);
	} else if (want != s->watched) {
		s->watched = want;
		return loop_mod_fd(s->src, want);
	}
	return 0;
}

static void on_linger(void *ctx)
{
	struct relay *c = ctx;

	c->linger = NULL;
	if (c->side[STREAM].deaf ||
		(!stream_listens(&c->side[STREAM]) && c->side[TCP].held_len > 0) ||
		loop_add_timer(c->g->loop, clock_ms() + RELAY_LINGER_MS, on_linger, c, &c->linger) <
			0)
		relay_free(c);
}

/* settle() - what follows from what has just happened; @c may be gone afterwards */
static void settle(struct relay *c)
{
	struct side *tcp = &c->side[TCP], *stream = &c->side[STREAM];
	bool told = stream->ended && stream->held_len == 0;

	if (told && tcp->ended && tcp->held_len == 0) {
		relay_free(c);
		return;
	}
	/* A host that is gone altogether: the client has a while to take the answer. */
	if (told && !c->linger &&
		loop_add_timer(c->g->loop, clock_ms() + RELAY_LINGER_MS, on_linger, c, &c->linger) <
			0) {
		relay_free(c);
		return;
	}
	if (watch(tcp) < 0 || watch(stream) < 0)
		break_off(c);
}

static int on_dialed(struct relay *c)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(c->side[STREAM].fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	c->dialing = false;
	return -error;
}

static void on_side(void *ctx, uint32_t events)
{
	struct side *s = ctx;
	struct relay *c = s->c;
	struct side *other = &c->side[s == &c->side[TCP]];
	int r = 0;

	if (c->dialing && s == &c->side[STREAM])
		r = on_dialed(c);
	if (r == 0 && other->held_len > 0 && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) {
		r = flush_held(other, s);
		if (r == 0 && other->held_len == 0)
			r = move_bytes(other, s);
	}
	if (r == 0 && s->held_len == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		r = move_bytes(s, other);
	if (r < 0)
		break_off(c);
	else
		settle(c);
}

/* begin() - what goes first is held as if it had been read from the other side */
static int begin(struct relay *c, const struct relay_ends *ends)
{
	int r = 0;

	if (ends->to_stream_len > 0)
		r = hold(&c->side[TCP], ends->to_stream, ends->to_stream_len);
	if (r == 0 && ends->to_tcp_len > 0)
		r = hold(&c->side[STREAM], ends->to_tcp, ends->to_tcp_len);
	if (r == 0)
		r = watch(&c->side[STREAM]);
	/* One that still dials is watched when it is there. */
	return r == 0 && !c->dialing ? watch(&c->side[TCP]) : r;
}

int relay_add(struct relay_group *g, const struct relay_ends *ends)
{
	AUTO_FD tcp = ends->tcp;
	AUTO_FD stream = ends->stream;
	struct relay *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		relay_reset_on_close(tcp, true);
		return -ENOMEM;
	}
	relay_reset_on_close(tcp, false);
	*c = (struct relay){.g = g,
		.next = g->all,
		.prev = &g->all,
		.tag = ends->tag,
		.dialing = ends->dialing,
		.answered = ends->answered};
	c->side[TCP] = (struct side){.c = c, .fd = TAKE_FD(tcp)};
	c->side[STREAM] = (struct side){.c = c, .fd = TAKE_FD(stream)};
	if (c->next)
		c->next->prev = &c->next;
	g->all = c;
	g->count++;
	r = begin(c, ends);
	if (r < 0)
		break_off(c);
	return r;
}

void relay_break(struct relay_group *g, unsigned tag)
{
	for (struct relay *c = g->all, *next; c; c = next) {
		next = c->next;
		if (c->tag == tag)
			break_off(c);
	}
}

struct relay_group *relay_group_new(struct loop *l)
{
	struct relay_group *g = calloc(1, sizeof(*g));

	if (g)
		g->loop = l;
	return g;
}

void relay_group_free(struct relay_group *g)
{
	while (g && g->all)
		break_off(g->all);
	free(g);
}

unsigned relay_count(const struct relay_group *g)
{
	return g->count;
}
