#include "daemon/idle.h"
#include "daemon/agent.h"
#include "daemon/settings.h"
#include "daemon/view.h"
#include "daemon/watch.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ASK_MS	     3000
#define STOP_MS	     10000
#define ROUND_MIN_MS 200
#define ROUND_MAX_MS 30000
#define BUSY_SHARE   10 /* a tenth of a processor is work */

struct idle {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool poked;
	int64_t limit_ms; /* of the last round; 0: off */
};

/* What tells one look from the next. */
struct look {
	uint64_t moved, cpu_ms;
	int64_t used_ms, at;
};

static int64_t limit(struct daemon *d)
{
	char text[SETTINGS_VALUE_MAX];
	struct err e = {0};

	if (settings_get(&d->paths, SETTING_IDLE_STOP, text, &e) < 0) {
		log_warn("idle.stop: %s", e.msg);
		return 0;
	}
	return settings_idle_ms(text);
}

/* measure() - what moved and was used so far, without a word to the guest */
static int measure(struct sandbox *s, struct look *ret, struct err *e)
{
	struct link_msg m;
	int r = box_ask(s, LINK_STATS, LINK_STATS_MOVED, clock_ms() + ASK_MS, &m, e);

	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&s->lock);
	*ret = (struct look){.moved = m.n[0] + m.n[1],
		.cpu_ms = m.n[2],
		.used_ms = s->row.last_used_ms,
		.at = clock_ms()};
	(void)pthread_mutex_unlock(&s->lock);
	return 0;
}

static bool same(const struct look *a, const struct look *b)
{
	return a->at && a->moved == b->moved && a->used_ms == b->used_ms &&
	       (b->cpu_ms - a->cpu_ms) * BUSY_SHARE <= (uint64_t)(b->at - a->at);
}

static struct look last_look(struct sandbox *s)
{
	struct look l;

	(void)pthread_mutex_lock(&s->lock);
	l = (struct look){.moved = s->idle.moved,
		.cpu_ms = s->idle.cpu_ms,
		.used_ms = s->idle.used_ms,
		.at = s->idle.at};
	(void)pthread_mutex_unlock(&s->lock);
	return l;
}

/* note() - @l is what the next look is compared with; NULL: with nothing. Returns since when it is idle. */
static int64_t note(struct sandbox *s, const struct look *l, bool idle)
{
	int64_t since;

	(void)pthread_mutex_lock(&s->lock);
	if (!idle || !l)
		s->idle.since = 0;
	else if (!s->idle.since)
		s->idle.since = l->at;
	s->idle.at = l ? l->at : 0;
	if (l) {
		s->idle.moved = l->moved;
		s->idle.cpu_ms = l->cpu_ms;
		s->idle.used_ms = l->used_ms;
	}
	since = s->idle.since;
	(void)pthread_mutex_unlock(&s->lock);
	return since;
}

/* look() - since when nothing happens in it, as clock_ms(); 0: something does, or nobody knows. Our own
 * question moves bytes, too: it stands between the end of one look and the beginning of the next.
 */
static int64_t look(struct sandbox *s)
{
	const struct look before = last_look(s);
	struct agent_usage usage = {0};
	struct look now, after;
	struct err e = {0};
	bool idle;

	if (sandbox_status(s) != STATUS_RUNNING || measure(s, &now, &e) < 0 ||
		agent_usage(s, clock_ms() + ASK_MS, &usage, &e) < 0 || measure(s, &after, &e) < 0)
		return note(s, NULL, false);
	idle = same(&before, &now) && usage.commands == 0 && after.used_ms == now.used_ms;
	return note(s, &after, idle);
}

/* words() - "30 min", "90 s" */
static const char *words(int64_t ms, char dst[32])
{
	if (ms % 60000 == 0)
		(void)snprintf(dst, 32, "%lld min", (long long)(ms / 60000));
	else
		(void)snprintf(dst, 32, "%lld s", (long long)(ms / 1000));
	return dst;
}

/* still_idle() - it is ours now: nobody starts or stops it, and whoever comes first is seen here */
static bool still_idle(struct sandbox *s)
{
	const struct look before = last_look(s);
	struct look now;
	struct err e = {0};

	return sandbox_status(s) == STATUS_RUNNING && measure(s, &now, &e) == 0 &&
	       same(&before, &now);
}

static void stop(struct sandbox *s, int64_t limit_ms)
{
	struct err e = {0};
	char text[32];

	if (sandbox_begin(s, "stop", clock_ms(), &e) < 0)
		return; /* somebody does something with it: it is not idle */
	if (still_idle(s)) {
		log_info("sandbox %s: nothing happened in it for %s", s->name,
			words(limit_ms, text));
		(void)pthread_mutex_lock(&s->lock);
		(void)snprintf(s->end_reason, sizeof(s->end_reason),
			"nothing happened in it for %s (setting idle.stop)", text);
		(void)pthread_mutex_unlock(&s->lock);
		if (sandbox_stop_owned(s, STOP_MS, &e) < 0) {
			log_warn("sandbox %s: %s", s->name, e.msg);
			(void)pthread_mutex_lock(&s->lock);
			s->end_reason[0] = '\0';
			(void)pthread_mutex_unlock(&s->lock);
		}
	}
	(void)note(s, NULL, false);
	sandbox_end(s);
}

static void round_of(struct daemon *d, int64_t limit_ms)
{
	struct sandbox **all;
	size_t n;

	if (sandbox_all(d, &all, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		int64_t since = limit_ms ? look(all[i]) : note(all[i], NULL, false);

		if (since && clock_ms() - since >= limit_ms)
			stop(all[i], limit_ms);
		sandbox_put(all[i]);
	}
	free(all);
}

/* sleep_for() - until the next round, or until it is poked; @ms 0: for good */
static void sleep_for(struct idle *x, int64_t ms)
{
	int64_t until = clock_ms() + ms;
	struct timespec ts = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
	int r = 0;

	(void)pthread_mutex_lock(&x->lock);
	while (!x->poked && r == 0)
		r = ms ? pthread_cond_timedwait(&x->wake, &x->lock, &ts)
		       : pthread_cond_wait(&x->wake, &x->lock);
	x->poked = false;
	(void)pthread_mutex_unlock(&x->lock);
}

static void *idle_main(void *arg)
{
	struct daemon *d = arg;
	struct idle *x = d->idle;

	for (;;) {
		int64_t ms = limit(d), pause = ms / 4;

		(void)pthread_mutex_lock(&x->lock);
		x->limit_ms = ms;
		(void)pthread_mutex_unlock(&x->lock);
		round_of(d, ms);
		if (ms && pause < ROUND_MIN_MS)
			pause = ROUND_MIN_MS;
		sleep_for(x, pause > ROUND_MAX_MS ? ROUND_MAX_MS : pause);
	}
	return NULL;
}

int idle_new(struct daemon *d, struct err *e)
{
	struct idle *x = calloc(1, sizeof(*x));
	pthread_condattr_t attr;
	int r;

	if (!x)
		return err_sys(e, -ENOMEM, "look after idle sandboxes");
	(void)pthread_mutex_init(&x->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&x->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	d->idle = x;
	r = thread_start(idle_main, d);
	return r < 0 ? err_sys(e, r, "look after idle sandboxes") : 0;
}

void idle_poke(struct daemon *d)
{
	(void)pthread_mutex_lock(&d->idle->lock);
	d->idle->poked = true;
	(void)pthread_cond_signal(&d->idle->wake);
	(void)pthread_mutex_unlock(&d->idle->lock);
}

bool idle_view(struct sandbox *s, struct js *o)
{
	struct idle *x = s->d->idle;
	int64_t since, limit_ms = 0, began;
	bool bad;

	if (x) {
		(void)pthread_mutex_lock(&x->lock);
		limit_ms = x->limit_ms;
		(void)pthread_mutex_unlock(&x->lock);
	}
	(void)pthread_mutex_lock(&s->lock);
	since = limit_ms && s->status == STATUS_RUNNING ? s->idle.since : 0;
	(void)pthread_mutex_unlock(&s->lock);
	began = since ? clock_real_ms() - (clock_ms() - since) : 0;
	bad = view_time(o, "idle_since", began);
	return bad | view_time(o, "idle_stop_at", began ? began + limit_ms : 0);
}
