/* api_policy.c - /v1/policy (docs/api.md): rules; what they mean is asked in api_check.c */
#include "daemon/api_policy.h"
#include "daemon/policy.h"
#include "base/clock.h"
#include "policy/preset.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int no_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT, -ENOMEM, "out of memory");
}

int api_box_param(struct api_call *a, const char *name, struct sandbox **ret, struct err *e)
{
	*ret = NULL;
	if (!name || !name[0])
		return 0;
	*ret = sandbox_find(a->d, name, e);
	return *ret ? 0 : -ENOENT;
}

struct js *api_rule_json(
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

static int show_policy(struct api_call *a, struct sandbox *box, struct err *e)
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

		bad |= js_add(rules, api_rule_json(rule, rule->source, box));
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
	int r = api_box_param(a, api_param(a, "sandbox"), &box, e);

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
	if (f.total + all->n > RULES_ADDED_MAX)
		return err_set(
			e, ERR_LIMIT, -ENOSPC, "more than %d rules were added", RULES_ADDED_MAX);
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
		bad |= js_add(list, api_rule_json(&r, r.source, box));
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

int api_add_rules(
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
	int r = api_box_param(a, api_param(a, "sandbox"), &box, e);

	if (r == 0)
		r = rules_read(a->body, "", &all, e);
	if (r == 0)
		r = api_add_rules(a, &all, box, "added", e);
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
