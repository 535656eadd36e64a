#include "guest/transfer.h"
#include "base/io.h"
#include "guest/channel.h"
#include "guest/reap.h"
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

struct transfer {
	enum frame_type type;
	struct agent_put put;
	struct agent_get get;
};

static unsigned running; /* children; this is a program with one server */

static void on_exit_of_child(void *ctx, int status)
{
	(void)ctx;
	(void)status;
	running--;
}

/* child() - only the stream is kept: any other descriptor held here would keep its peer waiting */
static NORETURN void child(
	int fd, int scratch_fd, struct frame_decoder *in, const struct transfer *t)
{
	static struct channel c;
	struct err e = {0};
	sigset_t none;
	int r;

	if (t->type != FRAME_GET || !(t->get.flags & AGENT_GET_IMAGE))
		scratch_fd = -1;
	/* Both may lie where the other is to be. */
	fd = dup(fd);
	if (scratch_fd >= 0)
		scratch_fd = dup2(dup(scratch_fd), 4);
	c.fd = dup2(fd, 3);
	c.in = *in;
	sigemptyset(&none);
	if (c.fd < 0 || syscall(SYS_close_range, scratch_fd == 4 ? 5u : 4u, ~0u, 0u) < 0 ||
		sigprocmask(SIG_SETMASK, &none, NULL) < 0 || io_set_nonblock(c.fd, false) < 0)
		_exit(1);
	r = t->type == FRAME_PUT ? put_serve(&c, &t->put, &e)
				 : get_serve(&c, &t->get, scratch_fd, &e);
	if (r == 0 && t->type == FRAME_PUT)
		channel_ok(&c);
	if (r == 0 && t->type == FRAME_GET)
		r = channel_finish(&c, &e);
	if (r < 0)
		channel_fail(&c, r, e.msg);
	channel_close(&c);
	_exit(0);
}

static void refuse(struct stream *s, int num, const char *text)
{
	stream_set_ops(s, NULL, NULL);
	if (stream_send(s, agent_put_error(stream_out(s), num, "%s", text)))
		stream_end(s);
}

static int fork_child(struct guest *g, struct stream *s, const struct transfer *t)
{
	struct frame_decoder in;
	pid_t pid = fork();
	int r;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		int fd = stream_take_fd(s, &in);

		child(fd, g->scratch_fd, &in, t);
	}
	running++;
	r = reaper_watch(g->reaper, pid, on_exit_of_child, NULL);
	if (r < 0)
		running--;
	return 0;
}

bool transfer_start(struct guest *g, struct stream *s, const struct frame *f)
{
	struct transfer t = {.type = f->type};
	enum proto_result good =
		f->type == FRAME_PUT ? agent_get_put(f, &t.put) : agent_get_get(f, &t.get);

	if (good != PROTO_OK)
		return false;
	if (running >= TRANSFERS_MAX) {
		refuse(s, EMFILE, "too many copies at a time");
		return true;
	}
	if (fork_child(g, s, &t) < 0) {
		refuse(s, ENOMEM, "no process for the copy");
		return true;
	}
	stream_set_ops(s, NULL, NULL);
	stream_drop(s); /* the child has it */
	return true;
}
