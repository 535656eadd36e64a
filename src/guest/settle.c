/* SETTLE: the end of a phase. What runs inside ends, what was written reaches the disk. */
#include "guest/settle.h"
#include "base/clock.h"
#include "guest/reap.h"
#include <errno.h>
#include <sys/wait.h>

#define LOOK_MS 20 /* shorter than the time until a forwarder that ended is started anew */
#define KILL_MS 10000

struct settle {
	struct guest *g;
	struct stream *s; /* NULL: the host has gone */
	uint32_t flags;
	int64_t deadline;
	struct loop_timer *look;
};

static void finish(struct settle *t, int r, const char *text)
{
	struct stream *s = t->s;

	loop_del_timer(t->look);
	free(t);
	if (!s)
		return;
	stream_set_ops(s, NULL, NULL);
	if (stream_send(s, r == 0 ? agent_put_empty(stream_out(s), FRAME_OK)
				  : agent_put_error(stream_out(s), r, "%s", text)))
		stream_end(s);
}

static void on_written(void *ctx, int status)
{
	bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	finish(ctx, good ? 0 : -EIO, "the disk could not be written");
}

/* write_disk() - by a child: PID 1 has others to look after meanwhile */
static void write_disk(struct settle *t)
{
	pid_t pid;

	if (!(t->flags & AGENT_SETTLE_SYNC) || t->g->scratch_fd < 0) {
		finish(t, 0, "");
		return;
	}
	pid = fork();
	if (pid == 0)
		_exit(syncfs(t->g->scratch_fd) < 0);
	if (pid < 0 || reaper_watch(t->g->reaper, pid, on_written, t) < 0)
		finish(t, -ENOMEM, "no process to write the disk");
}

static void look(void *ctx)
{
	struct settle *t = ctx;

	t->look = NULL;
	reaper_collect(t->g->reaper);
	if (t->g->end_all()) {
		write_disk(t);
		return;
	}
	if (clock_left(t->deadline) <= 0)
		finish(t, -ETIMEDOUT, "there are processes that do not end");
	else if (loop_add_timer(t->g->loop, clock_ms() + LOOK_MS, look, t, &t->look) < 0)
		finish(t, -ENOMEM, "no memory for the request");
}

/* on_gone() - what was begun is done nevertheless */
static void on_gone(void *ctx)
{
	struct settle *t = ctx;

	t->s = NULL;
}

static void on_frame(void *ctx, const struct frame *f)
{
	struct settle *t = ctx;
	struct stream *s = t->s;

	(void)f; /* nothing may follow the request */
	t->s = NULL;
	stream_drop(s);
}

static const struct stream_ops ops = {.frame = on_frame, .gone = on_gone};

void settle_start(struct guest *g, struct stream *s, uint32_t flags)
{
	struct settle *t = calloc(1, sizeof(*t));

	if (!t) {
		stream_drop(s);
		return;
	}
	*t = (struct settle){.g = g, .s = s, .flags = flags, .deadline = clock_ms() + KILL_MS};
	stream_set_ops(s, &ops, t);
	if (flags & AGENT_SETTLE_END)
		look(t);
	else
		write_disk(t);
}
