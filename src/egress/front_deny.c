/* Answers of the front's own: why a request was not passed on, for programs and for people. */
#include "egress/front.h"
#include <stdio.h>
#include <string.h>

/* quote() - text of ours or of a canonical host into a JSON string; odd bytes become '?' */
static void quote(const char *s, char *dst, size_t cap)
{
	size_t n = 0;

	for (; *s && n + 3 < cap; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			dst[n++] = '\\';
		dst[n++] = c < 0x20 || c > 0x7e ? '?' : (char)c;
	}
	dst[n] = '\0';
}

size_t front_deny_text(const struct front_exchange *x, const char *code, const char *why,
	const char *rule, const char *hint, char *dst, size_t cap)
{
	char text[512], host[POLICY_HOST_MAX * 2], id[POLICY_ID_MAX * 2 + 2], more[512];
	int n;

	quote(why, text, sizeof(text));
	quote(x->host.kind == POLICY_HOST_NONE ? "" : x->host.name, host, sizeof(host));
	quote(rule, id, sizeof(id));
	quote(hint, more, sizeof(more));
	if (x->plain_text)
		n = snprintf(
			dst, cap, "%s: %s\nhost: %s\nrule: %s\n%s\n", code, text, host, id, more);
	else
		n = snprintf(dst, cap,
			"{\"error\":{\"code\":\"%s\",\"message\":\"%s\",\"host\":\"%s\","
			"\"rule\":\"%s\",\"hint\":\"%s\"}}\n",
			code, text, host, id, more);
	return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

static void put(struct egress_fields *f, const char *name, const char *value)
{
	f->v[f->n++] = (struct egress_field){.name = name,
		.value = value,
		.name_len = (uint16_t)strlen(name),
		.value_len = (uint16_t)strlen(value)};
}

static void hint_for(const struct front_exchange *x, int status, const struct policy_rule *rule,
	char *dst, size_t cap)
{
	const char *word = x->f->config.deny_hint;

	dst[0] = '\0';
	if (status != 403 || x->host.kind == POLICY_HOST_NONE)
		return;
	if (rule && rule->decision == POLICY_DENY)
		(void)snprintf(dst, cap, "the rule '%s' (%s) denies it", rule->id, rule->origin);
	else
		(void)snprintf(dst, cap, "%s %s:%u", word && word[0] ? word : "sbx policy allow",
			x->host.name, x->port);
}

/* grpc_status() - as clients read an answer that is none of gRPC's (its document "HTTP to gRPC Status Code
 * Mapping"), but said in gRPC's own terms
 */
static const char *grpc_status(int status)
{
	switch (status) {
	case 403:
	case 405:
	case 421:
		return "7"; /* PERMISSION_DENIED */
	case 400:
	case 413:
	case 414:
	case 431:
		return "13"; /* INTERNAL */
	case 502:
	case 503:
	case 504:
		return "14"; /* UNAVAILABLE */
	default:
		return "2"; /* UNKNOWN */
	}
}

/* deny_grpc() - a client of gRPC looks at trailers, not at status and body: all in one head that ends the stream */
static void deny_grpc(
	struct front_exchange *x, int status, const char *code, const char *why, const char *hint)
{
	static const char digits[] = "0123456789ABCDEF";
	struct egress_fields *f = &x->f->fields;
	char text[1024], message[3 * sizeof(text)];
	size_t n = 0;

	(void)snprintf(text, sizeof(text), "%s: %s%s%s", code, why, hint[0] ? "; " : "", hint);
	for (const char *s = text; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c >= 0x20 && c <= 0x7e && c != '%') {
			message[n++] = (char)c;
			continue;
		}
		message[n++] = '%';
		message[n++] = digits[c >> 4];
		message[n++] = digits[c & 15];
	}
	message[n] = '\0';
	f->n = 0;
	put(f, "content-type", "application/grpc");
	put(f, "grpc-status", grpc_status(status));
	put(f, "grpc-message", message);
	if (status == 403)
		put(f, "x-sbx-decision", "deny");
	x->status = (uint16_t)status;
	x->head_sent = x->down_over = true;
	front_h2_head(x, 200, f, true);
	front_exchange_over(x);
}

void front_deny(struct front_exchange *x, int status, const char *code, const char *why,
	const struct policy_rule *rule)
{
	static char body[2048];
	struct egress_fields *f = &x->f->fields;
	char hint[512], length[24];
	size_t n;

	hint_for(x, status, rule, hint, sizeof(hint));
	if (x->kind == POLICY_GRPC && x->id) {
		deny_grpc(x, status, code, why, hint);
		return;
	}
	n = front_deny_text(x, code, why, rule ? rule->id : x->rule, hint, body, sizeof(body));
	(void)snprintf(length, sizeof(length), "%zu", n);
	f->n = 0;
	put(f, "content-type", x->plain_text ? "text/plain" : "application/json");
	put(f, "content-length", length);
	put(f, "cache-control", "no-store");
	if (status == 403)
		put(f, "x-sbx-decision", "deny");
	if (status == 426)
		put(f, "sec-websocket-version", "13");
	x->status = (uint16_t)status;
	x->head_sent = x->down_over = true;
	/* A request that was not understood leaves nothing behind that could be another. */
	if (status == 400 || status == 431 || status == 501 || status == 505)
		x->closes = true;
	if (x->id) {
		bool whole = x->no_body || n == 0;

		front_h2_head(x, status, f, whole);
		if (!whole)
			(void)front_h2_data(x, body, n, true);
	} else {
		front_h1_head(x, status, f, x->no_body || n == 0);
		if (!x->no_body && n > 0)
			front_h1_data(x, body, n, true);
	}
	front_exchange_over(x);
}
