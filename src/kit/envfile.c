/* One file of an environment: each field by its table, into the form of envfile.h; then all of them. */
#include "kit/envfile_int.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_S     600
#define REFRESH_MIN_S 60

static int unbuilt(struct env_read *r, const struct ynode *v, const char *what)
{
	(void)ENV_FAULT(r, v, "%s is not supported yet", what);
	r->e->num = -ENOTSUP;
	return -ENOTSUP;
}

static int take_unbuilt(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	(void)o;
	(void)key;
	return env_absent(v) ? 0 : unbuilt(r, v, what);
}

/* ---- mappings and lists ---- */

int env_fields(struct env_read *r, const struct ynode *map, const char *what,
	const struct env_field *f, size_t n, struct js *o)
{
	const struct ynode *v;

	if (!o)
		return env_nomem(r->e);
	if (map->kind != YNODE_MAP)
		return ENV_FAULT(r, map, "%s must be a mapping", what[0] ? what : "the file");
	for (const struct ynode *k = ynode_first(r->t, map); k; k = ynode_next(r->t, v)) {
		char full[160];
		size_t i = 0;
		int res;

		v = ynode_next(r->t, k);
		while (i < n && strcmp(f[i].name, k->text) != 0)
			i++;
		if (i == n)
			return ENV_FAULT(r, k, "unknown field '%.64s'%s%s", k->text,
				what[0] ? " in " : "", what);
		(void)snprintf(full, sizeof(full), "%s%s%s", what, what[0] ? "." : "", f[i].name);
		res = env_absent(v) ? 0 : f[i].take(r, v, full, o, f[i].key ? f[i].key : f[i].name);
		if (res < 0)
			return res;
	}
	return 0;
}

typedef int (*item_fn)(
	struct env_read *r, const struct ynode *v, const char *what, struct js *list);

static int take_list(struct env_read *r, const struct ynode *v, const char *what, struct js *o,
	const char *key, item_fn item)
{
	AUTO_JS list = js_array();
	int n = list ? 0 : env_nomem(r->e);

	if (v->kind != YNODE_LIST)
		return ENV_FAULT(r, v, "%s must be a list", what);
	for (const struct ynode *i = ynode_first(r->t, v); i && n == 0; i = ynode_next(r->t, i))
		n = item(r, i, what, list);
	if (n < 0)
		return n;
	return js_set(o, key, TAKE(list)) ? env_nomem(r->e) : 0;
}

static int add_item(struct env_read *r, struct js *list, struct js *o)
{
	return js_add(list, o) ? env_nomem(r->e) : 0;
}

/* take_texts() - NAME: text; @check says why a name cannot be */
static int take_texts(struct env_read *r, const struct ynode *v, const char *what, struct js *o,
	const char *key, const char *(*check)(const char *name))
{
	AUTO_JS map = js_object();
	const struct ynode *value;

	if (v->kind != YNODE_MAP)
		return ENV_FAULT(r, v, "%s must be a mapping", what);
	for (const struct ynode *k = ynode_first(r->t, v); k; k = ynode_next(r->t, value)) {
		const char *why = check(k->text);
		char full[160];
		int n;

		value = ynode_next(r->t, k);
		if (why)
			return ENV_FAULT(r, k, "%s: '%.64s' %s", what, k->text, why);
		(void)snprintf(full, sizeof(full), "%s.%.64s", what, k->text);
		n = env_take_value(r, value, full, map, k->text);
		if (n < 0)
			return n;
	}
	return js_set(o, key, TAKE(map)) ? env_nomem(r->e) : 0;
}

/* ---- the fields ---- */

static int take_schema(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	if (v->kind != YNODE_SCALAR || strcmp(v->text, "1") != 0)
		return ENV_FAULT(r, v, "%s must be \"1\"", what);
	return js_set_str(o, key, "1") ? env_nomem(r->e) : 0;
}

static int take_clone(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	(void)o;
	(void)key;
	if (v->kind == YNODE_SCALAR && v->plain && strcmp(v->text, "false") == 0)
		return 0;
	return unbuilt(r, v, what);
}

static int share(
	struct env_read *r, const struct ynode *v, const char *what, bool may_clone, struct js *o)
{
	static const struct env_field fields[] = {{"path", env_take_path, NULL},
		{"readOnly", env_take_bool, "read_only"}, {"clone", take_clone, NULL}};
	int n;

	if (!o || js_set_bool(o, "read_only", false))
		return env_nomem(r->e);
	if (v->kind == YNODE_SCALAR)
		return env_take_path(r, v, what, o, "path");
	n = env_fields(r, v, what, fields, ARRAY_LEN(fields) - !may_clone, o);
	if (n == 0 && !js_get(o, "path"))
		return ENV_FAULT(r, v, "%s needs a path", what);
	return n;
}

static int take_workspace(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	AUTO_JS one = js_object();
	int n = share(r, v, what, true, one);

	if (n < 0)
		return n;
	return js_set(o, key, TAKE(one)) ? env_nomem(r->e) : 0;
}

static int add_share(struct env_read *r, const struct ynode *v, const char *what, struct js *list)
{
	AUTO_JS one = js_object();
	int n = share(r, v, what, false, one);

	return n < 0 ? n : add_item(r, list, TAKE(one));
}

static int take_shares(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	return take_list(r, v, what, o, key, add_share);
}

static const char *kit_arg_fault(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= 64 && !strpbrk(name, "= \t\r\n.") ? NULL : "is no name of an argument";
}

static int take_kit_args(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	return take_texts(r, v, what, o, key, kit_arg_fault);
}

/* take_source() - a local kit becomes a path, everything else stays a reference */
static int take_source(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	AUTO_FREE char *text = NULL;
	int n = env_text(r, v, what, ENV_WORD, &text);

	if (n < 0)
		return n;
	if (text[0] == '-')
		return ENV_FAULT(r, v, "%s: '%.64s' is no reference of a kit", what, text);
	if (text[0] == '.' || text[0] == '/' || text[0] == '~')
		return env_take_path(r, v, what, o, key);
	return js_set_str(o, key, text) ? env_nomem(r->e) : 0;
}

static int add_kit(struct env_read *r, const struct ynode *v, const char *what, struct js *list)
{
	static const struct env_field fields[] = {
		{"source", take_source, NULL}, {"args", take_kit_args, NULL}};
	AUTO_JS one = js_object();
	int n;

	if (!one || js_set(one, "args", js_object()))
		return env_nomem(r->e);
	if (v->kind == YNODE_SCALAR)
		n = take_source(r, v, what, one, "source");
	else
		n = env_fields(r, v, what, fields, ARRAY_LEN(fields), one);
	if (n == 0 && !js_get(one, "source"))
		return ENV_FAULT(r, v, "%s needs a source", what);
	return n < 0 ? n : add_item(r, list, TAKE(one));
}

static int take_kits(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	return take_list(r, v, what, o, key, add_kit);
}

static const char *variable_fault(const char *name)
{
	return kit_variable_ok(name) ? kit_variable_reserved(name) : "is no name of a variable";
}

static int take_env(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	return take_texts(r, v, what, o, key, variable_fault);
}

static int take_pull(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	const char *text = v->kind == YNODE_SCALAR ? v->text : "";

	if (strcmp(text, "always") != 0 && strcmp(text, "missing") != 0 &&
		strcmp(text, "never") != 0)
		return ENV_FAULT(r, v, "%s must be always, missing or never", what);
	return js_set_str(o, key, text) ? env_nomem(r->e) : 0;
}

static int take_options(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	static const struct env_field fields[] = {{"template", env_take_text, NULL},
		{"memory", env_take_text, NULL}, {"disk", env_take_text, NULL},
		{"cpus", env_take_cpus, NULL}, {"pullPolicy", take_pull, "pull"},
		{"skills", take_unbuilt, NULL}};

	(void)key;
	return env_fields(r, v, what, fields, ARRAY_LEN(fields), o);
}

static const char *service_fault(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= 64 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == n
		       ? NULL
		       : "is no name of a service";
}

static int one_secret(struct env_read *r, const struct ynode *v, const char *what, struct js *o)
{
	static const struct env_field fields[] = {{"value", env_take_value, NULL},
		{"command", env_take_lines, NULL}, {"refresh", env_take_seconds, "refresh_s"},
		{"ref", take_unbuilt, NULL}};
	int n = env_fields(r, v, what, fields, ARRAY_LEN(fields), o);

	if (n < 0)
		return n;
	if (!js_get(o, "value") == !js_get(o, "command"))
		return ENV_FAULT(r, v, "%s needs a value or a command", what);
	if (js_get(o, "refresh_s") && !js_get(o, "command"))
		return ENV_FAULT(r, v, "%s: refresh is for a command", what);
	if (js_get(o, "refresh_s") && js_int(js_get(o, "refresh_s"), 0) < REFRESH_MIN_S)
		return ENV_FAULT(r, v, "%s: refresh is a minute at least", what);
	return 0;
}

static int take_secrets(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	AUTO_JS map = js_object();
	const struct ynode *value;

	if (v->kind != YNODE_MAP)
		return ENV_FAULT(r, v, "%s must be a mapping", what);
	for (const struct ynode *k = ynode_first(r->t, v); k; k = ynode_next(r->t, value)) {
		const char *why = service_fault(k->text);
		AUTO_JS one = js_object();
		char full[160];
		int n;

		value = ynode_next(r->t, k);
		if (why)
			return ENV_FAULT(r, k, "%s: '%.64s' %s", what, k->text, why);
		(void)snprintf(full, sizeof(full), "%s.%s", what, k->text);
		n = one_secret(r, value, full, one);
		if (n < 0)
			return n;
		if (js_set(map, k->text, TAKE(one)))
			return env_nomem(r->e);
	}
	return js_set(o, key, TAKE(map)) ? env_nomem(r->e) : 0;
}

/* port_of() - "[IP:][HOST:]PORT[/PROTOCOL]" of a mapping */
static int port_of(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, char dst[128])
{
	const char *ip = js_str(js_get(o, "ip")), *protocol = js_str(js_get(o, "protocol"));
	int64_t port = js_int(js_get(o, "sandbox"), 0), host = js_int(js_get(o, "host"), 0);
	char left[80] = "";

	if (port < 1)
		return ENV_FAULT(r, v, "%s needs a port of the sandbox, 1 to 65535", what);
	if (ip && (strlen(ip) > 45 || strspn(ip, "0123456789abcdefABCDEF.:") != strlen(ip)))
		return ENV_FAULT(r, v, "%s: '%.64s' is no address", what, ip);
	if (protocol && (strlen(protocol) != 3 && strlen(protocol) != 4))
		return ENV_FAULT(r, v, "%s: protocol is tcp or udp", what);
	if (protocol && strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0 &&
		strcmp(protocol, "tcp4") != 0 && strcmp(protocol, "tcp6") != 0 &&
		strcmp(protocol, "udp4") != 0 && strcmp(protocol, "udp6") != 0)
		return ENV_FAULT(r, v, "%s: protocol is tcp or udp", what);
	if (ip && strchr(ip, ':'))
		(void)snprintf(left, sizeof(left), "[%s]:", ip);
	else if (ip)
		(void)snprintf(left, sizeof(left), "%s:", ip);
	if (host > 0)
		(void)snprintf(
			left + strlen(left), sizeof(left) - strlen(left), "%lld:", (long long)host);
	(void)snprintf(dst, 128, "%s%lld%s%s", left, (long long)port, protocol ? "/" : "",
		protocol ? protocol : "");
	return 0;
}

static int add_port(struct env_read *r, const struct ynode *v, const char *what, struct js *list)
{
	static const struct env_field fields[] = {{"sandbox", env_take_port, NULL},
		{"host", env_take_port, NULL}, {"hostIP", env_take_text, "ip"},
		{"protocol", env_take_text, NULL}};
	AUTO_FREE char *text = NULL;
	AUTO_JS o = js_object();
	char spec[128];
	int n;

	if (v->kind == YNODE_SCALAR) {
		n = env_text(r, v, what, ENV_WORD, &text);
		if (n < 0)
			return n;
		if (text[0] == '-' || strlen(text) > 96 ||
			strspn(text, "0123456789abcdefABCDEF.:[]/tcpud") != strlen(text))
			return ENV_FAULT(r, v, "%s: '%.64s' is no port", what, text);
		return js_add_str(list, text) ? env_nomem(r->e) : 0;
	}
	n = env_fields(r, v, what, fields, ARRAY_LEN(fields), o);
	if (n == 0)
		n = port_of(r, v, what, o, spec);
	if (n < 0)
		return n;
	return js_add_str(list, spec) ? env_nomem(r->e) : 0;
}

static int take_ports(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	return take_list(r, v, what, o, key, add_port);
}

static int add_command(struct env_read *r, const struct ynode *v, const char *what, struct js *list)
{
	static const struct env_field fields[] = {{"name", env_take_text, NULL},
		{"command", env_take_lines, NULL}, {"workdir", env_take_path, NULL},
		{"timeout", env_take_seconds, "timeout_s"}};
	AUTO_JS o = js_object();
	int n;

	if (!o || js_set_str(o, "workdir", r->project) || js_set_int(o, "timeout_s", TIMEOUT_S))
		return env_nomem(r->e);
	n = env_fields(r, v, what, fields, ARRAY_LEN(fields), o);
	if (n == 0 && !js_get(o, "command"))
		return ENV_FAULT(r, v, "%s needs a command", what);
	return n < 0 ? n : add_item(r, list, TAKE(o));
}

static int take_commands(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	return take_list(r, v, what, o, key, add_command);
}

static int take_lifecycle(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	static const struct env_field fields[] = {{"initialize", take_commands, NULL},
		{"postCreate", take_commands, NULL}, {"preRemove", take_commands, NULL}};

	(void)key;
	return env_fields(r, v, what, fields, ARRAY_LEN(fields), o);
}

static int take_declared(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	(void)r;
	(void)v;
	(void)what;
	(void)o;
	(void)key;
	return 0; /* env_args() had it */
}

static const struct env_field top[] = {
	{"schemaVersion", take_schema, NULL},
	{"name", env_take_text, NULL},
	{"agent", take_source, NULL},
	{"workspace", take_workspace, NULL},
	{"additionalWorkspaces", take_shares, "additional"},
	{"kits", take_kits, NULL},
	{"args", take_declared, NULL},
	{"env", take_env, NULL},
	{"sandboxOptions", take_options, NULL},
	{"secrets", take_secrets, NULL},
	{"ports", take_ports, NULL},
	{"lifecycle", take_lifecycle, NULL},
	{"bindings", take_unbuilt, NULL},
	{"registries", take_unbuilt, NULL},
	{"mcp", take_unbuilt, NULL},
};

/* ---- all files ---- */

static int one_file(struct env_read *r, struct js *env)
{
	const struct ynode *root = &r->t->nodes[r->t->root];
	AUTO_JS o = js_object();
	int n = env_fields(r, root, "", top, ARRAY_LEN(top), o);

	if (n < 0)
		return n;
	if (!js_get(o, "schemaVersion"))
		return ENV_FAULT(r, root, "schemaVersion is missing; it is \"1\"");
	js_del(o, "schemaVersion");
	return env_merge(env, o) < 0 ? env_nomem(r->e) : 0;
}

static int empty_environment(struct js **ret)
{
	static const char *const lists[] = {
		"additional", "kits", "ports", "initialize", "postCreate", "preRemove"};
	AUTO_JS env = js_object();
	bool bad = !env;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		bad |= js_set(env, lists[i], js_array());
	bad |= js_set(env, "env", js_object());
	bad |= js_set(env, "secrets", js_object());
	*ret = bad ? NULL : TAKE(env);
	return bad ? -ENOMEM : 0;
}

static int resolve(
	const struct envfile_request *q, const struct ytree *trees, struct js **ret, struct err *e)
{
	AUTO_JS args = NULL;
	AUTO_JS env = NULL;
	int r = env_args(trees, q, &args, e);

	if (r == 0 && empty_environment(&env) < 0)
		r = env_nomem(e);
	for (size_t i = 0; i < q->n && r == 0; i++) {
		struct env_read rd = {.t = &trees[i],
			.src = &q->files[i],
			.project = q->project,
			.args = args,
			.e = e};

		r = one_file(&rd, env);
	}
	if (r == 0 && !js_get(env, "agent"))
		r = err_set(e, ERR_INVALID, -EINVAL, "%s:1:1: agent is missing",
			q->files[q->n - 1].file);
	if (r == 0)
		*ret = TAKE(env);
	return r;
}

int envfile_resolve(const struct envfile_request *q, struct js **ret, struct err *e)
{
	struct ytree trees[ENVFILES_MAX] = {0};
	size_t n = 0;
	int r = 0;

	*ret = NULL;
	if (q->n == 0 || q->n > ENVFILES_MAX)
		return err_set(
			e, ERR_LIMIT, -E2BIG, "an environment is 1 to %d files", ENVFILES_MAX);
	while (n < q->n && r == 0) {
		const struct envfile *f = &q->files[n];

		r = f->len > ENVFILE_BYTES
			    ? err_set(e, ERR_LIMIT, -EFBIG, "%s:1:1: it is larger than %u KiB",
				      f->file, ENVFILE_BYTES >> 10)
			    : yaml_read(f->file, f->text, f->len, &trees[n], e);
		n += r == 0;
	}
	if (r == 0)
		r = resolve(q, trees, ret, e);
	while (n > 0)
		ytree_fini(&trees[--n]);
	return r;
}
