#include "daemon/agent.h"
#include "daemon/watch.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/io.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define CHUNK 32768

int agent_adopt(struct agent_stream *a, int fd, int64_t deadline, struct err *e)
{
	int r;

	*a = (struct agent_stream){.fd = fd, .deadline = deadline};
	frame_decoder_init(&a->in);
	r = io_set_nonblock(fd, true);
	return r < 0 ? err_sys(e, r, "open a stream to the guest") : 0;
}

int agent_open(struct agent_stream *a, struct sandbox *s, int64_t deadline, struct err *e)
{
	int fd = box_open_stream(s, FRAME_PORT_AGENT, e);

	if (fd < 0) {
		*a = (struct agent_stream){.fd = -1};
		return fd;
	}
	if (agent_adopt(a, fd, deadline, e) < 0)
		return -EIO;
	a->box = s;
	return 0;
}

void agent_stream_fini(struct agent_stream *a)
{
	if (!a)
		return;
	own_close_fd(&a->fd);
	frame_decoder_fini(&a->in);
}

void agent_stream_auto(struct agent_stream *a)
{
	agent_stream_fini(a);
}

static void mark(struct agent_stream *a, bool silent)
{
	if (!a->box)
		return;
	(void)pthread_mutex_lock(&a->box->lock);
	a->box->silent = silent;
	(void)pthread_mutex_unlock(&a->box->lock);
}

static int lost(struct agent_stream *a, int r, struct err *e)
{
	if (r == -ETIMEDOUT) {
		mark(a, true);
		return err_set(e, ERR_TIMEOUT, r, "the guest's agent did not answer in time");
	}
	if (r == -ECANCELED)
		return err_set(e, ERR_UNAVAILABLE, r, "who asked has gone");
	if (r == -EPIPE || r == -ECONNRESET || r == -ENODATA)
		return err_set(e, ERR_UNAVAILABLE, -ECONNRESET,
			"the guest closed the stream without an answer");
	return err_sys(e, r, "talk to the guest's agent");
}

int agent_send(struct agent_stream *a, const struct buf *frames, struct err *e)
{
	int r = io_write_full(a->fd, frames->data, frames->len, a->deadline);

	return r < 0 ? lost(a, r, e) : 0;
}

/* wait_bytes() - a client that only said that it will send no more is still there */
static int wait_bytes(const struct agent_stream *a)
{
	struct pollfd p[] = {{.fd = a->fd, .events = POLLIN}, {.fd = a->client ? *a->client : -1}};
	int n;

	do {
		n = poll(p, ARRAY_LEN(p), clock_left(a->deadline));
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -ETIMEDOUT;
	return p[0].revents ? 0 : -ECANCELED;
}

int agent_next(struct agent_stream *a, struct frame *ret, struct err *e)
{
	for (;;) {
		char chunk[4096];
		ssize_t n;
		int r;

		switch (frame_next(&a->in, ret)) {
		case FRAME_GOT:
			mark(a, false);
			return 0;
		case FRAME_BAD:
			return err_set(
				e, ERR_INTERNAL, -EBADMSG, "the guest's agent broke the protocol");
		case FRAME_MORE:
			break;
		}
		r = wait_bytes(a);
		if (r < 0)
			return lost(a, r, e);
		n = recv(a->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return lost(a, n < 0 ? -errno : -ENODATA, e);
		r = frame_feed(&a->in, chunk, (size_t)n);
		if (r < 0)
			return err_sys(e, r, "read from the guest's agent");
	}
}

int agent_refused(const struct frame *f, struct err *e)
{
	struct agent_error ge;
	int num;

	if (agent_get_error(f, &ge) != PROTO_OK)
		return err_set(e, ERR_INTERNAL, -EBADMSG, "the guest's agent broke the protocol");
	num = ge.num > 0 && ge.num < 4096 ? -(int)ge.num : -EIO;
	return err_set(e, err_code_from_errno(num), num, "the guest says: %s", ESC(ge.text));
}

int agent_ok(struct agent_stream *a, struct err *e)
{
	struct frame f;
	int r = agent_next(a, &f, e);

	if (r < 0)
		return r;
	if (f.type == FRAME_ERROR)
		return agent_refused(&f, e);
	return f.type == FRAME_OK ? 0
				  : err_set(e, ERR_INTERNAL, -EBADMSG,
					    "the guest's agent gave an answer that does not fit");
}

/* ask() - one frame there; the caller reads the answer */
static int ask(struct agent_stream *a, struct sandbox *s, int put, struct buf *out,
	int64_t deadline, struct err *e)
{
	int r;

	if (put < 0) {
		*a = (struct agent_stream){.fd = -1};
		return err_sys(e, put, "make a request to the guest");
	}
	r = agent_open(a, s, deadline, e);
	return r < 0 ? r : agent_send(a, out, e);
}

int agent_shutdown(struct sandbox *s, uint32_t grace_ms, int64_t deadline, struct err *e)
{
	AUTO(agent_stream) a;
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, 256);
	r = agent_put_u32(&out, FRAME_SHUTDOWN, grace_ms);
	r = ask(&a, s, r, &out, deadline, e);
	return r < 0 ? r : agent_ok(&a, e);
}

int agent_clock(struct sandbox *s, int64_t deadline, struct err *e)
{
	AUTO(agent_stream) a;
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, 256);
	r = agent_put_u64(&out, FRAME_CLOCK, (uint64_t)clock_real_ms() * 1000000);
	r = ask(&a, s, r, &out, deadline, e);
	return r < 0 ? r : agent_ok(&a, e);
}

int agent_usage(struct sandbox *s, int64_t deadline, struct agent_usage *ret, struct err *e)
{
	AUTO(agent_stream) a;
	AUTO(buf) out = {0};
	struct frame f;
	int r;

	buf_init(&out, 256);
	r = agent_put_empty(&out, FRAME_USAGE);
	r = ask(&a, s, r, &out, deadline, e);
	if (r == 0)
		r = agent_next(&a, &f, e);
	if (r < 0)
		return r;
	if (f.type == FRAME_ERROR)
		return agent_refused(&f, e);
	if (f.type != FRAME_USAGE_REPLY || agent_get_usage(&f, ret) != PROTO_OK)
		return err_set(e, ERR_INTERNAL, -EBADMSG,
			"the guest's agent gave an answer that does not fit");
	return 0;
}

/* send_data() - the file as DATA frames, then END */
static int send_data(struct agent_stream *a, int fd, struct err *e)
{
	AUTO(buf) out = {0};
	AUTO_FREE char *chunk = malloc(CHUNK);
	off_t at = 0;
	int r = 0;

	if (!chunk)
		return err_sys(e, -ENOMEM, "send files to the guest");
	buf_init(&out, CHUNK + 64);
	for (;;) {
		ssize_t n = pread(fd, chunk, CHUNK, at);

		if (n < 0)
			return err_sys(e, -errno, "read the kit's files");
		buf_clear(&out);
		r = n > 0 ? frame_add(&out, FRAME_DATA, chunk, (size_t)n)
			  : agent_put_empty(&out, FRAME_END);
		if (r < 0)
			return err_sys(e, r, "send files to the guest");
		r = agent_send(a, &out, e);
		if (r < 0 || n == 0)
			return r;
		at += n;
	}
}

int agent_put_file(struct sandbox *s, int tar_fd, const char *dest, uint32_t flags, uint32_t uid,
	uint32_t gid, int64_t deadline, struct err *e)
{
	AUTO_FREE struct agent_put *put = calloc(1, sizeof(*put));
	AUTO(agent_stream) a = {.fd = -1};
	AUTO(buf) out = {0};
	struct err broken = {0};
	int r;

	if (!put)
		return err_sys(e, -ENOMEM, "send files to the guest");
	put->flags = flags;
	put->uid = uid;
	put->gid = gid;
	if (strlen(dest) >= sizeof(put->path))
		return err_sys(e, -ENAMETOOLONG, "send files to the guest");
	memcpy(put->path, dest, strlen(dest) + 1);
	buf_init(&out, FRAME_DATA_MAX);
	r = agent_put_put(&out, put);
	r = ask(&a, s, r, &out, deadline, e);
	if (r < 0)
		return r;
	r = send_data(&a, tar_fd, &broken);
	/* A guest that refuses stops reading: its own words say more than our broken pipe. */
	if (r < 0 && r != -ECONNRESET) {
		*e = broken;
		return r;
	}
	return agent_ok(&a, e);
}
