/* What the host dials: a service inside, looked for where services listen, and then a relay. */
#include "guest/forward.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/relay.h"
#include "proto/agent.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct dial {
	struct dial_forward *f;
	struct dial *next, **prev;
	int stream; /* to the host */
	int tcp; /* the attempt that is under way; -1: none */
	struct loop_fd *src;
	struct loop_timer *late;
	uint16_t port;
	size_t at; /* which address is tried */
};

struct dial_forward {
	struct loop *loop;
	const char *const *addresses;
	size_t n_addresses;
	struct relay_group *relays;
	struct dial *dials;
	unsigned count; /* of dials */
	int fd; /* where PID 1 hands streams over; borrowed */
	struct loop_fd *src;
};

static void dial_free(struct dial *d)
{
	loop_del_fd(d->src);
	loop_del_timer(d->late);
	own_close_fd(&d->tcp);
	own_close_fd(&d->stream);
	*d->prev = d->next;
	if (d->next)
		d->next->prev = d->prev;
	d->f->count--;
	free(d);
}

/* refuse() - the host has sent nothing that could meet a closed socket: it waits for this */
static void refuse(struct dial *d, int num)
{
	AUTO(buf) b = {0};

	buf_init(&b, 512);
	if (agent_put_error(&b, num, "nothing in the sandbox answers on port %u", d->port) == 0)
		(void)!send(d->stream, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	dial_free(d);
}

static void on_late(void *ctx)
{
	struct dial *d = ctx;

	d->late = NULL;
	refuse(d, ETIMEDOUT);
}

static void connected(struct dial *d)
{
	AUTO(buf) b = {0};
	int one = 1;

	buf_init(&b, 64);
	if (agent_put_empty(&b, FRAME_OK) < 0) {
		dial_free(d);
		return;
	}
	(void)setsockopt(d->tcp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	loop_del_fd(d->src);
	d->src = NULL;
	(void)!relay_add(d->f->relays, &(struct relay_ends){.tcp = TAKE_FD(d->tcp),
					       .stream = TAKE_FD(d->stream),
					       .answered = true,
					       .to_stream = b.data,
					       .to_stream_len = b.len});
	dial_free(d);
}

static socklen_t address_of(const char *text, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (void *)ret;
	struct sockaddr_in6 *v6 = (void *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
		return 0; /* cannot be: these are our own constants */
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	return sizeof(*v6);
}

static void on_dialed(void *ctx, uint32_t events);

/* try_address() - 0: connected; -EINPROGRESS: on_dialed() will be called; else why it is not there */
static int try_address(struct dial *d)
{
	struct sockaddr_storage to;
	socklen_t len = address_of(d->f->addresses[d->at], d->port, &to);
	int r;

	d->tcp = len ? socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
	if (d->tcp < 0)
		return len ? -errno : -EINVAL;
	if (connect(d->tcp, (const struct sockaddr *)&to, len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	r = loop_add_fd(d->f->loop, d->tcp, EPOLLOUT, on_dialed, d, &d->src);
	return r < 0 ? r : -EINPROGRESS;
}

/* step() - @r is what became of the address that was tried; @d may be gone afterwards */
static void step(struct dial *d, int r)
{
	int first = r; /* what 127.0.0.1 said counts: the others are for few */

	while (r < 0 && r != -EINPROGRESS) {
		loop_del_fd(d->src);
		d->src = NULL;
		own_close_fd(&d->tcp);
		if (++d->at >= d->f->n_addresses) {
			refuse(d, first);
			return;
		}
		r = try_address(d);
	}
	if (r == 0)
		connected(d);
}

static void on_dialed(void *ctx, uint32_t events)
{
	struct dial *d = ctx;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)events;
	if (getsockopt(d->tcp, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	step(d, -error);
}

void dial_forward_add(struct dial_forward *f, uint16_t port, int stream_fd)
{
	AUTO_FD stream = stream_fd;
	struct dial *d;

	if (f->count + relay_count(f->relays) >= FORWARD_DIALS || io_set_nonblock(stream, true) < 0)
		return;
	d = calloc(1, sizeof(*d));
	if (!d)
		return;
	*d = (struct dial){.f = f,
		.next = f->dials,
		.prev = &f->dials,
		.stream = TAKE_FD(stream),
		.tcp = -1,
		.port = port};
	if (d->next)
		d->next->prev = &d->next;
	f->dials = d;
	f->count++;
	if (loop_add_timer(f->loop, clock_ms() + FORWARD_DIAL_MS, on_late, d, &d->late) < 0)
		dial_free(d);
	else
		step(d, try_address(d));
}

static void on_handed(void *ctx, uint32_t events)
{
	struct dial_forward *f = ctx;
	uint16_t port = 0;
	AUTO_FD fd = -1;

	(void)events;
	if (io_recv_fd(f->fd, &port, sizeof(port), &fd, clock_ms()) == sizeof(port) && fd >= 0)
		dial_forward_add(f, port, TAKE_FD(fd));
}

int dial_forward_listen(struct dial_forward *f, int fd)
{
	f->fd = fd;
	return loop_add_fd(f->loop, fd, EPOLLIN, on_handed, f, &f->src);
}

struct dial_forward *dial_forward_new(
	struct loop *l, const char *const *addresses, size_t n_addresses)
{
	struct dial_forward *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	*f = (struct dial_forward){.loop = l,
		.addresses = addresses,
		.n_addresses = n_addresses,
		.relays = relay_group_new(l),
		.fd = -1};
	if (!f->relays)
		free(TAKE(f));
	return f;
}

void dial_forward_free(struct dial_forward *f)
{
	if (!f)
		return;
	while (f->dials)
		dial_free(f->dials);
	relay_group_free(f->relays);
	loop_del_fd(f->src);
	free(f);
}

unsigned dial_forward_count(const struct dial_forward *f)
{
	return f->count + relay_count(f->relays);
}
