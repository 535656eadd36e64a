#include "http/client.h"
#include "http/write.h"
#include "base/io.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define READ_STEP	 16384
#define AHEAD_MAX	 65536
#define PENDING_MAX	 (4U << 20)
#define SEND_MAX	 (HTTP_HEAD_MAX + (4U << 20))
#define UPGRADE_BODY_MAX 65536

void http_reply_fini(struct http_reply *r)
{
	if (r)
		buf_fini(&r->body);
}

void http_reply_auto(struct http_reply *r)
{
	http_reply_fini(r);
}

int http_client_init(struct http_client *c, int fd)
{
	*c = (struct http_client){.fd = fd, .parser = http_parser_new(HTTP_RESPONSE)};
	buf_init(&c->in, AHEAD_MAX);
	buf_init(&c->pending, PENDING_MAX);
	if (c->parser)
		return 0;
	own_close_fd(&c->fd);
	return -ENOMEM;
}

void http_client_fini(struct http_client *c)
{
	if (!c)
		return;
	if (c->parser) /* an all-zero struct owns nothing, descriptor 0 least of all */
		own_close_fd(&c->fd);
	http_parser_free(c->parser);
	buf_fini(&c->in);
	buf_fini(&c->pending);
	c->parser = NULL;
}

void http_client_auto(struct http_client *c)
{
	http_client_fini(c);
}

static int broken(struct http_client *c, struct err *e)
{
	return err_set(e, ERR_INTERNAL, -EBADMSG, "the daemon's answer is not HTTP: %s",
		http_why(c->parser));
}

/* more() - read what there is; 1, 0 at the end of the stream. @ret_fd: see http_upgrade() */
static int more(struct http_client *c, int *ret_fd, int64_t deadline, struct err *e)
{
	ssize_t n;
	char *room;
	int r = buf_room(&c->in, READ_STEP, &room);

	if (r < 0)
		return err_sys(e, r, "read the daemon's answer");
	if (ret_fd) {
		AUTO_FD got = -1;

		n = io_recv_fd(c->fd, room, READ_STEP, &got, deadline);
		if (n >= 0 && got >= 0) {
			own_close_fd(ret_fd);
			*ret_fd = TAKE_FD(got);
		}
	} else {
		r = io_wait(c->fd, POLLIN, deadline);
		n = r < 0 ? r : recv(c->fd, room, READ_STEP, 0);
		if (r == 0 && n < 0)
			n = -errno;
	}
	if (n < 0) {
		if (n == -ECONNRESET)
			return 0;
		return n == -ETIMEDOUT ? err_set(e, ERR_TIMEOUT, -ETIMEDOUT,
						 "the daemon did not answer in time")
				       : err_sys(e, (int)n, "read the daemon's answer");
	}
	buf_grew(&c->in, (size_t)n);
	return n > 0;
}

/* step() - the next event other than MORE */
static int step(struct http_client *c, int *ret_fd, int64_t deadline, enum http_event *ret_ev,
	const char **ret_data, size_t *ret_len, size_t *ret_used, struct err *e)
{
	for (;;) {
		enum http_event ev = http_parse(
			c->parser, buf_str(&c->in), c->in.len, ret_used, ret_data, ret_len);
		int r;

		if (ev == HTTP_BAD)
			return broken(c, e);
		if (ev != HTTP_MORE) {
			*ret_ev = ev;
			return 0;
		}
		buf_clear(&c->in); /* MORE has used everything */
		r = more(c, ret_fd, deadline, e);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		if (!http_started(c->parser))
			return err_set(e, ERR_UNAVAILABLE, -ECONNRESET,
				"the daemon closed the connection without an answer");
		*ret_used = 0;
		if (http_parse_eof(c->parser) == HTTP_BAD)
			return broken(c, e);
		*ret_ev = HTTP_END;
		return 0;
	}
}

static int send_ask(struct http_client *c, const struct http_ask *ask, const char *protocol,
	bool pass_fd, int64_t deadline, struct err *e)
{
	AUTO(buf) out = {0};
	size_t done = 0;
	int r;

	buf_init(&out, SEND_MAX);
	r = http_put_request(&out, ask->method, ask->target);
	if (r == 0)
		r = http_put_field(&out, "Host", "sbx");
	if (r == 0 && ask->accept)
		r = http_put_field(&out, "Accept", ask->accept);
	if (r == 0 && protocol) {
		r = http_put_field(&out, "Connection", "upgrade");
		if (r == 0)
			r = http_put_field(&out, "Upgrade", protocol);
	}
	if (r == 0 && pass_fd)
		r = http_put_field(&out, "Sbx-Pass-Fd", "1");
	if (r == 0 && ask->body) {
		r = http_put_field(
			&out, "Content-Type", ask->type ? ask->type : "application/json");
		if (r == 0)
			r = http_put_length(&out, ask->body_len);
	}
	if (r == 0)
		r = http_put_end(&out);
	if (r == 0 && ask->body)
		r = buf_add(&out, ask->body, ask->body_len);
	if (r < 0)
		return err_sys(e, r, "make the request %s %s", ask->method, ask->target);
	while (done < out.len) {
		ssize_t n =
			send(c->fd, out.data + done, out.len - done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			r = io_wait(c->fd, POLLOUT, deadline);
		else if (errno == EPIPE || errno == ECONNRESET)
			break; /* it may have answered before it closed: the answer says why */
		else if (errno != EINTR)
			r = -errno;
		if (r < 0)
			return err_sys(e, r, "send to the daemon");
	}
	return 0;
}

/* read_head() - up to the final head */
static int read_head(
	struct http_client *c, int *ret_fd, int64_t deadline, struct http_reply *ret, struct err *e)
{
	const char *data, *type;
	enum http_event ev;
	size_t len, used;
	int r;

	do {
		r = step(c, ret_fd, deadline, &ev, &data, &len, &used, e);
		if (r < 0)
			return r;
		buf_eat(&c->in, used);
		if (ev != HTTP_HEAD)
			return broken(c, e);
		ret->status = http_head(c->parser)->status;
	} while (ret->status < 200 && ret->status != 101);
	type = http_field(http_head(c->parser), "content-type");
	(void)snprintf(ret->type, sizeof(ret->type), "%s", type ? type : "");
	c->body_open = true;
	return 0;
}

static int begin(struct http_client *c, const struct http_ask *ask, const char *protocol,
	bool pass_fd, int64_t deadline, int *ret_fd, struct http_reply *ret, struct err *e)
{
	int r;

	if (c->fd < 0)
		return err_set(
			e, ERR_UNAVAILABLE, -ENOTCONN, "the connection to the daemon is closed");
	*ret = (struct http_reply){0};
	http_parser_expect(c->parser, ask->method, protocol != NULL);
	r = send_ask(c, ask, protocol, pass_fd, deadline, e);
	return r < 0 ? r : read_head(c, ret_fd, deadline, ret, e);
}

/* over() - the body has ended: ready for the next request, or closed */
static void over(struct http_client *c)
{
	bool again = http_head(c->parser)->keep_alive;

	c->body_open = false;
	http_parser_next(c->parser);
	if (!again)
		own_close_fd(&c->fd);
}

int http_drain(struct http_client *c, struct buf *out, int64_t deadline, struct err *e)
{
	int r = buf_add(out, buf_str(&c->pending), c->pending.len);

	if (r < 0)
		return err_sys(e, r, "read the daemon's answer");
	buf_clear(&c->pending);
	while (c->body_open) {
		enum http_event ev = HTTP_MORE;
		const char *data = NULL;
		size_t len = 0, used = 0;

		r = step(c, NULL, deadline, &ev, &data, &len, &used, e);

		if (r < 0)
			return r;
		if (ev == HTTP_DATA) {
			r = buf_add(out, data, len);
			if (r < 0)
				return err_set(e, ERR_LIMIT, -EFBIG,
					"the daemon's answer is longer than %zu bytes", out->max);
		}
		buf_eat(&c->in, used);
		if (ev == HTTP_END)
			over(c);
	}
	return 0;
}

int http_open(struct http_client *c, const struct http_ask *ask, int64_t deadline,
	struct http_reply *ret, struct err *e)
{
	return begin(c, ask, NULL, false, deadline, NULL, ret, e);
}

int http_call(struct http_client *c, const struct http_ask *ask, size_t max_body, int64_t deadline,
	struct http_reply *ret, struct err *e)
{
	struct http_reply reply;
	int r = begin(c, ask, NULL, false, deadline, NULL, &reply, e);

	if (r < 0)
		return r;
	buf_init(&reply.body, max_body);
	r = http_drain(c, &reply.body, deadline, e);
	if (r < 0) {
		http_reply_fini(&reply);
		return r;
	}
	*ret = reply;
	return 0;
}

/* take_line() - 1 when @c->pending has a whole line, which goes to @line */
static int take_line(struct http_client *c, struct buf *line, struct err *e)
{
	const char *s = buf_str(&c->pending), *lf = memchr(s, '\n', c->pending.len);
	size_t n = lf ? (size_t)(lf - s) : c->pending.len;

	if (n > line->max)
		return err_set(e, ERR_LIMIT, -EFBIG, "a line of the daemon's answer is too long");
	if (!lf && (c->body_open || n == 0))
		return 0;
	if (buf_add(line, s, n) < 0)
		return err_sys(e, -ENOMEM, "read the daemon's answer");
	buf_eat(&c->pending, lf ? n + 1 : n);
	return 1;
}

int http_line(struct http_client *c, struct buf *line, int64_t deadline, struct err *e)
{
	int r;

	buf_clear(line);
	for (;;) {
		enum http_event ev = HTTP_MORE;
		const char *data = NULL;
		size_t len = 0, used = 0;

		r = take_line(c, line, e);
		if (r != 0 || !c->body_open)
			return r;
		r = step(c, NULL, deadline, &ev, &data, &len, &used, e);
		if (r < 0)
			return r;
		if (ev == HTTP_DATA && buf_add(&c->pending, data, len) < 0)
			return err_sys(e, -ENOMEM, "read the daemon's answer");
		buf_eat(&c->in, used);
		if (ev == HTTP_END)
			over(c);
	}
}

int http_piece(struct http_client *c, struct buf *out, int64_t deadline, struct err *e)
{
	while (c->body_open) {
		enum http_event ev = HTTP_MORE;
		const char *data = NULL;
		size_t len = 0, used = 0;
		int r = step(c, NULL, deadline, &ev, &data, &len, &used, e);

		if (r < 0)
			return r;
		r = ev == HTTP_DATA ? buf_add(out, data, len) : 0;
		buf_eat(&c->in, used);
		if (ev == HTTP_END)
			over(c);
		if (r < 0)
			return err_sys(e, r, "read the daemon's answer");
		if (ev == HTTP_DATA)
			return 1;
	}
	return 0;
}

/* switched() - a 101 has come: which descriptor speaks the new protocol? */
static int switched(struct http_client *c, bool pass_fd, int *passed, int *ret_fd, struct err *e)
{
	if (c->in.len > 0)
		return err_set(e, ERR_INTERNAL, -EPROTO,
			"the daemon spoke before it was asked on a new stream");
	if (*passed >= 0 && !pass_fd)
		return err_set(e, ERR_INTERNAL, -EPROTO, "a descriptor that nobody asked for");
	*ret_fd = *passed >= 0 ? TAKE_FD(*passed) : TAKE_FD(c->fd);
	own_close_fd(&c->fd);
	return 0;
}

int http_upgrade(struct http_client *c, const char *target, const char *protocol, bool pass_fd,
	int64_t deadline, int *ret_fd, struct http_reply *ret, struct err *e)
{
	struct http_ask ask = {.method = "POST", .target = target};
	struct http_reply reply;
	AUTO_FD passed = -1;
	int r = begin(c, &ask, protocol, pass_fd, deadline, &passed, &reply, e);

	if (r < 0)
		return r;
	buf_init(&reply.body, UPGRADE_BODY_MAX);
	*ret_fd = -1;
	if (reply.status == 101)
		r = switched(c, pass_fd, &passed, ret_fd, e);
	else
		r = http_drain(c, &reply.body, deadline, e);
	if (r < 0) {
		http_reply_fini(&reply);
		return r;
	}
	*ret = reply;
	return 0;
}
