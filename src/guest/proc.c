#include "guest/proc_impl.h"
#include "base/clock.h"
#include "guest/reap.h"
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

int proc_terminal(const struct proc *p)
{
	return p->flags & AGENT_EXEC_TTY ? p->out[0].fd : -1;
}

void proc_resize(struct proc *p, uint16_t rows, uint16_t cols)
{
	struct winsize w = {.ws_row = rows, .ws_col = cols};
	int fd = proc_terminal(p);

	if (fd >= 0 && rows && cols)
		(void)ioctl(fd, TIOCSWINSZ, &w);
}

pid_t proc_foreground(const struct proc *p)
{
	pid_t pgrp = -1;
	int fd = proc_terminal(p);

	if (fd >= 0 && ioctl(fd, TIOCGPGRP, &pgrp) == 0 && pgrp > 1)
		return pgrp;
	return p->pid;
}

/* send_signal() - to what runs in the foreground of a terminal, else to the whole group
 * A group whose leader is gone may live on; its number is not given anew while it does.
 */
static void send_signal(struct proc *p, int sig)
{
	(void)kill(-proc_foreground(p), sig);
}

static void kill_group(void *ctx)
{
	struct proc *p = ctx;

	p->hangup = NULL;
	send_signal(p, SIGKILL);
	(void)kill(-p->pid, SIGKILL);
	if (p->done)
		proc_free(p);
}

static void hang_up(struct proc *p)
{
	if (p->done || p->hangup)
		return;
	send_signal(p, SIGHUP);
	if (proc_foreground(p) != p->pid)
		(void)kill(-p->pid, SIGHUP);
	(void)kill(-p->pid, SIGCONT); /* a stopped one would not notice */
	if (loop_add_timer(p->g->loop, clock_ms() + GUEST_HANGUP_MS, kill_group, p, &p->hangup) < 0)
		kill_group(p);
}

static void on_gone(void *ctx)
{
	struct proc *p = ctx;

	p->client = NULL;
	if (!(p->flags & AGENT_EXEC_PERSIST)) {
		input_close(p);
		hang_up(p);
	}
	output_go_on(p);
}

static void rule_broken(struct proc *p)
{
	struct stream *s = p->client;

	p->client = NULL;
	stream_drop(s);
	on_gone(p);
}

static void on_frame(void *ctx, const struct frame *f)
{
	struct proc *p = ctx;
	struct agent_size size;
	bool good = false;
	uint8_t sig;

	if (f->type == FRAME_STDIN) {
		good = input_take(p, f->body, f->len);
	} else if (f->type == FRAME_RESIZE && agent_get_resize(f, &size) == PROTO_OK) {
		proc_resize(p, size.rows, size.cols);
		good = true;
	} else if (f->type == FRAME_SIGNAL && agent_get_u8(f, &sig) == PROTO_OK) {
		good = sig >= 1 && sig <= 64;
		if (good && !p->exited)
			send_signal(p, sig);
	}
	if (!good && p->client)
		rule_broken(p);
}

static void on_room(void *ctx)
{
	struct proc *p = ctx;

	output_go_on(p);
}

static const struct stream_ops follow_ops = {.frame = on_frame, .room = on_room, .gone = on_gone};

void proc_follow(struct proc *p, struct stream *s)
{
	p->client = s;
	stream_set_ops(s, &follow_ops, p);
}

int proc_greet(struct proc *p, struct stream *s)
{
	int r = agent_put_u32(stream_out(s), FRAME_STARTED, (uint32_t)p->pid);

	if (r < 0 || !(p->flags & AGENT_EXEC_STDIN))
		return r;
	p->owed = 0;
	p->credit = AGENT_CREDIT - (uint32_t)p->in.len;
	return p->credit ? agent_put_u32(stream_out(s), FRAME_CREDIT, p->credit) : 0;
}

void proc_finish_if_done(struct proc *p)
{
	struct stream *s = p->client;

	if (!p->exited || !output_is_done(p))
		return;
	p->done = true;
	loop_del_timer(p->drain);
	p->drain = NULL;
	input_close(p);
	p->client = NULL;
	if (s) {
		stream_set_ops(s, NULL, NULL);
		if (stream_send(s, agent_put_exit(stream_out(s), p->status)))
			stream_end(s);
	}
	watch_go_on(p);
	if (!(p->flags & AGENT_EXEC_PERSIST) && !p->hangup)
		proc_free(p);
}

void proc_on_exit(void *ctx, int status)
{
	struct proc *p = ctx;

	p->exited = true;
	if (WIFSIGNALED(status))
		p->status = (struct agent_exit){.code = 128u + (unsigned)WTERMSIG(status),
			.signal = (uint8_t)WTERMSIG(status)};
	else
		p->status = (struct agent_exit){.code = (unsigned)WEXITSTATUS(status)};
	output_drain(p);
	proc_finish_if_done(p);
}

void proc_free(struct proc *p)
{
	for (struct proc **at = &p->g->procs; *at; at = &(*at)->next) {
		if (*at == p) {
			*at = p->next;
			break;
		}
	}
	if (p->pid > 0 && !p->exited)
		reaper_forget(p->g->reaper, p->pid);
	watch_drop_all(p);
	loop_del_timer(p->drain);
	loop_del_timer(p->hangup);
	outlet_close(&p->out[0]);
	outlet_close(&p->out[1]);
	input_close(p);
	buf_fini(&p->in);
	free(p->ring.bytes);
	free(p);
}

unsigned proc_count(const struct guest *g)
{
	unsigned n = 0;

	for (const struct proc *p = g->procs; p; p = p->next)
		n += !p->done && !(p->flags & AGENT_EXEC_SERVICE);
	return n;
}

void proc_free_all(struct guest *g)
{
	while (g->procs) {
		struct proc *p = g->procs;

		if (p->pid > 0 && !p->exited)
			(void)kill(-p->pid, SIGKILL);
		if (p->client)
			stream_drop(p->client);
		p->client = NULL;
		proc_free(p);
	}
}
