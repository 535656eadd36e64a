#include "daemon/conn.h"
#include "daemon/api.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "http/write.h"
#include "json/apierr.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define READ_STEP  16384
#define ANSWER_MAX (16U << 20) /* a list of thousands of sandboxes */

static int send_within(struct conn *c, const struct buf *b, int ms)
{
	int64_t deadline = clock_ms() + ms;
	size_t done = 0;

	while (done < b->len) {
		ssize_t n = send(c->fd, b->data + done, b->len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		int r = 0;

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			r = io_wait(c->fd, POLLOUT, deadline);
		else if (errno != EINTR)
			r = -errno;
		if (r < 0)
			return r;
	}
	return 0;
}

static int send_all(struct conn *c, const struct buf *b)
{
	return send_within(c, b, CONN_SEND_MS);
}

static int put_head(struct conn *c, struct buf *out, int status, const char *type)
{
	int r = http_put_status(out, status);

	c->answered = true;
	if (r == 0 && type)
		r = http_put_field(out, "Content-Type", type);
	if (r == 0)
		r = http_put_field(out, "Cache-Control", "no-store");
	if (r == 0 && !c->keep_alive)
		r = http_put_field(out, "Connection", "close");
	return r;
}

static int answer(struct conn *c, int status, const char *type, const void *p, size_t len)
{
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, ANSWER_MAX);
	r = put_head(c, &out, status, type);
	if (r == 0 && status != 204)
		r = http_put_length(&out, len);
	if (r == 0)
		r = http_put_end(&out);
	if (r == 0)
		r = buf_add(&out, p, len);
	return r < 0 ? r : send_all(c, &out);
}

int conn_json(struct conn *c, int status, struct js *v)
{
	AUTO(buf) text = {0};
	int r;

	buf_init(&text, ANSWER_MAX - 4096);
	r = js_print(v, &text);
	js_free(v);
	if (r == 0)
		r = buf_add(&text, "\n", 1);
	if (r < 0) {
		const struct err e = {
			.code = ERR_LIMIT, .msg = "the answer does not fit in memory"};

		return conn_fail(c, &e);
	}
	return answer(c, status, "application/json", text.data, text.len);
}

int conn_fail(struct conn *c, const struct err *e)
{
	AUTO(buf) text = {0};
	int r;

	buf_init(&text, 65536);
	r = apierr_print(e, &text);
	if (r == 0)
		r = buf_add(&text, "\n", 1);
	return r < 0 ? r
		     : answer(c, apierr_status(e->code), "application/json", text.data, text.len);
}

int conn_text(struct conn *c, const void *p, size_t len)
{
	return answer(c, 200, "text/plain; charset=utf-8", p, len);
}

int conn_ndjson(struct conn *c, const void *p, size_t len)
{
	return answer(c, 200, "application/x-ndjson", p, len);
}

void conn_wipe(struct conn *c)
{
	/* The bytes beyond what is in use were in use before they were eaten. */
	if (c->body.data)
		explicit_bzero(c->body.data, c->body.cap);
	if (c->in.data)
		explicit_bzero(c->in.data + c->in.len, c->in.cap - c->in.len);
	buf_clear(&c->body);
}

int conn_empty(struct conn *c, int status)
{
	return answer(c, status, NULL, "", 0);
}

static int chunks_begin(struct conn *c, const char *type)
{
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, 4096);
	r = put_head(c, &out, 200, type);
	if (r == 0)
		r = http_put_field(&out, "Transfer-Encoding", "chunked");
	if (r == 0)
		r = http_put_end(&out);
	return r < 0 ? r : send_all(c, &out);
}

int conn_lines_begin(struct conn *c)
{
	return chunks_begin(c, "application/x-ndjson");
}

int conn_text_begin(struct conn *c)
{
	return chunks_begin(c, "text/plain; charset=utf-8");
}

int conn_piece(struct conn *c, const void *p, size_t len)
{
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, ANSWER_MAX);
	r = http_put_chunk(&out, p, len);
	return r < 0 ? r : send_within(c, &out, CONN_FOLLOW_MS);
}

int conn_line(struct conn *c, struct js *v)
{
	AUTO(buf) text = {0};
	AUTO(buf) out = {0};
	int r;

	buf_init(&text, ANSWER_MAX - 4096);
	buf_init(&out, ANSWER_MAX);
	r = js_print(v, &text);
	js_free(v);
	if (r == 0)
		r = buf_add(&text, "\n", 1);
	if (r == 0)
		r = http_put_chunk(&out, text.data, text.len);
	return r < 0 ? r : send_all(c, &out);
}

int conn_lines_end(struct conn *c)
{
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, 64);
	r = http_put_last_chunk(&out);
	return r < 0 ? r : send_all(c, &out);
}

int conn_switch(struct conn *c, const char *protocol, int pass_fd)
{
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, 4096);
	c->answered = true;
	c->handed_over = true;
	r = http_put_status(&out, 101);
	if (r == 0)
		r = http_put_field(&out, "Connection", "upgrade");
	if (r == 0)
		r = http_put_field(&out, "Upgrade", protocol);
	if (r == 0)
		r = http_put_end(&out);
	return r < 0 ? r : io_send_fd(c->fd, out.data, out.len, pass_fd, clock_ms() + CONN_SEND_MS);
}

/* bad() - the request cannot be read: answer once and close, since nobody knows where it ends */
static int bad(struct conn *c, int status, const char *why)
{
	struct err e = {0};
	AUTO(buf) text = {0};
	int r;

	c->keep_alive = false;
	(void)err_set(&e, ERR_INVALID, -EBADMSG, "malformed request: %s", why);
	buf_init(&text, 4096);
	r = apierr_print(&e, &text);
	if (r == 0)
		r = answer(c, status, "application/json", text.data, text.len);
	return r < 0 ? r : -EBADMSG;
}

/* more() - read on; 1, 0 at the end, negative: close */
static int more(struct conn *c, int64_t deadline)
{
	char *room;
	ssize_t n;
	int r = buf_room(&c->in, READ_STEP, &room);

	if (r == 0)
		r = io_wait(c->fd, POLLIN, deadline);
	if (r < 0)
		return r;
	n = recv(c->fd, room, READ_STEP, 0);
	if (n < 0)
		return -errno;
	buf_grew(&c->in, (size_t)n);
	return n > 0;
}

/* event() - the next event of the parser but MORE; its bytes are eaten by the caller (@ret_used) */
static int event(struct conn *c, int64_t *deadline, enum http_event *ret_ev, const char **ret_data,
	size_t *ret_len, size_t *ret_used)
{
	for (;;) {
		int r;

		*ret_ev = http_parse(
			c->parser, buf_str(&c->in), c->in.len, ret_used, ret_data, ret_len);
		if (*ret_ev == HTTP_BAD)
			return bad(c, http_bad_status(c->parser), http_why(c->parser));
		if (*ret_ev != HTTP_MORE)
			return 1;
		if (http_started(c->parser) && *deadline == 0)
			*deadline = clock_ms() + CONN_HEAD_MS;
		buf_clear(&c->in);
		r = more(c, *deadline ? *deadline : clock_ms() + CONN_IDLE_MS);
		if (r == -ETIMEDOUT && http_started(c->parser))
			return bad(c, 408, "it took too long");
		if (r <= 0)
			return r; /* closed or idle between requests: nothing to say */
	}
}

/* read_request() - head and body; 1 when there is one, 0 when the client has gone */
static int read_request(struct conn *c)
{
	int64_t deadline = 0;
	const char *data = NULL;
	size_t len = 0, used = 0;
	enum http_event ev;
	int r = event(c, &deadline, &ev, &data, &len, &used);

	if (r <= 0)
		return r;
	buf_eat(&c->in, used);
	c->keep_alive = http_head(c->parser)->keep_alive;
	if (http_head(c->parser)->length > JS_TEXT_MAX)
		return bad(c, 413, "the body is too large");
	buf_clear(&c->body);
	if (http_head(c->parser)->continue_100) {
		AUTO(buf) out = {0};

		buf_init(&out, 64);
		r = http_put_status(&out, 100);
		if (r == 0)
			r = http_put_end(&out);
		if (r == 0)
			r = send_all(c, &out);
		if (r < 0)
			return r;
	}
	for (;;) {
		r = event(c, &deadline, &ev, &data, &len, &used);
		if (r <= 0)
			return r;
		if (ev == HTTP_DATA && buf_add(&c->body, data, len) < 0)
			return bad(c, 413, "the body is too large");
		buf_eat(&c->in, used);
		if (ev == HTTP_END)
			return 1;
	}
}

static void serve(struct conn *c)
{
	while (read_request(c) > 0) {
		struct err e = {0};
		int r;

		c->answered = false;
		r = api_dispatch(c, &e);
		if (r < 0 && !c->answered)
			r = conn_fail(c, &e);
		if (r < 0 || !c->keep_alive || c->handed_over)
			return;
		http_parser_next(c->parser);
	}
}

void *conn_main(void *arg)
{
	struct conn *c = arg;
	struct daemon *d = c->d;

	buf_init(&c->in, 65536);
	buf_init(&c->body, JS_TEXT_MAX);
	c->parser = http_parser_new(HTTP_REQUEST);
	if (c->parser)
		serve(c);
	http_parser_free(c->parser);
	buf_fini(&c->in);
	buf_fini(&c->body);
	own_close_fd(&c->fd);
	free(c);
	(void)atomic_fetch_sub(&d->connections, 1);
	return NULL;
}
