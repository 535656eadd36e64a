/* Who only looks at a session: each gets its output out of the ring, at the pace at which it takes it. One
 * that falls behind by more than the ring misses what was overwritten; the command never waits for it.
 */
#include "guest/proc_impl.h"
#include <errno.h>

struct watcher {
	struct proc *p;
	struct stream *s;
	struct watcher *next;
	uint64_t at; /* of the ring's total: what it has */
	uint64_t live_from; /* the total when it came */
	bool live; /* OK was sent: what follows was not there when it came */
};

static void forget(struct watcher *w)
{
	for (struct watcher **at = &w->p->watchers; *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			w->p->n_watchers--;
			break;
		}
	free(w);
}

static void on_gone(void *ctx)
{
	forget(ctx);
}

/* on_frame() - it has nothing to say */
static void on_frame(void *ctx, const struct frame *f)
{
	struct watcher *w = ctx;
	struct stream *s = w->s;

	(void)f;
	forget(w);
	stream_drop(s);
}

/* send_piece() - the next frame of output; up to the point where it came, then OK, then beyond it */
static int send_piece(struct watcher *w)
{
	const struct ring *r = &w->p->ring;
	const uint64_t oldest = r->total - r->len;
	uint64_t until = r->total;
	size_t at, n;

	if (w->at < oldest)
		w->at = oldest;
	if (!w->live && w->at >= w->live_from) {
		w->live = true;
		return agent_put_empty(stream_out(w->s), FRAME_OK);
	}
	if (!w->live)
		until = w->live_from;
	at = (r->start + (size_t)(w->at - oldest)) % GUEST_RING_BYTES;
	n = (size_t)(until - w->at);
	if (n > GUEST_RING_BYTES - at)
		n = GUEST_RING_BYTES - at;
	if (n > FRAME_DATA_MAX)
		n = FRAME_DATA_MAX;
	w->at += n;
	return frame_add(stream_out(w->s), FRAME_STDOUT, r->bytes + at, n);
}

/* go_on() - as much as it takes now, and the end when there is one */
static void go_on(struct watcher *w)
{
	struct proc *p = w->p;
	struct stream *s = w->s;

	while (!w->live || w->at < p->ring.total) {
		/* Without room we are called again. When it is gone, its callback has told or will. */
		if (!stream_has_room(s) || !stream_send(s, send_piece(w)))
			return;
	}
	if (!p->done)
		return;
	stream_set_ops(s, NULL, NULL);
	forget(w);
	if (stream_send(s, agent_put_exit(stream_out(s), p->status)))
		stream_end(s);
}

static void on_room(void *ctx)
{
	go_on(ctx);
}

static const struct stream_ops watch_ops = {.frame = on_frame, .room = on_room, .gone = on_gone};

void watch_attach(struct proc *p, struct stream *s)
{
	struct watcher *w = p->n_watchers < GUEST_WATCHERS_MAX ? calloc(1, sizeof(*w)) : NULL;

	if (!w) {
		if (stream_send(s, agent_put_error(stream_out(s), EMFILE,
					   "session '%s' is watched by %d already", p->session,
					   GUEST_WATCHERS_MAX)))
			stream_end(s);
		return;
	}
	*w = (struct watcher){.p = p, .s = s, .next = p->watchers, .live_from = p->ring.total};
	p->watchers = w;
	p->n_watchers++;
	stream_set_ops(s, &watch_ops, w);
	if (stream_send(s, agent_put_u32(stream_out(s), FRAME_STARTED, (uint32_t)p->pid)))
		go_on(w);
}

void watch_go_on(struct proc *p)
{
	struct watcher *next;

	for (struct watcher *w = p->watchers; w; w = next) {
		next = w->next;
		go_on(w);
	}
}

void watch_drop_all(struct proc *p)
{
	while (p->watchers) {
		struct stream *s = p->watchers->s;

		forget(p->watchers);
		stream_drop(s);
	}
}
