/* What is redirected here becomes a stream of the host, headed by where it wanted to go. */
#include "guest/forward.h"
#include "base/relay.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define ACCEPTS_A_ROUND 32

struct listener {
	struct listener *next;
	struct tcp_forward *f;
	int fd;
	struct loop_fd *src;
};

struct tcp_forward {
	struct loop *loop;
	const struct forward_ops *ops;
	struct relay_group *relays;
	struct listener *listeners;
};

void forward_header(const struct forward_dest *d, uint8_t dst[FORWARD_HEADER])
{
	memset(dst, 0, FORWARD_HEADER);
	memcpy(dst, "SBXT", 4);
	dst[4] = 1;
	dst[5] = d->family;
	dst[6] = (uint8_t)d->port;
	dst[7] = (uint8_t)(d->port >> 8);
	memcpy(dst + 8, d->addr, d->family == 4 ? 4 : 16);
	dst[24] = d->proxy;
}

void tcp_forward_add(struct tcp_forward *f, int client_fd)
{
	AUTO_FD fd = client_fd;
	struct forward_dest dest = {0};
	uint8_t header[FORWARD_HEADER];

	relay_reset_on_close(fd, true); /* until there is somebody to take it */
	if (relay_count(f->relays) >= FORWARD_CONNS || f->ops->origin(f->ops->ctx, fd, &dest) < 0)
		return;
	AUTO_FD host = f->ops->dial(f->ops->ctx, FRAME_PORT_TCP);
	if (host < 0)
		return;
	forward_header(&dest, header);
	/* It resets the client when it cannot be: nobody else wants to know. */
	(void)!relay_add(f->relays, &(struct relay_ends){.tcp = TAKE_FD(fd),
					    .stream = TAKE_FD(host),
					    .dialing = true,
					    .to_stream = header,
					    .to_stream_len = sizeof(header)});
}

static void on_listener(void *ctx, uint32_t events)
{
	struct listener *l = ctx;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		tcp_forward_add(l->f, fd);
	}
}

int tcp_forward_listen(struct tcp_forward *f, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	*l = (struct listener){.next = f->listeners, .f = f, .fd = fd};
	r = loop_add_fd(f->loop, fd, EPOLLIN, on_listener, l, &l->src);
	if (r < 0) {
		free(l);
		return r;
	}
	f->listeners = l;
	return 0;
}

struct tcp_forward *tcp_forward_new(struct loop *l, const struct forward_ops *ops)
{
	struct tcp_forward *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	*f = (struct tcp_forward){.loop = l, .ops = ops, .relays = relay_group_new(l)};
	if (!f->relays)
		free(TAKE(f));
	return f;
}

void tcp_forward_free(struct tcp_forward *f)
{
	if (!f)
		return;
	relay_group_free(f->relays);
	while (f->listeners) {
		struct listener *l = f->listeners;

		f->listeners = l->next;
		loop_del_fd(l->src);
		free(l);
	}
	free(f);
}

unsigned tcp_forward_count(const struct tcp_forward *f)
{
	return relay_count(f->relays);
}
