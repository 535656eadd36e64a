/* The rounds of the front: what is dirty is written, what is dead is freed, what is late is ended. */
#include "base/clock.h"
#include "egress/front.h"
#include <errno.h>
#include <string.h>

#define TICK_MIN_MS 20 /* deadlines are not more exact than this */
#define REST_BYTES  4096 /* an empty buffer may keep so much */

void front_buf_rest(struct buf *b)
{
	if (b->len == 0 && b->cap > REST_BYTES)
		buf_fini(b);
}

void front_buf_spare(const struct front *f, struct buf *b, bool busy)
{
	if (!busy || f->memory > FRONT_MEMORY_MAX / 4)
		front_buf_rest(b);
}

void front_charge(struct front *f, size_t *charged, size_t now)
{
	f->memory += now - *charged;
	*charged = now;
}

static bool late(const struct front *f, int64_t deadline, int64_t *next)
{
	if (deadline == 0)
		return false;
	if (deadline <= f->now)
		return true;
	if (*next == 0 || deadline < *next)
		*next = deadline;
	return false;
}

static void stream_late(struct front_stream *s)
{
	s->deadline = 0;
	if (s->state == FRONT_SNIFF && !s->proxy) {
		front_sniff_silent(s);
		return;
	}
	if (s->state == FRONT_H2 && s->h2 && h2_streams(s->h2) == 0) {
		h2_goodbye(s->h2, H2_NO_ERROR, true);
		front_stream_dirty(s);
		return;
	}
	if (s->state == FRONT_H1 && !s->exchanges && !s->heard) {
		front_stream_last(s); /* idle: an end without a fault */
		return;
	}
	front_stream_kill(s);
}

static void exchange_late(struct front_exchange *x)
{
	x->deadline = 0;
	if (x->question) {
		front_ask_drop(x);
		front_exchange_verdict(x, false);
		return;
	}
	front_exchange_cut(x, 504, "timeout", "no answer in time");
}

static void on_tick(void *ctx)
{
	struct front *f = ctx;
	int64_t next = 0;

	f->tick = NULL;
	f->tick_at = 0;
	f->now = clock_ms();
	for (struct front_stream *s = f->streams; s; s = s->next) {
		struct front_exchange *x, *after;

		for (x = s->dead ? NULL : s->exchanges; x && !s->dead; x = after) {
			after = x->next;
			if (late(f, x->deadline, &next))
				exchange_late(x);
		}
		if (!s->dead && late(f, s->deadline, &next))
			stream_late(s);
	}
	for (struct front_channel *ch = f->channels; ch; ch = ch->next)
		if (!ch->dead && !ch->x && late(f, ch->idle_since + FRONT_KEEPALIVE_MS, &next))
			front_channel_kill(ch);
	/* Records that wait for company: this tick may have come for something earlier than them. */
	if (f->audit.n_waiting > 0 && f->audit.n_flying == 0)
		(void)late(f, f->audit.since_ms + f->audit.delay_ms, &next);
	if (next)
		front_tick_at(f, next);
}

void front_tick_at(struct front *f, int64_t at_ms)
{
	if (at_ms < f->now + TICK_MIN_MS)
		at_ms = f->now + TICK_MIN_MS;
	if (f->tick && f->tick_at <= at_ms)
		return;
	loop_del_timer(f->tick);
	f->tick = NULL;
	if (loop_add_timer(f->loop, at_ms, on_tick, f, &f->tick) == 0)
		f->tick_at = at_ms;
}

static void sweep(struct front *f)
{
	struct front_stream **s = &f->streams;
	struct front_channel **c = &f->channels;

	f->any_dead = false;
	while (*s) {
		struct front_stream *dead = *s;

		if (!dead->dead || dead->dirty) {
			f->any_dead |= dead->dead;
			s = &dead->next;
			continue;
		}
		*s = dead->next;
		front_stream_free(dead);
	}
	while (*c) {
		struct front_channel *dead = *c;

		if (!dead->dead || dead->dirty) {
			f->any_dead |= dead->dead;
			c = &dead->next;
			continue;
		}
		*c = dead->next;
		front_channel_free(dead);
	}
}

bool front_round(struct front *f)
{
	/* Each may make the other dirty; once more is enough, the rest is the next round's. */
	for (unsigned i = 0; i < 2 && (f->dirty_streams || f->dirty_channels); i++) {
		struct front_stream *s = f->dirty_streams;
		struct front_channel *c = f->dirty_channels;

		f->dirty_streams = NULL;
		f->dirty_channels = NULL;
		while (s) {
			struct front_stream *next = s->next_dirty;

			front_stream_round(s);
			s = next;
		}
		while (c) {
			struct front_channel *next = c->next_dirty;

			front_channel_flush(c);
			c = next;
		}
	}
	front_audit_send(f);
	if (f->draining)
		front_drained(f);
	while (f->over) {
		struct front_exchange *x = f->over;

		f->over = x->next;
		buf_fini(&x->request);
		free(x->path);
		free(x->ws);
		free(x->query);
		free(x);
	}
	if (f->any_dead)
		sweep(f);
	return f->dirty_streams || f->dirty_channels;
}

int front_run(struct front *f, struct err *e)
{
	bool more = false;
	int r = 0;

	while (!f->stop && r == 0) {
		r = loop_once(f->loop, more ? 0 : -1);
		f->now = clock_ms();
		more = front_round(f);
	}
	return r < 0 ? err_sys(e, r, "wait for events") : 0;
}
