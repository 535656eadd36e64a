#include "daemon/ports_serve.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/relay.h"
#include "daemon/daemon.h"
#include "proto/agent.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define ACCEPTS_A_ROUND 16
#define FULL_MS		10 /* between looks for room */
#define NO_FDS_MS	200

enum what { NOTHING, ADD, REMOVE, STOP };

/* What another thread wants done; one at a time, and it waits. */
struct order {
	enum what what;
	unsigned id;
	int fd;
	uint16_t port;
	int result;
};

struct door {
	struct ports_server *p;
	struct door *next;
	unsigned id;
	int fd;
	uint16_t port;
	struct loop_fd *src; /* NULL: nothing is accepted now */
};

/* A client whose guest has not answered yet. */
struct knock {
	struct ports_server *p;
	struct knock *next, **prev;
	unsigned id;
	int client, stream;
	struct loop_fd *src;
	struct loop_timer *late;
	uint8_t got[FRAME_HEADER];
	size_t n_got;
};

struct ports_server {
	int (*dial)(void *ctx);
	void *ctx;
	int dial_ms;
	pthread_t thread;
	int wake_fd;
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct order order; /* under lock */
	bool ended; /* under lock: the thread takes no more orders */
	/* the thread's */
	struct loop *loop;
	struct loop_fd *wake;
	struct loop_timer *again; /* set: nothing is accepted until it fires */
	struct relay_group *relays;
	struct door *doors;
	struct knock *knocks;
	unsigned n_knocks;
};

static bool is_full(const struct ports_server *p)
{
	return p->n_knocks >= PORTS_DIALING || p->n_knocks + relay_count(p->relays) >= PORTS_CONNS;
}

static void on_door(void *ctx, uint32_t events);

static void on_again(void *ctx);

/* rest() - accept nothing for a while: a full listener is readable all the time */
static void rest(struct ports_server *p, int ms)
{
	for (struct door *d = p->doors; d; d = d->next) {
		loop_del_fd(d->src);
		d->src = NULL;
	}
	if (!p->again && loop_add_timer(p->loop, clock_ms() + ms, on_again, p, &p->again) < 0)
		log_err("published ports: out of memory, no more connections are taken");
}

static void on_again(void *ctx)
{
	struct ports_server *p = ctx;

	p->again = NULL;
	if (is_full(p)) {
		rest(p, FULL_MS);
		return;
	}
	for (struct door *d = p->doors; d; d = d->next)
		if (!d->src && loop_add_fd(p->loop, d->fd, EPOLLIN, on_door, d, &d->src) < 0) {
			rest(p, NO_FDS_MS);
			return;
		}
}

/* ---- until the guest has answered ---- */

/* knock_free() - the client is reset, unless it was handed on */
static void knock_free(struct knock *k)
{
	loop_del_fd(k->src);
	loop_del_timer(k->late);
	own_close_fd(&k->client);
	own_close_fd(&k->stream);
	*k->prev = k->next;
	if (k->next)
		k->next->prev = k->prev;
	k->p->n_knocks--;
	free(k);
}

static void on_late(void *ctx)
{
	struct knock *k = ctx;

	k->late = NULL;
	knock_free(k);
}

static void on_answer(void *ctx, uint32_t events)
{
	struct knock *k = ctx;
	uint8_t ok[FRAME_HEADER];
	ssize_t n = recv(k->stream, k->got + k->n_got, sizeof(k->got) - k->n_got, MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	k->n_got += n > 0 ? (size_t)n : 0;
	frame_head(ok, FRAME_OK, 0);
	if (n <= 0 || memcmp(k->got, ok, k->n_got) != 0) {
		knock_free(k); /* nobody listens there; or it is no answer at all */
		return;
	}
	if (k->n_got < sizeof(ok))
		return;
	loop_del_fd(k->src); /* the relay watches it from here on */
	k->src = NULL;
	(void)!relay_add(k->p->relays, &(struct relay_ends){.tcp = TAKE_FD(k->client),
					       .stream = TAKE_FD(k->stream),
					       .tag = k->id,
					       .answered = true});
	knock_free(k);
}

static int ask(struct knock *k, uint16_t port)
{
	AUTO(buf) b = {0};
	int r;

	buf_init(&b, 64);
	r = agent_put_u16(&b, FRAME_DIAL, port);
	if (r == 0)
		r = io_set_nonblock(k->stream, true);
	/* The socket is new: it takes ten bytes at once, or there is nobody. */
	if (r == 0 && send(k->stream, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)b.len)
		r = -EPIPE;
	if (r == 0)
		r = loop_add_fd(k->p->loop, k->stream, EPOLLIN, on_answer, k, &k->src);
	return r < 0 ? r
		     : loop_add_timer(k->p->loop, clock_ms() + k->p->dial_ms, on_late, k, &k->late);
}

static void knock(struct door *d, int client_fd)
{
	struct ports_server *p = d->p;
	AUTO_FD client = client_fd;
	AUTO_FD stream = -1;
	struct knock *k;
	int one = 1;

	relay_reset_on_close(client, true); /* until somebody inside has taken it */
	(void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	stream = p->dial(p->ctx);
	k = stream < 0 ? NULL : calloc(1, sizeof(*k));
	if (!k)
		return;
	*k = (struct knock){.p = p,
		.next = p->knocks,
		.prev = &p->knocks,
		.id = d->id,
		.client = TAKE_FD(client),
		.stream = TAKE_FD(stream)};
	if (k->next)
		k->next->prev = &k->next;
	p->knocks = k;
	p->n_knocks++;
	if (ask(k, d->port) < 0)
		knock_free(k);
}

static void on_door(void *ctx, uint32_t events)
{
	struct door *d = ctx;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd;

		if (is_full(d->p)) {
			rest(d->p, FULL_MS);
			return;
		}
		fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
				errno == ENOBUFS)
				rest(d->p, NO_FDS_MS);
			return;
		}
		knock(d, fd);
	}
}

/* ---- orders ---- */

static int add_door(struct ports_server *p, const struct order *o)
{
	struct door *d = calloc(1, sizeof(*d));
	int r = 0;

	if (!d)
		return -ENOMEM;
	*d = (struct door){.p = p, .id = o->id, .fd = o->fd, .port = o->port, .next = p->doors};
	if (!p->again)
		r = loop_add_fd(p->loop, d->fd, EPOLLIN, on_door, d, &d->src);
	if (r < 0)
		free(d);
	else
		p->doors = d;
	return r;
}

static void remove_doors(struct ports_server *p, bool all, unsigned id)
{
	for (struct door **at = &p->doors; *at;) {
		struct door *d = *at;

		if (!all && d->id != id) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		loop_del_fd(d->src);
		own_close_fd(&d->fd);
		free(d);
	}
	for (struct knock *k = p->knocks, *next; k; k = next) {
		next = k->next;
		if (all || k->id == id)
			knock_free(k);
	}
	if (!all)
		relay_break(p->relays, id);
}

static void on_wake(void *ctx, uint32_t events)
{
	struct ports_server *p = ctx;
	eventfd_t count;

	(void)events;
	(void)eventfd_read(p->wake_fd, &count);
	(void)pthread_mutex_lock(&p->lock);
	if (p->order.what == ADD)
		p->order.result = add_door(p, &p->order);
	else if (p->order.what == REMOVE)
		remove_doors(p, false, p->order.id);
	else if (p->order.what == STOP)
		loop_stop(p->loop);
	p->order.what = NOTHING;
	(void)pthread_cond_broadcast(&p->done);
	(void)pthread_mutex_unlock(&p->lock);
}

static int give_order(struct ports_server *p, struct order o)
{
	int r;

	(void)pthread_mutex_lock(&p->lock);
	p->order = o;
	(void)eventfd_write(p->wake_fd, 1);
	while (p->order.what != NOTHING && !p->ended)
		(void)pthread_cond_wait(&p->done, &p->lock);
	r = p->order.what == NOTHING ? p->order.result : -EIO;
	(void)pthread_mutex_unlock(&p->lock);
	return r;
}

/* ---- the thread ---- */

static void *serve(void *arg)
{
	struct ports_server *p = arg;
	int r = loop_run(p->loop);

	if (r < 0)
		log_err("published ports: %s", strerror(-r));
	remove_doors(p, true, 0);
	relay_group_free(TAKE(p->relays));
	(void)pthread_mutex_lock(&p->lock);
	p->ended = true;
	(void)pthread_cond_broadcast(&p->done);
	(void)pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int start(struct ports_server *p)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int r;

	sigfillset(&all);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, DAEMON_STACK);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&p->thread, &attr, serve, p);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	return r;
}

static void release(struct ports_server *p)
{
	relay_group_free(p->relays);
	loop_del_fd(p->wake);
	loop_free(p->loop);
	own_close_fd(&p->wake_fd);
	(void)pthread_mutex_destroy(&p->lock);
	(void)pthread_cond_destroy(&p->done);
	free(p);
}

int ports_server_new(int (*dial)(void *ctx), void *ctx, int dial_ms, struct ports_server **ret)
{
	struct ports_server *p = calloc(1, sizeof(*p));
	int r = -ENOMEM;

	if (!p)
		return r;
	*p = (struct ports_server){.dial = dial, .ctx = ctx, .dial_ms = dial_ms};
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_cond_init(&p->done, NULL);
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->loop = loop_new();
	p->relays = p->loop ? relay_group_new(p->loop) : NULL;
	if (p->wake_fd >= 0 && p->relays)
		r = loop_add_fd(p->loop, p->wake_fd, EPOLLIN, on_wake, p, &p->wake);
	if (r == 0)
		r = start(p);
	if (r < 0) {
		release(p);
		return r;
	}
	*ret = p;
	return 0;
}

void ports_server_free(struct ports_server *p)
{
	if (!p)
		return;
	(void)give_order(p, (struct order){.what = STOP});
	(void)pthread_join(p->thread, NULL);
	release(p);
}

int ports_server_add(struct ports_server *p, unsigned id, int fd, uint16_t port)
{
	return give_order(p, (struct order){.what = ADD, .id = id, .fd = fd, .port = port});
}

void ports_server_remove(struct ports_server *p, unsigned id)
{
	(void)give_order(p, (struct order){.what = REMOVE, .id = id});
}
