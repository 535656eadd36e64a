#include "guest/boot.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>

#define PAUSE_MIN_MS	100
#define PAUSE_MAX_MS	2000
#define SETUP_WAIT_MS	60000
#define SEND_WAIT_MS	10000
#define FAILED_TRIES_MS 10000
#define STEPS_MAX	64

struct boot {
	int fd;
	unsigned steps;
	bool broken; /* the stream failed: the host may have to be told again */
};

static int send_buf(struct boot *b, const struct buf *out)
{
	int r = io_write_full(b->fd, out->data, out->len, clock_ms() + SEND_WAIT_MS);

	if (r < 0)
		b->broken = true;
	return r;
}

static int send_hello(struct boot *b)
{
	struct agent_hello m = {.version = AGENT_VERSION};
	struct utsname name;
	AUTO(buf) out;
	int r;

	buf_init(&out, 1024);
	if (uname(&name) == 0)
		(void)snprintf(m.kernel, sizeof(m.kernel), "%.64s", name.release);
	r = agent_put_hello(&out, &m);
	return r < 0 ? r : send_buf(b, &out);
}

static void send_step(void *ctx, const char *what)
{
	struct boot *b = ctx;
	AUTO(buf) out;

	buf_init(&out, 1024);
	if (b->steps++ < STEPS_MAX && agent_put_text(&out, FRAME_STEP, what) == 0)
		(void)send_buf(b, &out);
}

static int send_ready(struct boot *b)
{
	struct timespec t;
	AUTO(buf) out;
	int r;

	buf_init(&out, 64);
	clock_gettime(CLOCK_BOOTTIME, &t);
	r = agent_put_u64(
		&out, FRAME_READY, (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000);
	return r < 0 ? r : send_buf(b, &out);
}

static void send_error(struct boot *b, const struct err *e)
{
	AUTO(buf) out;

	buf_init(&out, 1024);
	if (agent_put_error(&out, e->num ? e->num : -EIO, "%s", e->msg) == 0)
		(void)send_buf(b, &out);
}

/* finish() - no last frame may be lost to a close: the host closes first, or has had its time */
static void finish(struct boot *b)
{
	int64_t deadline = clock_ms() + 1000;
	char drop[512];

	if (!b->broken && shutdown(b->fd, SHUT_WR) == 0)
		while (io_wait(b->fd, POLLIN, deadline) == 0 && read(b->fd, drop, sizeof(drop)) > 0)
			;
}

static int read_setup(struct boot *b, struct frame_decoder *in, struct agent_setup *ret_m)
{
	int64_t deadline = clock_ms() + SETUP_WAIT_MS;
	static uint8_t bytes[65536];
	enum frame_result got;
	struct frame f;

	while ((got = frame_next(in, &f)) == FRAME_MORE) {
		ssize_t n;
		int r = io_wait(b->fd, POLLIN, deadline);

		if (r < 0)
			return r;
		n = read(b->fd, bytes, sizeof(bytes));
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0 || frame_feed(in, bytes, (size_t)n) < 0)
			return -EPIPE;
	}
	if (got != FRAME_GOT || f.type != FRAME_SETUP || agent_get_setup(&f, ret_m) != PROTO_OK)
		return -EBADMSG;
	return 0;
}

/* take_setup() - 0 when g->setup is new and to be applied; the first one counts */
static int take_setup(struct boot *b, struct agent_setup *ret_m)
{
	struct frame_decoder in;
	int r;

	frame_decoder_init(&in);
	r = read_setup(b, &in, ret_m);
	frame_decoder_fini(&in);
	if (r < 0)
		b->broken = true;
	return r;
}

static int set_up(
	struct boot *b, struct guest *g, const struct boot_ops *ops, bool *done, struct err *e)
{
	struct agent_setup *m = calloc(1, sizeof(*m));
	int r = m ? take_setup(b, m) : -ENOMEM;

	if (r == 0 && *done) {
		r = ops->refresh(ops->ctx, m, e);
		agent_setup_fini(m);
	} else if (r == 0) {
		agent_setup_fini(&g->setup);
		g->setup = *m; /* its lists go along */
		r = ops->apply(ops->ctx, &g->setup, send_step, b, e);
		*done = r == 0;
	}
	free(m);
	return r;
}

int boot_run(struct guest *g, const struct boot_ops *ops, const struct err *failed, struct err *e)
{
	int64_t give_up = clock_ms() + FAILED_TRIES_MS;
	int pause_ms = PAUSE_MIN_MS, r;
	bool done = false;

	for (;;) {
		AUTO_FD fd = ops->connect(ops->ctx);
		struct boot b = {.fd = fd};

		r = b.fd < 0 ? b.fd : send_hello(&b);
		if (r == 0 && !failed) {
			r = set_up(&b, g, ops, &done, e);
			if (r == 0)
				r = send_ready(&b);
			if (r == 0) {
				finish(&b);
				return 0;
			}
		}
		if (b.fd >= 0 && !b.broken) { /* it is not the stream that failed */
			if (failed)
				*e = *failed;
			send_error(&b, e);
			finish(&b);
			return e->num ? e->num : -EIO;
		}
		if (failed && clock_left(give_up) == 0) {
			*e = *failed;
			return e->num ? e->num : -EIO;
		}
		usleep((useconds_t)pause_ms * 1000);
		pause_ms = pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pause_ms * 2;
	}
}
