/* api_policy.c - /v1/policy and /v1/approvals (docs/api.md): rules, their meaning, questions that wait */
#include "daemon/api.h"
#include "daemon/approvals.h"
#include "daemon/policy.h"
#include "daemon/view.h"
#include "base/clock.h"
#include "policy/path.h"
#include "policy/preset.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int no_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT, -ENOMEM, "out of memory");
}

/* box_param() - the sandbox that @name names; *ret NULL when it is NULL or "" */
static int box_param(struct api_call *a, const char *name, struct sandbox **ret, struct err *e)
{
	*ret = NULL;
	if (!name || !name[0])
		return 0;
	*ret = sandbox_find(a->d, name, e);
	return *ret ? 0 : -ENOENT;
}

static struct js *rule_json(
	const struct policy_rule *r, enum policy_source source, const struct sandbox *box)
{
	char methods[POLICY_METHODS_TEXT];
	AUTO_JS o = js_object();
	bool bad = false;

	bad |= js_set_str(o, "id", r->id);
	bad |= js_set_str(o, "decision", policy_decision_name(r->decision));
	bad |= js_set_str(o, "resource", r->resource);
	bad |= js_set_str(o, "protocol", "tcp");
	bad |= js_set_str(
		o, "methods", r->methods ? policy_methods_text(r->methods, methods) : NULL);
	bad |= js_set_str(o, "path", r->path);
	bad |= js_set_str(o, "grpc", r->grpc);
	bad |= js_set_bool(o, "websocket", r->websocket);
	bad |= js_set_str(o, "source", policy_source_name(source));
	bad |= js_set_str(o, "origin", r->origin);
	bad |= js_set_str(
		o, "sandbox", box && r->source == POLICY_SOURCE_SANDBOX ? box->name : NULL);
	return bad ? NULL : TAKE(o);
}

static struct js *org_json(const struct daemon_policy_state *st)
{
	AUTO_JS o = js_object();
	bool bad = false;

	if (!st->org_path[0])
		return TAKE(o);
	bad |= js_set_str(o, "path", st->org_path);
	bad |= js_set_str(o, "fault", st->org_fault[0] ? st->org_fault : NULL);
	return bad ? NULL : TAKE(o);
}

static int show_policy(struct api_call *a, const struct sandbox *box, struct err *e)
{
	AUTO_FREE struct daemon_policy_state *st = malloc(sizeof(*st));
	AUTO_POLICY *p = NULL;
	AUTO_JS o = js_object();
	AUTO_JS rules = js_array();
	AUTO_JS bypass = js_array();
	bool bad = false;
	int r = st ? daemon_policy_state(a->d, st, e) : no_memory(e);

	if (r == 0)
		r = daemon_policy_for(a->d, box, &p, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < policy_rules(p, 0); i++) {
		const struct policy_rule *rule = policy_rule_at(p, 0, i);

		bad |= js_add(rules, rule_json(rule, rule->source, box));
	}
	for (size_t i = 0; i < policy_bypasses(p, 0); i++)
		bad |= js_add_str(bypass, policy_bypass_at(p, 0, i));
	bad |= js_set_str(o, "sandbox", box ? box->name : NULL);
	bad |= js_set_int(o, "generation", (int64_t)daemon_policy_generation(a->d));
	bad |= js_set_str(o, "preset", st->preset);
	bad |= js_set_bool(o, "preset_chosen", st->preset_chosen);
	bad |= js_set_bool(o, "governed", st->governed);
	bad |= js_set_bool(o, "lost", st->lost);
	bad |= st->org_path[0] ? js_set(o, "organisation", org_json(st))
			       : js_set_null(o, "organisation");
	bad |= js_set(o, "rules", TAKE(rules));
	bad |= js_set(o, "bypass", TAKE(bypass));
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}

int api_policy(struct api_call *a, struct err *e)
{
	AUTO_BOX box = NULL;
	int r = box_param(a, api_param(a, "sandbox"), &box, e);

	daemon_policy_check_org(a->d);
	return r < 0 ? r : show_policy(a, box, e);
}

int api_policy_reset(struct api_call *a, struct err *e)
{
	int r = daemon_policy_reset(a->d, e);

	if (r == 0)
		r = audit_admin(a->d->audit, "policy.reset", "", "", e);
	return r < 0 ? r : conn_empty(a->c, 204);
}

int api_policy_preset(struct api_call *a, struct err *e)
{
	struct js_reader rd;
	const char *name;
	int r;

	js_read(&rd, a->body, "", e);
	name = js_want_str(&rd, "preset", 32);
	r = js_done(&rd);
	if (r == 0)
		r = daemon_policy_init(a->d, name, e);
	if (r == 0)
		r = audit_admin(a->d->audit, "policy.init", "", name, e);
	return r < 0 ? r : show_policy(a, NULL, e);
}

int api_policy_bypass(struct api_call *a, struct err *e)
{
	struct js_reader rd;
	const char *list;
	int r;

	js_read(&rd, a->body, "", e);
	list = js_want_str(&rd, "resources", STORE_VALUE_MAX - 1);
	r = js_done(&rd);
	if (r == 0)
		r = daemon_policy_bypass(a->d, list, e);
	if (r == 0)
		r = audit_admin(a->d->audit, "policy.bypass", "", list, e);
	return r < 0 ? r : show_policy(a, NULL, e);
}

/* ---- rules ---- */

struct finding {
	struct rules *wanted; /* those that are there already get their number */
	size_t total;
};

static int find_same(void *ctx, const struct store_rule *row)
{
	struct finding *f = ctx;

	f->total++;
	for (size_t i = 0; i < f->wanted->n; i++)
		if (!f->wanted->v[i].seq && rules_same(row, &f->wanted->v[i]))
			f->wanted->v[i].seq = row->seq;
	return 0;
}

/* two that add the same rule at a time must not both find that it is new */
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;

/* store_new() - those that are not there yet; one that is there already keeps its number */
static int store_new(struct api_call *a, struct rules *all, struct err *e)
{
	struct finding f = {.wanted = all};
	AUTO(rules) fresh = {0};
	size_t k = 0;
	int r = store_rules_each(a->d->store, find_same, &f, e);

	if (r < 0)
		return r;
	if (f.total + all->n > POLICY_RULES_MAX / 2)
		return err_set(e, ERR_LIMIT, -ENOSPC, "there are more than %u rules already",
			POLICY_RULES_MAX / 2);
	fresh.v = calloc(all->n + 1, sizeof(*fresh.v));
	if (!fresh.v)
		return no_memory(e);
	for (size_t i = 0; i < all->n; i++)
		if (!all->v[i].seq)
			fresh.v[fresh.n++] = all->v[i];
	r = store_rules_add(a->d->store, fresh.v, fresh.n, e);
	for (size_t i = 0; i < all->n && r == 0; i++)
		if (!all->v[i].seq)
			all->v[i].seq = fresh.v[k++].seq;
	return r;
}

static int show_rules(
	struct api_call *a, const struct rules *all, const struct sandbox *box, struct err *e)
{
	AUTO_JS o = js_object();
	AUTO_JS list = js_array();
	char id[32], origin[NAME_MAX_LEN + 16] = "you";
	bool bad = false;

	if (box)
		(void)snprintf(origin, sizeof(origin), "sandbox %s", box->name);
	for (size_t i = 0; i < all->n; i++) {
		const struct policy_rule r = rules_as_policy(
			&all->v[i], id, origin, box ? POLICY_SOURCE_SANDBOX : POLICY_SOURCE_USER);

		(void)snprintf(id, sizeof(id), "r%lld", (long long)all->v[i].seq);
		bad |= js_add(list, rule_json(&r, r.source, box));
	}
	bad |= js_set(o, "rules", TAKE(list));
	return bad ? no_memory(e) : conn_json(a->c, 201, TAKE(o));
}

/* record() - who may reach what is changed by people: that stands in the log as well */
static int record(
	struct api_call *a, const struct store_rule *rule, const struct sandbox *box, struct err *e)
{
	char what[32], methods[POLICY_METHODS_TEXT];
	AUTO(buf) text = {0};
	int r;

	buf_init(&text, 4096);
	(void)snprintf(what, sizeof(what), "policy.%s", policy_decision_name(rule->decision));
	r = buf_addf(&text, "r%lld %s%s%s%s%s%s%s%s", (long long)rule->seq, rule->resource,
		rule->methods ? " " : "",
		rule->methods ? policy_methods_text(rule->methods, methods) : "",
		rule->path[0] ? " " : "", rule->path, rule->websocket ? " websocket" : "",
		rule->grpc[0] ? " grpc " : "", rule->grpc);
	if (r < 0)
		return no_memory(e);
	return audit_admin(a->d->audit, what, box ? box->name : "", buf_str(&text), e);
}

/* add_rules() - for @box, or for all when it is NULL; told to whoever runs */
static int add_rules(
	struct api_call *a, struct rules *all, struct sandbox *box, const char *via, struct err *e)
{
	int r;

	for (size_t i = 0; i < all->n; i++) {
		struct store_rule *rule = &all->v[i];

		(void)snprintf(rule->sandbox, sizeof(rule->sandbox), "%s", box ? box->id : "");
		(void)snprintf(rule->via, sizeof(rule->via), "%s", via);
		rule->created_ms = clock_real_ms();
	}
	(void)pthread_mutex_lock(&adding);
	r = store_new(a, all, e);
	(void)pthread_mutex_unlock(&adding);
	if (r == 0)
		daemon_policy_changed(a->d, box);
	for (size_t i = 0; i < all->n && r == 0; i++)
		r = record(a, &all->v[i], box, e);
	return r;
}

int api_policy_add(struct api_call *a, struct err *e)
{
	AUTO(rules) all = {0};
	AUTO_BOX box = NULL;
	int r = box_param(a, api_param(a, "sandbox"), &box, e);

	if (r == 0)
		r = rules_read(a->body, "", &all, e);
	if (r == 0)
		r = add_rules(a, &all, box, "added", e);
	return r < 0 ? r : show_rules(a, &all, box, e);
}

struct looking {
	int64_t seq;
	bool found;
	char box[STORE_ID_LEN + 1];
};

static int find_seq(void *ctx, const struct store_rule *row)
{
	struct looking *l = ctx;

	if (row->seq != l->seq)
		return 0;
	l->found = true;
	memcpy(l->box, row->sandbox, sizeof(l->box));
	return 0;
}

static int not_removable(const char *id, struct err *e)
{
	int r = err_set(
		e, ERR_NOT_FOUND, -ENOENT, "there is no rule '%.64s' that can be removed", id);

	err_hint(e, "rules you added are r1, r2, ...; presets change with sbx policy init, what a "
		    "sandbox was created with stays, and a denial is stronger than any allow");
	return r;
}

int api_policy_remove(struct api_call *a, struct err *e)
{
	struct looking l = {0};
	AUTO_BOX box = NULL;
	char *end = NULL;
	int r;

	l.seq = a->arg[0] == 'r' && a->arg[1] >= '1' && a->arg[1] <= '9'
			? strtoll(a->arg + 1, &end, 10)
			: 0;
	if (l.seq <= 0 || *end)
		return not_removable(a->arg, e);
	r = store_rules_each(a->d->store, find_seq, &l, e);
	if (r < 0)
		return r;
	if (!l.found)
		return not_removable(a->arg, e);
	if (l.box[0])
		box = sandbox_find(a->d, l.box, NULL);
	r = store_rule_remove(a->d->store, l.seq, e);
	if (r < 0)
		return r;
	if (box || !l.box[0])
		daemon_policy_changed(a->d, box);
	r = audit_admin(a->d->audit, "policy.rm", box ? box->name : "", a->arg, e);
	return r < 0 ? r : conn_empty(a->c, 204);
}

/* ---- check ---- */

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
	r = box_param(a, js_take_str(&rd, "sandbox", NAME_MAX_LEN, NULL), box, e);
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
	bad |= v->rule ? js_set(o, "rule", rule_json(v->rule, v->source, box))
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

/* ---- questions that wait ---- */

static struct js *approval_json(const struct approval *w)
{
	AUTO_JS o = js_object();
	bool bad = false;

	bad |= js_set_int(o, "id", (int64_t)w->id);
	bad |= js_set_str(o, "sandbox", w->name);
	bad |= js_set_str(o, "host", w->host);
	bad |= js_set_int(o, "port", w->port);
	bad |= js_set_str(o, "method", w->method[0] ? w->method : NULL);
	bad |= js_set_str(o, "path", w->path[0] ? w->path : NULL);
	bad |= js_set_str(o, "rule", w->rule[0] ? w->rule : NULL);
	bad |= view_time(o, "asked_at", w->asked_ms);
	bad |= js_set_int(o, "seconds_left", (w->until - clock_ms()) / 1000);
	return bad ? NULL : TAKE(o);
}

int api_approvals(struct api_call *a, struct err *e)
{
	AUTO_FREE struct approval *all = NULL;
	AUTO_JS o = js_object();
	AUTO_JS list = js_array();
	bool bad = false;
	size_t n = 0;

	if (approvals_list(a->d, &all, &n) < 0)
		return no_memory(e);
	for (size_t i = 0; i < n; i++)
		bad |= js_add(list, approval_json(&all[i]));
	bad |= js_set(o, "approvals", TAKE(list));
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}

/* remember() - the answer becomes a rule: of the sandbox, or of all */
static int remember(
	struct api_call *a, const struct approval *w, bool allow, bool all_boxes, struct err *e)
{
	struct policy_host h;
	AUTO(rules) rules = {0};
	AUTO_BOX box = NULL;

	rules.v = calloc(1, sizeof(*rules.v));
	if (!rules.v)
		return no_memory(e);
	rules.n = 1;
	if (!policy_host_parse(w->host, strlen(w->host), &h))
		return err_set(e, ERR_INVALID, -EINVAL, "the host of this request makes no rule");
	rules.v->decision = allow ? POLICY_ALLOW : POLICY_DENY;
	(void)snprintf(rules.v->resource, sizeof(rules.v->resource),
		strchr(h.name, ':') ? "[%s]:%u" : "%s:%u", h.name, w->port);
	if (!all_boxes) {
		box = sandbox_find(a->d, w->box, e);
		if (!box)
			return -ENOENT;
	}
	return add_rules(a, &rules, box, "approval", e);
}

int api_approve(struct api_call *a, struct err *e)
{
	const char *verdict, *keep;
	struct js_reader rd;
	struct approval w;
	char *end = NULL, detail[POLICY_HOST_MAX + 16];
	uint64_t id;
	bool allow;
	int r;

	js_read(&rd, a->body, "", e);
	verdict = js_want_str(&rd, "decision", 16);
	keep = js_take_str(&rd, "remember", 16, "no");
	r = js_done(&rd);
	if (r < 0)
		return r;
	allow = strcmp(verdict, "allow") == 0;
	if ((!allow && strcmp(verdict, "deny") != 0) ||
		(strcmp(keep, "no") != 0 && strcmp(keep, "sandbox") != 0 &&
			strcmp(keep, "all") != 0))
		return err_set(e, ERR_INVALID, -EINVAL,
			"decision is allow or deny, remember is no, sandbox or all");
	id = a->arg[0] >= '1' && a->arg[0] <= '9' ? strtoull(a->arg, &end, 10) : 0;
	if (id == 0 || *end || approvals_answer(a->d, id, allow, &w) < 0)
		return err_set(e, ERR_NOT_FOUND, -ENOENT,
			"request '%.20s' does not wait (any more)", a->arg);
	(void)snprintf(detail, sizeof(detail), "%s:%u", w.host, w.port);
	r = audit_admin(a->d->audit, allow ? "approve.allow" : "approve.deny", w.name, detail, e);
	if (r == 0 && strcmp(keep, "no") != 0)
		r = remember(a, &w, allow, strcmp(keep, "all") == 0, e);
	return r < 0 ? r : conn_empty(a->c, 204);
}
