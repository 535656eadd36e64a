#include "base/loop.h"
#include "base/clock.h"
#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>

#define EVENTS_PER_ROUND 64

struct loop_fd {
	struct loop *loop;
	struct loop_fd *next;
	int fd;
	bool dead;
	loop_fd_fn fn;
	void *ctx;
};

struct loop_timer {
	struct loop *loop;
	struct loop_timer *next;
	int64_t at_ms;
	loop_timer_fn fn;
	void *ctx;
};

/* Sources removed within a round are only marked: an event of this round may still point at them.
 * They are freed when the round is over. Timers are a list in order of time: there are few.
 */
struct loop {
	int epfd;
	bool stop;
	bool has_dead;
	struct loop_fd *fds;
	struct loop_timer *timers;
};

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epfd < 0) {
		free(l);
		return NULL;
	}
	return l;
}

static void sweep(struct loop *l, bool all)
{
	struct loop_fd **at = &l->fds;

	while (*at) {
		struct loop_fd *s = *at;

		if (all || s->dead) {
			*at = s->next;
			free(s);
		} else {
			at = &s->next;
		}
	}
	l->has_dead = false;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->timers)
		loop_del_timer(l->timers);
	sweep(l, true);
	close(l->epfd);
	free(l);
}

int loop_add_fd(
	struct loop *l, int fd, uint32_t events, loop_fd_fn fn, void *ctx, struct loop_fd **ret_src)
{
	struct loop_fd *s = calloc(1, sizeof(*s));
	struct epoll_event ev = {.events = events, .data.ptr = s};

	if (!s)
		return -ENOMEM;
	*s = (struct loop_fd){.loop = l, .next = l->fds, .fd = fd, .fn = fn, .ctx = ctx};
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int r = -errno;

		free(s);
		return r;
	}
	l->fds = s;
	if (ret_src)
		*ret_src = s;
	return 0;
}

int loop_mod_fd(struct loop_fd *s, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};

	return epoll_ctl(s->loop->epfd, EPOLL_CTL_MOD, s->fd, &ev) < 0 ? -errno : 0;
}

void loop_del_fd(struct loop_fd *s)
{
	if (!s || s->dead)
		return;
	(void)epoll_ctl(s->loop->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	s->dead = true;
	s->loop->has_dead = true;
}

int loop_add_timer(
	struct loop *l, int64_t at_ms, loop_timer_fn fn, void *ctx, struct loop_timer **ret_timer)
{
	struct loop_timer *t = calloc(1, sizeof(*t)), **at = &l->timers;

	if (!t)
		return -ENOMEM;
	*t = (struct loop_timer){.loop = l, .at_ms = at_ms, .fn = fn, .ctx = ctx};
	while (*at && (*at)->at_ms <= at_ms)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
	if (ret_timer)
		*ret_timer = t;
	return 0;
}

void loop_del_timer(struct loop_timer *t)
{
	struct loop_timer **at;

	if (!t)
		return;
	for (at = &t->loop->timers; *at; at = &(*at)->next) {
		if (*at == t) {
			*at = t->next;
			free(t);
			return;
		}
	}
}

/* What a timer adds for "at once" comes in the next round, else descriptors would never be served. */
static void fire_timers(struct loop *l)
{
	int64_t now = clock_ms();

	while (l->timers && l->timers->at_ms <= now) {
		struct loop_timer t = *l->timers;

		loop_del_timer(l->timers);
		t.fn(t.ctx);
	}
}

int loop_once(struct loop *l, int timeout_ms)
{
	struct epoll_event ev[EVENTS_PER_ROUND];
	int wait = timeout_ms, n;

	if (l->timers) {
		int left = clock_left(l->timers->at_ms);

		if (wait < 0 || left < wait)
			wait = left;
	}
	n = epoll_wait(l->epfd, ev, EVENTS_PER_ROUND, wait);
	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++) {
		struct loop_fd *s = ev[i].data.ptr;

		if (!s->dead)
			s->fn(s->ctx, ev[i].events);
	}
	fire_timers(l);
	if (l->has_dead)
		sweep(l, false);
	return 0;
}

int loop_run(struct loop *l)
{
	int r = 0;

	l->stop = false;
	while (!l->stop && r == 0)
		r = loop_once(l, -1);
	return r;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}
