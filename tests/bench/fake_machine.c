/* fake_machine.c - an sbx-machine without a machine: every request is answered at once
 *
 * Stands in for sbx-machine under the real daemon (SBX_LIBEXEC_DIR), so that what `sbx run` and
 * `sbx exec` cost on the host is measured without a guest. It keeps docs/protocol/link.md and
 * agent.md as far as the two verbs need them: boot, EXEC ("x\n", status 0), PING, SHUTDOWN.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "link/link.h"
#include "machine/plan.h"
#include "proto/agent.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/socket.h>

#define STREAMS_MAX 64

struct stream {
	int fd; /* -1: free */
	bool boot;
	struct frame_decoder in;
};

static struct stream streams[STREAMS_MAX];

static int64_t soon(void)
{
	return clock_ms() + 5000;
}

static struct stream *add_stream(int fd, bool boot)
{
	for (size_t i = 0; i < STREAMS_MAX; i++)
		if (streams[i].fd < 0) {
			streams[i].fd = fd;
			streams[i].boot = boot;
			frame_decoder_init(&streams[i].in);
			return &streams[i];
		}
	close(fd);
	return NULL;
}

static void end_stream(struct stream *s)
{
	close(s->fd);
	s->fd = -1;
	frame_decoder_fini(&s->in);
}

static int say(const struct stream *s, const struct buf *b)
{
	return io_write_full(s->fd, b->data, b->len, soon());
}

static int answer_exec(const struct stream *s)
{
	AUTO(buf) b;
	int r;

	buf_init(&b, 256);
	r = agent_put_u32(&b, FRAME_STARTED, 2);
	if (r == 0)
		r = agent_put_u32(&b, FRAME_CREDIT, AGENT_CREDIT);
	if (r == 0)
		r = frame_add(&b, FRAME_STDOUT, "x\n", 2);
	if (r == 0)
		r = agent_put_exit(&b, (struct agent_exit){0, 0});
	return r < 0 ? r : say(s, &b);
}

/* judge() - answer one frame; false when the stream has ended with it */
static bool judge(const struct stream *s, const struct frame *f)
{
	AUTO(buf) b;

	buf_init(&b, 256);
	switch ((unsigned)f->type) {
	case FRAME_SETUP:
		return agent_put_u64(&b, FRAME_READY, 1) == 0 && say(s, &b) == 0;
	case FRAME_EXEC:
	case FRAME_ATTACH:
		(void)answer_exec(s);
		return false;
	case FRAME_SHUTDOWN:
		if (agent_put_empty(&b, FRAME_OK) == 0)
			(void)say(s, &b);
		exit(0);
	case FRAME_STDIN:
	case FRAME_RESIZE:
	case FRAME_SIGNAL:
		return true;
	default:
		if (agent_put_empty(&b, FRAME_OK) == 0)
			(void)say(s, &b);
		return false;
	}
}

static void serve_stream(struct stream *s)
{
	char bytes[65536];
	ssize_t n = read(s->fd, bytes, sizeof(bytes));
	struct frame f;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || frame_feed(&s->in, bytes, (size_t)n) < 0) {
		end_stream(s);
		return;
	}
	for (;;) {
		enum frame_result r = frame_next(&s->in, &f);

		if (r == FRAME_MORE)
			return;
		if (r == FRAME_BAD || !judge(s, &f)) {
			end_stream(s);
			return;
		}
	}
}

/* greet() - a daemon connected: say who we are, and let the "guest" connect to the boot port */
static int greet(int link, const struct machine_plan *plan, bool booted)
{
	struct link_msg m = {.op = LINK_HELLO, .state = booted ? LINK_RUNNING : LINK_STARTING};
	struct agent_hello hello = {.version = AGENT_VERSION, .kernel = "none"};
	AUTO(buf) b;
	struct stream *s;
	int fds[2], r;

	buf_init(&b, 256);
	m.n[0] = (uint64_t)getpid();
	m.n[1] = (uint64_t)clock_real_ms();
	(void)snprintf(m.text, sizeof(m.text), "%s", plan->id);
	r = link_send(link, &m, -1, soon());
	if (r < 0 || booted)
		return r;
	m = (struct link_msg){.op = LINK_STATE, .state = LINK_RUNNING};
	r = link_send(link, &m, -1, soon());
	if (r == 0)
		r = link_pair(fds);
	if (r < 0)
		return r;
	m = (struct link_msg){.op = LINK_STREAM, .port = FRAME_PORT_BOOT};
	r = link_send(link, &m, fds[1], soon());
	close(fds[1]);
	s = add_stream(fds[0], true);
	if (r == 0)
		r = agent_put_hello(&b, &hello);
	return r < 0 || !s ? r : say(s, &b);
}

static int serve_link(int link)
{
	struct link_msg m, reply = {.op = LINK_REPLY};
	int fd = -1;
	int r = link_recv(link, &m, &fd, soon());

	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	reply.seq = m.seq;
	if (m.op == LINK_OPEN) {
		r = io_set_nonblock(fd, true);
		add_stream(fd, false);
		return r;
	}
	if (m.op == LINK_KILL)
		exit(0);
	r = link_send(link, &reply, -1, soon());
	if (m.op == LINK_STOP)
		exit(0);
	return r;
}

static int run(const struct machine_plan *plan)
{
	int listener = link_listen(plan->dir_fd, LINK_SOCKET), link = -1;
	bool booted = false;

	if (listener < 0)
		return 1;
	for (;;) {
		struct pollfd p[STREAMS_MAX + 2] = {
			{.fd = listener, .events = POLLIN}, {.fd = link, .events = POLLIN}};

		for (size_t i = 0; i < STREAMS_MAX; i++)
			p[i + 2] = (struct pollfd){.fd = streams[i].fd, .events = POLLIN};
		if (poll(p, STREAMS_MAX + 2, -1) < 0 && errno != EINTR)
			return 1;
		for (size_t i = 0; i < STREAMS_MAX; i++)
			if (streams[i].fd >= 0 && p[i + 2].revents)
				serve_stream(&streams[i]);
		if (link >= 0 && p[1].revents && serve_link(link) < 0)
			own_close_fd(&link);
		if (p[0].revents) {
			own_close_fd(&link);
			link = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
			if (link >= 0 && greet(link, plan, booted) < 0)
				own_close_fd(&link);
			booted = booted || link >= 0;
		}
	}
}

int main(void)
{
	static uint8_t bytes[1 << 16];
	static struct machine_plan plan;
	struct stat st;

	for (size_t i = 0; i < STREAMS_MAX; i++)
		streams[i].fd = -1;
	if (fstat(MACHINE_PLAN_FD, &st) < 0 || st.st_size > (off_t)sizeof(bytes))
		return 2;
	if (pread(MACHINE_PLAN_FD, bytes, (size_t)st.st_size, 0) != st.st_size)
		return 2;
	if (machine_plan_decode(bytes, (size_t)st.st_size, &plan) < 0)
		return 2;
	return run(&plan);
}
