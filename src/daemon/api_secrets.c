#include "daemon/api.h"
#include "daemon/credentials.h"
#include "daemon/custom.h"
#include "daemon/keyring.h"
#include "daemon/view.h"
#include "base/clock.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

/* Secrets go in and never come out: what is listed is masked. Audit records are read here too. */

#define AUDIT_ANSWER_MAX (15U << 20)

static int no_memory(struct err *e)
{
	return err_set(e, ERR_LIMIT, -ENOMEM, "out of memory");
}

int api_scope(struct api_call *a, char dst[STORE_ID_LEN + 1], struct err *e)
{
	const char *name = api_param(a, "sandbox");
	AUTO_BOX box = NULL;

	dst[0] = '\0';
	if (!name)
		return 0;
	box = sandbox_find(a->d, name, e);
	if (!box)
		return -ENOENT;
	memcpy(dst, box->id, STORE_ID_LEN + 1);
	return 0;
}

static int take_number(
	struct api_call *a, const char *param, uint64_t max, uint64_t *ret, struct err *e)
{
	const char *text = api_param(a, param);
	char *end = NULL;
	unsigned long long v;

	if (!text)
		return 0;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9' || v > max)
		return err_set(e, ERR_INVALID, -EINVAL, "%s: not a number from 0 to %llu", param,
			(unsigned long long)max);
	*ret = v;
	return 0;
}

static int fill_entry(struct api_call *a, struct secret_entry *x, struct err *e)
{
	const struct buf *b = &a->c->body;
	uint64_t refresh = SECRET_REFRESH_S;
	int r = api_scope(a, x->scope, e);

	if (r == 0)
		r = take_number(a, "refresh", SECRET_REFRESH_MAX_S, &refresh, e);
	if (r < 0)
		return r;
	if (strlen(a->arg) > SECRET_NAME_MAX)
		return err_set(e, ERR_INVALID, -EINVAL, "the name is too long");
	memcpy(x->name, a->arg, strlen(a->arg) + 1);
	if (!api_flag(a, "command")) {
		if (b->len > EGRESS_SECRET_MAX)
			return err_set(e, ERR_INVALID, -E2BIG, "a secret has at most %d bytes",
				EGRESS_SECRET_MAX);
		if (b->len > 0)
			memcpy(x->value, b->data, b->len);
		x->value_len = b->len;
		return 0;
	}
	if (b->len > SECRET_COMMAND_MAX || memchr(buf_str(b), '\0', b->len))
		return err_set(e, ERR_INVALID, -E2BIG, "a command has at most %d bytes, none zero",
			SECRET_COMMAND_MAX);
	memcpy(x->command, buf_str(b), b->len + 1);
	x->refresh_s = (uint32_t)refresh;
	return 0;
}

/* try_command() - a command that prints nothing usable is refused when it is set, not when it is needed */
static int try_command(const struct secret_entry *x, struct err *e)
{
	AUTO(buf) out = {0};
	int r;

	buf_init(&out, EGRESS_SECRET_MAX + 1);
	r = credentials_run(x->command, clock_ms() + CREDENTIALS_RUN_MS, &out, e);
	if (r == 0 && (out.len == 0 || out.len > EGRESS_SECRET_MAX))
		r = err_set(e, ERR_INVALID, -EINVAL, "its command printed %s",
			out.len ? "too much" : "nothing");
	if (out.data)
		explicit_bzero(out.data, out.cap);
	return r < 0 ? err_wrap(e, r, "try the secret '%s'", x->name) : 0;
}

/* stored() - where, and what there is to say about it */
static int stored(struct api_call *a, const char *scope, const char *note, struct err *e)
{
	char stand_in[CREDENTIALS_STAND_IN_MAX];
	enum secret_place place;
	AUTO_JS o = js_object();
	bool bad;
	int r = secret_file_place(a->d->secrets, &place, e);

	if (r == 0)
		r = credentials_stand_in(a->d, scope, a->arg, stand_in, e);
	if (r < 0)
		return r;
	bad = js_set_str(o, "store", daemon_keyring_word(place));
	bad |= js_set_str(o, "note", note[0] ? note : NULL);
	bad |= js_set_str(o, "stand_in", stand_in[0] ? stand_in : NULL);
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}

int api_secret_set(struct api_call *a, struct err *e)
{
	struct secret_entry *x = calloc(1, sizeof(*x));
	char scope[STORE_ID_LEN + 1] = "";
	char note[KEYRING_NOTE_MAX] = "";
	int r = x ? 0 : no_memory(e);

	if (r == 0 && !credentials_known(a->d, a->arg)) {
		r = err_set(e, ERR_NOT_FOUND, -ENOENT, "there is no service '%s'", a->arg);
		err_hint(e, "sbx secret ls --services lists them; a file in services/ of the "
			    "configuration adds one, and so does a sandbox whose kits name it");
	}
	if (r == 0)
		r = fill_entry(a, x, e);
	conn_wipe(a->c);
	if (r == 0 && x->command[0])
		r = try_command(x, e);
	if (r == 0)
		r = daemon_keyring_choose(a->d, note, e);
	if (r == 0)
		r = secret_file_set(a->d->secrets, x, e);
	if (r == 0) {
		credentials_changed(a->d, x->scope, x->name);
		if (x->command[0])
			credentials_refresher(a->d);
		r = audit_admin(a->d->audit, "secret.set", x->scope, x->name, e);
	}
	if (x) {
		memcpy(scope, x->scope, sizeof(scope));
		secret_entry_wipe(x);
	}
	free(x);
	return r < 0 ? r : stored(a, scope, note, e);
}

int api_secret_remove(struct api_call *a, struct err *e)
{
	char scope[STORE_ID_LEN + 1];
	bool removed = false;
	int r = api_scope(a, scope, e);

	if (r == 0)
		r = secret_file_remove(a->d->secrets, scope, a->arg, &removed, e);
	if (r == 0 && !removed)
		return err_set(e, ERR_NOT_FOUND, -ENOENT, "there is no secret '%s'", a->arg);
	if (r == 0) {
		credentials_changed(a->d, scope, a->arg);
		r = audit_admin(a->d->audit, "secret.rm", scope, a->arg, e);
	}
	if (r == 0)
		r = custom_remove(a->d, a->arg, &removed, e);
	return r < 0 ? r : conn_empty(a->c, 204);
}

struct listing {
	struct api_call *a;
	struct js *list;
	struct service_set services;
};

static int list_one(void *ctx, const struct secret_entry *x)
{
	struct listing *l = ctx;
	struct err ignored = {0};
	AUTO_BOX box = x->scope[0] ? sandbox_find(l->a->d, x->scope, &ignored) : NULL;
	const struct service *v = service_find(&l->services, x->name);
	struct js *o = js_object();
	bool bad = false;

	bad |= js_set_str(o, "name", x->name);
	bad |= v && v->custom ? js_set(o, "custom", custom_view(v)) : js_set_null(o, "custom");
	bad |= js_set_str(o, "sandbox", box ? box->name : x->scope[0] ? x->scope : NULL);
	bad |= js_set_str(o, "type", x->command[0] ? "command" : "value");
	bad |= js_set_str(o, "mask", x->command[0] ? NULL : x->mask);
	bad |= js_set_int(o, "refresh_s", x->command[0] ? (int64_t)x->refresh_s : 0);
	bad |= view_time(o, "created_at", x->created_ms);
	if (bad) {
		js_free(o);
		return -ENOMEM;
	}
	return js_add(l->list, o) ? -ENOMEM : 0;
}

int api_secrets(struct api_call *a, struct err *e)
{
	struct listing l = {.a = a};
	enum secret_place place = SECRET_NOWHERE;
	AUTO_JS o = js_object();
	bool bad;
	int r = credentials_services(a->d, &l.services, e);

	if (r < 0)
		return r;
	l.list = js_array();
	r = secret_file_place(a->d->secrets, &place, e);
	if (r == 0)
		r = secret_file_each(a->d->secrets, list_one, &l, e);
	service_set_fini(&l.services);
	if (r < 0) {
		js_free(l.list);
		return e->code == ERR_NONE ? no_memory(e) : r;
	}
	bad = js_set_str(o, "store", daemon_keyring_word(place));
	bad |= js_set(o, "secrets", l.list);
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}

int api_audit(struct api_call *a, struct err *e)
{
	struct audit_filter f = {.sandbox = api_param(a, "sandbox"),
		.decision = api_param(a, "decision"),
		.event = api_param(a, "event")};
	uint64_t limit = 1000, last;
	char path[PATH_MAX];
	AUTO(buf) out = {0};
	int r = take_number(a, "after", INT64_MAX, &f.after, e);

	buf_init(&out, AUDIT_ANSWER_MAX);
	if (r == 0)
		r = take_number(a, "limit", AUDIT_READ_MAX, &limit, e);
	if (r == 0)
		r = paths_join(path, a->d->paths.state, DAEMON_AUDIT);
	if (r < 0)
		return r;
	f.limit = (uint32_t)limit;
	r = audit_read(path, &f, &out, &last, e);
	return r < 0 ? r : conn_ndjson(a->c, buf_str(&out), out.len);
}

int api_audit_verify(struct api_call *a, struct err *e)
{
	struct audit_report rep;
	AUTO_JS o = js_object();
	char path[PATH_MAX];
	bool bad = false;
	int r = paths_join(path, a->d->paths.state, DAEMON_AUDIT);

	if (r == 0)
		r = audit_verify(path, &rep, e);
	if (r < 0)
		return r;
	bad |= js_set_bool(o, "ok", rep.why[0] == '\0');
	bad |= js_set_int(o, "records", (int64_t)rep.records);
	bad |= js_set_int(o, "first", (int64_t)rep.first);
	bad |= js_set_int(o, "last", (int64_t)rep.last);
	bad |= js_set_int(o, "files", rep.files);
	bad |= js_set_str(o, "why", rep.why[0] ? rep.why : NULL);
	bad |= js_set_str(o, "file", rep.why[0] ? rep.file : NULL);
	bad |= js_set_int(o, "line", (int64_t)rep.line);
	return bad ? no_memory(e) : conn_json(a->c, 200, TAKE(o));
}
