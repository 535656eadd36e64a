/* api_approvals.c - /v1/approvals: requests that wait for a person's yes or no */
#include "daemon/api_policy.h"
#include "daemon/approvals.h"
#include "daemon/view.h"
#include "base/clock.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int no_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT, -ENOMEM, "out of memory");
}

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

/* goes_on() - a rule that asks about this host by name asks before any that allows it: then there is
 * nothing to remember. 0: an allow ends the questions.
 */
static int goes_on(struct api_call *a, const struct approval *w, const struct policy_host *h,
	struct sandbox *box, struct err *e)
{
	const bool dns = strcmp(w->method, "DNS") == 0;
	const struct policy_request r = {.kind = dns	      ? POLICY_DNS
						 : w->path[0] ? POLICY_HTTP
							      : POLICY_TUNNEL,
		.host = h,
		.port = w->port,
		.method = dns ? NULL : w->method,
		.path = dns || !w->path[0] ? NULL : w->path};
	AUTO_POLICY *p = NULL;
	struct policy_verdict v;
	int n = daemon_policy_for(a->d, box, &p, e);

	if (n < 0)
		return n;
	policy_decide(p, &r, &v);
	if (v.decision != POLICY_ASK || strcmp(v.rule->resource, "**") == 0)
		return 0;
	(void)err_set(e, ERR_CONFLICT, -EEXIST,
		"it passed this once: rule '%s' (ask %s) goes on asking", v.rule->id,
		v.rule->resource);
	err_hint(e, "sbx policy rm %s ends that", v.rule->id);
	return -EEXIST;
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
		if (allow && goes_on(a, w, &h, box, e) < 0)
			return -EEXIST;
	}
	return api_add_rules(a, &rules, box, "approval", e);
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
