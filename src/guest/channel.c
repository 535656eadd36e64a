#include "guest/channel.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/wire.h"
#include "guest/guest.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* missing() - bytes of the current frame that are not here: asked for at once and waited for, they
 * cost a fraction of the wake-ups that reading as they come does
 */
static size_t missing(const struct frame_decoder *d)
{
	size_t have = d->in.len - d->used;
	struct wire_r r;

	if (have < FRAME_HEADER)
		return FRAME_HEADER - have;
	r = wire_reader(d->in.data + d->used, have);
	return FRAME_HEADER + wire_get_u32(&r) - have; /* frame_next() has judged the length */
}

int channel_next(struct channel *c, struct frame *ret_f, struct err *e)
{
	static uint8_t bytes[FRAME_DATA_MAX];

	for (;;) {
		enum frame_result r = frame_next(&c->in, ret_f);
		ssize_t n;

		if (r == FRAME_GOT)
			return 0;
		if (r == FRAME_BAD)
			return err_set(e, ERR_INVALID, -EBADMSG, "the host sent a malformed frame");
		n = (ssize_t)missing(&c->in);
		n = recv(c->fd, bytes, n < FRAME_DATA_MAX ? (size_t)n : sizeof(bytes), MSG_WAITALL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ERR_UNAVAILABLE, -EPIPE, "the host closed the stream");
		if (frame_feed(&c->in, bytes, (size_t)n) < 0)
			return err_set(e, ERR_LIMIT, -ENOBUFS, "no memory for a frame");
	}
}

static int send_all(struct channel *c, const void *p, size_t len, struct err *e)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = send(c->fd, (const char *)p + done, len - done, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return err_sys(e, -errno, "send to the host");
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

static int flush(struct channel *c, struct err *e)
{
	size_t n = c->used;

	if (n == 0)
		return 0;
	frame_head(c->out, FRAME_DATA, n);
	c->used = 0;
	return send_all(c, c->out, FRAME_HEADER + n, e);
}

int channel_room(struct channel *c, uint8_t **ret_p, size_t *ret_len, struct err *e)
{
	int r = c->used == FRAME_DATA_MAX ? flush(c, e) : 0;

	if (r < 0)
		return r;
	*ret_p = c->out + FRAME_HEADER + c->used;
	*ret_len = FRAME_DATA_MAX - c->used;
	return 0;
}

void channel_filled(struct channel *c, size_t len)
{
	c->used += len;
}

int channel_put(struct channel *c, const void *p, size_t len, struct err *e)
{
	while (len > 0) {
		uint8_t *room;
		size_t n;
		int r = channel_room(c, &room, &n, e);

		if (r < 0)
			return r;
		if (n > len)
			n = len;
		memcpy(room, p, n);
		channel_filled(c, n);
		p = (const char *)p + n;
		len -= n;
	}
	return 0;
}

int channel_finish(struct channel *c, struct err *e)
{
	uint8_t end[FRAME_HEADER];
	int r = flush(c, e);

	frame_head(end, FRAME_END, 0);
	return r < 0 ? r : send_all(c, end, sizeof(end), e);
}

void channel_ok(struct channel *c)
{
	uint8_t ok[FRAME_HEADER];

	frame_head(ok, FRAME_OK, 0);
	(void)send_all(c, ok, sizeof(ok), NULL);
}

void channel_fail(struct channel *c, int num, const char *text)
{
	AUTO(buf) b;

	buf_init(&b, 1024);
	if (agent_put_error(&b, num, "%s", text) == 0)
		(void)send_all(c, b.data, b.len, NULL);
}

void channel_close(struct channel *c)
{
	int64_t deadline = clock_ms() + GUEST_LINGER_MS;
	char drop[4096];

	/* A host that is still sending reads our answer only when it is done: take it all. */
	if (shutdown(c->fd, SHUT_WR) == 0)
		while (io_wait(c->fd, POLLIN, deadline) == 0 && read(c->fd, drop, sizeof(drop)) > 0)
			deadline = clock_ms() + GUEST_LINGER_MS;
	close(c->fd);
	c->fd = -1;
	frame_decoder_fini(&c->in);
}
