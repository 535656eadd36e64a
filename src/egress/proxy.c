/* Through a proxy that the user has configured: CONNECT (RFC 9110 9.3.6) or SOCKS 5 (RFC 1928, 1929). The
 * answers are read byte by byte: what follows them belongs to the host behind.
 */
#include "egress/text.h"
#include "egress/up.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum step { STEP_TLS, STEP_CONNECT, STEP_METHOD, STEP_AUTH, STEP_REPLY };

static void fail(struct up *u, const char *what)
{
	up_fail(u, 502, "proxy", "the proxy %s %s", u->proxy->host.name, what);
}

static void put(struct up *u, const void *p, size_t len)
{
	if (buf_add(&u->out, p, len) < 0)
		up_fail(u, 503, "limit", "no memory");
	else
		up_dirty(u);
}

/* ---- CONNECT ---- */

static void send_connect(struct up *u)
{
	AUTO(buf) b = {0};
	bool six = u->host.kind == POLICY_HOST_ADDRESS && u->host.address.family == 6;
	const char *open = six ? "[" : "", *shut = six ? "]" : "";
	int r;

	buf_init(&b, 8192);
	r = buf_addf(&b, "CONNECT %s%s%s:%u HTTP/1.1\r\nHost: %s%s%s:%u\r\n", open, u->host.name,
		shut, (unsigned)u->port, open, u->host.name, shut, (unsigned)u->port);
	if (r == 0)
		r = up_put_proxy_auth(u->proxy, &b);
	if (r == 0)
		r = buf_add(&b, "\r\n", 2);
	u->parser = http_parser_new(HTTP_RESPONSE);
	if (r < 0 || !u->parser) {
		up_fail(u, 503, "limit", "no memory");
		return;
	}
	http_parser_expect(u->parser, "CONNECT", false);
	u->proxy_step = STEP_CONNECT;
	put(u, b.data, b.len);
}

int up_put_proxy_auth(const struct proxy *p, struct buf *out)
{
	char plain[512], text[TEXT_BASE64_LEN(sizeof(plain)) + 1];
	int n, r;

	if (!p->user[0] && !p->password[0])
		return 0;
	n = snprintf(plain, sizeof(plain), "%s:%s", p->user, p->password);
	if (n < 0 || (size_t)n >= sizeof(plain))
		return -EINVAL;
	text_base64(plain, (size_t)n, text);
	r = buf_addf(out, "Proxy-Authorization: Basic %s\r\n", text);
	explicit_bzero(plain, sizeof(plain));
	explicit_bzero(text, sizeof(text));
	return r;
}

/* ---- SOCKS ---- */

static void send_greeting(struct up *u)
{
	bool auth = u->proxy->user[0] != 0;
	const uint8_t hello[] = {5, (uint8_t)(auth ? 2 : 1), 0, 2};

	u->proxy_step = STEP_METHOD;
	put(u, hello, auth ? 4 : 3);
}

static void send_auth(struct up *u)
{
	size_t user = strlen(u->proxy->user), password = strlen(u->proxy->password);
	uint8_t b[3 + 255 + 255];

	b[0] = 1;
	b[1] = (uint8_t)user;
	memcpy(b + 2, u->proxy->user, user);
	b[2 + user] = (uint8_t)password;
	memcpy(b + 3 + user, u->proxy->password, password);
	u->proxy_step = STEP_AUTH;
	put(u, b, 3 + user + password);
	explicit_bzero(b, sizeof(b));
}

static void send_request(struct up *u)
{
	const struct policy_address *a = u->target.family ? &u->target : &u->host.address;
	uint8_t b[4 + 1 + POLICY_HOST_MAX + 2] = {5, 1, 0};
	size_t n = 4;

	if (a->family) {
		size_t len = a->family == 4 ? 4 : 16;

		b[3] = a->family == 4 ? 1 : 4;
		memcpy(b + n, a->byte, len);
		n += len;
	} else {
		b[3] = 3;
		b[n++] = (uint8_t)u->host.len;
		memcpy(b + n, u->host.name, u->host.len);
		n += u->host.len;
	}
	b[n++] = (uint8_t)(u->port >> 8);
	b[n++] = (uint8_t)u->port;
	u->proxy_step = STEP_REPLY;
	put(u, b, n);
}

static void take_method(struct up *u, const uint8_t *p)
{
	if (p[0] != 5 || (p[1] != 0 && !(p[1] == 2 && u->proxy->user[0]))) {
		fail(u, "takes none of the ways to log in");
		return;
	}
	if (p[1] == 2)
		send_auth(u);
	else
		send_request(u);
}

/* needs() - how many bytes of an answer make the present step whole */
static size_t needs(const struct up *u)
{
	const uint8_t *p = (const uint8_t *)u->proxy_in.data;

	if (u->proxy_step != STEP_REPLY)
		return 2;
	if (u->proxy_in.len < 5)
		return 5;
	return p[3] == 1 ? 10 : p[3] == 4 ? 22 : 7u + p[4];
}

static void through(struct up *u)
{
	http_parser_free(u->parser);
	u->parser = NULL;
	buf_fini(&u->proxy_in);
	up_secure(u);
}

static void take_socks(struct up *u)
{
	const uint8_t *p = (const uint8_t *)u->proxy_in.data;
	unsigned step = u->proxy_step;

	if (u->proxy_in.len < needs(u))
		return;
	if (step == STEP_METHOD)
		take_method(u, p);
	else if (step == STEP_AUTH && p[1] != 0)
		fail(u, "refuses user and password");
	else if (step == STEP_AUTH)
		send_request(u);
	else if (p[0] != 5 || p[1] != 0)
		fail(u, p[1] == 2 ? "does not allow this host" : "cannot reach this host");
	else {
		through(u);
		return;
	}
	buf_clear(&u->proxy_in);
}

/* take_connect() - one byte of the answer to CONNECT */
static void take_connect(struct up *u, char byte)
{
	const char *data;
	size_t used, len;
	char what[80];
	int status;

	switch (http_parse(u->parser, &byte, 1, &used, &data, &len)) {
	case HTTP_MORE:
		break;
	case HTTP_HEAD:
		status = http_head(u->parser)->status;
		if (status >= 100 && status < 200)
			break;
		if (status / 100 == 2) {
			through(u);
			break;
		}
		(void)snprintf(what, sizeof(what), "answered with status %d", status);
		fail(u, what);
		break;
	case HTTP_DATA:
	case HTTP_END:
	case HTTP_BAD:
		fail(u, "gave an answer that is malformed");
		break;
	}
}

void proxy_start(struct up *u)
{
	struct tls_dial d = {.fd = u->fd, .port = u->proxy->port, .http = true};

	u->state = UP_PROXY;
	switch (u->proxy->kind) {
	case PROXY_HTTPS:
		d.host = u->proxy->host.name;
		u->proxy_step = STEP_TLS;
		if (tls_client_new(u->v->tls, &d, &u->outer) < 0)
			fail(u, "cannot be spoken to");
		else
			proxy_step(u);
		break;
	case PROXY_HTTP:
		u->absolute = !u->is_tls && u->kind == POLICY_HTTP;
		if (u->absolute)
			through(u);
		else
			send_connect(u);
		break;
	case PROXY_SOCKS5:
	case PROXY_SOCKS5H:
		send_greeting(u);
		break;
	case PROXY_DIRECT:
		up_secure(u);
		break;
	}
}

static void shake(struct up *u)
{
	switch (tls_handshake(u->outer)) {
	case TLS_DONE:
		u->absolute = !u->is_tls && u->kind == POLICY_HTTP;
		if (u->absolute)
			through(u);
		else
			send_connect(u);
		break;
	case TLS_WANT:
		up_dirty(u);
		break;
	case TLS_HELLO:
	case TLS_FAILED:
		up_fail(u, 502, "proxy", "no secure connection to the proxy %s: %s",
			u->proxy->host.name, tls_why(u->outer));
		break;
	}
}

void proxy_step(struct up *u)
{
	char byte;
	ssize_t n;

	if (u->proxy_step == STEP_TLS) {
		shake(u);
		return;
	}
	while (!u->dead && u->state == UP_PROXY) {
		n = up_read(u, &byte, 1);
		if (n == -EAGAIN)
			break;
		if (n <= 0) {
			fail(u, "closed the connection");
			return;
		}
		if (u->proxy_step == STEP_CONNECT)
			take_connect(u, byte);
		else if (buf_add(&u->proxy_in, &byte, 1) == 0)
			take_socks(u);
		else
			fail(u, "says too much");
	}
	up_dirty(u);
}
