#include "base/clock.h"
#include "egress/chan.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static bool is_hop(const char *name)
{
	static const char *const hop[] = {"connection", "keep-alive", "proxy-connection", "te",
		"trailer", "transfer-encoding", "upgrade", "proxy-authenticate", "alt-svc",
		"http2-settings"};

	for (size_t i = 0; i < ARRAY_LEN(hop); i++)
		if (name[0] == hop[i][0] && strcmp(name, hop[i]) == 0)
			return true;
	return false;
}

/* coding_of() - false: one that cannot be looked into */
static bool coding_of(const struct egress_fields *f, enum scrub_coding *ret)
{
	const char *v = egress_field(f, "content-encoding");

	*ret = SCRUB_IDENTITY;
	for (uint16_t i = 0, n = 0; i < f->n; i++)
		if (strcmp(f->v[i].name, "content-encoding") == 0 && ++n > 1)
			return false; /* one over the other */
	if (!v || !v[0] || strcasecmp(v, "identity") == 0)
		return true;
	*ret = SCRUB_GZIP;
	if (strcasecmp(v, "gzip") == 0 || strcasecmp(v, "x-gzip") == 0)
		return true;
	*ret = SCRUB_BROTLI;
	return strcasecmp(v, "br") == 0;
}

/* mask_fields() - a value that holds the secret is replaced by a masked copy */
static void mask_fields(struct chan *c, struct egress_fields *f)
{
	for (uint16_t i = 0; i < f->n; i++) {
		size_t len = f->v[i].value_len;
		char *copy;

		if (!scrub_any(c->cred.scrub, c->cred.n_scrub, f->v[i].value, len))
			continue;
		cred_note(&c->cred, "scrubbed");
		copy = cred_own(&c->cred, len + 1);
		if (!copy) {
			f->v[i].value = "";
			f->v[i].value_len = 0;
			continue;
		}
		memcpy(copy, f->v[i].value, len);
		for (unsigned j = 0; j < c->cred.n_scrub; j++)
			(void)scrub_mask(c->cred.scrub[j], copy, len);
		f->v[i].value = copy;
	}
}

/* guard() - the answer to a request with a credential: false: refused */
static bool guard(struct chan *c, struct egress_fields *f, bool end)
{
	enum scrub_coding coding;

	mask_fields(c, f);
	if (end || c->cred.oauth)
		return true;
	if (!coding_of(f, &coding)) {
		chan_fail(c, 502, "coding",
			"the answer is encoded in a way that cannot be looked into");
		return false;
	}
	c->scrub = scrub_stream_new(c->cred.scrub, c->cred.n_scrub, coding);
	if (!c->scrub) {
		chan_fail(c, 503, "limit", "no memory");
		return false;
	}
	c->decoded = coding != SCRUB_IDENTITY;
	return true;
}

/* set_field() - the only one of that name from now on; @value lives as long as the answer's head */
static void set_field(struct egress_fields *f, const char *name, const char *value)
{
	egress_fields_drop(f, name);
	if (f->n < EGRESS_FIELDS_MAX)
		f->v[f->n++] = (struct egress_field){
			name, value, (uint16_t)strlen(name), (uint16_t)strlen(value), false};
}

/* cut_piece() - an answer 206 to what was widened (range.h); false: refused */
static bool cut_piece(struct chan *c, struct egress_response *s, bool end)
{
	const char *said = egress_field(&s->fields, "content-range");
	struct range_piece piece = {0};
	enum range_result r = end || !said ? RANGE_BAD : range_fit(&c->cred.range, said, &piece);
	char *text = cred_own(&c->cred, (size_t)2 * RANGE_TEXT);

	if (r == RANGE_BAD || c->decoded || !text) {
		chan_fail(c, 502, "range",
			"the piece that came is not what was asked for, and cannot be looked into");
		return false;
	}
	memcpy(text, piece.content_range, RANGE_TEXT);
	(void)snprintf(text + RANGE_TEXT, RANGE_TEXT, "%llu", (unsigned long long)piece.take);
	if (r == RANGE_BEYOND)
		s->status = 416;
	set_field(&s->fields, "content-range", text);
	set_field(&s->fields, "content-length", text + RANGE_TEXT);
	egress_fields_drop(&s->fields, "content-md5");
	egress_fields_drop(&s->fields, "content-digest");
	c->cut = true;
	c->cut_skip = piece.skip;
	c->cut_left = piece.take;
	return true;
}

void exchange_head(
	struct chan *c, int status, unsigned version, const struct egress_fields *fields, bool end)
{
	static struct egress_response s; /* large */
	bool interim = status < 200 && status != 101;
	struct egress_fields *f = &s.fields;

	s.status = (uint16_t)status;
	s.version = (uint8_t)version;
	f->n = 0;
	c->decoded = false;
	for (uint16_t i = 0; i < fields->n; i++) {
		if (is_hop(fields->v[i].name) ||
			(c->cred.strip_cookies && strcmp(fields->v[i].name, "set-cookie") == 0) ||
			(c->own_key && strcmp(fields->v[i].name, "sec-websocket-accept") == 0))
			continue;
		f->v[f->n++] = fields->v[i];
	}
	if (interim)
		mask_fields(c, f);
	else if (c->cred.n_scrub > 0 && !guard(c, f, end))
		return;
	if (status == 206 && c->scrub && !cut_piece(c, &s, end))
		return;
	if (!interim && c->cred.oauth) {
		token_begin(c, status, &s, end);
		return;
	}
	if (c->decoded) {
		egress_fields_drop(f, "content-length");
		egress_fields_drop(f, "content-encoding");
	}
	c->answered = !interim;
	if (egress_put_response(&c->out, &s, end) < 0)
		chan_put_failed(c);
	chan_dirty(c);
}

void egress_fields_drop(struct egress_fields *f, const char *name)
{
	uint16_t n = 0;

	for (uint16_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].name, name) != 0)
			f->v[n++] = f->v[i];
	f->n = n;
}

#define DIRECT 32768 /* so many bytes are worth a system call of their own */

/* put_data() - as DATA to the channel; at once when nothing waits there */
static int put_data(struct chan *c, const uint8_t *p, size_t len)
{
	uint8_t head[EGRESS_FRAME_HEAD];
	const struct iovec v[2] = {{head, sizeof(head)}, {(void *)(uintptr_t)p, len}};
	const struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = 2};
	size_t sent;
	ssize_t n;

	if (len < DIRECT || c->out.len > c->out_pos)
		return egress_put_data(&c->out, p, len, false);
	egress_frame_head(head, EGRESS_DATA, false, len);
	n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	sent = n > 0 ? (size_t)n : 0;
	c->full = sent < sizeof(head) + len;
	if (sent >= sizeof(head))
		return buf_add(&c->out, p + (sent - sizeof(head)), len + sizeof(head) - sent);
	return buf_add(&c->out, head + sent, sizeof(head) - sent) < 0 ? -ENOBUFS
								      : buf_add(&c->out, p, len);
}

/* pass() - bytes that may be shown */
static bool pass(void *ctx, const void *p, size_t len)
{
	const uint8_t *at = p;
	struct chan *c = ctx;

	while (len > 0) {
		size_t n = len < EGRESS_FRAME_MAX ? len : EGRESS_FRAME_MAX;

		if (put_data(c, at, n) < 0) {
			chan_put_failed(c);
			return false;
		}
		at += n;
		len -= n;
	}
	chan_dirty(c);
	return true;
}

/* show() - of masked bytes those that are in the piece */
static bool show(void *ctx, const void *p, size_t len)
{
	const uint8_t *at = p;
	struct chan *c = ctx;
	size_t skip;

	if (!c->cut)
		return pass(c, p, len);
	skip = c->cut_skip < len ? (size_t)c->cut_skip : len;
	c->cut_skip -= skip;
	len -= skip;
	len = c->cut_left < len ? (size_t)c->cut_left : len;
	c->cut_left -= len;
	return pass(c, at + skip, len);
}

static bool scrubbed(struct chan *c, enum scrub_result r)
{
	if (scrub_stream_found(c->scrub))
		cred_note(&c->cred, "scrubbed");
	if (r == SCRUB_OK)
		return true;
	c->v->faults++;
	chan_close(c);
	return false;
}

void exchange_data(struct chan *c, const void *p, size_t len)
{
	c->moved_ms = clock_ms();
	c->bytes_down += len;
	if (c->cred.oauth)
		token_data(c, p, len);
	else if (c->scrub)
		(void)scrubbed(c, scrub_feed(c->scrub, p, len, show, c));
	else
		(void)pass(c, p, len);
}

void exchange_end(struct chan *c, const struct egress_fields *trailers)
{
	static struct egress_fields f; /* large */
	int r;

	f.n = 0;
	if (c->cred.oauth && !token_end(c))
		return;
	if (c->scrub && !scrubbed(c, scrub_end(c->scrub, show, c)))
		return;
	if (trailers) {
		for (uint16_t i = 0; i < trailers->n; i++)
			if (!is_hop(trailers->v[i].name))
				f.v[f.n++] = trailers->v[i];
		mask_fields(c, &f);
	}
	r = f.n > 0 ? egress_put_trailers(&c->out, &f) : egress_put_data(&c->out, "", 0, true);
	if (r < 0)
		chan_put_failed(c);
	else
		chan_done(c);
}
