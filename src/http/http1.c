#include "http/http1.h"
#include "http/internal.h"
#include <assert.h>
#include <string.h>

#define TEXT_FIRST   4096 /* most heads fit */
#define FIELDS_FIRST 32

/* How it works: one byte moves the parser from state to state (step_*()), but for those that change nothing
 * (take_run()); pieces of the head are
 * collected, each terminated, in text[]; when the empty line is complete, http_judge() looks at the
 * head as a whole and sets the state of the body. Bodies are not copied: HTTP_DATA points into the
 * caller's bytes. S_BAD and S_DONE are left by http_parser_next() alone (S_BAD never).
 */

enum http_event http_bad(struct http_parser *p, int status, const char *why)
{
	p->state = S_BAD;
	p->bad_status = status;
	p->why = why;
	return HTTP_BAD;
}

static const struct http_limits limits_default = {.head_max = HTTP_HEAD_MAX,
	.fields_max = HTTP_FIELDS_MAX,
	.trailer_max = HTTP_TRAILER_MAX,
	.target_max = HTTP_TARGET_MAX};
const struct http_limits http_limits_proxy = {
	.head_max = 65536, .fields_max = 128, .trailer_max = 16384, .target_max = 32768};

struct http_parser *http_parser_new(enum http_side side)
{
	return http_parser_new_limits(side, &limits_default);
}

struct http_parser *http_parser_new_limits(enum http_side side, const struct http_limits *limits)
{
	struct http_parser *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->side = side;
	p->limit = *limits;
	p->text = malloc(TEXT_FIRST);
	p->head.fields = malloc(FIELDS_FIRST * sizeof(*p->head.fields));
	if (!p->text || !p->head.fields) {
		http_parser_free(p);
		return NULL;
	}
	p->text_cap = TEXT_FIRST;
	p->fields_cap = FIELDS_FIRST;
	return p;
}

void http_parser_free(struct http_parser *p)
{
	if (!p)
		return;
	free(p->text);
	free(p->head.fields);
	free(p);
}

size_t http_parser_bytes(const struct http_parser *p)
{
	return sizeof(*p) + p->text_cap + p->fields_cap * sizeof(*p->head.fields);
}

/* move() - a piece of the old text is in the new one at the same place */
static void move(const char **s, const char *from, const char *to)
{
	if (*s)
		*s = to + (*s - from);
}

/* grow_text() - everything collected so far moves with it */
static bool grow_text(struct http_parser *p, size_t cap)
{
	struct http_head *h = &p->head;
	char *to = malloc(cap);

	if (!to)
		return false;
	memcpy(to, p->text, p->text_len);
	move(&h->method, p->text, to);
	move(&h->target, p->text, to);
	move(&h->reason, p->text, to);
	for (size_t i = 0; i < p->n_known; i++) {
		move(&h->fields[i].name, p->text, to);
		move(&h->fields[i].value, p->text, to);
	}
	free(p->text);
	p->text = to;
	p->text_cap = cap;
	return true;
}

static bool grow_fields(struct http_parser *p, size_t cap)
{
	struct http_field *to = realloc(p->head.fields, cap * sizeof(*to));

	if (!to)
		return false;
	p->head.fields = to;
	p->fields_cap = cap;
	return true;
}

static void forget_head(struct http_parser *p)
{
	struct http_field *fields = p->head.fields;

	memset(&p->head, 0, sizeof(p->head));
	p->head.fields = fields;
	p->state = S_START;
	p->bytes = p->text_len = p->piece = 0;
	p->n_known = 0;
	p->at = 0;
}

/* shrink() - a large head is not paid for as long as the connection lives */
static void shrink(struct http_parser *p)
{
	void *less;

	if (p->text_cap > TEXT_FIRST && (less = realloc(p->text, TEXT_FIRST))) {
		p->text = less;
		p->text_cap = TEXT_FIRST;
	}
	if (p->fields_cap > FIELDS_FIRST &&
		(less = realloc(p->head.fields, FIELDS_FIRST * sizeof(*p->head.fields)))) {
		p->head.fields = less;
		p->fields_cap = FIELDS_FIRST;
	}
}

void http_parser_next(struct http_parser *p)
{
	assert(p->state == S_DONE);
	forget_head(p);
	shrink(p);
	p->started = false;
	p->interim = 0;
	p->left = 0;
	p->trailer_bytes = 0;
}

void http_parser_expect(struct http_parser *p, const char *method, bool upgrade)
{
	assert(p->side == HTTP_RESPONSE);
	p->asked_head = strcmp(method, "HEAD") == 0;
	p->asked_connect = strcmp(method, "CONNECT") == 0;
	p->upgrade_ok = upgrade;
}

bool http_started(const struct http_parser *p)
{
	return p->started;
}

const struct http_head *http_head(const struct http_parser *p)
{
	return &p->head;
}

const char *http_why(const struct http_parser *p)
{
	return p->why ? p->why : "";
}

int http_bad_status(const struct http_parser *p)
{
	return p->bad_status;
}

bool http_make_room(struct http_parser *p)
{
	if (p->text_len + 2 > p->text_cap && !grow_text(p, p->text_cap * 2))
		return false;
	return p->n_known < p->fields_cap || grow_fields(p, p->fields_cap * 2);
}

/* keep_still() - the head is about to be given out: a trailer must not move it any more */
static bool keep_still(struct http_parser *p)
{
	size_t text = p->text_len + p->limit.trailer_max + 2;

	if (text > p->text_cap && !grow_text(p, text))
		return false;
	return p->fields_cap > p->limit.fields_max || grow_fields(p, p->limit.fields_max + 1);
}

static enum http_event head_end(struct http_parser *p)
{
	enum http_event ev = http_judge(p);

	if (ev == HTTP_HEAD && p->head.body == HTTP_CHUNKED && !keep_still(p))
		return http_bad(p, 503, "no memory for the trailer");
	return ev;
}

static enum http_event step_request_line(struct http_parser *p, unsigned char c)
{
	static const char version[] = "HTTP/1.";

	switch ((int)p->state) {
	case S_METHOD:
		if (c == ' ' && http_piece_len(p) > 0) {
			p->head.method = http_piece_end(p);
			p->state = S_TARGET;
		} else if (!http_is(c, HTTP_C_TOKEN))
			return http_bad(p, 400, "malformed method");
		else if (http_piece_len(p) >= HTTP_METHOD_MAX)
			return http_bad(p, 501, "method too long");
		else
			http_keep(p, c);
		return HTTP_MORE;
	case S_TARGET:
		if (c == ' ' && http_piece_len(p) > 0) {
			p->head.target = http_piece_end(p);
			p->state = S_VERSION;
		} else if (!http_is(c, HTTP_C_TARGET))
			return http_bad(p, 400, "malformed request target");
		else if (http_piece_len(p) >= p->limit.target_max)
			return http_bad(p, 414, "request target too long");
		else
			http_keep(p, c);
		return HTTP_MORE;
	default: /* S_VERSION */
		if (p->at < sizeof(version) - 1) {
			if (c != (unsigned char)version[p->at++])
				return http_bad(p, p->at > 5 ? 505 : 400, "not HTTP/1.x");
		} else if (p->at == sizeof(version) - 1) {
			if (c != '0' && c != '1')
				return http_bad(p, 505, "not HTTP/1.0 or HTTP/1.1");
			p->head.minor = c - '0';
			p->at++;
		} else {
			if (c != '\r')
				return http_bad(p, 400, "malformed request line");
			p->state = S_LINE_LF;
		}
		return HTTP_MORE;
	}
}

static enum http_event step_status_line(struct http_parser *p, unsigned char c)
{
	static const char version[] = "HTTP/1.";

	switch ((int)p->state) {
	case S_RVERSION:
		if (p->at < sizeof(version) - 1) {
			if (c != (unsigned char)version[p->at++])
				return http_bad(p, 505, "not HTTP/1.x");
		} else if (p->at == sizeof(version) - 1) {
			if (c != '0' && c != '1')
				return http_bad(p, 505, "not HTTP/1.0 or HTTP/1.1");
			p->head.minor = c - '0';
			p->at++;
		} else {
			if (c != ' ')
				return http_bad(p, 400, "malformed status line");
			p->at = 0;
			p->state = S_STATUS;
		}
		return HTTP_MORE;
	case S_STATUS:
		if (p->at < 3) {
			if (!http_is(c, HTTP_C_DIGIT))
				return http_bad(p, 400, "malformed status");
			p->head.status = p->head.status * 10 + (c - '0');
			p->at++;
			return HTTP_MORE;
		}
		/* The space may be missing with the reason: servers do it, and nothing hangs on it. */
		p->state = c == '\r' ? S_LINE_LF : S_REASON;
		if (c == '\r')
			p->head.reason = http_piece_end(p);
		return c == ' ' || c == '\r' ? HTTP_MORE : http_bad(p, 400, "malformed status");
	default: /* S_REASON */
		if (c == '\r') {
			p->head.reason = http_piece_end(p);
			p->state = S_LINE_LF;
		} else if (!http_is(c, HTTP_C_VALUE))
			return http_bad(p, 400, "control byte in the reason");
		else
			http_keep(p, c);
		return HTTP_MORE;
	}
}

void http_field_name_end(struct http_parser *p)
{
	struct http_field *f = &p->head.fields[p->n_known++];

	f->name_len = http_piece_len(p);
	f->name = http_piece_end(p);
	f->value = NULL;
}

void http_field_end(struct http_parser *p)
{
	struct http_field *f = &p->head.fields[p->n_known - 1];

	while (http_piece_len(p) > 0 &&
		(p->text[p->text_len - 1] == ' ' || p->text[p->text_len - 1] == '\t'))
		p->text_len--;
	f->value_len = http_piece_len(p);
	f->value = http_piece_end(p);
}

static enum http_event step_field(struct http_parser *p, unsigned char c)
{
	switch ((int)p->state) {
	case S_FIELD:
		if (c == '\r') {
			p->state = S_HEAD_LF;
			return HTTP_MORE;
		}
		if (c == ' ' || c == '\t')
			return http_bad(p, 400, "folded header field");
		if (p->n_known >= p->limit.fields_max)
			return http_bad(p, 431, "too many header fields");
		p->state = S_NAME;
		__attribute__((fallthrough));
	case S_NAME:
		if (c == ':' && http_piece_len(p) > 0) {
			http_field_name_end(p);
			p->state = S_OWS;
		} else if (!http_is(c, HTTP_C_TOKEN))
			return http_bad(p, 400, "malformed header field name");
		else
			http_keep(p, c);
		return HTTP_MORE;
	case S_OWS:
		if (c == ' ' || c == '\t')
			return HTTP_MORE;
		p->state = S_VALUE;
		__attribute__((fallthrough));
	default: /* S_VALUE */
		if (c == '\r') {
			http_field_end(p);
			p->head.n_fields = p->n_known;
			p->state = S_VALUE_LF;
			return HTTP_MORE;
		}
		if (!http_is(c, HTTP_C_VALUE))
			return http_bad(p, 400, "control byte in a header field");
		http_keep(p, c);
		return HTTP_MORE;
	}
}

static enum http_event step_head(struct http_parser *p, unsigned char c)
{
	if (++p->bytes > p->limit.head_max)
		return http_bad(p, 431, "header too large");
	if (!http_make_room(p))
		return http_bad(p, 503, "no memory for the header");
	if (p->state == S_START) {
		p->started = true;
		p->state = p->side == HTTP_REQUEST ? S_METHOD : S_RVERSION;
	}
	switch ((int)p->state) {
	case S_METHOD:
	case S_TARGET:
	case S_VERSION:
		return step_request_line(p, c);
	case S_RVERSION:
	case S_STATUS:
	case S_REASON:
		return step_status_line(p, c);
	case S_LINE_LF:
	case S_VALUE_LF:
		if (c != '\n')
			return http_bad(p, 400, "CR without LF");
		p->state = S_FIELD;
		return HTTP_MORE;
	case S_HEAD_LF:
		if (c != '\n')
			return http_bad(p, 400, "CR without LF");
		return head_end(p);
	default:
		return step_field(p, c);
	}
}

/* give() - a run of body bytes in place */
static enum http_event give(struct http_parser *p, const char *in, size_t len, size_t *ret_used,
	const char **ret_data, size_t *ret_len)
{
	size_t n = len;

	if (p->state != S_CLOSE) {
		if (n > p->left)
			n = (size_t)p->left;
		p->left -= n;
		if (p->left == 0)
			p->state = p->state == S_LENGTH ? S_DONE : S_CHUNK_CR;
	}
	*ret_used += n;
	*ret_data = in;
	*ret_len = n;
	return HTTP_DATA;
}

/* take_run() - bytes of a name, value or target that need no thought; the others go one by one */
static size_t take_run(struct http_parser *p, const char *in, size_t len)
{
	size_t room = p->text_cap - p->text_len; /* two are left, as http_make_room() has it */
	size_t most = p->limit.head_max - p->bytes, n = 0;
	unsigned mask;

	switch ((int)p->state) {
	case S_TARGET:
		mask = HTTP_C_TARGET;
		if (most > p->limit.target_max - http_piece_len(p))
			most = p->limit.target_max - http_piece_len(p);
		break;
	case S_NAME:
		mask = HTTP_C_TOKEN;
		break;
	case S_VALUE:
		mask = HTTP_C_VALUE;
		break;
	default:
		return 0;
	}
	if (most > len)
		most = len;
	if (most + 2 > room)
		most = room > 2 ? room - 2 : 0;
	while (n < most && http_is((unsigned char)in[n], mask)) {
		p->text[p->text_len + n] = in[n];
		n++;
	}
	p->text_len += n;
	p->bytes += n;
	return n;
}

enum http_event http_parse(struct http_parser *p, const void *in, size_t len, size_t *ret_used,
	const char **ret_data, size_t *ret_len)
{
	const char *s = in;

	*ret_used = 0;
	if (p->state == S_INTERIM)
		forget_head(p);
	for (;;) {
		enum http_event ev;
		unsigned char c;

		if (p->state == S_BAD)
			return HTTP_BAD;
		if (p->state == S_DONE)
			return HTTP_END;
		if (*ret_used == len)
			return HTTP_MORE;
		if (p->state == S_LENGTH || p->state == S_CHUNK || p->state == S_CLOSE)
			return give(p, s + *ret_used, len - *ret_used, ret_used, ret_data, ret_len);
		*ret_used += take_run(p, s + *ret_used, len - *ret_used);
		if (*ret_used == len)
			return HTTP_MORE;
		c = (unsigned char)s[(*ret_used)++];
		ev = p->state < S_INTERIM ? step_head(p, c) : http_step_body(p, c);
		if (ev != HTTP_MORE)
			return ev;
	}
}

enum http_event http_parse_eof(struct http_parser *p)
{
	switch ((int)p->state) {
	case S_CLOSE:
		p->state = S_DONE;
		return HTTP_END;
	case S_START:
	case S_DONE:
		return HTTP_END;
	case S_BAD:
		return HTTP_BAD;
	default:
		return http_bad(p, 400, "the message ends too early");
	}
}
