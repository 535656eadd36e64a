#include "machine/control.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static void drop_peer(struct control *c, const char *why)
{
	if (c->peer_fd < 0)
		return;
	log_debug("link: %s", why);
	loop_del_fd(c->peer_src);
	c->peer_src = NULL;
	own_close_fd(&c->peer_fd);
}

/* send_now() - without waiting: a daemon that lets its socket fill up is dropped, not waited for */
static int send_now(struct control *c, const struct link_msg *m, int fd)
{
	int r;

	if (c->peer_fd < 0)
		return -ENOTCONN;
	r = link_send(c->peer_fd, m, fd, clock_ms());
	if (r < 0)
		drop_peer(c, "peer does not take messages");
	return r;
}

static const struct control_request *find(const struct control *c, enum link_op op)
{
	for (size_t i = 0; i < c->n_requests; i++)
		if (c->requests[i].op == op)
			return &c->requests[i];
	return NULL;
}

static void on_peer(void *ctx, uint32_t events)
{
	struct control *c = ctx;
	const struct control_request *q;
	struct link_msg m;
	AUTO_FD fd = -1;
	int r;

	(void)events;
	r = link_recv(c->peer_fd, &m, &fd, clock_ms());
	if (r == -ETIMEDOUT)
		return;
	if (r <= 0) {
		c->faults += r == -EBADMSG;
		drop_peer(c, r == 0 ? "peer left" : "peer broke the form");
		return;
	}
	q = find(c, m.op);
	if (!q) {
		c->faults++;
		drop_peer(c, "peer sent what only a machine may");
	} else if (!(q->states >> c->hello.state & 1)) {
		control_reply(c, &m, -EBUSY, "not in this state", NULL);
	} else {
		q->handler(c->ctx, &m, TAKE_FD(fd));
	}
}

static void on_listen(void *ctx, uint32_t events)
{
	struct control *c = ctx;
	AUTO_FD fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	if (!link_peer_is_us(fd)) {
		c->faults++;
		return;
	}
	drop_peer(c, "replaced by a newer peer");
	if (loop_add_fd(c->loop, fd, EPOLLIN, on_peer, c, &c->peer_src) < 0)
		return;
	c->peer_fd = TAKE_FD(fd);
	(void)send_now(c, &c->hello, -1);
}

int control_open(struct control *c, struct loop *l, int listen_fd, const struct link_msg *hello,
	const struct control_request *requests, size_t n, void *ctx)
{
	*c = (struct control){.loop = l,
		.requests = requests,
		.n_requests = n,
		.ctx = ctx,
		.hello = *hello,
		.listen_fd = listen_fd,
		.peer_fd = -1};
	return loop_add_fd(l, listen_fd, EPOLLIN, on_listen, c, &c->listen_src);
}

void control_close(struct control *c)
{
	if (!c->loop)
		return;
	drop_peer(c, "the machine ends");
	loop_del_fd(c->listen_src);
	c->listen_src = NULL;
	own_close_fd(&c->listen_fd);
}

void control_reply(struct control *c, const struct link_msg *to, int result, const char *text,
	const uint64_t numbers[5])
{
	struct link_msg m = {.op = LINK_REPLY, .seq = to->seq, .result = result};

	if (text)
		(void)snprintf(m.text, sizeof(m.text), "%s", text);
	if (numbers)
		memcpy(m.n, numbers, sizeof(m.n));
	(void)send_now(c, &m, -1);
}

void control_state(struct control *c, enum link_state state, const char *reason)
{
	struct link_msg m = {.op = LINK_STATE, .state = state};

	c->hello.state = state;
	(void)snprintf(m.text, sizeof(m.text), "%s", reason ? reason : "");
	(void)send_now(c, &m, -1);
}

int control_stream(struct control *c, uint32_t port, int fd)
{
	const struct link_msg m = {.op = LINK_STREAM, .port = port};
	int r;

	if (c->peer_fd < 0)
		return -ENOTCONN;
	/* The guest decides how many of these there are: one for which the daemon has no room is
	 * refused, and is no reason to drop the daemon.
	 */
	r = link_send(c->peer_fd, &m, fd, 0);
	if (r < 0 && r != -ETIMEDOUT && r != -ETOOMANYREFS)
		drop_peer(c, "peer does not take messages");
	return r;
}
