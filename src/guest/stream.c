#include "guest/stream.h"
#include "base/clock.h"
#include "base/io.h"
#include "guest/guest.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define READ_BYTES 65536
#define OUT_MAX	   (8 * (FRAME_DATA_MAX + FRAME_HEADER))
#define OUT_LOW	   FRAME_DATA_MAX /* below it, producers may add a frame */
#define LAST_READS 4 /* of a peer that takes no more: more than the credit of any input */

struct stream {
	struct loop *loop;
	int fd;
	struct loop_fd *src;
	struct loop_timer *linger;
	struct loop_timer *last; /* set: the peer takes nothing more, read_last() is to come */
	const struct stream_ops *ops; /* NULL once the user has let go */
	void *ctx;
	void (*free_fn)(void *);
	void *free_ctx;
	struct frame_decoder in;
	struct buf out;
	size_t sent; /* bytes of out that are on their way */
	unsigned busy; /* depth of our own calls: memory stays until 0 */
	bool wants_out; /* EPOLLOUT is asked for */
	bool was_full; /* room() is owed */
	bool ending; /* stream_end() was called */
	bool shut; /* ... and everything is sent */
	bool dead; /* closed; only memory is left */
};

static uint8_t read_buf[READ_BYTES]; /* one thread, used within one call */

static void release(struct stream *s)
{
	if (!s->dead || s->busy)
		return;
	if (s->free_fn)
		s->free_fn(s->free_ctx);
	frame_decoder_fini(&s->in);
	buf_fini(&s->out);
	free(s);
}

static void close_now(struct stream *s)
{
	if (s->dead)
		return;
	loop_del_fd(s->src);
	loop_del_timer(s->linger);
	loop_del_timer(s->last);
	s->linger = s->last = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->dead = true;
}

static void peer_gone(struct stream *s)
{
	const struct stream_ops *ops = s->ops;

	if (s->dead)
		return;
	close_now(s);
	s->ops = NULL;
	if (ops)
		ops->gone(s->ctx);
}

bool stream_has_room(const struct stream *s)
{
	return !s->dead && s->out.len - s->sent < OUT_LOW;
}

static void watch(struct stream *s, bool out)
{
	if (s->dead || out == s->wants_out)
		return;
	if (loop_mod_fd(s->src, EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0)) == 0)
		s->wants_out = out;
}

static void linger_over(void *ctx)
{
	struct stream *s = ctx;

	s->linger = NULL;
	close_now(s);
	release(s);
}

/* finish() - everything is sent: say so, and let the host close first, so that nothing it still
 * sends meets a closed socket and takes our last frames down with it
 */
static void finish(struct stream *s)
{
	if (s->shut)
		return;
	s->shut = true;
	if (shutdown(s->fd, SHUT_WR) < 0 || loop_add_timer(s->loop, clock_ms() + GUEST_LINGER_MS,
						    linger_over, s, &s->linger) < 0)
		close_now(s);
}

static void read_last(void *ctx);

/* deaf() - the peer takes nothing more. What it sent before is still taken, in a call of its own,
 * because this one may come from the middle of a user's work.
 */
static void deaf(struct stream *s)
{
	buf_clear(&s->out);
	s->sent = 0;
	if (!s->last &&
		(s->ending || loop_add_timer(s->loop, clock_ms(), read_last, s, &s->last) < 0))
		peer_gone(s);
}

static void flush(struct stream *s)
{
	if (s->last)
		deaf(s);
	while (!s->dead && s->sent < s->out.len) {
		ssize_t n = send(s->fd, s->out.data + s->sent, s->out.len - s->sent, MSG_NOSIGNAL);

		if (n >= 0)
			s->sent += (size_t)n;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			deaf(s);
	}
	if (s->dead)
		return;
	if (s->sent == s->out.len || s->sent > OUT_MAX / 2) {
		buf_eat(&s->out, s->sent);
		s->sent = 0;
	}
	watch(s, s->out.len > s->sent || s->was_full);
	if (s->ending && s->out.len == s->sent)
		finish(s);
}

static void give_frames(struct stream *s)
{
	struct frame f;

	while (!s->dead) {
		enum frame_result r = frame_next(&s->in, &f);

		if (r == FRAME_MORE)
			return;
		if (r == FRAME_BAD) {
			peer_gone(s);
			return;
		}
		if (s->ops)
			s->ops->frame(s->ctx, &f);
	}
}

/* read_some() - false when there was nothing */
static bool read_some(struct stream *s)
{
	ssize_t n = recv(s->fd, read_buf, sizeof(read_buf), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		peer_gone(s);
		return false;
	}
	if (s->ending)
		return true; /* what comes now answers nothing */
	if (frame_feed(&s->in, read_buf, (size_t)n) < 0)
		peer_gone(s);
	else
		give_frames(s);
	return true;
}

static void read_last(void *ctx)
{
	struct stream *s = ctx;

	s->last = NULL;
	s->busy++;
	for (unsigned i = 0; i < LAST_READS && !s->dead; i++)
		if (!read_some(s))
			break;
	peer_gone(s);
	s->busy--;
	release(s);
}

static void on_event(void *ctx, uint32_t events)
{
	struct stream *s = ctx;

	s->busy++;
	if (events & EPOLLOUT)
		flush(s);
	if (!s->dead && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		(void)read_some(s);
	if (!s->dead && s->was_full && stream_has_room(s)) {
		s->was_full = false;
		watch(s, s->out.len > s->sent);
		if (s->ops && s->ops->room)
			s->ops->room(s->ctx);
	}
	s->busy--;
	release(s);
}

int stream_new(
	struct loop *l, int fd, const struct stream_ops *ops, void *ctx, struct stream **ret_s)
{
	struct stream *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct stream){.loop = l, .fd = fd, .ops = ops, .ctx = ctx};
	frame_decoder_init(&s->in);
	buf_init(&s->out, OUT_MAX);
	r = io_set_nonblock(fd, true);
	if (r == 0)
		r = loop_add_fd(l, fd, EPOLLIN, on_event, s, &s->src);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret_s = s;
	return 0;
}

void stream_on_free(struct stream *s, void (*fn)(void *), void *ctx)
{
	s->free_fn = fn;
	s->free_ctx = ctx;
}

void stream_set_ops(struct stream *s, const struct stream_ops *ops, void *ctx)
{
	s->ops = ops;
	s->ctx = ctx;
}

struct buf *stream_out(struct stream *s)
{
	return &s->out;
}

bool stream_send(struct stream *s, int r)
{
	bool alive;

	s->busy++;
	if (r < 0)
		peer_gone(s);
	else
		flush(s);
	alive = !s->dead;
	if (alive && !stream_has_room(s))
		s->was_full = true; /* room() comes with the event, whoever empties the buffer */
	s->busy--;
	release(s);
	return alive;
}

void stream_end(struct stream *s)
{
	s->busy++;
	s->ops = NULL;
	s->ending = true;
	if (!s->dead)
		flush(s);
	s->busy--;
	release(s);
}

void stream_drop(struct stream *s)
{
	s->ops = NULL;
	close_now(s);
	release(s);
}

void stream_pump(struct stream *s)
{
	on_event(s, EPOLLIN);
}

int stream_take_fd(struct stream *s, struct frame_decoder *ret_in)
{
	int fd = s->fd;

	*ret_in = s->in;
	frame_decoder_init(&s->in);
	loop_del_fd(s->src);
	s->src = NULL;
	s->fd = -1;
	return fd;
}
