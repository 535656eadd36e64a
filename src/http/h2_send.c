/* Heads and bodies of ours. A body waits in its stream's queue until nghttp2 pulls it. */
#include "http/h2_int.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PSEUDO_MAX 5
#define FRAME_HEAD 9

static int from_ng(ssize_t r)
{
	if (r >= 0)
		return 0;
	return r == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EINVAL;
}

static nghttp2_nv nv(
	const char *name, size_t name_len, const char *value, size_t value_len, bool never_index)
{
	nghttp2_nv v = {.namelen = name_len,
		.valuelen = value_len,
		.flags = never_index ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};

	/* nghttp2 copies both; its struct only lacks the word. */
	memcpy(&v.name, &name, sizeof(v.name));
	memcpy(&v.value, &value, sizeof(v.value));
	return v;
}

static nghttp2_nv nv_text(const char *name, const char *value)
{
	return nv(name, strlen(name), value, strlen(value), false);
}

static size_t put_fields(nghttp2_nv *dst, const struct egress_fields *f)
{
	for (uint16_t i = 0; f && i < f->n; i++)
		dst[i] = nv(f->v[i].name, f->v[i].name_len, f->v[i].value, f->v[i].value_len,
			f->v[i].never_index);
	return f ? f->n : 0;
}

static size_t waiting(const struct h2_stream *s)
{
	return s->out.len - s->sent + s->lent_len;
}

/* drained() - a stream whose queue was full enough to refuse bytes has room again */
static void tell_room(struct h2 *h, struct h2_stream *s)
{
	/* What comes now would stand before what is lent. */
	if (s->low && s->lent_len == 0 && waiting(s) < H2_QUEUE_MAX / 2) {
		s->low = false;
		if (h->ops && h->ops->drained)
			h->ops->drained(h->ctx, s->id, s->user);
	}
}

static int send_trailers(struct h2 *h, struct h2_stream *s)
{
	static _Thread_local nghttp2_nv v[EGRESS_FIELDS_MAX]; /* large */
	size_t n = put_fields(v, s->trailers);

	s->has_trailers = false;
	return nghttp2_submit_trailer(h->ng, s->id, v, n);
}

ssize_t h2_frame_len(nghttp2_session *ng, uint8_t type, int32_t stream, int32_t session_window,
	int32_t stream_window, uint32_t max, void *ctx)
{
	(void)ng;
	(void)type;
	(void)stream;
	(void)session_window;
	(void)stream_window;
	(void)max; /* 16,384 at least; nghttp2 keeps to the windows */
	(void)ctx;
	return H2_FRAME_BODY;
}

ssize_t h2_pull(nghttp2_session *ng, int32_t stream, uint8_t *dst, size_t len, uint32_t *flags,
	nghttp2_data_source *source, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *s = source->ptr;
	size_t n;

	(void)ng;
	(void)stream;
	(void)dst;
	if (waiting(s) == 0)
		tell_room(h, s); /* its user may have more at once */
	n = waiting(s) < len ? waiting(s) : len;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n == waiting(s) && s->ending) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->has_trailers) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			if (send_trailers(h, s) != 0)
				return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		}
	} else if (n == 0) {
		s->paused = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)n;
}

/* put_body() - the next @len bytes of the body into the sink */
static int put_body(struct h2 *h, struct h2_stream *s, size_t len)
{
	size_t n = s->out.len - s->sent < len ? s->out.len - s->sent : len;
	int r = n > 0 ? buf_add(h->sink, s->out.data + s->sent, n) : 0;

	if (r == 0 && len > n)
		r = buf_add(h->sink, s->lent, len - n);
	if (r < 0)
		return r;
	s->sent += n;
	s->lent += len - n;
	s->lent_len -= len - n;
	if (s->sent == s->out.len) {
		buf_clear(&s->out);
		s->sent = 0;
	} else if (s->sent >= H2_QUEUE_MAX / 2) {
		buf_eat(&s->out, s->sent);
		s->sent = 0;
	}
	return 0;
}

int h2_push(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t len,
	nghttp2_data_source *source, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *s = source->ptr;

	(void)ng;
	assert(h->sink && frame->data.padlen == 0 && len <= waiting(s));
	if (buf_add(h->sink, head, FRAME_HEAD) < 0 || put_body(h, s, len) < 0) {
		h->broken = h->cut = true;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	tell_room(h, s);
	return h->sink->len < h->want ? 0 : NGHTTP2_ERR_PAUSE; /* sent, and enough for now */
}

static int wake(struct h2 *h, struct h2_stream *s)
{
	if (!s->paused)
		return 0;
	s->paused = false;
	return from_ng(nghttp2_session_resume_data(h->ng, s->id));
}

int32_t h2_request(struct h2 *h, const struct h2_head *q, bool end, void *user)
{
	static _Thread_local nghttp2_nv v[EGRESS_FIELDS_MAX + PSEUDO_MAX]; /* large */
	struct h2_stream *s;
	nghttp2_data_provider body = {.read_callback = h2_pull};
	size_t n = 0;
	int32_t id;

	if (h2_refuses(h) || h->n_streams >= nghttp2_session_get_remote_settings(h->ng,
						     NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
		return -EAGAIN;
	s = h2_add(h, 0, user);
	if (!s)
		return -ENOMEM;
	v[n++] = nv_text(":method", q->method);
	if (q->scheme)
		v[n++] = nv_text(":scheme", q->scheme);
	v[n++] = nv_text(":authority", q->authority);
	if (q->path)
		v[n++] = nv_text(":path", q->path);
	if (q->protocol)
		v[n++] = nv_text(":protocol", q->protocol);
	n += put_fields(v + n, q->fields);
	body.source.ptr = s;
	s->ending = end;
	id = nghttp2_submit_request(h->ng, NULL, v, n, end ? NULL : &body, s);
	if (id < 0) {
		h2_remove(h, s);
		return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EAGAIN;
	}
	s->id = id;
	return id;
}

int h2_respond(
	struct h2 *h, int32_t stream, int status, const struct egress_fields *fields, bool end)
{
	static _Thread_local nghttp2_nv v[EGRESS_FIELDS_MAX + 1]; /* large */
	struct h2_stream *s = h2_find(h, stream);
	nghttp2_data_provider body = {.read_callback = h2_pull};
	char text[16];
	size_t n = 0;

	if (!s)
		return -ESTALE;
	if (s->final || status < 100 || status > 599 || status == 101)
		return -EINVAL;
	(void)snprintf(text, sizeof(text), "%03d", status);
	v[n++] = nv_text(":status", text);
	n += put_fields(v + n, fields);
	if (status < 200)
		return from_ng(
			nghttp2_submit_headers(h->ng, NGHTTP2_FLAG_NONE, stream, NULL, v, n, NULL));
	s->final = true;
	s->ending = end;
	body.source.ptr = s;
	return from_ng(nghttp2_submit_response(h->ng, stream, v, n, end ? NULL : &body));
}

size_t h2_room(const struct h2 *h, int32_t stream)
{
	const struct h2_stream *s = h2_find(h, stream);
	size_t n = s ? waiting(s) : H2_QUEUE_MAX;

	return n < H2_QUEUE_MAX ? H2_QUEUE_MAX - n : 0;
}

/* takes() - 0, or why no bytes can be taken */
static int takes(struct h2_stream *s, size_t len)
{
	if (!s)
		return -ESTALE;
	if (s->ending)
		return -EINVAL;
	if (waiting(s) > H2_QUEUE_MAX || len > H2_QUEUE_MAX - waiting(s)) {
		s->low = true;
		return -EAGAIN;
	}
	return 0;
}

static int keep(struct h2_stream *s, const void *p, size_t len)
{
	int r = buf_add(&s->out, p, len);

	if (r == 0 && waiting(s) >= H2_QUEUE_MAX / 2)
		s->low = true;
	return r;
}

int h2_send(struct h2 *h, int32_t stream, const void *p, size_t len)
{
	struct h2_stream *s = h2_find(h, stream);
	int r = takes(s, len);

	if (r == 0)
		r = keep(s, p, len);
	return r < 0 ? r : wake(h, s);
}

int h2_send_to(
	struct h2 *h, int32_t stream, const void *p, size_t len, struct buf *out, size_t want)
{
	struct h2_stream *s = h2_find(h, stream);
	int r = takes(s, len);
	bool more;

	if (r < 0 || h->busy || waiting(s) > 0 || out->len >= want)
		return r < 0 ? r : h2_send(h, stream, p, len);
	s->lent = p;
	s->lent_len = len;
	r = wake(h, s);
	if (r == 0)
		r = h2_output(h, out, want, &more);
	s = h2_find(h, stream); /* its end may have been among what was sent */
	if (!s)
		return r < 0 ? r : -ESTALE;
	len = s->lent_len;
	s->lent_len = 0;
	return r < 0 || len == 0 ? r : keep(s, s->lent, len);
}

/* copy_fields() - list and texts in one piece of the heap */
static struct egress_fields *copy_fields(const struct egress_fields *f)
{
	struct egress_fields *to;
	size_t bytes = 0;
	char *at;

	for (uint16_t i = 0; i < f->n; i++)
		bytes += (size_t)f->v[i].name_len + f->v[i].value_len;
	to = malloc(sizeof(*to) + bytes);
	if (!to)
		return NULL;
	*to = *f;
	at = (char *)(to + 1);
	for (uint16_t i = 0; i < f->n; i++) {
		memcpy(at, f->v[i].name, f->v[i].name_len);
		to->v[i].name = at;
		at += f->v[i].name_len;
		memcpy(at, f->v[i].value, f->v[i].value_len);
		to->v[i].value = at;
		at += f->v[i].value_len;
	}
	return to;
}

int h2_end(struct h2 *h, int32_t stream, const struct egress_fields *trailers)
{
	struct h2_stream *s = h2_find(h, stream);

	if (!s)
		return -ESTALE;
	if (s->ending)
		return -EINVAL;
	if (trailers && trailers->n > 0) {
		s->trailers = copy_fields(trailers);
		if (!s->trailers)
			return -ENOMEM;
		s->has_trailers = true;
	}
	s->ending = true;
	return wake(h, s);
}

void h2_reset(struct h2 *h, int32_t stream, enum h2_code code)
{
	if (nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, stream, code) == NGHTTP2_ERR_NOMEM)
		h->broken = true;
}
