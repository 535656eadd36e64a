/* One client, one stream of the host, two directions. What was read from one side is written to the
 * other at once; only what that does not take is held, and then nothing more is read: back-pressure
 * goes through to the sender.
 */
#include "guest/forward.h"
#include "base/clock.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define ACCEPTS_A_ROUND 32
#define STEPS_A_ROUND	4

enum { CLIENT, HOST };

struct conn;

struct side {
	struct conn *c;
	int fd;
	struct loop_fd *src; /* NULL: not watched */
	uint32_t watched;
	uint8_t *held; /* bytes from here that the other side has not taken */
	size_t held_at, held_len;
	bool ended; /* its end was read */
	bool shut; /* that end was passed on */
	bool deaf; /* it takes nothing more: what is meant for it is thrown away */
};

struct conn {
	struct tcp_forward *f;
	struct conn *next, **prev;
	struct side side[2];
	bool dialing;
	bool answered; /* the host has sent something */
	struct loop_timer *linger;
};

struct listener {
	struct listener *next;
	struct tcp_forward *f;
	int fd;
	struct loop_fd *src;
};

struct tcp_forward {
	struct loop *loop;
	const struct forward_ops *ops;
	struct conn *conns;
	struct listener *listeners;
	unsigned count;
	size_t held; /* bytes, of all */
	uint8_t step[FORWARD_STEP];
};

void forward_header(const struct forward_dest *d, uint8_t dst[FORWARD_HEADER])
{
	memset(dst, 0, FORWARD_HEADER);
	memcpy(dst, "SBXT", 4);
	dst[4] = 1;
	dst[5] = d->family;
	dst[6] = (uint8_t)d->port;
	dst[7] = (uint8_t)(d->port >> 8);
	memcpy(dst + 8, d->addr, d->family == 4 ? 4 : 16);
	dst[24] = d->proxy;
}

static void reset_on_close(int fd)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void let_go(struct side *s)
{
	s->c->f->held -= s->held_len;
	free(TAKE(s->held));
	s->held_at = s->held_len = 0;
}

static void conn_free(struct conn *c)
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
	c->f->count--;
	free(c);
}

/* conn_break() - no orderly end: the client shall not take it for one */
static void conn_break(struct conn *c)
{
	reset_on_close(c->side[CLIENT].fd);
	conn_free(c);
}

static int hold(struct side *from, const uint8_t *p, size_t len)
{
	from->held = malloc(len);
	if (!from->held)
		return -ENOMEM;
	memcpy(from->held, p, len);
	from->held_len = len;
	from->c->f->held += len;
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
	if (to != &to->c->side[HOST] || (errno != EPIPE && errno != ECONNRESET))
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
	from->c->f->held -= (size_t)n;
	if (from->held_len == 0)
		let_go(from);
	return 0;
}

static int on_bytes(struct side *from, struct side *to, const uint8_t *p, size_t len)
{
	ssize_t n;

	if (from == &from->c->side[HOST])
		from->c->answered = true;
	n = give(to, p, len);
	if (n < 0)
		return (int)n;
	return (size_t)n < len ? hold(from, p + n, len - (size_t)n) : 0;
}

/* host_listens() - a stream of which only our direction is left may be read there, or be gone */
static bool host_listens(struct side *host)
{
	if (!host->deaf && send(host->fd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		host->deaf = errno == EPIPE || errno == ECONNRESET;
	return !host->deaf;
}

/* on_end() - -ECONNRESET: the host refused without a word, or its end is no orderly one: who ends in order
 * ends its own direction, and hears us until we have ended ours
 */
static int on_end(struct side *from, struct side *to)
{
	struct conn *c = from->c;

	from->ended = true;
	if (from == &c->side[HOST] && !c->side[CLIENT].ended &&
		(!c->answered || !host_listens(from)))
		return -ECONNRESET;
	if (!from->shut && !to->deaf)
		(void)shutdown(to->fd, SHUT_WR);
	from->shut = true;
	return 0;
}

/* move_bytes() - from one side to the other until there is nothing, or no room; negative errno: broken */
static int move_bytes(struct side *from, struct side *to)
{
	struct tcp_forward *f = from->c->f;

	for (unsigned i = 0; i < STEPS_A_ROUND && !from->ended; i++) {
		size_t want = f->held < FORWARD_HELD_MAX ? FORWARD_STEP : FORWARD_STEP_SMALL;
		ssize_t n;
		int r;

		if (from->held_len > 0) {
			r = flush_held(from, to);
			if (r < 0 || from->held_len > 0)
				return r;
		}
		n = recv(from->fd, f->step, want, MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		r = n == 0 ? on_end(from, to) : on_bytes(from, to, f->step, (size_t)n);
		if (r < 0)
			return r;
	}
	return 0;
}

static void on_side(void *ctx, uint32_t events);

static int watch(struct side *s)
{
	struct side *other = &s->c->side[s == &s->c->side[CLIENT]];
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
		return loop_add_fd(s->c->f->loop, s->fd, want, on_side, s, &s->src);
	} else if (want != s->watched) {
		s->watched = want;
		return loop_mod_fd(s->src, want);
	}
	return 0;
}

static void on_linger(void *ctx)
{
	struct conn *c = ctx;

	c->linger = NULL;
	if (c->side[HOST].deaf || (!host_listens(&c->side[HOST]) && c->side[CLIENT].held_len > 0) ||
		loop_add_timer(
			c->f->loop, clock_ms() + FORWARD_LINGER_MS, on_linger, c, &c->linger) < 0)
		conn_free(c);
}

/* settle() - what follows from what has just happened; @c may be gone afterwards */
static void settle(struct conn *c)
{
	struct side *client = &c->side[CLIENT], *host = &c->side[HOST];
	bool told = host->ended && host->held_len == 0;

	if (told && client->ended && client->held_len == 0) {
		conn_free(c);
		return;
	}
	/* A host that is gone altogether: the client has a while to take the answer. */
	if (told && !c->linger &&
		loop_add_timer(
			c->f->loop, clock_ms() + FORWARD_LINGER_MS, on_linger, c, &c->linger) < 0) {
		conn_free(c);
		return;
	}
	if (watch(client) < 0 || watch(host) < 0)
		conn_break(c);
}

static int on_dialed(struct conn *c)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(c->side[HOST].fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	c->dialing = false;
	return -error;
}

static void on_side(void *ctx, uint32_t events)
{
	struct side *s = ctx;
	struct conn *c = s->c;
	struct side *other = &c->side[s == &c->side[CLIENT]];
	int r = 0;

	if (c->dialing && s == &c->side[HOST])
		r = on_dialed(c);
	if (r == 0 && other->held_len > 0 && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) {
		r = flush_held(other, s);
		if (r == 0 && other->held_len == 0)
			r = move_bytes(other, s);
	}
	if (r == 0 && s->held_len == 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		r = move_bytes(s, other);
	if (r < 0)
		conn_break(c);
	else
		settle(c);
}

void tcp_forward_add(struct tcp_forward *f, int client_fd)
{
	AUTO_FD fd = client_fd;
	struct forward_dest dest = {0};
	uint8_t header[FORWARD_HEADER];
	struct conn *c;

	reset_on_close(fd); /* until there is somebody to take it */
	if (f->count >= FORWARD_CONNS || f->ops->origin(f->ops->ctx, fd, &dest) < 0)
		return;
	AUTO_FD host = f->ops->dial(f->ops->ctx, FRAME_PORT_TCP);
	c = host < 0 ? NULL : calloc(1, sizeof(*c));
	if (!c)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){0}, sizeof(struct linger));
	*c = (struct conn){.f = f, .next = f->conns, .prev = &f->conns, .dialing = true};
	c->side[CLIENT] = (struct side){.c = c, .fd = TAKE_FD(fd)};
	c->side[HOST] = (struct side){.c = c, .fd = TAKE_FD(host)};
	if (c->next)
		c->next->prev = &c->next;
	f->conns = c;
	f->count++;
	forward_header(&dest, header);
	if (hold(&c->side[CLIENT], header, sizeof(header)) < 0 || watch(&c->side[HOST]) < 0)
		conn_break(c);
}

static void on_listener(void *ctx, uint32_t events)
{
	struct listener *l = ctx;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		tcp_forward_add(l->f, fd);
	}
}

int tcp_forward_listen(struct tcp_forward *f, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	*l = (struct listener){.next = f->listeners, .f = f, .fd = fd};
	r = loop_add_fd(f->loop, fd, EPOLLIN, on_listener, l, &l->src);
	if (r < 0) {
		free(l);
		return r;
	}
	f->listeners = l;
	return 0;
}

struct tcp_forward *tcp_forward_new(struct loop *l, const struct forward_ops *ops)
{
	struct tcp_forward *f = calloc(1, sizeof(*f));

	if (f) {
		f->loop = l;
		f->ops = ops;
	}
	return f;
}

void tcp_forward_free(struct tcp_forward *f)
{
	if (!f)
		return;
	while (f->conns)
		conn_free(f->conns);
	while (f->listeners) {
		struct listener *l = f->listeners;

		f->listeners = l->next;
		loop_del_fd(l->src);
		free(l);
	}
	free(f);
}

unsigned tcp_forward_count(const struct tcp_forward *f)
{
	return f->count;
}
