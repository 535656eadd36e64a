#include "daemon/kit_add.h"
#include "daemon/files.h"
#include "daemon/kit_approvals.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define NEXT	".next"
#define FORMER	".former"
#define STOP_MS 20000

/* What changes: the first two are always there. */
static const char *const names[] = {FILE_PLAN, FILE_ASKED, FILE_HOME_TAR, FILE_SETUP_TAR,
	FILE_MISSING_TAR, FILE_WORKSPACE_TAR, FILE_MEMORY_TAR};
#define KEPT 2 /* of them the former ones are kept until the kits are installed */

static int read_js(int dir, const char *name, struct js **ret, struct err *e)
{
	AUTO(buf) text;
	int r;

	buf_init(&text, PLAN_TEXT_MAX);
	r = io_read_file(dir, name, &text);
	if (r < 0)
		return r;
	return js_parse(buf_str(&text), text.len, PLAN_TEXT_MAX, ret, e);
}

/* ---- what is asked for ---- */

static int append(struct js *create, const char *key, const struct js *more, struct err *e)
{
	AUTO_JS list = js_array();
	const struct js *from[] = {js_get(create, key), more};
	bool bad = !list;

	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		for (size_t k = 0; k < js_len(from[i]); k++)
			bad |= js_add(list, js_ref((struct js *)(uintptr_t)js_at(from[i], k)));
	return bad || js_set(create, key, TAKE(list)) ? err_sys(e, -ENOMEM, "add kits") : 0;
}

/* make_create() - what it was made by, and the further kits behind */
static int make_create(
	struct sandbox *s, int dir, const struct js *body, struct js **ret, struct err *e)
{
	AUTO_JS create = NULL;
	struct js_reader rd;
	const struct js *kits, *args;
	const char *approve;
	int r;

	js_read(&rd, body, "", e);
	kits = js_take_array(&rd, "kits", 32);
	args = js_take_array(&rd, "kit_args", 256);
	approve = js_take_str(&rd, "approve", HASH_HEX - 1, "");
	if (rd.r == 0 && js_len(kits) == 0)
		js_fault(&rd, "kits", "must not be empty");
	r = js_done(&rd);
	if (r < 0)
		return r;
	r = read_js(dir, FILE_ASKED, &create, e);
	if (r == -ENOENT)
		return err_set(e, ERR_CONFLICT, -EOPNOTSUPP,
			"sandbox '%s' was made by an older version: it takes no further kits",
			s->name);
	if (r < 0)
		return err_wrap(e, r, "read what sandbox '%s' was made by", s->name);
	r = append(create, "kits", kits, e);
	if (r == 0 && args)
		r = append(create, "kit_args", args, e);
	if (r == 0 && approve[0] && js_set_str(create, "approve", approve))
		r = err_sys(e, -ENOMEM, "add kits");
	if (r == 0)
		*ret = TAKE(create);
	return r;
}

static int resolve(struct sandbox *s, int dir, const struct js *body, struct plan **ret,
	struct plan_files *files, struct err *e)
{
	AUTO_JS create = NULL;
	bool started;
	int r = make_create(s, dir, body, &create, e);

	(void)pthread_mutex_lock(&s->lock);
	started = s->row.provisioned;
	(void)pthread_mutex_unlock(&s->lock);
	if (r == 0 && started && kit_added(dir))
		r = err_set(e, ERR_CONFLICT, -EBUSY,
			"sandbox '%s' has kits that are not installed yet: start it first",
			s->name);
	return r < 0 ? r
		     : plan_resolve_add(create, &s->d->paths, &s->d->host, s->d->store, s->plan,
			       started, ret, files, e);
}

int kit_add_plan(struct sandbox *s, const struct js *body, struct plan **ret,
	struct plan_files *files, struct err *e)
{
	AUTO_FD dir = sandbox_dir(s, e);

	return dir < 0 ? TAKE_FD(dir) : resolve(s, dir, body, ret, files, e);
}

/* ---- the directory ---- */

static void forget(int dir, const char *suffix)
{
	char name[64];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(name, sizeof(name), "%s%s", names[i], suffix);
		(void)unlinkat(dir, name, 0);
	}
}

/* write_next() - beside what is there */
static int write_next(int dir, const struct plan *plan, const struct plan_files *f, struct err *e)
{
	AUTO(buf) text;
	const struct buf *const bytes[] = {
		&text, &f->asked, &f->home, &f->setup, &f->missing, &f->workspace, &f->memory};
	AUTO_JS journal = js_object();
	AUTO_JS list = js_array();
	AUTO(buf) line;
	char name[64];
	int r;

	buf_init(&line, 4096);
	buf_init(&text, PLAN_TEXT_MAX);
	r = plan_text(plan, &text);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++) {
		if (bytes[i]->len == 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s" NEXT, names[i]);
		r = io_replace_file(dir, name, bytes[i]->data, bytes[i]->len, 0600);
		if (r == 0 && js_add_str(list, names[i]))
			r = -ENOMEM;
	}
	if (r == 0 &&
		(js_set_str(journal, "plan_hash", plan->hash) ||
			js_set(journal, "files", TAKE(list)) || js_canonical(journal, &line) < 0))
		r = -ENOMEM;
	if (r == 0)
		r = io_replace_file(dir, FILE_ADDING, line.data, line.len, 0600);
	if (r < 0)
		forget(dir, NEXT);
	return r < 0 ? err_sys(e, r, "write down the further kits") : 0;
}

static bool listed(const struct js *list, const char *name)
{
	for (size_t i = 0; i < js_len(list); i++) {
		const char *s = js_str(js_at(list, i));

		if (s && strcmp(s, name) == 0)
			return true;
	}
	return false;
}

/* take_next() - may be done again after it was cut off: what is listed and not there has been taken */
static int take_next(int dir, const struct js *list)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char next[64], former[64];

		(void)snprintf(next, sizeof(next), "%s" NEXT, names[i]);
		(void)snprintf(former, sizeof(former), "%s" FORMER, names[i]);
		if (!listed(list, names[i])) {
			if (i >= KEPT && unlinkat(dir, names[i], 0) < 0 && errno != ENOENT)
				return -errno;
			continue;
		}
		if (faccessat(dir, next, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (i < KEPT && renameat(dir, names[i], dir, former) < 0 && errno != ENOENT)
			return -errno;
		if (renameat(dir, next, dir, names[i]) < 0)
			return -errno;
	}
	return fsync(dir) < 0 ? -errno : 0;
}

int kit_add_settle(struct sandbox *s, int dir, struct err *e)
{
	AUTO_JS journal = NULL;
	const char *hash;
	int r = read_js(dir, FILE_ADDING, &journal, e);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_wrap(e, r, "read which kits were added");
	hash = js_str(js_get(journal, "plan_hash"));
	if (!hash || strcmp(hash, s->row.plan_hash) != 0) {
		forget(dir, NEXT); /* it did not come to pass */
		return unlinkat(dir, FILE_ADDING, 0) < 0 ? err_sys(e, -errno, "forget further kits")
							 : 0;
	}
	r = take_next(dir, js_get(journal, "files"));
	/* before the first start there is nothing that has to be told apart */
	if (r == 0 && s->row.provisioned && renameat(dir, FILE_ADDING, dir, FILE_ADDED) < 0)
		r = -errno;
	if (r == 0 && !s->row.provisioned) {
		forget(dir, FORMER);
		if (unlinkat(dir, FILE_ADDING, 0) < 0)
			r = -errno;
	}
	return r < 0 ? err_sys(e, r, "take over the further kits") : 0;
}

bool kit_added(int dir)
{
	return faccessat(dir, FILE_ADDED, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void kit_added_done(int dir)
{
	(void)unlinkat(dir, FILE_ADDED, 0);
	forget(dir, FORMER);
}

/* ---- the plan ---- */

/* swap() - takes @plan; the row is written already */
static void swap(struct sandbox *s, struct plan *plan)
{
	(void)pthread_mutex_lock(&s->lock);
	s->former[s->n_former++] = s->plan;
	s->plan = plan;
	memcpy(s->row.plan_hash, plan->hash, sizeof(s->row.plan_hash));
	(void)pthread_mutex_unlock(&s->lock);
}

static int replan(struct sandbox *s, const struct plan *plan, struct err *e)
{
	AUTO(buf) text;
	int r;

	buf_init(&text, PLAN_TEXT_MAX);
	if (s->n_former == SANDBOX_FORMER)
		return err_set(e, ERR_LIMIT, -E2BIG,
			"kits were added %d times: restart the daemon first", SANDBOX_FORMER);
	r = plan_text(plan, &text);
	return r < 0 ? err_sys(e, r, "write the plan")
		     : store_replan(s->d->store, s->id, text.data, plan->hash, e);
}

static int add_owned(struct sandbox *s, int dir, const struct js *body, struct err *e)
{
	AUTO(plan_files) files;
	struct plan *plan;
	int r;

	plan_files_init(&files);
	r = kit_add_settle(s, dir, e);
	if (r == 0)
		r = resolve(s, dir, body, &plan, &files, e);
	if (r < 0)
		return r;
	r = sandbox_stop_owned(s, STOP_MS, e);
	if (r == 0)
		r = kit_approval_keep(s->d->store, plan, e);
	if (r == 0 && plan->approval && js_str(js_get(body, "approve")))
		r = audit_admin(s->d->audit, "kit.approve", plan->agent, plan->kits_digest, e);
	if (r == 0)
		r = audit_admin(s->d->audit, "kit.add", s->name, plan->kits_digest, e);
	if (r == 0)
		r = write_next(dir, plan, &files, e);
	if (r == 0)
		r = replan(s, plan, e);
	if (r < 0) {
		plan_free(plan);
		return r;
	}
	swap(s, plan);
	return kit_add_settle(s, dir, e);
}

int kit_add(struct sandbox *s, const struct js *body, struct err *e)
{
	AUTO_FD dir = sandbox_dir(s, e);
	int r;

	if (dir < 0)
		return TAKE_FD(dir);
	r = sandbox_begin(s, "kit add", clock_ms() + SANDBOX_BUSY_MS, e);
	if (r < 0)
		return r;
	r = add_owned(s, dir, body, e);
	sandbox_end(s);
	return r;
}

/* put_back() - the former plan and request; what was done to its disk stays done */
static int put_back(struct sandbox *s, int dir, struct err *e)
{
	AUTO(buf) text;
	struct plan *plan;
	char name[64];
	int r;

	buf_init(&text, PLAN_TEXT_MAX);
	r = io_read_file(dir, FILE_PLAN FORMER, &text);
	if (r < 0)
		return err_sys(e, r, "read the former plan");
	r = plan_load(buf_str(&text), text.len, &plan, e);
	if (r < 0)
		return r;
	r = replan(s, plan, e);
	if (r < 0) {
		plan_free(plan);
		return r;
	}
	swap(s, plan);
	for (size_t i = 0; i < KEPT; i++) {
		(void)snprintf(name, sizeof(name), "%s" FORMER, names[i]);
		if (renameat(dir, name, dir, names[i]) < 0)
			r = err_sys(e, -errno, "put back the former plan");
	}
	return r;
}

void kit_added_failed(struct sandbox *s, int dir)
{
	struct err e = {0};

	if (!kit_added(dir))
		return;
	if (put_back(s, dir, &e) < 0) {
		log_err("sandbox %s: the kits that were added could not be taken back: %s", s->name,
			e.msg);
		return;
	}
	kit_added_done(dir);
	log_info("sandbox %s: the kits that were added could not be installed: the former plan "
		 "holds",
		s->name);
}
