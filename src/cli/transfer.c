#include "cli/transfer.h"
#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#define FINISH_MS 120000 /* the guest may have much to write back to its disk */

static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	caught = sig;
}

void transfer_catch(void)
{
	struct sigaction sa = {.sa_handler = on_signal}; /* no SA_RESTART: poll() is to return */

	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigaction(SIGHUP, &sa, NULL);
}

int transfer_caught(void)
{
	return caught;
}

void transfer_init(struct transfer *t, int fd, struct progress *progress)
{
	t->fd = fd;
	t->progress = progress;
	t->what = "copied";
	t->bytes = 0;
	t->used = 0;
	frame_decoder_init(&t->in);
}

void transfer_fini(struct transfer *t)
{
	frame_decoder_fini(&t->in);
}

static int broken(struct err *e)
{
	return err_set(e, ERR_INTERNAL, -EPROTO, "the sandbox's agent broke the protocol");
}

static int gone(struct err *e)
{
	return err_set(e, ERR_UNAVAILABLE, -EPIPE, "the sandbox ended or closed the connection");
}

static int guest_error(const struct frame *f, struct err *e)
{
	struct agent_error x;

	if (agent_get_error(f, &x) != PROTO_OK)
		return broken(e);
	return err_set(e, err_code_from_errno(-(int)x.num), -(int)x.num, "%s", x.text);
}

/* wait_for() - one of @events, or why not */
static int wait_for(
	struct transfer *t, short events, int64_t deadline, short *ret_events, struct err *e)
{
	for (;;) {
		struct pollfd p = {.fd = t->fd, .events = events};
		int n;

		if (caught)
			return err_set(e, ERR_CONFLICT, -EINTR, "interrupted");
		n = poll(&p, 1, clock_left(deadline));
		if (n < 0 && errno != EINTR)
			return err_sys(e, -errno, "wait for the sandbox");
		if (n == 0)
			return err_set(
				e, ERR_TIMEOUT, -ETIMEDOUT, "the sandbox's agent does not answer");
		if (n > 0) {
			*ret_events = p.revents;
			return 0;
		}
	}
}

/* receive() - 1 when bytes were fed, 0 when none were there, negative errno */
static int receive(struct transfer *t, struct err *e)
{
	uint8_t in[65536];
	ssize_t n = recv(t->fd, in, sizeof(in), MSG_DONTWAIT);
	int r;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0)
		return gone(e);
	r = frame_feed(&t->in, in, (size_t)n);
	return r < 0 ? err_sys(e, r, "read from the sandbox") : 1;
}

/* early_word() - while we send, the guest may only say that it failed */
static int early_word(struct transfer *t, struct err *e)
{
	struct frame f;
	int r = receive(t, e);

	if (r <= 0)
		return r;
	switch (frame_next(&t->in, &f)) {
	case FRAME_MORE:
		return 0;
	case FRAME_GOT:
		return f.type == FRAME_ERROR ? guest_error(&f, e) : broken(e);
	case FRAME_BAD:
	default:
		return broken(e);
	}
}

static int send_all(struct transfer *t, const uint8_t *p, size_t len, struct err *e)
{
	int64_t deadline = clock_ms() + TRANSFER_STALL_MS;

	while (len > 0) {
		short events = 0;
		ssize_t n;
		int r = wait_for(t, POLLIN | POLLOUT, deadline, &events, e);

		if (r == 0 && (events & ~POLLOUT))
			r = early_word(t, e);
		if (r < 0)
			return r;
		if (!(events & POLLOUT))
			continue;
		n = send(t->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return gone(e);
		p += n;
		len -= (size_t)n;
		deadline = clock_ms() + TRANSFER_STALL_MS;
	}
	return 0;
}

int transfer_ask(struct transfer *t, const struct buf *request, struct err *e)
{
	return send_all(t, (const uint8_t *)request->data, request->len, e);
}

static int flush(struct transfer *t, struct err *e)
{
	size_t len = t->used;

	if (len == 0)
		return 0;
	frame_head(t->out, FRAME_DATA, len);
	t->used = 0;
	t->bytes += len;
	progress_bytes(t->progress, t->what, t->bytes);
	return send_all(t, t->out, FRAME_HEADER + len, e);
}

int transfer_put(struct transfer *t, const void *p, size_t len, struct err *e)
{
	const uint8_t *from = p;

	while (len > 0) {
		size_t room = FRAME_DATA_MAX - t->used, n = len < room ? len : room;
		int r = 0;

		memcpy(t->out + FRAME_HEADER + t->used, from, n);
		t->used += n;
		from += n;
		len -= n;
		if (t->used == FRAME_DATA_MAX)
			r = flush(t, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* next() - the next whole frame */
static int next(struct transfer *t, int64_t deadline, struct frame *ret_f, struct err *e)
{
	for (;;) {
		short events = 0;
		int r;

		switch (frame_next(&t->in, ret_f)) {
		case FRAME_GOT:
			return 0;
		case FRAME_MORE:
			break;
		case FRAME_BAD:
		default:
			return broken(e);
		}
		r = wait_for(t, POLLIN, deadline, &events, e);
		if (r == 0)
			r = receive(t, e);
		if (r < 0)
			return r;
	}
}

int transfer_finish(struct transfer *t, struct err *e)
{
	uint8_t end[FRAME_HEADER];
	int r = flush(t, e);

	frame_head(end, FRAME_END, 0);
	if (r == 0)
		r = send_all(t, end, sizeof(end), e);
	return r < 0 ? r : transfer_answer(t, e);
}

int transfer_answer(struct transfer *t, struct err *e)
{
	struct frame f;
	int r = next(t, clock_ms() + FINISH_MS, &f, e);

	if (r < 0)
		return r;
	if (f.type == FRAME_ERROR)
		return guest_error(&f, e);
	return f.type == FRAME_OK && f.len == 0 ? 0 : broken(e);
}

int transfer_get(struct transfer *t, const uint8_t **ret_p, size_t *ret_len, struct err *e)
{
	struct frame f;
	int r = next(t, clock_ms() + TRANSFER_STALL_MS, &f, e);

	if (r < 0)
		return r;
	if (f.type == FRAME_ERROR)
		return guest_error(&f, e);
	if (f.type == FRAME_END && f.len == 0)
		return 0;
	if (f.type != FRAME_DATA || f.len == 0)
		return broken(e);
	t->bytes += f.len;
	progress_bytes(t->progress, t->what, t->bytes);
	*ret_p = f.body;
	*ret_len = f.len;
	return 1;
}
