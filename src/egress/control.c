/* The daemon's socket: fixed messages, one descriptor at most; the newest connection is the one that counts */
#include "egress/chan.h"
#include "egress/arena.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "link/link.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SEND_MS 2000 /* a daemon that does not read for so long is given up */

static void drop_control(struct vault *v)
{
	loop_del_fd(v->control_src);
	v->control_src = NULL;
	own_close_fd(&v->control_fd);
}

static void drop_peer(struct vault *v)
{
	loop_del_fd(v->peer_src);
	v->peer_src = NULL;
	own_close_fd(&v->peer_fd);
}

static void send_msg(struct vault *v, const struct egress_msg *m)
{
	AUTO(buf) b = {0};

	if (v->control_fd < 0)
		return;
	buf_init(&b, EGRESS_CONTROL_MAX);
	if (egress_put_msg(&b, m) < 0 ||
		io_send_fd(v->control_fd, b.data, b.len, -1, clock_ms() + SEND_MS) < 0)
		drop_control(v);
	if (b.data)
		explicit_bzero(b.data, b.cap);
}

void control_caught(struct vault *v, const char *name, const void *value, size_t len)
{
	const struct egress_msg m = {.op = EGRESS_OP_CAUGHT,
		.seq = ++v->seq,
		.name = name,
		.blob = value,
		.blob_len = len};

	send_msg(v, &m);
}

/* ---- channels ---- */

static void on_peer(void *ctx, uint32_t events)
{
	struct vault *v = ctx;
	uint8_t byte[2];
	int fd = -1;
	ssize_t n = io_recv_fd(v->peer_fd, byte, sizeof(byte), &fd, 0);

	(void)events;
	if (n == -ETIMEDOUT || n == -EAGAIN)
		return;
	if (n != 1 || byte[0] != 1 || fd < 0) {
		if (fd >= 0)
			close(fd);
		v->faults += n != 0;
		drop_peer(v);
		return;
	}
	if (io_set_nonblock(fd, true) < 0)
		close(fd);
	else if (chan_new(v, fd) < 0)
		v->faults++;
}

/* take_peer() - channels of the former front go with it */
static int take_peer(struct vault *v, int fd)
{
	int r;

	drop_peer(v);
	for (struct chan *c = v->chans; c; c = c->next)
		chan_close(c);
	v->peer_fd = fd;
	r = io_set_nonblock(fd, true);
	if (r == 0)
		r = loop_add_fd(v->loop, fd, EPOLLIN, on_peer, v, &v->peer_src);
	if (r < 0)
		own_close_fd(&v->peer_fd);
	return r;
}

/* ---- messages ---- */

static int take_config(struct vault *v, int fd, char *text, size_t cap)
{
	AUTO(buf) b = {0};
	struct err e = {0};
	int r;

	buf_init(&b, EGRESS_CONFIG_MAX);
	r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : io_read_fd(fd, &b);
	if (r == 0)
		r = vault_configure(v, b.data, b.len, &e);
	else
		err_sys(&e, r, "read the configuration");
	(void)snprintf(text, cap, "%s", e.msg);
	return r;
}

int vault_secret(struct vault *v, const struct egress_msg *m)
{
	unsigned before = arena_unlocked();
	int r;

	v->changes++;
	up_forget(v, m->name);
	explicit_bzero(v->scratch, sizeof(v->scratch)); /* answers that held it were read into it */
	if (!m->yes) {
		secrets_drop(v->secrets, m->name);
		for (struct chan *c = v->chans; c; c = c->next)
			if (!c->dead)
				exchange_revoke(c, m->name);
		return 0;
	}
	r = secrets_put(v->secrets, m->name, m->blob, m->blob_len);
	if (before == 0 && arena_unlocked() > 0)
		log_warn("memory of secrets may be swapped: the limit of locked memory is reached");
	return r;
}

static void reply(struct vault *v, uint32_t seq, int result, const char *text)
{
	const struct egress_msg m = {
		.op = EGRESS_OP_REPLY, .seq = seq, .result = result, .text = text};

	send_msg(v, &m);
}

static void reply_stats(struct vault *v, uint32_t seq)
{
	const struct egress_stats s = {.channels = v->n_chans,
		.requests = v->requests,
		.denials = v->denials,
		.faults = v->faults};
	struct egress_msg m = {.op = EGRESS_OP_REPLY, .seq = seq, .text = ""};
	AUTO(buf) b = {0};

	buf_init(&b, 256);
	if (egress_put_stats(&b, &s) < 0)
		return;
	m.blob = (const uint8_t *)b.data;
	m.blob_len = b.len;
	send_msg(v, &m);
}

/* take() - false: nothing that a daemon of ours sends */
static bool take(struct vault *v, const struct egress_msg *m, int *fd)
{
	char text[ERR_MSG_MAX] = "";
	int r;

	switch (m->op) {
	case EGRESS_OP_CONFIG:
		r = take_config(v, *fd, text, sizeof(text));
		break;
	case EGRESS_OP_PEER:
		r = take_peer(v, TAKE_FD(*fd));
		break;
	case EGRESS_OP_SECRET:
		r = vault_secret(v, m);
		break;
	case EGRESS_OP_STATS:
		reply_stats(v, m->seq);
		return true;
	case EGRESS_OP_REPLY:
		return true; /* to a CAUGHT: nothing is to be done */
	case EGRESS_OP_HELLO:
	case EGRESS_OP_STREAMS:
	case EGRESS_OP_ASK:
	case EGRESS_OP_VERDICT:
	case EGRESS_OP_AUDIT:
	case EGRESS_OP_CAUGHT:
	case EGRESS_OP_DRAIN:
	default:
		return false;
	}
	reply(v, m->seq, r, text);
	return true;
}

static void on_control(void *ctx, uint32_t events)
{
	static uint8_t bytes[EGRESS_CONTROL_MAX + 1]; /* one thread; too large for the stack */
	struct vault *v = ctx;
	struct egress_msg m;
	AUTO_FD fd = -1;
	ssize_t n = io_recv_fd(v->control_fd, bytes, sizeof(bytes), &fd, 0);
	bool ok;

	(void)events;
	if (n == -ETIMEDOUT || n == -EAGAIN)
		return;
	ok = n > 0 && egress_get_msg(bytes, (size_t)n, fd >= 0, &m) == PROTO_OK && take(v, &m, &fd);
	explicit_bzero(bytes, n > 0 ? (size_t)n : 0);
	if (!ok)
		drop_control(v);
}

static void on_connect(void *ctx, uint32_t events)
{
	struct vault *v = ctx;
	AUTO_FD fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	const struct egress_msg hello = {.op = EGRESS_OP_HELLO,
		.seq = ++v->seq,
		.who = EGRESS_VAULT,
		.pid = (uint32_t)getpid(),
		.name = v->id,
		.id = v->config ? v->config->c.generation : 0};

	(void)events;
	if (fd < 0 || !link_peer_is_us(fd))
		return;
	drop_control(v);
	if (loop_add_fd(v->loop, fd, EPOLLIN, on_control, v, &v->control_src) < 0)
		return;
	v->control_fd = TAKE_FD(fd);
	send_msg(v, &hello);
}

int control_start(struct vault *v, struct err *e)
{
	int r = loop_add_fd(v->loop, v->listen_fd, EPOLLIN, on_connect, v, &v->listen_src);

	return r < 0 ? err_sys(e, r, "wait for the daemon") : 0;
}

void control_stop(struct vault *v)
{
	drop_control(v);
	drop_peer(v);
	loop_del_fd(v->listen_src);
	v->listen_src = NULL;
	own_close_fd(&v->listen_fd);
}
