#include "http/internal.h"
#include <assert.h>
#include <string.h>
#include <strings.h>

/* Fields that decide where a message goes, how long it is, or who speaks. Two of one kind are how
 * two programs come to read one message differently.
 */
enum { ONCE = 1, ONCE_ASKED = 2, NO_TRAILER = 4, NOT_HOP = 8 };

#define KNOWN(name, rules)                                                                         \
	{                                                                                          \
		name, sizeof(name) - 1, rules                                                      \
	}

static const struct {
	const char *name;
	size_t len;
	unsigned
		rules; /* ONCE: in any message; ONCE_ASKED: in requests; NOT_HOP: not in Connection */
} known[] = {
	KNOWN("host", ONCE | NO_TRAILER | NOT_HOP),
	KNOWN("content-length", ONCE | NO_TRAILER | NOT_HOP),
	KNOWN("transfer-encoding", ONCE | NO_TRAILER),
	KNOWN("connection", NO_TRAILER | NOT_HOP),
	KNOWN("upgrade", ONCE_ASKED | NO_TRAILER),
	KNOWN("expect", ONCE | NO_TRAILER | NOT_HOP),
	KNOWN("content-type", ONCE_ASKED | NO_TRAILER | NOT_HOP),
	KNOWN("content-encoding", NO_TRAILER | NOT_HOP),
	KNOWN("content-range", NO_TRAILER | NOT_HOP),
	KNOWN("authorization", ONCE | NO_TRAILER | NOT_HOP),
	KNOWN("proxy-authorization", ONCE | NO_TRAILER | NOT_HOP),
	KNOWN("x-api-key", ONCE_ASKED | NO_TRAILER | NOT_HOP),
	KNOWN("cookie", NO_TRAILER | NOT_HOP),
	KNOWN("set-cookie", NO_TRAILER),
	KNOWN("origin", ONCE_ASKED | NO_TRAILER | NOT_HOP),
	KNOWN("location", NO_TRAILER),
	KNOWN("trailer", NO_TRAILER),
	KNOWN("te", NO_TRAILER),
};

static_assert(ARRAY_LEN(known) <= 32, "a bit for each");

/* A field's length is compared first: most differ in it. */
static bool is_named(const struct http_field *f, const char *name, size_t len)
{
	return f->name_len == len && strncasecmp(f->name, name, len) == 0;
}

const char *http_field(const struct http_head *h, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < h->n_fields; i++)
		if (is_named(&h->fields[i], name, len))
			return h->fields[i].value;
	return NULL;
}

/* known_at() - its place in known[], or the number of those there */
static size_t known_at(const char *name, size_t len)
{
	size_t i = 0;

	while (i < ARRAY_LEN(known) &&
		(known[i].len != len || strncasecmp(known[i].name, name, len) != 0))
		i++;
	return i;
}

bool http_has_token(const char *list, const char *token)
{
	size_t want = strlen(token);

	while (list && *list) {
		size_t n;

		list += strspn(list, " \t,");
		n = strcspn(list, " \t,");
		if (n == want && strncasecmp(list, token, n) == 0)
			return true;
		list += n;
	}
	return false;
}

/* connection_has() - in any of the Connection fields; those may come more than once */
static bool connection_has(const struct http_head *h, const char *token)
{
	for (size_t i = 0; i < h->n_fields; i++)
		if (is_named(&h->fields[i], "connection", 10) &&
			http_has_token(h->fields[i].value, token))
			return true;
	return false;
}

bool http_known(const char *name)
{
	return known_at(name, strlen(name)) < ARRAY_LEN(known);
}

bool http_once(const char *name)
{
	size_t i = known_at(name, strlen(name));

	return i < ARRAY_LEN(known) && (known[i].rules & (ONCE | ONCE_ASKED));
}

bool http_trailer_ok(const char *name)
{
	size_t i = known_at(name, strlen(name));

	return i == ARRAY_LEN(known) || !(known[i].rules & NO_TRAILER);
}

bool http_host_ok(const char *s, size_t len, bool need_port)
{
	unsigned mask = HTTP_C_HOST, port = 0;
	size_t i = 0, digits;

	if (len > 0 && s[0] == '[') {
		mask = HTTP_C_IPV6;
		i = 1;
	}
	while (i < len && http_is((unsigned char)s[i], mask))
		i++;
	if (mask == HTTP_C_IPV6 ? i < 4 || i >= len || s[i++] != ']' : i == 0 || i > 255)
		return false;
	if (i == len)
		return !need_port;
	if (s[i++] != ':' || i == len || s[i] == '0')
		return false;
	for (digits = 0; i < len && digits < 6; i++, digits++) {
		if (!http_is((unsigned char)s[i], HTTP_C_DIGIT))
			return false;
		port = port * 10 + (unsigned)(s[i] - '0');
	}
	return i == len && port <= 65535;
}

/* same_authority() - Host and @n bytes of a target; a port that goes without saying may be left out */
static bool same_authority(const char *host, const char *t, size_t n, const char *port)
{
	size_t len = strlen(host), plen = strlen(port);

	if (len == n)
		return strncasecmp(host, t, n) == 0;
	if (len + plen == n)
		return strncasecmp(host, t, len) == 0 && strncmp(t + len, port, plen) == 0;
	return n + plen == len && strncasecmp(host, t, n) == 0 && strcmp(host + n, port) == 0;
}

/* judge_target() - which form, and does it agree with Host? NULL when it is right */
static const char *judge_target(struct http_head *h, const char *host)
{
	const char *t = h->target, *rest;
	size_t n;

	if (strcmp(h->method, "CONNECT") == 0) {
		h->form = HTTP_AUTHORITY;
		if (!http_host_ok(t, strlen(t), true))
			return "malformed authority";
		return host && !same_authority(host, t, strlen(t), strrchr(t, ':'))
			       ? "Host and target differ"
			       : NULL;
	}
	if (t[0] == '/') {
		h->form = HTTP_ORIGIN;
		return NULL;
	}
	if (strcmp(t, "*") == 0) {
		h->form = HTTP_ASTERISK;
		return strcmp(h->method, "OPTIONS") == 0 ? NULL : "'*' is for OPTIONS only";
	}
	h->form = HTTP_ABSOLUTE;
	if (strncasecmp(t, "http://", 7) == 0)
		rest = t + 7;
	else if (strncasecmp(t, "https://", 8) == 0)
		rest = t + 8;
	else
		return "malformed request target";
	n = strcspn(rest, "/?");
	if (!http_host_ok(rest, n, false))
		return "malformed authority";
	if (host && !same_authority(host, rest, n, rest == t + 7 ? ":80" : ":443"))
		return "Host and target differ";
	return NULL;
}

bool http_length(const char *s, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; s[i]; i++) {
		if (!http_is((unsigned char)s[i], HTTP_C_DIGIT) || i >= 18)
			return false;
		v = v * 10 + (uint64_t)(s[i] - '0');
	}
	if (i == 0 || (i > 1 && s[0] == '0'))
		return false;
	*ret = v;
	return true;
}

/* judge_framing() - how long is the body? The one question on which smuggling hangs. */
static const char *judge_framing(struct http_head *h)
{
	const char *cl = http_field(h, "content-length"), *te = http_field(h, "transfer-encoding");

	if (cl && te)
		return "both Content-Length and Transfer-Encoding";
	if (te && h->minor == 0)
		return "Transfer-Encoding in HTTP/1.0";
	if (te && strcasecmp(te, "chunked") != 0)
		return "unknown Transfer-Encoding";
	if (cl && !http_length(cl, &h->length))
		return "malformed Content-Length";
	h->body = te ? HTTP_CHUNKED : cl && h->length > 0 ? HTTP_LENGTH : HTTP_NO_BODY;
	return NULL;
}

static const char *judge_fields(struct http_parser *p)
{
	const unsigned once = p->side == HTTP_REQUEST ? ONCE | ONCE_ASKED : ONCE;
	const struct http_head *h = &p->head;
	bool connection = false;
	uint32_t seen = 0;

	for (size_t i = 0; i < h->n_fields; i++) {
		size_t at = known_at(h->fields[i].name, h->fields[i].name_len);

		if (at == ARRAY_LEN(known))
			continue;
		if ((known[at].rules & once) && (seen >> at & 1))
			return "a header field is there twice";
		seen |= UINT32_C(1) << at;
		connection |= is_named(&h->fields[i], "connection", 10);
	}
	for (size_t i = 0; i < ARRAY_LEN(known) && connection; i++)
		if ((known[i].rules & NOT_HOP) && connection_has(h, known[i].name))
			return "Connection names a field that is not hop-by-hop";
	return NULL;
}

static enum http_event judge_request(struct http_parser *p)
{
	struct http_head *h = &p->head;
	const char *host = http_field(h, "host"), *expect = http_field(h, "expect"), *why;
	bool asks = http_field(h, "upgrade") != NULL;

	if (!host && h->minor == 1)
		return http_bad(p, 400, "no Host");
	if (host && !http_host_ok(host, strlen(host), false))
		return http_bad(p, 400, "malformed Host");
	why = judge_target(h, host);
	if (why)
		return http_bad(p, 400, why);
	if (expect && (h->minor == 0 || strcasecmp(expect, "100-continue") != 0))
		return http_bad(p, 417, "unknown expectation");
	h->continue_100 = expect != NULL;
	if (asks != connection_has(h, "upgrade"))
		return http_bad(p, 400, "Upgrade and Connection disagree");
	h->upgrade = asks || h->form == HTTP_AUTHORITY;
	if (h->upgrade && h->body != HTTP_NO_BODY)
		return http_bad(p, 400, "an upgrade with a body");
	if (asks && h->minor == 0)
		return http_bad(p, 400, "Upgrade in HTTP/1.0");
	return HTTP_HEAD;
}

static enum http_event judge_response(struct http_parser *p)
{
	struct http_head *h = &p->head;
	int s = h->status;

	if (s < 100 || s > 599)
		return http_bad(p, 400, "status out of range");
	if (s < 200 || s == 204) {
		if (h->body != HTTP_NO_BODY)
			return http_bad(p, 400, "a body where none can be");
	} else if (p->asked_head || s == 304) {
		h->body = HTTP_NO_BODY;
	} else if (p->asked_connect && s < 300) {
		if (h->body != HTTP_NO_BODY)
			return http_bad(p, 400, "a body where none can be");
		h->upgrade = true;
	} else if (h->body == HTTP_NO_BODY && !http_field(h, "content-length")) {
		h->body = HTTP_UNTIL_CLOSE;
		h->keep_alive = false;
	}
	if (s == 101) {
		if (!p->upgrade_ok || !http_field(h, "upgrade"))
			return http_bad(p, 400, "101 that nobody asked for");
		h->upgrade = true;
	} else if (s < 200 && ++p->interim > HTTP_INTERIM_MAX)
		return http_bad(p, 400, "too many interim answers");
	return HTTP_HEAD;
}

enum http_event http_judge(struct http_parser *p)
{
	struct http_head *h = &p->head;
	const char *why = judge_fields(p);
	enum http_event ev;

	if (!why)
		why = judge_framing(h);
	if (why)
		return http_bad(p, strcmp(why, "unknown Transfer-Encoding") == 0 ? 501 : 400, why);
	h->keep_alive = h->minor == 1 && !connection_has(h, "close");
	ev = p->side == HTTP_REQUEST ? judge_request(p) : judge_response(p);
	if (ev != HTTP_HEAD)
		return ev;
	p->left = h->body == HTTP_LENGTH ? h->length : 0;
	p->digits = 0;
	if (p->side == HTTP_RESPONSE && h->status < 200 && h->status != 101)
		p->state = S_INTERIM;
	else
		p->state = h->body == HTTP_LENGTH	 ? S_LENGTH
			   : h->body == HTTP_CHUNKED	 ? S_SIZE
			   : h->body == HTTP_UNTIL_CLOSE ? S_CLOSE
							 : S_DONE;
	return ev;
}
