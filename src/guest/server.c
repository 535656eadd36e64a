#include "guest/server.h"
#include "base/clock.h"
#include "base/io.h"
#include "guest/proc.h"
#include "guest/settle.h"
#include "guest/transfer.h"
#include "guest/usage.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define ACCEPTS_PER_EVENT 16

struct server {
	struct guest *g;
	int fd; /* listening; -1: none */
	struct loop_fd *src;
	unsigned streams;
};

/* A stream whose request has not been read yet. */
struct request {
	struct server *server;
	struct stream *s;
	struct loop_timer *deadline;
};

static void request_free(struct request *q)
{
	loop_del_timer(q->deadline);
	free(q);
}

static void on_gone(void *ctx)
{
	request_free(ctx);
}

static void too_late(void *ctx)
{
	struct request *q = ctx;
	struct stream *s = q->s;

	q->deadline = NULL;
	request_free(q);
	stream_drop(s);
}

static void answer(struct stream *s, int r)
{
	stream_set_ops(s, NULL, NULL);
	if (stream_send(s, r))
		stream_end(s);
}

static void fail(struct stream *s, int num, const char *text)
{
	answer(s, agent_put_error(stream_out(s), num, "%s", text));
}

static bool do_exec(struct guest *g, struct stream *s, const struct frame *f)
{
	struct agent_exec *m = malloc(sizeof(*m));
	enum proto_result r;

	if (!m) {
		fail(s, ENOMEM, "no memory for the request");
		return true;
	}
	r = agent_get_exec(f, m);
	if (r == PROTO_OK) {
		proc_start(g, s, m);
		agent_exec_fini(m);
	}
	free(m);
	return r == PROTO_OK;
}

static bool do_attach(struct guest *g, struct stream *s, const struct frame *f)
{
	struct agent_attach m;

	if (agent_get_attach(f, &m) != PROTO_OK)
		return false;
	proc_attach(g, s, &m);
	return true;
}

static bool do_shutdown(struct guest *g, struct stream *s, const struct frame *f)
{
	uint32_t grace_ms;

	if (agent_get_u32(f, &grace_ms) != PROTO_OK)
		return false;
	answer(s, agent_put_empty(stream_out(s), FRAME_OK));
	g->power_off(g, grace_ms);
	return true;
}

static bool do_clock(struct guest *g, struct stream *s, const struct frame *f)
{
	uint64_t ns;
	int r;

	if (agent_get_u64(f, &ns) != PROTO_OK)
		return false;
	r = g->set_clock(ns);
	if (r < 0)
		fail(s, r, "the clock could not be set");
	else
		answer(s, agent_put_empty(stream_out(s), FRAME_OK));
	return true;
}

static bool do_usage(struct guest *g, struct stream *s, const struct frame *f)
{
	struct agent_usage u = {0};
	int r;

	if (f->len != 0)
		return false;
	r = usage_read(g->scratch_fd, &u);
	u.commands = proc_count(g);
	if (r < 0)
		fail(s, r, "what is in use could not be read");
	else
		answer(s, agent_put_usage(stream_out(s), &u));
	return true;
}

/* do_dial() - whoever dials answers on the stream: PID 1 has no part in what goes through it. What the
 * host sent ahead of the answer breaks the rules.
 */
static bool do_dial(struct guest *g, struct stream *s, const struct frame *f)
{
	struct frame_decoder in;
	AUTO_FD fd = -1;
	uint16_t port;
	bool ahead;

	if (agent_get_u16(f, &port) != PROTO_OK || port == 0)
		return false;
	fd = stream_take_fd(s, &in);
	ahead = in.in.len > in.used;
	frame_decoder_fini(&in);
	/* Not handed over, it is closed without a word: that is a refusal, too. */
	if (!ahead)
		(void)!g->dial(port, fd);
	stream_drop(s);
	return true;
}

static bool do_settle(struct guest *g, struct stream *s, const struct frame *f)
{
	uint32_t flags;

	if (agent_get_u32(f, &flags) != PROTO_OK ||
		(flags & ~(uint32_t)(AGENT_SETTLE_END | AGENT_SETTLE_SYNC)))
		return false;
	settle_start(g, s, flags);
	return true;
}

/* serve() - hand the stream over; false when the request breaks a rule, and nothing was done */
static bool serve(struct guest *g, struct stream *s, const struct frame *f)
{
	switch ((unsigned)f->type) {
	case FRAME_EXEC:
		return do_exec(g, s, f);
	case FRAME_ATTACH:
		return do_attach(g, s, f);
	case FRAME_PUT:
	case FRAME_GET:
		return transfer_start(g, s, f);
	case FRAME_PING:
		if (f->len != 0)
			return false;
		answer(s, agent_put_empty(stream_out(s), FRAME_OK));
		return true;
	case FRAME_SHUTDOWN:
		return do_shutdown(g, s, f);
	case FRAME_USAGE:
		return do_usage(g, s, f);
	case FRAME_CLOCK:
		return do_clock(g, s, f);
	case FRAME_DIAL:
		return do_dial(g, s, f);
	case FRAME_SETTLE:
		return do_settle(g, s, f);
	default:
		return false;
	}
}

static void on_frame(void *ctx, const struct frame *f)
{
	struct request *q = ctx;
	struct guest *g = q->server->g;
	struct stream *s = q->s;

	stream_set_ops(s, NULL, NULL);
	request_free(q);
	if (!serve(g, s, f))
		stream_drop(s);
}

static const struct stream_ops request_ops = {.frame = on_frame, .gone = on_gone};

static void on_stream_free(void *ctx)
{
	struct server *s = ctx;

	s->streams--;
}

/* refuse() - one frame if the socket takes it at once, and the end */
static void refuse(int fd)
{
	AUTO(buf) b;

	buf_init(&b, 512);
	if (agent_put_error(&b, EMFILE, "the sandbox serves %u requests at a time at most",
		    GUEST_STREAMS_MAX) == 0)
		(void)send(fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

void server_add(struct server *s, int fd)
{
	struct request *q;

	if (s->streams >= GUEST_STREAMS_MAX) {
		refuse(fd);
		return;
	}
	q = calloc(1, sizeof(*q));
	if (!q || stream_new(s->g->loop, fd, &request_ops, q, &q->s) < 0) {
		free(q);
		close(fd);
		return;
	}
	q->server = s;
	s->streams++;
	stream_on_free(q->s, on_stream_free, s);
	if (loop_add_timer(s->g->loop, clock_ms() + GUEST_REQUEST_MS, too_late, q, &q->deadline) <
		0) {
		struct stream *dropped = q->s;

		request_free(q);
		stream_drop(dropped);
		return;
	}
	stream_pump(q->s);
}

static void on_connection(void *ctx, uint32_t events)
{
	struct server *s = ctx;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_PER_EVENT; i++) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return; /* nothing more, or out of descriptors: the next event tries again */
		server_add(s, fd);
	}
}

int server_new(struct guest *g, struct server **ret_s)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*s = (struct server){.g = g, .fd = -1};
	*ret_s = s;
	return 0;
}

int server_listen(struct server *s, int fd)
{
	int r = io_set_nonblock(fd, true);

	if (r == 0)
		r = loop_add_fd(s->g->loop, fd, EPOLLIN, on_connection, s, &s->src);
	if (r == 0)
		s->fd = fd;
	return r;
}

void server_free(struct server *s)
{
	if (!s)
		return;
	loop_del_fd(s->src);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

unsigned server_streams(const struct server *s)
{
	return s->streams;
}
