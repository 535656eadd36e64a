/* The request as it is judged: authority, path, kind, body. The list of fields is canon_fields.c. */
#include "http/canon.h"
#include "http/canon_int.h"
#include "http/internal.h"
#include "http/ws.h"
#include "policy/path.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void http_canon_init(struct http_canon *c)
{
	memset(c, 0, sizeof(*c));
	buf_init(&c->text, CANON_TEXT_MAX);
}

void http_canon_fini(struct http_canon *c)
{
	buf_fini(&c->text);
}

bool canon_refuse(struct http_canon *c, int status, const char *code, const char *why)
{
	c->status = status;
	c->code = code;
	c->why = why;
	return false;
}

bool http_authority(const char *text, size_t len, uint16_t port, struct policy_host *ret_host,
	uint16_t *ret_port)
{
	size_t n = len;
	uint32_t v = 0;

	if (!http_host_ok(text, len, port == 0))
		return false;
	/* The colon of a port is the last one, behind the bracket of an IPv6 address. */
	while (n > 0 && text[n - 1] != ':' && text[n - 1] != ']')
		n--;
	if (n > 0 && text[n - 1] == ':') {
		for (size_t i = n; i < len; i++)
			v = v * 10 + (uint32_t)(text[i] - '0');
		n--;
	} else {
		n = len;
		v = port;
	}
	/* An IPv6 address without brackets could be read as another with a port. */
	if (text[0] != '[' && memchr(text, ':', n))
		return false;
	if (v == 0 || v > 65535 || !policy_host_parse(text, n, ret_host))
		return false;
	*ret_port = (uint16_t)v;
	return true;
}

static uint16_t default_port(enum egress_scheme s)
{
	return s == EGRESS_HTTPS ? 443 : 80;
}

static bool same_host(const struct policy_host *a, const struct policy_host *b)
{
	return a->kind == b->kind && strcmp(a->name, b->name) == 0;
}

/* take_authority() - one place where the request names its server: the first sets it, the others
 * must agree
 */
static bool take_authority(
	struct http_canon *c, const struct http_conn *conn, const char *text, size_t len)
{
	struct policy_host host;
	uint16_t port;

	if (!http_authority(text, len, default_port(conn->scheme), &host, &port))
		return canon_refuse(c, 400, "malformed", "malformed authority");
	if (c->host.kind == POLICY_HOST_NONE) {
		c->host = host;
		c->q.port = port;
		return true;
	}
	if (!same_host(&c->host, &host) || c->q.port != port)
		return canon_refuse(c, 400, "authority", "the request names two servers");
	return true;
}

/* settle_authority() - against the connection: what TLS and CONNECT said, and the port */
static bool settle_authority(struct http_canon *c, const struct http_conn *conn)
{
	if (c->host.kind == POLICY_HOST_NONE) {
		if (!conn->host)
			return canon_refuse(c, 400, "malformed", "the request names no server");
		c->host = *conn->host;
		c->q.port = conn->port;
	}
	if (conn->host && !same_host(conn->host, &c->host))
		return canon_refuse(c, 421, "authority",
			"the request is for another server than the connection");
	if (conn->port != 0 && conn->port != c->q.port)
		return canon_refuse(
			c, 421, "authority", "the request is for another port than the connection");
	c->q.host = c->host.name;
	return true;
}

/* take_target() - path and query of an origin-form target (or what follows an authority) */
static bool take_target(struct http_canon *c, const char *t)
{
	size_t n = strcspn(t, "?"), len;
	const char *path = n > 0 ? t : "/";
	char *room;

	if (t[strspn(t, "*")] == '\0' && t[0]) {
		if (strcmp(t, "*") != 0 || strcmp(c->q.method, "OPTIONS") != 0)
			return canon_refuse(c, 400, "malformed", "'*' is for OPTIONS only");
	}
	for (const char *s = t; *s; s++)
		if (!http_is((unsigned char)*s, HTTP_C_TARGET))
			return canon_refuse(c, 400, "malformed", "malformed request target");
	if (buf_room(&c->text, POLICY_PATH_MAX + 1, &room) < 0)
		return canon_refuse(c, 503, "memory", "no memory for the path");
	if (n > POLICY_PATH_MAX)
		return canon_refuse(c, 414, "malformed", "path too long");
	if (policy_path_canon(path, n > 0 ? n : 1, room, POLICY_PATH_MAX + 1, &len,
		    &c->path_flags) != POLICY_PATH_OK)
		return canon_refuse(c, 400, "malformed", "malformed path");
	room[len] = '\0';
	buf_grew(&c->text, len + 1);
	c->q.path = room;
	c->q.query = t + n;
	return true;
}

static bool check_method(struct http_canon *c, const char *method)
{
	size_t n = strlen(method);

	for (size_t i = 0; i < n; i++)
		if (!http_is((unsigned char)method[i], HTTP_C_TOKEN))
			return canon_refuse(c, 400, "malformed", "malformed method");
	if (n == 0 || n > HTTP_METHOD_MAX)
		return canon_refuse(c, 501, "malformed", "method too long");
	if (strcmp(method, "TRACE") == 0 || strcmp(method, "TRACK") == 0)
		return canon_refuse(c, 405, "method", "TRACE is not passed on");
	if (strcmp(method, "CONNECT") == 0)
		return canon_refuse(c, 405, "method", "CONNECT within a connection");
	if (strcmp(method, "PRI") == 0)
		return canon_refuse(c, 400, "malformed", "a preface within a connection");
	c->q.method = method;
	return true;
}

static bool reset(struct http_canon *c, const struct http_conn *conn, size_t text)
{
	char *room;

	buf_clear(&c->text);
	memset(&c->q, 0, offsetof(struct egress_request, fields));
	c->q.fields.n = 0;
	c->host.kind = POLICY_HOST_NONE;
	c->path_flags = 0;
	c->has_body = c->continue_100 = c->overrides = false;
	c->ws_key[0] = '\0';
	c->status = 0;
	c->code = c->why = "";
	c->q.scheme = conn->scheme;
	c->q.kind = EGRESS_PLAIN;
	c->q.to = conn->to;
	/* All of it at once: what was put there must not move afterwards. */
	if (buf_room(&c->text, text + POLICY_PATH_MAX + 64, &room) < 0)
		return canon_refuse(c, 431, "malformed", "header too large");
	return true;
}

/* ---- HTTP/1 ---- */

static bool h1_target(struct http_canon *c, const struct http_conn *conn, const struct http_head *h)
{
	const char *host = http_field(h, "host"), *t = h->target;
	size_t n;

	if (h->form == HTTP_AUTHORITY)
		return canon_refuse(c, 405, "method", "CONNECT within a connection");
	if ((h->form == HTTP_ABSOLUTE) != conn->proxy)
		return canon_refuse(c, 400, "malformed",
			conn->proxy ? "a proxy needs an absolute target"
				    : "an absolute target is for proxies");
	if (h->form == HTTP_ABSOLUTE) {
		if (strncasecmp(t, "http://", 7) != 0)
			return canon_refuse(
				c, 400, "malformed", "https through a proxy needs CONNECT");
		t += 7;
		n = strcspn(t, "/?");
		if (!take_authority(c, conn, t, n))
			return false;
		t += n;
	}
	if (host && !take_authority(c, conn, host, strlen(host)))
		return false;
	return settle_authority(c, conn) && take_target(c, t);
}

/* h1_websocket() - a handshake is checked whole; any other Upgrade is passed over */
static bool h1_websocket(struct http_canon *c, const struct http_head *h)
{
	const char *key = http_field(h, "sec-websocket-key"), *up = http_field(h, "upgrade");

	if (!h->upgrade || !up || strcasecmp(up, "websocket") != 0)
		return true;
	switch (ws_check_request(
		h->method, h->minor, key, http_field(h, "sec-websocket-version"))) {
	case WS_HANDSHAKE_OK:
		break;
	case WS_HANDSHAKE_VERSION:
		return canon_refuse(c, 426, "malformed", "WebSocket of another version than 13");
	case WS_HANDSHAKE_BAD:
	default:
		return canon_refuse(c, 400, "malformed", "malformed WebSocket handshake");
	}
	c->q.kind = EGRESS_WEBSOCKET;
	(void)snprintf(c->ws_key, sizeof(c->ws_key), "%s", key);
	return true;
}

bool http_canon_h1(struct http_canon *c, const struct http_conn *conn, const struct http_head *h)
{
	size_t text = 0;

	for (size_t i = 0; i < h->n_fields; i++)
		text += h->fields[i].name_len + h->fields[i].value_len + 4;
	if (!reset(c, conn, text) || !check_method(c, h->method) || !h1_target(c, conn, h) ||
		!h1_websocket(c, h) || !canon_fields_h1(c, h))
		return false;
	c->q.length = h->body == HTTP_CHUNKED ? EGRESS_LENGTH_UNKNOWN : h->length;
	c->has_body = h->body != HTTP_NO_BODY;
	c->continue_100 = h->continue_100 && c->has_body;
	return true;
}

/* ---- HTTP/2 ---- */

static bool h2_target(struct http_canon *c, const struct http_conn *conn, const struct h2_head *h)
{
	const char *host = egress_field(h->fields, "host");

	if (!h->path || !h->path[0])
		return canon_refuse(c, 400, "malformed", "no path");
	if (h->path[0] != '/' && strcmp(h->path, "*") != 0)
		return canon_refuse(c, 400, "malformed", "malformed request target");
	if (!h->scheme ||
		strcasecmp(h->scheme, conn->scheme == EGRESS_HTTPS ? "https" : "http") != 0)
		return canon_refuse(c, 421, "authority",
			"the request is for another scheme than the connection");
	if (h->authority && !take_authority(c, conn, h->authority, strlen(h->authority)))
		return false;
	if (host && !take_authority(c, conn, host, strlen(host)))
		return false;
	return settle_authority(c, conn) && take_target(c, h->path);
}

/* h2_kind() - extended CONNECT (RFC 8441) is judged as the GET that HTTP/1 makes of it */
static bool h2_kind(struct http_canon *c, const struct h2_head *h, bool end)
{
	const char *type = egress_field(h->fields, "content-type");

	if (!h->protocol) {
		if (!check_method(c, h->method))
			return false;
		if (type && strncasecmp(type, "application/grpc", 16) == 0 &&
			(!type[16] || strchr("+;", type[16])) && strcmp(h->method, "POST") == 0)
			c->q.kind = EGRESS_GRPC;
		return true;
	}
	if (strcmp(h->method, "CONNECT") != 0 || strcmp(h->protocol, "websocket") != 0 || end)
		return canon_refuse(c, 400, "malformed", "malformed extended CONNECT");
	if (ws_check_version(egress_field(h->fields, "sec-websocket-version")) != WS_HANDSHAKE_OK)
		return canon_refuse(c, 400, "malformed", "WebSocket of another version than 13");
	c->q.method = "GET";
	c->q.kind = EGRESS_WEBSOCKET;
	return true;
}

static bool h2_length(struct http_canon *c, const struct h2_head *h, bool end)
{
	const char *text = egress_field(h->fields, "content-length");

	c->q.length = end || c->q.kind == EGRESS_WEBSOCKET ? 0 : EGRESS_LENGTH_UNKNOWN;
	c->has_body = !end && c->q.kind != EGRESS_WEBSOCKET;
	if (text && c->q.kind == EGRESS_WEBSOCKET)
		return canon_refuse(c, 400, "malformed", "a WebSocket handshake with a body");
	if (text && !http_length(text, &c->q.length))
		return canon_refuse(c, 400, "malformed", "malformed Content-Length");
	return true;
}

bool http_canon_h2(
	struct http_canon *c, const struct http_conn *conn, const struct h2_head *h, bool end)
{
	const char *expect;
	size_t text = 0;

	if (h->why)
		return canon_refuse(c, h->bad_status, "malformed", h->why);
	for (uint16_t i = 0; i < h->fields->n; i++)
		text += (size_t)h->fields->v[i].value_len + 4;
	if (!reset(c, conn, text) || !h2_kind(c, h, end) || !h2_target(c, conn, h) ||
		!canon_fields_h2(c, h) || !h2_length(c, h, end))
		return false;
	expect = egress_field(h->fields, "expect");
	if (expect && strcasecmp(expect, "100-continue") != 0)
		return canon_refuse(c, 417, "malformed", "unknown expectation");
	c->continue_100 = expect && c->has_body;
	return true;
}
