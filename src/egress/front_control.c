/* The daemon's socket: configuration, the other ends, verdicts, figures; and the machine's streams. */
#include "base/clock.h"
#include "base/io.h"
#include "egress/front.h"
#include "link/link.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define MESSAGES 16 /* in a row */

int front_control_send(struct front *f, const struct egress_msg *m)
{
	struct buf b;
	int r;

	if (f->control_fd < 0)
		return -ENOTCONN;
	buf_init(&b, EGRESS_CONTROL_MAX);
	r = egress_put_msg(&b, m);
	if (r == 0)
		r = io_send_fd(f->control_fd, b.data, b.len, -1, 0);
	buf_fini(&b);
	return r == -ETIMEDOUT ? -EAGAIN : r;
}

static void reply(struct front *f, uint32_t seq, int result, const char *text)
{
	const struct egress_msg m = {
		.op = EGRESS_OP_REPLY, .seq = seq, .result = result, .text = text};

	(void)!front_control_send(f, &m);
}

static void reply_stats(struct front *f, uint32_t seq)
{
	struct egress_msg m = {.op = EGRESS_OP_REPLY, .seq = seq, .text = ""};
	struct buf b;

	f->stats.streams = f->n_streams;
	f->stats.channels = f->n_channels;
	buf_init(&b, 256);
	if (egress_put_stats(&b, &f->stats) == 0) {
		m.blob = (const uint8_t *)b.data;
		m.blob_len = b.len;
		(void)!front_control_send(f, &m);
	}
	buf_fini(&b);
}

/* drain() - the sandbox has ended: so does all that is under way, and its records go out at once */
static void drain(struct front *f, uint32_t seq)
{
	front_streams_stop(f);
	for (struct front_stream *s = f->streams; s; s = s->next)
		front_stream_kill(s);
	f->audit.delay_ms = 0;
	f->draining = seq;
}

void front_drained(struct front *f)
{
	if (!f->draining || f->audit.n_waiting > 0 || f->audit.n_flying > 0)
		return;
	reply(f, f->draining, 0, "");
	f->draining = 0;
}

/* judge_again() - what was allowed may not be any more, and what was held may be now */
static void judge_again(struct front *f)
{
	for (struct front_stream *s = f->streams; s; s = s->next) {
		struct front_exchange *x, *next;

		for (x = s->dead ? NULL : s->exchanges; x && !s->dead; x = next) {
			next = x->next;
			front_exchange_judge_again(x);
		}
	}
}

int front_configure(struct front *f, const void *bytes, size_t len, struct err *e)
{
	struct egress_config c;
	struct policy *p = NULL;
	int r;

	if (egress_get_config(bytes, len, &c) != PROTO_OK) {
		egress_config_fini(&c);
		return err_set(e, ERR_INVALID, -EBADMSG, "malformed configuration");
	}
	r = policy_decode(c.policy, c.policy_len, &p);
	if (r < 0) {
		egress_config_fini(&c);
		return err_sys(e, r, "read the policy");
	}
	policy_free(f->policy);
	egress_config_fini(&f->config);
	f->policy = p;
	f->config = c;
	judge_again(f);
	return 0;
}

static void on_config(struct front *f, uint32_t seq, int fd)
{
	struct err e = {0};
	struct buf b;
	int r;

	buf_init(&b, EGRESS_CONFIG_MAX);
	r = io_read_fd(fd, &b);
	if (r < 0)
		(void)err_sys(&e, r, "read the configuration");
	else
		r = front_configure(f, b.data, b.len, &e);
	buf_fini(&b);
	reply(f, seq, r < 0 ? r : 0, e.msg);
}

static void on_message(struct front *f, const struct egress_msg *m, int fd)
{
	AUTO_FD own = fd;

	switch (m->op) {
	case EGRESS_OP_CONFIG:
		on_config(f, m->seq, own);
		break;
	case EGRESS_OP_PEER:
		front_channel_peer(f, TAKE_FD(own));
		reply(f, m->seq, 0, "");
		break;
	case EGRESS_OP_STREAMS:
		reply(f, m->seq, front_streams_set(f, TAKE_FD(own)), "");
		break;
	case EGRESS_OP_VERDICT:
		front_ask_answer(f, m->id, m->yes);
		break;
	case EGRESS_OP_STATS:
		reply_stats(f, m->seq);
		break;
	case EGRESS_OP_DRAIN:
		drain(f, m->seq);
		break;
	case EGRESS_OP_REPLY:
		front_audit_answer(f, m->seq, m->result);
		break;
	case EGRESS_OP_HELLO:
	case EGRESS_OP_SECRET: /* never ours: whoever sends it is mistaken about whom he talks to */
	case EGRESS_OP_ASK:
	case EGRESS_OP_AUDIT:
	case EGRESS_OP_CAUGHT:
	default:
		reply(f, m->seq, -EOPNOTSUPP, "not for the front");
	}
}

static void disconnect(struct front *f)
{
	loop_del_fd(f->control_src);
	f->control_src = NULL;
	own_close_fd(&f->control_fd);
	front_audit_reset(f);
}

static void on_control(void *ctx, uint32_t events)
{
	static uint8_t bytes[EGRESS_CONTROL_MAX + 1];
	struct front *f = ctx;

	struct egress_msg m;
	AUTO_FD fd = -1;
	ssize_t n = io_recv_fd(f->control_fd, bytes, sizeof(bytes), &fd, 0);

	(void)events;
	f->now = clock_ms();
	if (n == -ETIMEDOUT || n == -EAGAIN)
		return;
	if (n <= 0 || egress_get_msg(bytes, (size_t)n, fd >= 0, &m) != PROTO_OK)
		disconnect(f);
	else
		on_message(f, &m, TAKE_FD(fd));
}

int front_control_take(struct front *f, int fd)
{
	AUTO_FD s = fd;
	const struct egress_msg m = {.op = EGRESS_OP_HELLO,
		.who = EGRESS_FRONT,
		.pid = 1,
		.id = f->config.generation,
		.name = f->id};
	int r;

	disconnect(f);
	r = loop_add_fd(f->loop, s, EPOLLIN, on_control, f, &f->control_src);
	if (r < 0)
		return r;
	f->control_fd = TAKE_FD(s);
	return front_control_send(f, &m);
}

static void on_listen(void *ctx, uint32_t events)
{
	struct front *f = ctx;
	AUTO_FD s = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (s >= 0 && link_peer_is_us(s))
		(void)!front_control_take(f, TAKE_FD(s));
}

int front_control_start(struct front *f, struct err *e)
{
	int r;

	f->listen_fd = link_listen(f->dir_fd, EGRESS_FRONT_SOCKET);
	if (f->listen_fd < 0)
		return err_sys(e, f->listen_fd, "make the socket %s", EGRESS_FRONT_SOCKET);
	r = loop_add_fd(f->loop, f->listen_fd, EPOLLIN, on_listen, f, &f->listen_src);
	return r < 0 ? err_sys(e, r, "watch the socket %s", EGRESS_FRONT_SOCKET) : 0;
}

void front_control_stop(struct front *f)
{
	disconnect(f);
	loop_del_fd(f->listen_src);
	f->listen_src = NULL;
	own_close_fd(&f->listen_fd);
}

/* ---- streams of the machine ---- */

static void on_streams(void *ctx, uint32_t events)
{
	struct front *f = ctx;

	(void)events;
	f->now = clock_ms();
	for (unsigned i = 0; i < MESSAGES && f->streams_fd >= 0; i++) {
		struct link_msg m;
		AUTO_FD fd = -1;
		int r = link_recv(f->streams_fd, &m, &fd, 0);

		if (r == -ETIMEDOUT)
			return;
		if (r <= 0 || m.op != LINK_STREAM) {
			front_streams_stop(f);
			return;
		}
		(void)!front_stream_open(f, TAKE_FD(fd), m.port);
	}
}

int front_streams_set(struct front *f, int fd)
{
	AUTO_FD own = fd;
	int r = io_set_nonblock(own, true);

	if (r < 0)
		return r;
	front_streams_stop(f);
	r = loop_add_fd(f->loop, own, EPOLLIN, on_streams, f, &f->streams_src);
	if (r < 0)
		return r;
	f->streams_fd = TAKE_FD(own);
	return 0;
}

void front_streams_stop(struct front *f)
{
	loop_del_fd(f->streams_src);
	f->streams_src = NULL;
	own_close_fd(&f->streams_fd);
}
