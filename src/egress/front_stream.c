/* A stream of the guest: its bytes in and out, its deadline, its end. What they mean is others' part. */
#include "base/clock.h"
#include "base/io.h"
#include "egress/front.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define READS 4 /* buffers in a row before others have their turn */

static void watch(struct front_stream *s)
{
	uint32_t want = 0;

	if (!s->src)
		return;
	/* Most that are held go on before anything comes: only what does come is waited out. */
	if (!s->eof && !(s->held && s->pushed))
		want |= EPOLLIN;
	if (!s->half)
		want |= EPOLLRDHUP;
	if (s->blocked)
		want |= EPOLLOUT;
	if (s->state == FRONT_TLS && s->tls)
		want = tls_wants(s->tls) == TLS_WRITE ? EPOLLOUT : EPOLLIN;
	if (want != s->events && loop_mod_fd(s->src, want) == 0)
		s->events = want;
}

/* on_hup() - both directions are closed by the guest. What it sent before still goes up a tunnel. */
static void on_hup(struct front_stream *s)
{
	loop_del_fd(s->src);
	s->src = NULL;
	s->gone = true;
	/* The forwarder ends its direction before it closes, and closes only once ours has ended, too. */
	s->torn = !s->half && !s->eof && !s->shut;
	if (s->state == FRONT_TUNNEL && !s->eof && s->exchanges && s->exchanges->ch) {
		s->again = true;
		front_stream_dirty(s);
		return;
	}
	front_stream_kill(s);
}

static void on_event(void *ctx, uint32_t events)
{
	struct front_stream *s = ctx;

	s->f->now = clock_ms();
	if (events & (EPOLLHUP | EPOLLERR)) {
		on_hup(s);
		return;
	}
	if (events & EPOLLRDHUP)
		s->half = true;
	if (events & EPOLLOUT)
		s->blocked = false;
	front_stream_dirty(s);
	if (s->held && (events & EPOLLIN) && s->state != FRONT_TLS)
		s->pushed = true;
	else if ((events & EPOLLIN) || s->state == FRONT_TLS)
		front_stream_input(s);
}

int front_stream_open(struct front *f, int fd, uint32_t port)
{
	AUTO_FD own = fd;
	struct front_stream *s;
	int r;

	if (f->n_streams >= FRONT_STREAMS_MAX || !f->policy ||
		(port != EGRESS_PORT_TCP && port != EGRESS_PORT_DNS)) {
		f->stats.faults++;
		return -EAGAIN;
	}
	r = io_set_nonblock(own, true);
	if (r < 0)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->f = f;
	s->events = EPOLLIN | EPOLLRDHUP;
	s->state = port == EGRESS_PORT_DNS ? FRONT_DNS : FRONT_HEAD;
	buf_init(&s->in, FRONT_INPUT_MAX);
	buf_init(&s->out, 4 * FRONT_QUEUE_MAX);
	r = loop_add_fd(f->loop, own, s->events, on_event, s, &s->src);
	if (r < 0) {
		free(s);
		return r;
	}
	s->fd = TAKE_FD(own);
	s->next = f->streams;
	f->streams = s;
	f->n_streams++;
	s->began = f->now = clock_ms();
	front_stream_deadline(s, port == EGRESS_PORT_DNS ? FRONT_IDLE_MS : FRONT_OPEN_MS);
	return 0;
}

void front_stream_dirty(struct front_stream *s)
{
	if (s->dirty)
		return;
	s->dirty = true;
	s->next_dirty = s->f->dirty_streams;
	s->f->dirty_streams = s;
}

void front_stream_deadline(struct front_stream *s, int64_t ms)
{
	s->deadline = s->f->now + ms;
	front_tick_at(s->f, s->deadline);
}

void front_stream_kill(struct front_stream *s)
{
	if (s->dead)
		return;
	s->dead = true;
	s->f->any_dead = true;
	loop_del_fd(s->src);
	s->src = NULL;
	while (s->exchanges)
		front_exchange_drop(s->exchanges);
	own_close_fd(&s->fd);
	front_charge(s->f, &s->charged, 0);
}

void front_stream_free(struct front_stream *s)
{
	s->f->n_streams--;
	tls_free(s->tls);
	h2_free(s->h2);
	http_parser_free(s->h1);
	buf_fini(&s->in);
	buf_fini(&s->out);
	free(s);
}

void front_stream_last(struct front_stream *s)
{
	if (s->dead || s->state == FRONT_LAST)
		return;
	s->state = FRONT_LAST;
	s->held = false;
	buf_clear(&s->in);
	front_stream_deadline(s, FRONT_LINGER_MS);
	front_stream_dirty(s);
}

size_t front_stream_waiting(const struct front_stream *s)
{
	return s->out.len - s->out_at;
}

bool front_stream_full(const struct front_stream *s)
{
	return front_stream_waiting(s) >= FRONT_QUEUE_MAX;
}

void front_stream_go_on(struct front_stream *s)
{
	if (s->dead || !s->held)
		return;
	s->held = s->pushed = false;
	/* What the kernel has it will tell of; what was read ahead only we know of. */
	s->again |= s->in.len > 0 || !s->src || front_stream_ahead(s);
	front_stream_dirty(s);
}

bool front_stream_ahead(const struct front_stream *s)
{
	return s->tls && s->state != FRONT_TLS && tls_pending(s->tls);
}

ssize_t front_stream_read(struct front_stream *s, void *p, size_t cap)
{
	ssize_t n;

	if (s->eof)
		return 0;
	if (s->tls && s->state != FRONT_TLS) {
		n = tls_read(s->tls, p, cap);
	} else {
		n = read(s->fd, p, cap);
		if (n < 0)
			n = errno == EINTR ? -EAGAIN : -errno;
	}
	if (n == 0)
		s->eof = true;
	return n;
}

ssize_t front_stream_fill(struct front_stream *s, size_t max)
{
	char *room;
	ssize_t n;
	int r;

	if (s->in.len >= max)
		return -ENOBUFS;
	r = buf_room(&s->in, max - s->in.len, &room);
	if (r < 0)
		return r;
	n = front_stream_read(s, room, max - s->in.len);
	if (n > 0)
		buf_grew(&s->in, (size_t)n);
	return n;
}

/* take_head() - the header of port 2; the rest of what came is the connection's */
static void take_head(struct front_stream *s)
{
	ssize_t n = front_stream_fill(s, EGRESS_STREAM_HEAD);

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		front_stream_kill(s);
		return;
	}
	if (s->in.len < EGRESS_STREAM_HEAD)
		return;
	if (egress_get_stream((const uint8_t *)s->in.data, &s->to) != PROTO_OK) {
		s->f->stats.faults++;
		front_stream_kill(s);
		return;
	}
	buf_clear(&s->in);
	s->state = FRONT_SNIFF;
	s->port = s->to.port;
	s->scheme = EGRESS_HTTP;
	s->proxy = s->to.way == EGRESS_PROXY;
	s->began = s->f->now;
	front_stream_deadline(s, s->proxy ? FRONT_HEAD_MS : front_silent_ms(s->port));
	front_sniff(s);
}

/* last() - nothing of what still comes is wanted, but it must not stop what goes out */
static void discard(struct front_stream *s)
{
	for (unsigned i = 0; i < READS; i++) {
		ssize_t n = read(s->fd, s->f->scratch, sizeof(s->f->scratch));

		if (n > 0)
			continue;
		if (n == 0)
			s->eof = true;
		else if (errno != EAGAIN && errno != EINTR)
			front_stream_kill(s);
		return;
	}
}

void front_stream_input(struct front_stream *s)
{
	if (s->dead)
		return;
	switch (s->state) {
	case FRONT_HEAD:
		take_head(s);
		break;
	case FRONT_SNIFF:
		front_sniff(s);
		break;
	case FRONT_TLS:
		front_tls_step(s);
		break;
	case FRONT_H1:
		front_h1_input(s);
		break;
	case FRONT_H2:
		front_h2_input(s);
		break;
	case FRONT_TUNNEL:
		front_tunnel_input(s);
		break;
	case FRONT_DNS:
		front_dns_input(s);
		break;
	case FRONT_LAST:
		discard(s);
		break;
	}
}

/* put() - bytes of out to the guest: how many went, -EAGAIN, or what broke */
static ssize_t put(struct front_stream *s, const char *p, size_t len)
{
	ssize_t n;

	if (s->tls && s->state != FRONT_TLS)
		return tls_write(s->tls, p, len);
	n = write(s->fd, p, len);
	return n < 0 ? -errno : n;
}

int front_stream_send(struct front_stream *s, const void *p, size_t len)
{
	const char *at = p;

	while (len >= FRONT_DIRECT && front_stream_waiting(s) == 0 && !s->blocked && !s->gone) {
		ssize_t n = put(s, at, len);

		if (n == -EAGAIN) {
			s->blocked = true;
		} else if (n < 0 && n != -EINTR) {
			front_stream_kill(s);
			return -EPIPE;
		} else if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	if (len > 0 && buf_add(&s->out, at, len) < 0) {
		front_stream_kill(s);
		return -EPIPE;
	}
	return 0;
}

/* flush() - as many whole pieces of @piece bytes as wait; false: dead */
static bool flush(struct front_stream *s, size_t piece)
{
	while (!s->dead && front_stream_waiting(s) >= piece && !s->blocked) {
		size_t len = front_stream_waiting(s) / piece * piece;
		ssize_t n = put(s, s->out.data + s->out_at, len);

		if (n == -EAGAIN || n == -EINTR) {
			s->blocked = n == -EAGAIN;
		} else if (n < 0) {
			if (s->state != FRONT_TUNNEL) {
				front_stream_kill(s);
				return false;
			}
			s->gone = true;
			s->out_at = s->out.len;
		} else {
			s->out_at += (size_t)n;
		}
	}
	if (s->out_at == s->out.len) {
		buf_clear(&s->out);
		s->out_at = 0;
		front_buf_spare(s->f, &s->out, s->exchanges != NULL);
	} else if (s->out_at >= FRONT_QUEUE_MAX / 2) {
		buf_eat(&s->out, s->out_at);
		s->out_at = 0;
	}
	return !s->dead;
}

bool front_stream_flush(struct front_stream *s)
{
	return flush(s, 1);
}

bool front_stream_flush_records(struct front_stream *s)
{
	return flush(s, TLS_WRITE_MANY);
}

/* end_ours() - our direction ends; the guest's may go on */
static void end_ours(struct front_stream *s)
{
	if (s->shut)
		return;
	if (s->tls)
		(void)tls_close(s->tls);
	(void)shutdown(s->fd, SHUT_WR);
	s->shut = true;
}

/* finish() - all was written: our direction ends, then the guest's may */
static void finish(struct front_stream *s)
{
	end_ours(s);
	if (s->eof)
		front_stream_kill(s);
}

static size_t costs(const struct front_stream *s)
{
	return s->in.cap + s->out.cap + (s->tls ? FRONT_TLS_BYTES + tls_bytes(s->tls) : 0) +
	       (s->h1 ? http_parser_bytes(s->h1) : 0) + (s->h2 ? h2_bytes(s->h2) : 0);
}

void front_stream_round(struct front_stream *s)
{
	s->dirty = false;
	if (s->dead)
		return;
	if (s->again && !s->held) {
		s->again = false;
		front_stream_input(s);
		if (s->dead)
			return;
	}
	/* What waits for the descriptor goes first: it makes room for the frames behind it. */
	if (!front_stream_flush(s))
		return;
	if (s->state == FRONT_H2)
		front_h2_output(s);
	if (s->dead || !front_stream_flush(s))
		return;
	if (s->state == FRONT_H2 && s->h2 && !s->blocked && h2_over(s->h2))
		front_stream_last(s);
	/* HTTP/1 and tunnels have one exchange, which may have waited for room here. */
	if (s->state != FRONT_H2 && s->exchanges && s->exchanges->ch && !front_stream_full(s))
		front_channel_go_on(s->exchanges->ch);
	/* Who waits for a server's end before it closes waits for this. */
	if (s->state == FRONT_TUNNEL && s->exchanges && s->exchanges->down_over &&
		front_stream_waiting(s) == 0)
		end_ours(s);
	if (s->state == FRONT_LAST && front_stream_waiting(s) == 0)
		finish(s);
	if (s->dead)
		return;
	front_buf_spare(s->f, &s->in, s->exchanges != NULL);
	front_charge(s->f, &s->charged, costs(s));
	if (s->f->memory > FRONT_MEMORY_MAX && s->charged > FRONT_TLS_BYTES + 8192) {
		s->f->stats.faults++;
		front_stream_kill(s);
		return;
	}
	watch(s);
}
