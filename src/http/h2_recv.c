/* From nghttp2's callbacks to events. nghttp2 checks the grammar of HTTP in HTTP/2 (pseudo-fields,
 * connection fields, lengths); what it would drop silently is made a malformed head here.
 */
#include "http/h2_int.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* How much beyond what is kept a head may decode to before the connection is closed for it. */
#define HEAD_BOMB (4 * H2_HEAD_MAX)

static void refuse(struct h2_collect *c, int status, const char *why)
{
	if (!c->why) {
		c->why = why;
		c->bad_status = status;
	}
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *ctx)
{
	struct h2 *h = ctx;
	bool ok = true;

	(void)ng;
	switch (hd->type) {
	case NGHTTP2_RST_STREAM:
		ok = h2_charge(h, &h->resets, H2_RESETS_PER_S);
		break;
	case NGHTTP2_SETTINGS:
	case NGHTTP2_PING:
	case NGHTTP2_PRIORITY:
	case NGHTTP2_CONTINUATION:
	case NGHTTP2_GOAWAY:
		ok = h2_charge(h, &h->controls, H2_CONTROLS_PER_S);
		break;
	case NGHTTP2_DATA:
		if (hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_STREAM))
			ok = h2_charge(h, &h->controls, H2_CONTROLS_PER_S);
		break;
	case NGHTTP2_HEADERS:
	case NGHTTP2_WINDOW_UPDATE:
		break;
	default:
		ok = h2_charge(h, &h->controls, H2_CONTROLS_PER_S);
	}
	if (!ok) {
		(void)nghttp2_session_terminate_session(h->ng, H2_ENHANCE_YOUR_CALM);
		h->broken = true;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_collect *c = &h->head;

	c->text.len = 0;
	c->n = 0;
	c->bytes = 0;
	c->why = NULL;
	c->method = c->scheme = c->authority = c->path = c->protocol = 0;
	c->status = 0;
	if (h->role == H2_SERVER && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		struct h2_stream *s = h2_add(h, frame->hd.stream_id, NULL);

		if (!s || nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, s) != 0) {
			if (s)
				h2_remove(h, s);
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		}
	}
	return 0;
}

/* keep() - a terminated copy; its offset + 1, 0 when there is no room */
static uint32_t keep(struct h2_collect *c, const uint8_t *p, size_t len)
{
	size_t at = c->text.len;
	char *room;

	if (buf_room(&c->text, len + 1, &room) < 0)
		return 0;
	memcpy(room, p, len);
	room[len] = '\0';
	buf_grew(&c->text, len + 1);
	return (uint32_t)at + 1;
}

static bool is(const uint8_t *name, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(name, what, len) == 0;
}

static uint32_t *pseudo(struct h2_collect *c, const uint8_t *name, size_t len)
{
	if (is(name, len, ":method"))
		return &c->method;
	if (is(name, len, ":scheme"))
		return &c->scheme;
	if (is(name, len, ":authority"))
		return &c->authority;
	if (is(name, len, ":path"))
		return &c->path;
	return is(name, len, ":protocol") ? &c->protocol : NULL;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_collect *c = &h->head;
	uint32_t at_name, at_value, *p = pseudo(c, name, name_len);

	(void)ng;
	(void)frame;
	c->bytes += name_len + value_len + 2;
	if (c->bytes > HEAD_BOMB) {
		h->broken = true;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	if (c->bytes > H2_HEAD_MAX || (!p && c->n == EGRESS_FIELDS_MAX)) {
		refuse(c, 431, "header too large");
		return 0;
	}
	if (is(name, name_len, ":status")) {
		c->status = 0;
		for (size_t i = 0; i < value_len; i++)
			c->status = c->status * 10 + (value[i] - '0');
		return 0;
	}
	at_name = p ? 1 : keep(c, name, name_len);
	at_value = keep(c, value, value_len);
	if (!at_name || !at_value) {
		refuse(c, 431, "header too large");
		return 0;
	}
	if (p) {
		*p = at_value;
		return 0;
	}
	c->at[c->n].name = at_name - 1;
	c->at[c->n].value = at_value - 1;
	c->at[c->n].name_len = (uint16_t)name_len;
	c->at[c->n].value_len = (uint16_t)value_len;
	c->at[c->n++].never_index = flags & NGHTTP2_NV_FLAG_NO_INDEX;
	return 0;
}

/* nghttp2 would drop the field and go on: what is left is not what was sent. */
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
	struct h2 *h = ctx;

	(void)ng;
	(void)frame;
	(void)name;
	(void)value;
	(void)flags;
	h->head.bytes += name_len + value_len + 2;
	if (h->head.bytes > HEAD_BOMB) {
		h->broken = true;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	refuse(&h->head, 400, "malformed header field");
	return 0;
}

static const char *text_at(const struct h2_collect *c, uint32_t at)
{
	return at ? c->text.data + at - 1 : NULL;
}

static const struct egress_fields *list(struct h2 *h)
{
	const struct h2_collect *c = &h->head;

	for (uint16_t i = 0; i < c->n; i++)
		h->fields.v[i] = (struct egress_field){.name = c->text.data + c->at[i].name,
			.value = c->text.data + c->at[i].value,
			.name_len = c->at[i].name_len,
			.value_len = c->at[i].value_len,
			.never_index = c->at[i].never_index};
	h->fields.n = c->n;
	return &h->fields;
}

static void tell_head(struct h2 *h, struct h2_stream *s, bool end)
{
	const struct h2_collect *c = &h->head;
	struct h2_head head = {.method = text_at(c, c->method),
		.scheme = text_at(c, c->scheme),
		.authority = text_at(c, c->authority),
		.path = text_at(c, c->path),
		.protocol = text_at(c, c->protocol),
		.status = c->status,
		.fields = list(h),
		.why = c->why,
		.bad_status = c->why ? c->bad_status : 0};

	s->told = true;
	h->ops->head(h->ctx, s->id, s->user, &head, end);
}

static void tell_end(struct h2 *h, struct h2_stream *s, bool trailers)
{
	if (trailers && h->head.why) {
		h2_reset(h, s->id, H2_PROTOCOL_ERROR);
		if (h->ops->malformed)
			h->ops->malformed(h->ctx, s->id, h->head.why);
		return;
	}
	h->ops->end(h->ctx, s->id, s->user, trailers ? list(h) : NULL);
}

/* on_headers() - a head is complete. Trailers are what comes after the final head. */
static void on_headers(struct h2 *h, struct h2_stream *s, const nghttp2_frame *frame)
{
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	bool first = h->role == H2_SERVER ? !s->told : !s->final;

	if (!first) {
		tell_end(h, s, true);
		return;
	}
	if (h->role == H2_CLIENT && h->head.status >= 200)
		s->final = true;
	tell_head(h, s, end);
}

static void on_goaway(struct h2 *h, const nghttp2_frame *frame)
{
	h->goaway = true;
	h->goaway_last = frame->goaway.last_stream_id;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *s = frame->hd.stream_id ? h2_find(h, frame->hd.stream_id) : NULL;

	(void)ng;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		if (s)
			on_headers(h, s, frame);
		break;
	case NGHTTP2_DATA:
		if (s && s->told && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
			tell_end(h, s, false);
		break;
	case NGHTTP2_GOAWAY:
		on_goaway(h, frame);
		break;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			h->pongs++;
		break;
	default:
		break;
	}
	return h->broken ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_data(
	nghttp2_session *ng, uint8_t flags, int32_t stream, const uint8_t *p, size_t len, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *s = h2_find(h, stream);

	(void)ng;
	(void)flags;
	if (s && s->told)
		h->ops->data(h->ctx, stream, s->user, p, len);
	else
		h2_consume(h, stream, len);
	return h->broken ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *ctx)
{
	struct h2 *h = ctx;

	(void)ng;
	/* Each costs us a RST_STREAM: it is counted as if the peer had reset the stream. */
	if (!h2_charge(h, &h->resets, H2_RESETS_PER_S)) {
		(void)nghttp2_session_terminate_session(h->ng, H2_ENHANCE_YOUR_CALM);
		h->broken = true;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	if (h->ops && h->ops->malformed)
		h->ops->malformed(h->ctx, frame->hd.stream_id, nghttp2_strerror(error));
	return 0;
}

static int on_close(nghttp2_session *ng, int32_t stream, uint32_t code, void *ctx)
{
	struct h2 *h = ctx;
	struct h2_stream *s = h2_find(h, stream);

	if (!s)
		return 0;
	(void)nghttp2_session_set_stream_user_data(ng, stream, NULL);
	/* A client's stream is known to its user from h2_request() on. */
	if (h->ops && (s->told || h->role == H2_CLIENT))
		h->ops->closed(h->ctx, stream, s->user, code);
	h2_remove(h, s);
	return 0;
}

/* on_not_sent() - a request that never left (the connection ended first) has no close of its own */
static int on_not_sent(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *ctx)
{
	(void)error;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		return on_close(ng, frame->hd.stream_id, H2_REFUSED_STREAM, ctx);
	return 0;
}

int h2_callbacks(nghttp2_session_callbacks **ret)
{
	nghttp2_session_callbacks *cb;

	if (nghttp2_session_callbacks_new(&cb) != 0)
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_not_sent);
	nghttp2_session_callbacks_set_send_data_callback(cb, h2_push);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cb, h2_frame_len);
	*ret = cb;
	return 0;
}
