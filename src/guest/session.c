#include "guest/proc_impl.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

struct proc *session_find(struct guest *g, const char *name)
{
	for (struct proc *p = g->procs; p; p = p->next)
		if ((p->flags & AGENT_EXEC_PERSIST) && strcmp(p->session, name) == 0)
			return p;
	return NULL;
}

int session_make_room(struct guest *g, const char *name)
{
	struct proc *same = session_find(g, name), *oldest = NULL;
	unsigned count = 0;

	if (same && !same->done)
		return -EEXIST;
	if (same) {
		proc_free(same);
		return 0;
	}
	for (struct proc *p = g->procs; p; p = p->next) {
		if (!(p->flags & AGENT_EXEC_PERSIST))
			continue;
		count++;
		if (p->done && (!oldest || p->order < oldest->order))
			oldest = p;
	}
	if (count < GUEST_SESSIONS_MAX)
		return 0;
	if (!oldest)
		return -EMFILE;
	proc_free(oldest);
	return 0;
}

static void replay_only(struct proc *p, struct stream *s)
{
	struct buf *out = stream_out(s);
	int r = agent_put_u32(out, FRAME_STARTED, (uint32_t)p->pid);

	if (r == 0)
		r = ring_replay(&p->ring, out);
	if (r == 0)
		r = p->done ? agent_put_exit(out, p->status) : agent_put_empty(out, FRAME_END);
	if (stream_send(s, r))
		stream_end(s);
}

static void take_over(struct proc *p)
{
	struct stream *first = p->client;

	if (!first)
		return;
	p->client = NULL;
	stream_set_ops(first, NULL, NULL);
	if (stream_send(first, agent_put_error(stream_out(first), EBUSY,
				       "another client has attached to session '%s'", p->session)))
		stream_end(first);
}

void proc_attach(struct guest *g, struct stream *s, const struct agent_attach *m)
{
	struct proc *p = session_find(g, m->session);
	int r;

	stream_set_ops(s, NULL, NULL);
	if (!p) {
		if (stream_send(s, agent_put_error(stream_out(s), ENOENT,
					   "there is no session '%s'", m->session)))
			stream_end(s);
		return;
	}
	if (m->flags & AGENT_ATTACH_REPLAY) {
		replay_only(p, s);
		return;
	}
	if (m->flags & AGENT_ATTACH_WATCH) {
		watch_attach(p, s);
		return;
	}
	take_over(p);
	r = proc_greet(p, s);
	if (r == 0)
		r = ring_replay(&p->ring, stream_out(s));
	if (!stream_send(s, r)) {
		output_go_on(p);
		return;
	}
	proc_follow(p, s);
	if (p->done) {
		proc_finish_if_done(p);
		return;
	}
	proc_resize(p, m->rows, m->cols);
	/* A full-screen program draws itself anew; the replay cannot know its screen. */
	if (proc_terminal(p) >= 0)
		(void)kill(-proc_foreground(p), SIGWINCH);
	output_go_on(p);
}
