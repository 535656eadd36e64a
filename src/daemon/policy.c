#include "daemon/policy.h"
#include "daemon/approvals.h"
#include "daemon/clients.h"
#include "daemon/sandbox.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "policy/preset.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ORG_FILE_MAX   (256U << 10)
#define TELLERS	       15
#define SETTING_PRESET "policy.preset"
#define SETTING_LOST   "policy.lost"
#define SETTING_BYPASS "policy.bypass"

struct org_file {
	char path[PATH_MAX];
	bool there;
	struct stat st; /* of what was read */
	struct policy *rules; /* NULL when not there or invalid */
	char fault[ERR_MSG_MAX];
};

struct daemon_policy {
	pthread_mutex_t lock; /* of the organisation's file */
	struct org_file org;
	struct client_host clients[CLIENTS_MAX];
	size_t n_clients;
	_Atomic uint64_t generation;
	daemon_policy_fn hook;
};

/* ---- the organisation's file ---- */

static int judge_file(const struct stat *st, struct err *e, const char *path)
{
	if (!S_ISREG(st->st_mode))
		return err_set(e, ERR_INVALID, -EINVAL, "'%s' is no regular file", path);
	if ((st->st_uid != 0 && st->st_uid != geteuid()) || (st->st_mode & 022))
		return err_set(e, ERR_DENIED, -EPERM,
			"'%s' can be changed by other users: its owner must be root and nobody "
			"else may "
			"write to it",
			path);
	return 0;
}

/* read_org() - 0: the file is as it should be, or not there */
static int read_org(struct org_file *f, struct err *e)
{
	AUTO_FD fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	AUTO(buf) text = {0};
	int r;

	f->there = fd >= 0 || errno != ENOENT;
	f->st = (struct stat){0};
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "open '%s'", f->path);
	if (fstat(fd, &f->st) < 0)
		return err_sys(e, -errno, "look at '%s'", f->path);
	r = judge_file(&f->st, e, f->path);
	if (r < 0)
		return r;
	buf_init(&text, ORG_FILE_MAX);
	r = io_read_fd(fd, &text);
	if (r < 0)
		return err_sys(e, r, "read '%s'", f->path);
	return rules_org_parse(f->path, buf_str(&text), text.len, &f->rules, e);
}

static void load_org(struct org_file *f)
{
	struct err e = {0};

	policy_free(f->rules);
	f->rules = NULL;
	f->fault[0] = '\0';
	if (read_org(f, &e) == 0)
		return;
	memcpy(f->fault, e.msg, sizeof(f->fault));
	log_err("the organisation's policy is invalid, nothing is let through: %s", e.msg);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
	       memcmp(&a->st_mtim, &b->st_mtim, sizeof(a->st_mtim)) == 0 &&
	       memcmp(&a->st_ctim, &b->st_ctim, sizeof(a->st_ctim)) == 0;
}

/* ---- beginning, changes ---- */

int daemon_policy_open(struct daemon *d, struct err *e)
{
	struct daemon_policy *dp = calloc(1, sizeof(*dp));
	const char *org = getenv("SBX_ORG_POLICY"), *home = getenv("HOME");

	if (!dp)
		return err_sys(e, -ENOMEM, "read the policy");
	d->policy = dp;
	if (!approvals_new(d))
		return err_sys(e, -ENOMEM, "read the policy");
	(void)pthread_mutex_init(&dp->lock, NULL);
	/* What was given out before this start must not look like what is given out after it. */
	dp->generation = (uint64_t)clock_real_ms();
	if (snprintf(dp->org.path, sizeof(dp->org.path), "%s",
		    org && *org ? org : POLICY_ORG_FILE) >= (int)sizeof(dp->org.path))
		return err_set(e, ERR_INVALID, -ENAMETOOLONG, "SBX_ORG_POLICY is too long");
	load_org(&dp->org);
	dp->n_clients = clients_find("", home && *home == '/' ? home : NULL, dp->clients);
	if (d->report.quarantine[0])
		return store_set(d->store, SETTING_LOST, "1", e);
	return 0;
}

uint64_t daemon_policy_generation(struct daemon *d)
{
	return d->policy->generation;
}

void daemon_policy_hook(struct daemon *d, daemon_policy_fn fn)
{
	d->policy->hook = fn;
}

static void tell(struct daemon *d, struct sandbox *s)
{
	if (d->policy->hook && status_has_machine(sandbox_status(s)))
		d->policy->hook(s);
}

/* Many are told at a time: one whose front does not answer must not hold up the others. */
struct telling {
	struct daemon *d;
	struct sandbox **all;
	size_t n;
	atomic_size_t next;
};

static void *tell_some(void *arg)
{
	struct telling *t = arg;
	size_t i;

	while ((i = atomic_fetch_add(&t->next, 1)) < t->n) {
		tell(t->d, t->all[i]);
		sandbox_put(t->all[i]);
	}
	return NULL;
}

static void tell_all(struct daemon *d, struct sandbox **all, size_t n)
{
	struct telling t = {.d = d, .all = all, .n = n};
	pthread_t helpers[TELLERS];
	size_t started = 0;
	pthread_attr_t attr;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, DAEMON_STACK);
	while (started < TELLERS && started + 1 < n &&
		pthread_create(&helpers[started], &attr, tell_some, &t) == 0)
		started++;
	(void)pthread_attr_destroy(&attr);
	(void)tell_some(&t);
	while (started > 0)
		(void)pthread_join(helpers[--started], NULL);
}

void daemon_policy_changed(struct daemon *d, struct sandbox *s)
{
	struct sandbox **all;
	size_t n;

	d->policy->generation++;
	if (s) {
		tell(d, s);
		return;
	}
	if (sandbox_all(d, &all, &n) < 0) {
		log_err("no memory to tell the sandboxes of a changed policy");
		return;
	}
	tell_all(d, all, n);
	free(all);
}

static void *all_changed(void *arg)
{
	daemon_policy_changed(arg, NULL);
	return NULL;
}

void daemon_policy_check_org(struct daemon *d)
{
	struct daemon_policy *dp = d->policy;
	struct stat st = {0};
	bool changed = false, there;

	(void)pthread_mutex_lock(&dp->lock);
	there = stat(dp->org.path, &st) == 0;
	if (there != dp->org.there || (there && !same_file(&st, &dp->org.st))) {
		load_org(&dp->org);
		changed = true;
	}
	(void)pthread_mutex_unlock(&dp->lock);
	/* The caller may be who accepts connections: it must not wait for a sandbox. */
	if (changed && thread_start(all_changed, d) < 0)
		log_err("no thread to tell the sandboxes of a changed policy");
}

/* ---- putting together ---- */

struct making {
	struct policy *p;
	const char *sandbox; /* id; NULL: none */
	const char *name;
	bool governed;
	struct err *e;
};

static int add(struct making *m, const struct policy_rule *r)
{
	return policy_add(m->p, r, m->e);
}

/* deny_all() - what is not known is closed, and says why */
static int deny_all(struct making *m, const char *id, const char *why)
{
	const struct policy_rule r = {.id = id,
		.resource = "**",
		.origin = why,
		.source = POLICY_SOURCE_USER,
		.decision = POLICY_DENY};

	return add(m, &r);
}

static int add_org(struct daemon_policy *dp, struct making *m)
{
	const struct policy *o;
	int r = 0;

	(void)pthread_mutex_lock(&dp->lock);
	o = dp->org.rules;
	m->governed = dp->org.there;
	if (m->governed)
		policy_govern(m->p);
	if (dp->org.fault[0])
		r = deny_all(m, "org.invalid", "the organisation's file, which is invalid");
	for (size_t i = 0; o && i < policy_rules(o, 0) && r == 0; i++)
		r = add(m, policy_rule_at(o, 0, i));
	for (size_t i = 0; o && i < policy_bypasses(o, 0) && r == 0; i++)
		r = policy_add_bypass(m->p, policy_bypass_at(o, 0, i), m->e);
	(void)pthread_mutex_unlock(&dp->lock);
	return r;
}

static int add_stored(struct making *m, const struct store_rule *row, const char *origin,
	enum policy_source source)
{
	char id[24];
	struct policy_rule r;

	(void)snprintf(id, sizeof(id), "r%lld", (long long)row->seq);
	r = rules_as_policy(row, id, origin, source);
	return add(m, &r);
}

static int add_global(void *ctx, const struct store_rule *row)
{
	return row->sandbox[0] ? 0 : add_stored(ctx, row, "you", POLICY_SOURCE_USER);
}

static int add_own(void *ctx, const struct store_rule *row)
{
	struct making *m = ctx;
	char origin[NAME_MAX_LEN + 16];

	if (strcmp(row->sandbox, m->sandbox) != 0)
		return 0;
	(void)snprintf(origin, sizeof(origin), "sandbox %s", m->name);
	return add_stored(m, row, origin, POLICY_SOURCE_SANDBOX);
}

static int add_clients(const struct daemon_policy *dp, struct making *m)
{
	for (size_t i = 0; i < dp->n_clients; i++) {
		char id[48], origin[64];
		const struct policy_rule r = {.id = id,
			.resource = dp->clients[i].resource,
			.origin = origin,
			.source = POLICY_SOURCE_USER,
			.decision = POLICY_ALLOW};
		int rc;

		(void)snprintf(id, sizeof(id), "host.%s.%zu", dp->clients[i].client, i + 1);
		(void)snprintf(
			origin, sizeof(origin), "%s settings of this host", dp->clients[i].client);
		rc = add(m, &r);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_plan(struct making *m, const struct plan *plan)
{
	AUTO(rules) all = {0};
	char id[32], origin[NAME_MAX_LEN + 32];
	int r = 0;

	for (size_t i = 0; i < js_len(plan->policy) && r == 0; i++)
		r = rules_read(js_at(plan->policy, i), "policy", &all, m->e);
	(void)snprintf(origin, sizeof(origin), "sandbox %s, at its creation", m->name);
	for (size_t i = 0; i < all.n && r == 0; i++) {
		struct policy_rule rule;

		(void)snprintf(id, sizeof(id), "plan.%zu", i + 1);
		rule = rules_as_policy(&all.v[i], id, origin, POLICY_SOURCE_SANDBOX);
		r = add(m, &rule);
	}
	return r;
}

/* add_kits() - what the sandbox's kits say; rules for its installation only while it installs */
static int add_kits(struct making *m, const struct plan *p, bool installing)
{
	int r = 0;

	for (size_t i = 0; i < p->n_network && r == 0; i++) {
		const struct plan_network *n = &p->network[i];
		char id[32], origin[POLICY_ORIGIN_MAX + 1];
		const struct policy_rule rule = {.id = id,
			.resource = n->resource,
			.origin = origin,
			.source = POLICY_SOURCE_KIT,
			.decision = n->deny ? POLICY_DENY : POLICY_ALLOW};

		if (n->phase == PLAN_INSTALL && !installing)
			continue;
		(void)snprintf(id, sizeof(id), "kit.%zu", i + 1);
		(void)snprintf(origin, sizeof(origin), "kit %s%s", n->kit,
			n->phase == PLAN_INSTALL ? ", while installing" : "");
		r = add(m, &rule);
	}
	return r;
}

/* add_bypass() - under an organisation's policy it is not the user who says what stays unopened */
static int add_bypass(struct daemon *d, struct making *m)
{
	char list[STORE_VALUE_MAX], text[POLICY_PATTERN_MAX];
	struct policy_pattern p;
	const char *at = list;
	int r;

	if (m->governed)
		return 0;
	r = store_setting(d->store, SETTING_BYPASS, list, sizeof(list), m->e);
	while (r >= 0 && (r = policy_pattern_next(&at, &p, m->e)) > 0)
		r = policy_add_bypass(m->p, policy_pattern_text(&p, text), m->e);
	return r;
}

static const struct policy_preset *preset_of(
	struct daemon *d, bool *ret_chosen, int *ret_r, struct err *e)
{
	const struct policy_preset *s;
	char name[32];

	*ret_r = store_setting(d->store, SETTING_PRESET, name, sizeof(name), e);
	*ret_chosen = *ret_r == 1;
	s = policy_preset_find(*ret_r == 1 ? name : POLICY_PRESET_DEFAULT);
	/* what we do not know is closed */
	return s ? s : policy_preset_find("locked-down");
}

/* add_user() - rules for all sandboxes, preset, clients */
static int add_user(struct daemon *d, struct making *m)
{
	const struct policy_preset *preset;
	char lost[8];
	bool chosen;
	int r = store_setting(d->store, SETTING_LOST, lost, sizeof(lost), m->e);

	if (r == 1)
		return deny_all(
			m, "lost", "the policy was lost with a damaged database: sbx policy init");
	if (r == 0)
		r = store_rules_each(d->store, add_global, m, m->e);
	if (r < 0)
		return r;
	preset = preset_of(d, &chosen, &r, m->e);
	if (r < 0)
		return r;
	r = policy_preset_add(preset, m->p, m->e);
	if (r == 0 && strcmp(preset->name, "balanced") == 0)
		r = add_clients(d->policy, m);
	return r < 0 ? r : add_bypass(d, m);
}

int daemon_policy_for(struct daemon *d, struct sandbox *s, struct policy **ret, struct err *e)
{
	AUTO_POLICY *p = policy_new();
	struct making m = {.p = p, .sandbox = s ? s->id : NULL, .name = s ? s->name : NULL, .e = e};
	int r;

	if (!p)
		return err_sys(e, -ENOMEM, "put the policy together");
	r = add_org(d->policy, &m);
	if (r == 0)
		r = add_user(d, &m);
	if (r == 0 && s)
		r = add_kits(&m, s->plan, sandbox_installing(s));
	if (r == 0 && s)
		r = add_plan(&m, s->plan);
	if (r == 0 && s)
		r = store_rules_each(d->store, add_own, &m, e);
	if (r == 0 && policy_seal(p) < 0)
		r = err_sys(e, -ENOMEM, "put the policy together");
	if (r < 0)
		return err_wrap(e, r, s ? "policy of sandbox '%s'" : "policy%s", s ? s->name : "");
	*ret = TAKE(p);
	return 0;
}

/* ---- what people choose ---- */

int daemon_policy_state(struct daemon *d, struct daemon_policy_state *ret, struct err *e)
{
	struct daemon_policy *dp = d->policy;
	char lost[8];
	int r;

	*ret = (struct daemon_policy_state){0};
	ret->preset = preset_of(d, &ret->preset_chosen, &r, e)->name;
	if (r >= 0)
		r = store_setting(d->store, SETTING_LOST, lost, sizeof(lost), e);
	if (r < 0)
		return r;
	ret->lost = r == 1;
	(void)pthread_mutex_lock(&dp->lock);
	ret->governed = dp->org.there;
	if (dp->org.there)
		memcpy(ret->org_path, dp->org.path, sizeof(ret->org_path));
	memcpy(ret->org_fault, dp->org.fault, sizeof(ret->org_fault));
	(void)pthread_mutex_unlock(&dp->lock);
	return 0;
}

int daemon_policy_init(struct daemon *d, const char *name, struct err *e)
{
	const struct policy_preset *s = policy_preset_find(name);
	int r;

	if (!s) {
		r = err_set(e, ERR_INVALID, -EINVAL, "there is no preset '%.64s'", name);
		err_hint(e, "there are open, balanced and locked-down");
		return r;
	}
	r = store_set(d->store, SETTING_PRESET, s->name, e);
	if (r == 0)
		r = store_set(d->store, SETTING_LOST, NULL, e);
	if (r == 0)
		daemon_policy_changed(d, NULL);
	return r;
}

/* canonical_list() - checked as policy_add_bypass() does; one that is there twice is kept once */
static int canonical_list(const char *resources, char *dst, size_t cap, struct err *e)
{
	AUTO_POLICY *scratch = policy_new();
	char text[POLICY_PATTERN_MAX];
	struct policy_pattern p;
	size_t n = 0;
	int r;

	if (!scratch)
		return err_sys(e, -ENOMEM, "read the list");
	dst[0] = '\0';
	while ((r = policy_pattern_next(&resources, &p, e)) > 0) {
		bool twice = false;

		r = policy_add_bypass(scratch, policy_pattern_text(&p, text), e);
		if (r < 0)
			return r;
		for (size_t i = 0; i + 1 < policy_bypasses(scratch, 0); i++)
			twice |= strcmp(policy_bypass_at(scratch, 0, i), text) == 0;
		if (twice)
			continue;
		if (n + strlen(text) + 2 > cap)
			return err_set(e, ERR_LIMIT, -E2BIG, "the list is too long");
		n += (size_t)snprintf(dst + n, cap - n, "%s%s", n ? "," : "", text);
	}
	return r;
}

int daemon_policy_bypass(struct daemon *d, const char *resources, struct err *e)
{
	char list[STORE_VALUE_MAX];
	int r = canonical_list(resources, list, sizeof(list), e);

	if (r == 0)
		r = store_set(d->store, SETTING_BYPASS, list[0] ? list : NULL, e);
	if (r == 0)
		daemon_policy_changed(d, NULL);
	return r;
}

int daemon_policy_reset(struct daemon *d, struct err *e)
{
	int r = store_rules_clear(d->store, NULL, e);

	if (r == 0)
		r = store_set(d->store, SETTING_PRESET, NULL, e);
	if (r == 0)
		r = store_set(d->store, SETTING_BYPASS, NULL, e);
	if (r == 0)
		r = store_set(d->store, SETTING_LOST, NULL, e);
	daemon_policy_changed(d, NULL);
	return r;
}
