/* What does the connection speak? The first bytes say it: TLS, HTTP/1, HTTP/2, or something else. */
#include "egress/front.h"
#include "tls/hello.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TLS_HANDSHAKE  0x16 /* type of the first record */
#define FIRST_LINE_MAX 8192 /* after it the parser of HTTP may say what is wrong */

enum guess { NO, YES, MORE };

static bool is_token(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* guess_http1() - a method, a blank, and a line that ends with a version. Other protocols of words
 * (SMTP, IMAP, Redis, …) have no such line. Empty lines before it are skipped by many a server: here they
 * must not make a request into something else. (The parser refuses them.)
 */
static enum guess guess_http1(const char *p, size_t len)
{
	size_t n = 0;
	const char *lf;

	while (len > 0 && (*p == '\r' || *p == '\n')) {
		p++;
		len--;
	}
	while (n < len && is_token((unsigned char)p[n]))
		n++;
	if (n > HTTP_METHOD_MAX || (n < len && (n == 0 || (p[n] != ' ' && p[n] != '\t'))))
		return NO;
	if (n == len)
		return MORE;
	lf = memchr(p, '\n', len);
	if (!lf)
		return len < FIRST_LINE_MAX ? MORE : YES;
	for (const char *at = p + n; at + 6 <= lf; at++)
		if ((*at == ' ' || *at == '\t') && strncasecmp(at + 1, "HTTP/", 5) == 0)
			return YES;
	return NO;
}

static enum guess guess_h2(const char *p, size_t len)
{
	static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	size_t n = len < sizeof(magic) - 1 ? len : sizeof(magic) - 1;

	if (memcmp(p, magic, n) != 0)
		return NO;
	return n == sizeof(magic) - 1 ? YES : MORE;
}

static void refuse(struct front_stream *s, enum egress_event ev, const char *reason)
{
	char text[POLICY_ADDRESS_TEXT];
	struct policy_address a;
	const char *name = s->host.name;

	if (s->host.kind == POLICY_HOST_NONE) {
		name = "";
		if (policy_address_from(s->to.to.family, s->to.to.bytes, &a))
			name = policy_address_text(&a, text);
	}
	s->f->stats.faults++;
	front_record_stream(s, ev, EGRESS_REFUSED, name, s->port, "", reason, 0);
	front_stream_kill(s);
}

/* name_of() - the host that TLS names: its SNI, or without one whom the connection is with */
static bool name_of(struct front_stream *s, const struct tls_hello *h, struct policy_host *ret)
{
	struct policy_address a;

	if (h->sni[0])
		return policy_host_parse(h->sni, strlen(h->sni), ret);
	if (s->connected) {
		*ret = s->host;
		return true;
	}
	if (!policy_address_from(s->to.to.family, s->to.to.bytes, &a))
		return false;
	if (policy_address_host(&a))
		return policy_host_parse("localhost", 9, ret);
	policy_host_from_address(&a, ret);
	return true;
}

/* passed_on() - TLS that is not looked into: bypass hosts, and what is no HTTP by its own word */
static bool passed_on(struct front_stream *s, const struct tls_hello *h)
{
	bool http = !h->alpn || h->alpn_h2 || h->alpn_http11;

	if (s->mismatch || (http && !policy_bypass(s->f->policy, &s->host, s->port)))
		return false;
	if (h->ech) /* who is really meant cannot be seen */
		refuse(s, EGRESS_ON_TLS, "ech");
	else if (!front_tunnel_begin(s, EGRESS_TLS))
		front_stream_kill(s);
	else if (s->exchanges)
		s->exchanges->bypasses = http;
	return true;
}

static void on_tls(struct front_stream *s, const struct tls_hello *h)
{
	char leaf[TLS_SNI_MAX + 1];
	struct policy_address a;
	struct policy_host host;
	size_t n;

	if (!name_of(s, h, &host)) {
		refuse(s, EGRESS_ON_TLS, "malformed");
		return;
	}
	if (s->connected)
		s->mismatch = strcmp(host.name, s->host.name) != 0;
	else
		s->mismatch = !front_belongs(s, &host, &a);
	s->host = host;
	s->scheme = EGRESS_HTTPS;
	if (passed_on(s, h))
		return;
	/* The host's loopback has several names: the certificate is for the one that was used. */
	(void)snprintf(leaf, sizeof(leaf), "%s",
		host.kind == POLICY_HOST_LOCAL && h->sni[0] ? h->sni : host.name);
	n = strlen(leaf);
	if (n > 1 && leaf[n - 1] == '.')
		leaf[n - 1] = '\0';
	front_tls_begin(s, leaf, h->alpn_h2, h->alpn_http11);
}

static void on_other(struct front_stream *s)
{
	if (s->tls) {
		/* Inspected TLS carries HTTP; the vault would not dial anything else with it. */
		refuse(s, EGRESS_ON_TLS, "protocol");
		return;
	}
	if (!front_tunnel_begin(s, EGRESS_RAW))
		front_stream_kill(s);
}

static enum guess guess_tls(struct front_stream *s)
{
	struct tls_hello h;

	switch (tls_hello_parse(s->in.data, s->in.len, &h)) {
	case TLS_HELLO_MORE:
		return MORE;
	case TLS_HELLO_OK:
		on_tls(s, &h);
		return YES;
	case TLS_HELLO_BAD:
		refuse(s, EGRESS_ON_TLS, "malformed");
		return YES;
	case TLS_HELLO_OTHER:
	default:
		return NO;
	}
}

/* decide() - true: the stream is something now (or dead) */
static bool decide(struct front_stream *s)
{
	enum guess g = s->tls ? NO : guess_tls(s), h;

	if (g != NO)
		return g == YES;
	g = guess_h2(s->in.data, s->in.len);
	h = guess_http1(s->in.data, s->in.len);
	if (g == YES)
		front_h2_begin(s);
	else if (g == MORE)
		return false;
	else if (h == YES)
		front_h1_begin(s);
	else if (h == MORE)
		return false;
	else
		on_other(s);
	return true;
}

void front_sniff(struct front_stream *s)
{
	size_t before = s->in.len;
	ssize_t n;

	if (s->proxy && !s->connected) {
		front_h1_begin(s);
		return;
	}
	n = front_stream_fill(s, TLS_HELLO_BYTES);
	if (s->in.len > 0 && before == 0)
		front_stream_deadline(s, FRONT_HEAD_MS);
	if (s->in.len > 0 && decide(s))
		return;
	if (n == 0)
		front_sniff_silent(s);
	else if (n < 0 && n != -EAGAIN)
		front_stream_kill(s);
}

bool front_sniff_late(struct front_stream *s)
{
	struct front_exchange *x = s->exchanges;
	ssize_t n;

	s->unspoken = x && x->up == 0 && x->down == 0;
	if (!s->unspoken)
		return false;
	n = front_stream_fill(s, TLS_HELLO_BYTES);
	if (s->in.len == 0) /* the end, or nothing: the tunnel's own reading finds out which */
		return n < 0 && n == -EAGAIN;
	s->unspoken = false;
	/* A slow client, or one that hopes to be waved through. */
	if ((uint8_t)s->in.data[0] != TLS_HANDSHAKE && guess_h2(s->in.data, s->in.len) == NO &&
		guess_http1(s->in.data, s->in.len) == NO)
		return false;
	x->recorded = true; /* nothing went through it */
	front_exchange_drop(x);
	s->state = FRONT_SNIFF;
	front_stream_deadline(s, FRONT_HEAD_MS);
	if (!decide(s))
		front_stream_dirty(s);
	return true;
}

/* silent - the client waits for the server to speak (or has ended already) */
void front_sniff_silent(struct front_stream *s)
{
	struct policy_host host;
	struct policy_verdict v;

	if (s->in.len > 0 || s->tls) {
		refuse(s, EGRESS_ON_TCP, "timeout");
		return;
	}
	if (front_tunnel_verdict(s, &host, &v) != POLICY_DENY) {
		s->unspoken = !s->eof;
		if (!front_tunnel_begin(s, EGRESS_RAW))
			front_stream_kill(s);
		return;
	}
	/* Where requests may be allowed the client has time to make one, once. */
	if (v.reason == POLICY_REASON_UNSEEN && !s->eof && s->f->now - s->began < FRONT_HEAD_MS) {
		front_stream_deadline(s, FRONT_HEAD_MS);
		return;
	}
	front_record_stream(s, EGRESS_ON_TCP, EGRESS_DENY,
		host.kind == POLICY_HOST_NONE ? "" : host.name, s->port, v.rule ? v.rule->id : "",
		policy_reason_name(v.reason), 0);
	front_stream_kill(s);
}
