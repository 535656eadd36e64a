/* Life of an HTTP/2 connection and its bytes. */
#include "http/h2_int.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

struct h2_stream *h2_find(const struct h2 *h, int32_t stream)
{
	struct h2_stream *s = nghttp2_session_get_stream_user_data(h->ng, stream);

	/* A request that was not yet sent is no stream of nghttp2's. */
	if (!s && h->role == H2_CLIENT)
		for (s = h->streams; s && s->id != stream;)
			s = s->next;
	return s;
}

struct h2_stream *h2_add(struct h2 *h, int32_t stream, void *user)
{
	struct h2_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->id = stream;
	s->user = user;
	buf_init(&s->out, 2 * H2_QUEUE_MAX);
	s->next = h->streams;
	h->streams = s;
	h->n_streams++;
	return s;
}

void h2_remove(struct h2 *h, struct h2_stream *s)
{
	struct h2_stream **at = &h->streams;

	while (*at && *at != s)
		at = &(*at)->next;
	if (*at) {
		*at = s->next;
		h->n_streams--;
	}
	buf_fini(&s->out);
	free(s->trailers);
	free(s);
}

bool h2_charge(struct h2 *h, unsigned *count, unsigned max)
{
	if (h->now_ms - h->second_ms >= 1000) {
		h->second_ms = h->now_ms;
		h->resets = h->controls = 0;
	}
	return ++*count <= max;
}

static int set_options(nghttp2_option **ret)
{
	nghttp2_option *o;

	if (nghttp2_option_new(&o) != 0)
		return -ENOMEM;
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_outbound_ack(o, 100);
	nghttp2_option_set_max_settings(o, 32);
	nghttp2_option_set_max_continuations(o, 16);
	nghttp2_option_set_max_reserved_remote_streams(o, 0);
	nghttp2_option_set_peer_max_concurrent_streams(o, H2_STREAMS_MAX);
	nghttp2_option_set_server_fallback_rfc7540_priorities(o, 0);
	*ret = o;
	return 0;
}

/* greet() - our SETTINGS and the connection's window */
static int greet(struct h2 *h, const struct h2_options *o)
{
	uint32_t window = o->stream_window ? o->stream_window : H2_STREAM_WINDOW;
	uint32_t session = o->session_window ? o->session_window : H2_SESSION_WINDOW;
	nghttp2_settings_entry iv[8];
	size_t n = 0;

	iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
		o->max_streams ? o->max_streams : H2_STREAMS_MAX};
	iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
	iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEAD_MAX};
	if (o->role == H2_CLIENT)
		iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
	else if (o->extended_connect)
		iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
	if (nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, iv, n) != 0 ||
		nghttp2_session_set_local_window_size(
			h->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)session) != 0)
		return -ENOMEM;
	return 0;
}

struct h2 *h2_new(const struct h2_options *o)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	struct h2 *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return NULL;
	h->ops = o->ops;
	h->ctx = o->ctx;
	h->role = o->role;
	h->extended = o->extended_connect;
	buf_init(&h->head.text, H2_HEAD_MAX + 1);
	r = h2_callbacks(&cb);
	if (r == 0)
		r = set_options(&opt);
	if (r == 0)
		r = o->role == H2_SERVER ? nghttp2_session_server_new2(&h->ng, cb, h, opt)
					 : nghttp2_session_client_new2(&h->ng, cb, h, opt);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(opt);
	if (r == 0)
		r = greet(h, o);
	if (r != 0) {
		h2_free(h);
		return NULL;
	}
	return h;
}

void h2_free(struct h2 *h)
{
	if (!h)
		return;
	h->ops = NULL; /* whatever nghttp2 still says is told to nobody */
	nghttp2_session_del(h->ng);
	while (h->streams)
		h2_remove(h, h->streams);
	buf_fini(&h->head.text);
	free(h);
}

int h2_input(struct h2 *h, const void *p, size_t len, int64_t now_ms)
{
	ssize_t n;

	h->now_ms = now_ms;
	if (h->broken)
		return -EPROTO;
	h->busy = true;
	n = nghttp2_session_mem_recv(h->ng, p, len);
	h->busy = false;
	if (n < 0 || h->broken) {
		h->broken = true;
		return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
	}
	assert((size_t)n == len);
	return 0;
}

/* put_frames() - 1: @out is full enough */
static int put_frames(struct h2 *h, struct buf *out, size_t want)
{
	while (out->len < want) {
		const uint8_t *p;
		size_t before = out->len;
		ssize_t n = nghttp2_session_mem_send(h->ng, &p);
		int r;

		if (n < 0) {
			h->broken = true;
			return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
		}
		if (n == 0) {
			if (out->len == before)
				return 0;
			continue; /* only frames of a body, which h2_push() has put there */
		}
		r = buf_add(out, p, (size_t)n);
		if (r < 0) {
			/* the frame is lost: the peer's view is not ours any more */
			h->broken = h->cut = true;
			return r;
		}
	}
	return 1;
}

int h2_output(struct h2 *h, struct buf *out, size_t want, bool *ret_more)
{
	int r;

	assert(!h->busy);
	*ret_more = false;
	if (h->cut)
		return -EPROTO;
	h->busy = true;
	h->sink = out;
	h->want = want;
	r = put_frames(h, out, want);
	h->sink = NULL;
	h->busy = false;
	if (r == 1)
		*ret_more = nghttp2_session_want_write(h->ng);
	return r < 0 ? r : 0;
}

bool h2_over(const struct h2 *h)
{
	return !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng);
}

unsigned h2_streams(const struct h2 *h)
{
	return h->n_streams;
}

size_t h2_bytes(const struct h2 *h)
{
	size_t n = sizeof(*h) + h->head.text.cap;

	for (const struct h2_stream *s = h->streams; s; s = s->next)
		n += sizeof(*s) + s->out.cap;
	return n;
}

void h2_set_user(struct h2 *h, int32_t stream, void *user)
{
	struct h2_stream *s = h2_find(h, stream);

	if (s)
		s->user = user;
}

void h2_consume(struct h2 *h, int32_t stream, size_t len)
{
	/* The stream may be gone by now; the connection's share counts all the same. */
	if (len > 0 && nghttp2_session_consume(h->ng, stream, len) == NGHTTP2_ERR_NOMEM)
		h->broken = true;
}

bool h2_refuses(const struct h2 *h)
{
	return h->broken || h->goaway || !nghttp2_session_check_request_allowed(h->ng);
}

bool h2_peer_extended(const struct h2 *h)
{
	return nghttp2_session_get_remote_settings(
		       h->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

bool h2_unprocessed(const struct h2 *h, int32_t stream, uint32_t code)
{
	return code == H2_REFUSED_STREAM || (h->goaway && stream > h->goaway_last);
}

void h2_goodbye(struct h2 *h, enum h2_code code, bool now)
{
	int32_t last = nghttp2_session_get_last_proc_stream_id(h->ng);
	int r;

	if (now)
		r = nghttp2_session_terminate_session(h->ng, code);
	else
		r = nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, last, code, NULL, 0);
	if (r == NGHTTP2_ERR_NOMEM)
		h->broken = true;
}

int h2_ping(struct h2 *h)
{
	return nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL) == 0 ? 0 : -ENOMEM;
}

unsigned h2_pongs(const struct h2 *h)
{
	return h->pongs;
}
