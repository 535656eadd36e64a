/* api_check.c - POST /v1/policy/check: what would be decided, by the function that decides */
#include "daemon/api_policy.h"
#include "daemon/policy.h"
#include "policy/path.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int no_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT, -ENOMEM, "out of memory");
}

struct question {
	const char *target, *method, *path, *address, *kind;
	struct policy_host host;
	struct policy_request r;
	char canonical[POLICY_PATH_MAX + 1];
};

/* split_url() - "https://host/path?query" into its parts; q->target then is host[:port], in @text */
static int split_url(struct question *q, char *text, size_t cap, struct err *e)
{
	static const struct {
		const char *scheme, *kind;
		uint16_t port;
	} all[] = {{"https", "", 443}, {"http", "", 80}, {"wss", "websocket", 443},
		{"ws", "websocket", 80}};
	const char *s = strstr(q->target, "://");
	size_t len = s ? (size_t)(s - q->target) : 0, i = 0;

	if (!s)
		return 0;
	while (i < ARRAY_LEN(all) &&
		(strlen(all[i].scheme) != len || strncasecmp(all[i].scheme, q->target, len) != 0))
		i++;
	if (i == ARRAY_LEN(all))
		return err_set(e, ERR_INVALID, -EINVAL,
			"target '%.120s': the scheme must be https, http, wss or ws", q->target);
	s += 3;
	len = strcspn(s, "/?#");
	if (len >= cap)
		return err_set(e, ERR_INVALID, -EINVAL, "target '%.120s' is too long", q->target);
	if (!q->path)
		q->path = s[len] == '/' ? s + len : "/";
	memcpy(text, s, len);
	text[len] = '\0';
	q->target = text;
	q->r.port = all[i].port;
	if (!q->kind[0])
		q->kind = all[i].kind;
	return 0;
}

/* read_host() - "host", "host:port", "[v6]:port"; the port is 443 when nothing else says so */
static int read_host(struct question *q, struct err *e)
{
	const char *s = q->target, *colon = strrchr(s, ':');
	size_t len = strlen(s);
	char *end;

	if (!q->r.port)
		q->r.port = 443;
	if (colon && (s[0] == '[' ? colon[-1] == ']' : strchr(s, ':') == colon)) {
		long port = strtol(colon + 1, &end, 10);

		if (colon[1] < '1' || colon[1] > '9' || *end || port > 65535)
			return err_set(
				e, ERR_INVALID, -EINVAL, "target '%.120s' has no valid port", s);
		q->r.port = (uint16_t)port;
		len = (size_t)(colon - s);
	}
	if (!policy_host_parse(s, len, &q->host))
		return err_set(e, ERR_INVALID, -EINVAL,
			"target '%.120s' is no host, host:port, address or URL", s);
	q->r.host = &q->host;
	return 0;
}

static int read_kind(struct question *q, struct err *e)
{
	static const char *const kinds[POLICY_KINDS] = {
		"dns", "tcp", "tunnel", "http", "websocket", "grpc"};

	q->r.kind = q->method || q->path ? POLICY_HTTP : POLICY_TCP;
	if (!q->kind[0])
		return 0;
	for (int i = 0; i < POLICY_KINDS; i++)
		if (strcmp(kinds[i], q->kind) == 0) {
			q->r.kind = (enum policy_kind)i;
			return 0;
		}
	return err_set(
		e, ERR_INVALID, -EINVAL, "kind must be dns, tcp, tunnel, http, websocket or grpc");
}

static int read_request(struct question *q, struct err *e)
{
	const char *path = q->path ? q->path : "/";
	size_t len;

	if (q->r.kind == POLICY_DNS)
		q->r.port = 0;
	if (q->r.kind < POLICY_HTTP)
		return 0;
	q->r.method = q->method ? q->method : "GET";
	if (policy_path_canon(path, strcspn(path, "?#"), q->canonical, sizeof(q->canonical), &len,
		    &q->r.path_flags) != POLICY_PATH_OK)
		return err_set(e, ERR_INVALID, -EINVAL,
			"path '%.120s' is malformed: such a request is answered with 400", path);
	q->r.path = q->canonical;
	return 0;
}

static int read_question(struct api_call *a, struct question *q, struct sandbox **box, char *text,
	size_t cap, struct err *e)
{
	struct js_reader rd;
	int r;

	js_read(&rd, a->body, "", e);
	q->target = js_want_str(&rd, "target", 8192);
	r = api_box_param(a, js_take_str(&rd, "sandbox", NAME_MAX_LEN, NULL), box, e);
	q->method = js_take_str(&rd, "method", 32, NULL);
	q->path = js_take_str(&rd, "path", 8192, NULL);
	q->kind = js_take_str(&rd, "kind", 16, "");
	q->address = js_take_str(&rd, "address", POLICY_ADDRESS_TEXT, NULL);
	if (js_done(&rd) < 0)
		return rd.r < 0 ? rd.r : -EINVAL;
	if (r < 0)
		return r;
	r = split_url(q, text, cap, e);
	if (r == 0)
		r = read_host(q, e);
	if (r == 0)
		r = read_kind(q, e);
	if (r == 0)
		r = read_request(q, e);
	if (r == 0 && q->address &&
		!policy_address_parse(q->address, strlen(q->address), &q->r.address))
		r = err_set(e, ERR_INVALID, -EINVAL,
			"address '%.60s' is no address in its plain "
			"spelling",
			q->address);
	return r;
}

/* hint() - the command that would allow it, where there is one */
static void hint(const struct question *q, const struct policy_verdict *v,
	const struct sandbox *box, char *dst, size_t cap)
{
	char what[POLICY_HOST_MAX + 16];
	const char *open = strchr(q->host.name, ':') ? "[" : "", *close = *open ? "]" : "";

	dst[0] = '\0';
	(void)snprintf(what, sizeof(what), "%s%s%s:%u", open, q->host.name, close, q->r.port);
	if (v->decision != POLICY_DENY)
		return;
	switch (v->reason) {
	case POLICY_REASON_RULE:
		if (v->rule && v->rule->id[0] == 'r' && v->source != POLICY_SOURCE_PARENT)
			(void)snprintf(dst, cap, "sbx policy rm %s", v->rule->id);
		break;
	case POLICY_REASON_HTTP:
		if (q->r.kind == POLICY_HTTP && policy_method_bit(q->r.method) &&
			policy_path_pattern_check(q->r.path, NULL) == 0) {
			(void)snprintf(dst, cap, "sbx policy allow %s --method %s --path %s%s%s",
				what, q->r.method, q->r.path, box ? " --sandbox " : "",
				box ? box->name : "");
			break;
		}
		__attribute__((fallthrough));
	case POLICY_REASON_DEFAULT:
	case POLICY_REASON_LOCAL:
		(void)snprintf(dst, cap, "sbx policy allow %s%s%s", what, box ? " --sandbox " : "",
			box ? box->name : "");
		break;
	case POLICY_REASON_ADDRESS:
	case POLICY_REASON_METADATA:
		if (q->host.kind == POLICY_HOST_ADDRESS)
			(void)snprintf(dst, cap, "sbx policy allow %s%s%s", what,
				box ? " --sandbox " : "", box ? box->name : "");
		break;
	case POLICY_REASON_GOVERNED:
	case POLICY_REASON_PATH:
	case POLICY_REASON_UNSEEN:
	case POLICY_REASON_INSIDE:
	case POLICY_REASON_BAD:
	case POLICY_REASON_COUNT:
	default:
		break;
	}
}

static int show_verdict(struct api_call *a, const struct question *q,
	const struct policy_verdict *v, const struct sandbox *box, struct err *e)
{
	static const char *const kinds[POLICY_KINDS] = {
		"dns", "tcp", "tunnel", "http", "websocket", "grpc"};
	char help[1024], target[POLICY_HOST_MAX + 16];
	AUTO_JS o = js_object();
	bool bad = false, v6 = strchr(q->host.name, ':') != NULL;

	hint(q, v, box, help, sizeof(help));
	(void)snprintf(target, sizeof(target), q->r.port ? "%s%s%s:%u" : "%s%s%s", v6 ? "[" : "",
		q->host.name, v6 ? "]" : "", q->r.port);
	bad |= js_set_str(o, "target", target);
	bad |= js_set_str(o, "kind", kinds[q->r.kind]);
	bad |= js_set_str(o, "method", q->r.kind == POLICY_HTTP ? q->r.method : NULL);
	bad |= js_set_str(o, "path", q->r.kind >= POLICY_HTTP ? q->r.path : NULL);
	bad |= js_set_str(o, "sandbox", box ? box->name : NULL);
	bad |= js_set_str(o, "decision", policy_decision_name(v->decision));
	bad |= js_set_str(o, "reason", policy_reason_name(v->reason));
	bad |= js_set_str(o, "text", policy_reason_text(v->reason));
	bad |= v->rule ? js_set(o, "rule", api_rule_json(v->rule, v->source, box))
		       : js_set_null(o, "rule");
	bad |= js_set_bool(o, "inspect", v->inspect);
	bad |= js_set_bool(o, "bypass", v->bypass);
	bad |= js_set_str(o, "hint", help[0] ? help : NULL);
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}

int api_policy_check(struct api_call *a, struct err *e)
{
	AUTO_FREE struct question *q = calloc(1, sizeof(*q));
	AUTO_POLICY *p = NULL;
	AUTO_BOX box = NULL;
	struct policy_verdict v;
	char text[POLICY_HOST_MAX + 16];
	int r = q ? read_question(a, q, &box, text, sizeof(text), e) : no_memory(e);

	daemon_policy_check_org(a->d);
	if (r == 0)
		r = daemon_policy_for(a->d, box, &p, e);
	if (r < 0)
		return r;
	policy_decide(p, &q->r, &v);
	return show_verdict(a, q, &v, box, e);
}
