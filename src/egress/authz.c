/* ext_authz, the HTTP contract of Envoy: the request without its body and without credentials goes to the
 * organisation's service; 200 lets it pass, every other answer is the denial, and no answer is one too.
 */
#include "egress/chan.h"
#include "base/clock.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ANSWER_MAX 512
#define DEFAULT_MS 2000

struct authz {
	struct up *up;
	int64_t deadline;
	int status;
	struct buf body;
};

static void on_ready(struct up *u);
static void on_failed(struct up *u, int status, const char *code, const char *text);
static void on_io(struct up *u);

static const struct up_ops authz_ops = {on_ready, on_failed, on_io, NULL, NULL};

static void unanswered(struct chan *c, const char *why)
{
	authz_stop(c);
	chan_fail(c, 403, "authz", "the authorization service did not answer: %s", why);
}

void authz_stop(struct chan *c)
{
	struct authz *z = c->authz;

	if (!z)
		return;
	c->authz = NULL;
	if (z->up)
		up_close(z->up);
	buf_fini(&z->body);
	free(z);
}

void authz_tick(struct chan *c, int64_t now)
{
	if (c->authz && now > c->authz->deadline)
		unanswered(c, "it took too long");
}

void authz_begin(struct chan *c)
{
	const struct vault_config *v = c->config;
	struct up_goal g = {.judge = {.kind = POLICY_HTTP},
		.host = v->authz.host,
		.port = v->authz.port,
		.tls = v->authz.kind == PROXY_HTTPS,
		.http = true,
		.credential = "",
		.no_proxy = true,
		.trusted = true};
	struct authz *z = calloc(1, sizeof(*z));

	if (!z) {
		chan_fail(c, 503, "limit", "no memory");
		return;
	}
	buf_init(&z->body, ANSWER_MAX);
	z->deadline = clock_ms() + (v->c.authz_ms ? v->c.authz_ms : DEFAULT_MS);
	c->authz = z;
	c->state = CHAN_WAIT;
	z->up = up_find(c->v, &g);
	if (z->up) {
		z->up->ops = &authz_ops;
		z->up->chan = c;
		on_ready(z->up);
		return;
	}
	z->up = up_new(c->v, &g, &authz_ops, c);
	if (!z->up)
		unanswered(c, "too many connections are open");
}

/* is_secret() - fields whose values are not for the service */
static bool is_secret(const char *name)
{
	static const char *const secret[] = {"authorization", "cookie", "x-api-key", "api-key",
		"x-goog-api-key", "private-token", "x-auth-token", "x-access-token", "job-token",
		"proxy-authorization", "x-amz-security-token", "host", "content-length",
		"transfer-encoding", "connection", "expect", "te", "upgrade"};

	for (size_t i = 0; i < ARRAY_LEN(secret); i++)
		if (strcmp(name, secret[i]) == 0)
			return true;
	return false;
}

static bool in_slot(const struct vault_config *v, const char *name)
{
	for (size_t i = 0; i < v->n_slots; i++)
		if (strcasecmp(v->slots[i].slot->header, name) == 0)
			return true;
	return false;
}

static int put_request(const struct chan *c, struct buf *b)
{
	const struct egress_fields *f = &c->q.fields;
	int r = buf_addf(b, "%s %s%s%s HTTP/1.1\r\nhost: %s:%u\r\n", c->q.method,
		c->config->authz_path, c->q.path, c->q.query, c->host.name, (unsigned)c->q.port);

	for (uint16_t i = 0; i < f->n && r == 0; i++)
		if (!is_secret(f->v[i].name) && !in_slot(c->config, f->v[i].name))
			r = buf_addf(b, "%s: %s\r\n", f->v[i].name, f->v[i].value);
	if (r == 0)
		r = buf_addf(b,
			"x-forwarded-proto: %s\r\nx-sbx-sandbox: %s\r\ncontent-length: 0\r\n\r\n",
			c->q.scheme == EGRESS_HTTPS ? "https" : "http", c->config->c.name);
	return r;
}

static void on_ready(struct up *u)
{
	struct chan *c = u->chan;

	u->uses++;
	if (!u->parser)
		u->parser = http_parser_new_limits(HTTP_RESPONSE, &http_limits_proxy);
	if (!u->parser || put_request(c, &u->out) < 0) {
		unanswered(c, "no memory");
		return;
	}
	http_parser_expect(u->parser, c->q.method, false);
	up_want(u, true);
	up_dirty(u);
}

static void on_failed(struct up *u, int status, const char *code, const char *text)
{
	struct chan *c = u->chan;

	(void)status;
	(void)code;
	if (!c || !c->authz || c->authz->up != u)
		return;
	c->authz->up = NULL;
	unanswered(c, text);
}

static void judged(struct chan *c, bool keep)
{
	struct authz *z = c->authz;
	struct up *u = z->up;
	char text[ANSWER_MAX + 1];
	int status = z->status;

	(void)snprintf(text, sizeof(text), "%s", buf_str(&z->body));
	if (keep) {
		http_parser_next(u->parser);
		z->up = NULL;
		up_idle(u);
	}
	authz_stop(c);
	if (status == 200)
		exchange_go(c);
	else
		chan_fail(c, status >= 400 ? status : 403, "authz", "%s",
			text[0] ? text : "the authorization service denies it");
	chan_dirty(c);
}

/* feed() - false: the answer is over */
static bool feed(struct up *u, const uint8_t *p, size_t len)
{
	struct chan *c = u->chan;

	for (;;) {
		const char *data;
		size_t used, n;

		switch (http_parse(u->parser, p, len, &used, &data, &n)) {
		case HTTP_MORE:
			return true;
		case HTTP_HEAD:
			c->authz->status = http_head(u->parser)->status;
			break;
		case HTTP_DATA:
			(void)!buf_add(&c->authz->body, data, n); /* what is too long is cut */
			break;
		case HTTP_END:
			judged(c, used == len && http_head(u->parser)->keep_alive &&
					  up_queued(u) == 0);
			return false;
		case HTTP_BAD:
			unanswered(c, "its answer is malformed");
			return false;
		}
		p += used;
		len -= used;
	}
}

static void on_io(struct up *u)
{
	struct chan *c = u->chan;

	if (!c || !c->authz || c->authz->up != u) {
		up_close(u);
		return;
	}
	for (unsigned i = 0; i < 16; i++) {
		ssize_t n = up_read(u, u->v->scratch, sizeof(u->v->scratch));

		if (n == -EAGAIN)
			return;
		if (n <= 0) {
			if (http_started(u->parser) && http_parse_eof(u->parser) == HTTP_END)
				judged(c, false);
			else
				unanswered(c, "it closed the connection");
			return;
		}
		if (!feed(u, u->v->scratch, (size_t)n))
			return;
	}
	unanswered(c, "its answer is too long");
}
