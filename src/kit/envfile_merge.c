/* Several files as one, and what the result does, line by line. */
#include "kit/envfile_int.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- merging ---- */

static bool equal(const struct js *a, const struct js *b)
{
	AUTO(buf) x = {0};
	AUTO(buf) y = {0};

	buf_init(&x, 1U << 20);
	buf_init(&y, 1U << 20);
	/* a text alone is no document */
	if (js_str(a) && js_str(b))
		return strcmp(js_str(a), js_str(b)) == 0;
	return js_canonical(a, &x) == 0 && js_canonical(b, &y) == 0 && x.len == y.len &&
	       memcmp(buf_str(&x), buf_str(&y), x.len) == 0;
}

static struct js *copy_of(const struct js *v)
{
	AUTO(buf) b = {0};
	struct js *copy = NULL;
	struct err silent = {0};

	buf_init(&b, JS_TEXT_MAX);
	if (js_print(v, &b) < 0 || js_parse(buf_str(&b), b.len, JS_TEXT_MAX, &copy, &silent) < 0)
		return NULL;
	return copy;
}

/* add_new() - @v behind @all, unless it is there */
static bool add_new(struct js *all, const struct js *v)
{
	for (size_t k = 0; k < js_len(all); k++)
		if (equal(js_at(all, k), v))
			return false;
	return js_str(v) ? js_add_str(all, js_str(v)) : js_add(all, copy_of(v));
}

static int join(struct js *to, const char *key, const struct js *from)
{
	AUTO_JS all = js_array();
	const struct js *had = js_get(to, key);
	bool bad = !all;

	for (size_t i = 0; i < js_len(had); i++)
		bad |= add_new(all, js_at(had, i));
	for (size_t i = 0; i < js_len(from); i++)
		bad |= add_new(all, js_at(from, i));
	return bad || js_set(to, key, TAKE(all)) ? -ENOMEM : 0;
}

/* merge_map() - one level is enough: what is below (a variable, a secret) is one thing */
static int merge_map(struct js *to, const char *key, const struct js *from)
{
	AUTO_JS map = js_object();
	const struct js *had = js_get(to, key), *v;
	bool bad = !map;

	for (int pass = 0; pass < 2; pass++) {
		void *iter = NULL;
		const char *name;

		while (!bad && js_each(pass ? from : had, &iter, &name, &v))
			bad = js_set_copy(map, name, v);
	}
	return bad || js_set(to, key, TAKE(map)) ? -ENOMEM : 0;
}

int env_merge(struct js *to, const struct js *from)
{
	const struct js *v;
	const char *key;
	void *iter = NULL;

	while (js_each(from, &iter, &key, &v)) {
		int r;

		if (js_is_array(v))
			r = join(to, key, v);
		else if (js_is_object(v) && strcmp(key, "workspace") != 0)
			r = merge_map(to, key, v);
		else
			r = js_set_copy(to, key, v) ? -ENOMEM : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- lines ---- */

struct lines {
	struct js *list;
	const char *project;
	const char *field; /* which field the lines are of; "" for the whole */
	bool bad;
};

enum opens { OPENS_NOTHING, OPENS, OPENS_HOST };

/* add() - @key: which entry of the field */
static void PRINTF_LIKE(4, 5)
	add(struct lines *l, const char *key, enum opens opens, const char *fmt, ...)
{
	char text[3 * ENVFILE_VALUE_MAX];
	AUTO_JS o = js_object();
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	l->bad |= js_set_str(o, "text", text) || js_set_bool(o, "opens", opens != OPENS_NOTHING) ||
		  js_set_bool(o, "host", opens == OPENS_HOST) || js_set_str(o, "field", l->field) ||
		  js_set_str(o, "key", key) || js_add(l->list, TAKE(o));
}

static const char *index_text(size_t i, char dst[24])
{
	(void)snprintf(dst, 24, "%zu", i);
	return dst;
}

bool envfile_inside(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	if (n == 1)
		return true;
	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static void add_share(struct lines *l, const char *key, const char *what, const struct js *s)
{
	const char *path = js_str(js_get(s, "path"));

	add(l, key, envfile_inside(path, l->project) ? OPENS_NOTHING : OPENS, "%s %s%s", what, path,
		js_bool(js_get(s, "read_only")) ? " (read-only)" : "");
}

static void add_kit(struct lines *l, const char *key, const struct js *kit)
{
	const char *source = js_str(js_get(kit, "source")), *name;
	char args[2 * ENVFILE_VALUE_MAX] = "";
	const struct js *v;
	void *iter = NULL;

	while (js_each(js_get(kit, "args"), &iter, &name, &v)) {
		size_t n = strlen(args);

		(void)snprintf(args + n, sizeof(args) - n, " %s=%s", name, js_str(v));
	}
	add(l, key, OPENS_NOTHING, "kit %s%s", source, args);
}

static void add_commands(struct lines *l, const struct js *env, const char *field, const char *when)
{
	const struct js *list = js_get(env, field);
	char key[24];

	l->field = field;
	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *c = js_at(list, i);

		add(l, index_text(i, key), OPENS_HOST,
			"host command %s: %s (in %s, at most %lld s)", when,
			js_str(js_get(c, "command")), js_str(js_get(c, "workdir")),
			(long long)js_int(js_get(c, "timeout_s"), 0));
	}
}

static void add_secrets(struct lines *l, const struct js *secrets)
{
	const struct js *s;
	const char *service;
	void *iter = NULL;

	l->field = "secrets";
	while (js_each(secrets, &iter, &service, &s)) {
		const char *command = js_str(js_get(s, "command"));
		int64_t refresh = js_int(js_get(s, "refresh_s"), 0);
		char again[48] = "";

		if (refresh)
			(void)snprintf(
				again, sizeof(again), " (again every %lld s)", (long long)refresh);
		if (command)
			add(l, service, OPENS_HOST, "host command for secret %s: %s%s", service,
				command, again);
		else
			add(l, service, OPENS, "secret %s: the value in the file", service);
	}
}

static void add_options(struct lines *l, const struct js *env)
{
	static const char *const keys[] = {"memory", "disk", "pull"};

	l->field = "template";
	if (js_get(env, "template"))
		add(l, "", OPENS, "image %s", js_str(js_get(env, "template")));
	l->field = "";
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (js_get(env, keys[i]))
			add(l, "", OPENS_NOTHING, "%s %s", keys[i], js_str(js_get(env, keys[i])));
	if (js_get(env, "cpus"))
		add(l, "", OPENS_NOTHING, "cpus %lld", (long long)js_int(js_get(env, "cpus"), 0));
}

/* add_lists() - shares, kits, ports */
static void add_lists(struct lines *l, const struct js *env)
{
	const struct js *list = js_get(env, "additional");
	char key[24];

	l->field = "additional";
	for (size_t i = 0; i < js_len(list); i++)
		add_share(l, index_text(i, key), "share", js_at(list, i));
	l->field = "kits";
	list = js_get(env, "kits");
	for (size_t i = 0; i < js_len(list); i++)
		add_kit(l, index_text(i, key), js_at(list, i));
	l->field = "ports";
	list = js_get(env, "ports");
	for (size_t i = 0; i < js_len(list); i++)
		add(l, index_text(i, key), OPENS, "port %s", js_str(js_at(list, i)));
}

int envfile_lines(const struct js *env, const char *project, struct js **ret)
{
	struct lines l = {.list = js_array(), .project = project, .field = ""};
	const struct js *v;
	const char *name;
	void *iter = NULL;

	add(&l, "", OPENS_NOTHING, "agent %s", js_str(js_get(env, "agent")));
	l.field = "workspace";
	if (js_get(env, "workspace"))
		add_share(&l, "", "workspace", js_get(env, "workspace"));
	add_lists(&l, env);
	l.field = "env";
	while (js_each(js_get(env, "env"), &iter, &name, &v))
		add(&l, name, OPENS_NOTHING, "variable %s=%s", name, js_str(v));
	add_options(&l, env);
	add_secrets(&l, js_get(env, "secrets"));
	add_commands(&l, env, "initialize", "before it is made");
	add_commands(&l, env, "postCreate", "after it was made");
	add_commands(&l, env, "preRemove", "before it is removed");
	if (l.bad) {
		js_free(l.list);
		return -ENOMEM;
	}
	*ret = l.list;
	return 0;
}

/* ---- less ---- */

static bool has_key(const struct js *keys, const char *key)
{
	for (size_t i = 0; i < js_len(keys); i++)
		if (strcmp(js_str(js_at(keys, i)), key) == 0)
			return true;
	return false;
}

/* without_items() - the list or mapping @field of @env without the entries of these keys */
static int without_items(struct js *env, const char *field, const struct js *keys)
{
	const struct js *had = js_get(env, field), *v;
	AUTO_JS less = js_is_array(had) ? js_array() : js_object();
	void *iter = NULL;
	const char *name;
	char key[24];
	bool bad = !less;

	for (size_t i = 0; js_is_array(had) && i < js_len(had) && !bad; i++)
		if (!has_key(keys, index_text(i, key)))
			bad = js_str(js_at(had, i)) ? js_add_str(less, js_str(js_at(had, i)))
						    : js_add(less, copy_of(js_at(had, i)));
	while (!js_is_array(had) && !bad && js_each(had, &iter, &name, &v))
		if (!has_key(keys, name))
			bad = js_set_copy(less, name, v);
	return bad || js_set(env, field, TAKE(less)) ? -ENOMEM : 0;
}

int envfile_withhold(struct js *env, const struct js *lines)
{
	static const char *const fields[] = {
		"additional", "ports", "secrets", "initialize", "postCreate", "preRemove"};

	for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
		AUTO_JS keys = js_array();

		for (size_t i = 0; i < js_len(lines); i++)
			if (strcmp(js_str(js_get(js_at(lines, i), "field")), fields[f]) == 0 &&
				js_add_str(keys, js_str(js_get(js_at(lines, i), "key"))))
				return -ENOMEM;
		if (js_len(keys) > 0 && without_items(env, fields[f], keys) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < js_len(lines); i++)
		if (strcmp(js_str(js_get(js_at(lines, i), "field")), "template") == 0)
			js_del(env, "template");
	return 0;
}
