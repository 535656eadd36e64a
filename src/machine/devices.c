#include "machine/devices.h"
#include "base/clock.h"
#include "link/link.h"
#include "proto/frame.h"
#include <errno.h>
#include <sys/socket.h>

/* may_open() - a guest's storm of connects costs nothing but its own packets */
static bool may_open(struct devices *d, uint32_t port)
{
	int64_t now = clock_ms();

	if (port == FRAME_PORT_TCP || port == FRAME_PORT_DNS)
		return true; /* as many as the device has room for: it is what they are for */
	if (port != FRAME_PORT_BOOT)
		return false;
	if (now - d->opens_since >= 1000) {
		d->opens_since = now;
		d->opens = 0;
	}
	return ++d->opens <= DEVICES_OPENS;
}

/* on_guest_stream() - the guest gets one end of a pair, the daemon the other */
static int on_guest_stream(void *ctx, uint32_t port)
{
	struct devices *d = ctx;
	int pair[2], r;

	if (!may_open(d, port))
		return -ECONNREFUSED;
	r = link_pair(pair);
	if (r < 0)
		return r;
	AUTO_FD ours = pair[0], theirs = pair[1];
	r = d->ev.stream(d->ev.ctx, port, theirs);
	return r < 0 ? r : TAKE_FD(ours);
}

static void on_vsock_closed(void *ctx, enum vu_result why)
{
	struct devices *d = ctx;

	vhost_user_free(d->vsock_conn);
	d->vsock_conn = NULL;
	if (why != VU_CLOSED)
		d->ev.broken(d->ev.ctx, "QEMU broke the rules of the stream device's connection");
}

static void on_vsock_running(void *ctx, bool up)
{
	struct devices *d = ctx;

	if (up)
		d->ev.driver_up(d->ev.ctx);
}

static void on_vsock_broken(void *ctx, unsigned index, const char *why)
{
	struct devices *d = ctx;

	d->ev.queue_broken(d->ev.ctx, "vsock", index, why);
}

static int open_vsock(struct devices *d, struct loop *l, int *ret_fd, struct err *e)
{
	const struct vsock_events streams = {.incoming = on_guest_stream, .ctx = d};
	const struct vhost_user_events conn = {.closed = on_vsock_closed,
		.running = on_vsock_running,
		.ctx = d,
		.broken = on_vsock_broken};
	int pair[2];

	d->vsock = vsock_new(l, &streams);
	if (!d->vsock)
		return err_sys(e, -ENOMEM, "make the stream device");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, -errno, "make a socket pair");
	AUTO_FD theirs = pair[1];
	d->vsock_conn = vhost_user_new(l, pair[0], vsock_dev(d->vsock), &conn);
	if (!d->vsock_conn)
		return err_sys(e, -errno, "serve the stream device");
	*ret_fd = TAKE_FD(theirs);
	return 0;
}

static void on_share_broken(void *ctx, unsigned queue, const char *why)
{
	struct devices *d = ctx;

	if (why)
		d->ev.queue_broken(d->ev.ctx, "fs", queue, why);
	else
		d->ev.broken(d->ev.ctx, "QEMU broke the rules of the file device's connection");
}

int devices_open(struct devices *d, struct loop *l, const struct machine_plan *p,
	const struct devices_events *ev, int *ret_vsock_fd, int *ret_fs_fd, struct err *e)
{
	int r;

	*d = (struct devices){.ev = *ev};
	*ret_fs_fd = -1;
	r = open_vsock(d, l, ret_vsock_fd, e);
	if (r < 0 || p->n_exports == 0)
		return r;
	return share_open(p, l, on_share_broken, d, &d->share, ret_fs_fd, e);
}

int devices_start(struct devices *d, struct err *e)
{
	return d->share ? share_start(d->share, e) : 0;
}

uint64_t devices_faults(const struct devices *d)
{
	struct vsock_stats st;

	vsock_stats(d->vsock, &st);
	return st.faults + share_faults(d->share);
}

bool devices_broken(const struct devices *d)
{
	return share_broken(d->share) || virtio_dev_broken(vsock_dev(d->vsock));
}

void devices_close(struct devices *d)
{
	share_free(d->share);
	vhost_user_free(d->vsock_conn);
	vsock_free(d->vsock);
	d->share = NULL;
	d->vsock_conn = NULL;
	d->vsock = NULL;
}
