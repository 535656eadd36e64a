/* STDIN: the host sends within its credit, so what waits here never exceeds AGENT_CREDIT; credit
 * is given back as the command takes its input. A command that has closed its input takes
 * everything and sees nothing of it.
 */
#include "guest/proc_impl.h"
#include <errno.h>
#include <sys/epoll.h>
#include <termios.h>

static void give_credit(struct proc *p)
{
	uint32_t n = p->owed;

	if (n < GUEST_STDIN_STEP || !p->client)
		return;
	p->owed = 0;
	p->credit += n;
	(void)stream_send(p->client, agent_put_u32(stream_out(p->client), FRAME_CREDIT, n));
}

static void taken(struct proc *p, size_t n)
{
	buf_eat(&p->in, n);
	p->owed += (uint32_t)n;
}

void input_close(struct proc *p)
{
	loop_del_fd(p->in_src);
	p->in_src = NULL;
	if (p->in_fd >= 0)
		close(p->in_fd);
	p->in_fd = -1;
	taken(p, p->in.len);
}

/* say_end() - a pipe is closed; a terminal gets its end-of-file key, where that means something */
static void say_end(struct proc *p)
{
	struct termios t;

	if (!(p->flags & AGENT_EXEC_TTY)) {
		input_close(p);
		return;
	}
	p->in_end = false;
	if (tcgetattr(p->in_fd, &t) == 0 && (t.c_lflag & ICANON) &&
		write(p->in_fd, &t.c_cc[VEOF], 1) < 0 && errno != EAGAIN)
		input_close(p);
}

static void on_room(void *ctx, uint32_t events);

static void push(struct proc *p)
{
	while (p->in.len > 0 && p->in_fd >= 0) {
		ssize_t n = write(p->in_fd, p->in.data, p->in.len);

		if (n > 0)
			taken(p, (size_t)n);
		else if (n == 0 || errno == EAGAIN)
			break;
		else if (errno != EINTR)
			input_close(p); /* EPIPE: it does not want any more */
	}
	if (p->in_fd < 0)
		return;
	if (p->in.len > 0) {
		if (!p->in_src &&
			loop_add_fd(p->g->loop, p->in_fd, EPOLLOUT, on_room, p, &p->in_src) < 0)
			input_close(p);
		return;
	}
	loop_del_fd(p->in_src);
	p->in_src = NULL;
	if (p->in_end)
		say_end(p);
}

static void on_room(void *ctx, uint32_t events)
{
	struct proc *p = ctx;

	(void)events;
	push(p);
	give_credit(p);
}

bool input_take(struct proc *p, const uint8_t *bytes, size_t len)
{
	if (len == 0) {
		p->in_end = true;
	} else {
		if (len > p->credit)
			return false;
		p->credit -= (uint32_t)len;
		if (p->in_fd < 0 || p->in_end) /* behind the end, which waits for room */
			p->owed += (uint32_t)len;
		else if (buf_add(&p->in, bytes, len) < 0)
			return false;
	}
	if (p->in_fd >= 0)
		push(p);
	give_credit(p);
	return true;
}
