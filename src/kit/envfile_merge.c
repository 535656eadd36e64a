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
	AUTO_JS p = js_array();
	AUTO_JS q = js_array();

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
	bool bad;
};

static void PRINTF_LIKE(4, 5) add(struct lines *l, bool opens, bool host, const char *fmt, ...)
{
	char text[3 * ENVFILE_VALUE_MAX];
	AUTO_JS o = js_object();
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	l->bad |= js_set_str(o, "text", text) || js_set_bool(o, "opens", opens) ||
		  js_set_bool(o, "host", host) || js_add(l->list, TAKE(o));
}

/* inside() - is @path the project's folder or in it? Both are free of links and dots by then. */
static bool inside(const char *path, const char *project)
{
	size_t n = strlen(project);

	if (n == 1)
		return true;
	return strncmp(path, project, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static void add_share(struct lines *l, const char *what, const struct js *s)
{
	const char *path = js_str(js_get(s, "path"));

	add(l, !inside(path, l->project), false, "%s %s%s", what, path,
		js_bool(js_get(s, "read_only")) ? " (read-only)" : "");
}

static void add_kit(struct lines *l, const struct js *kit)
{
	const char *source = js_str(js_get(kit, "source")), *name;
	char args[2 * ENVFILE_VALUE_MAX] = "";
	const struct js *v;
	void *iter = NULL;

	while (js_each(js_get(kit, "args"), &iter, &name, &v)) {
		size_t n = strlen(args);

		(void)snprintf(args + n, sizeof(args) - n, " %s=%s", name, js_str(v));
	}
	add(l, strpbrk(source, "/:") != NULL, false, "kit %s%s", source, args);
}

static void add_commands(struct lines *l, const char *when, const struct js *list)
{
	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *c = js_at(list, i);

		add(l, true, true, "host command %s: %s (in %s, at most %lld s)", when,
			js_str(js_get(c, "command")), js_str(js_get(c, "workdir")),
			(long long)js_int(js_get(c, "timeout_s"), 0));
	}
}

static void add_secrets(struct lines *l, const struct js *secrets)
{
	const struct js *s;
	const char *service;
	void *iter = NULL;

	while (js_each(secrets, &iter, &service, &s)) {
		const char *command = js_str(js_get(s, "command"));
		int64_t refresh = js_int(js_get(s, "refresh_s"), 0);
		char again[48] = "";

		if (refresh)
			(void)snprintf(
				again, sizeof(again), " (again every %lld s)", (long long)refresh);
		if (command)
			add(l, true, true, "host command for secret %s: %s%s", service, command,
				again);
		else
			add(l, true, false, "secret %s: the value in the file", service);
	}
}

static void add_options(struct lines *l, const struct js *env)
{
	static const char *const keys[] = {"memory", "disk"};
	const char *image = js_str(js_get(env, "template"));

	if (image)
		add(l, true, false, "image %s", image);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (js_get(env, keys[i]))
			add(l, false, false, "%s %s", keys[i], js_str(js_get(env, keys[i])));
	if (js_get(env, "cpus"))
		add(l, false, false, "cpus %lld", (long long)js_int(js_get(env, "cpus"), 0));
}

int envfile_lines(const struct js *env, const char *project, struct js **ret)
{
	struct lines l = {.list = js_array(), .project = project};
	const struct js *list, *v;
	const char *agent = js_str(js_get(env, "agent")), *name;
	void *iter = NULL;

	add(&l, strpbrk(agent, "/:") != NULL, false, "agent %s", agent);
	if (js_get(env, "workspace"))
		add_share(&l, "workspace", js_get(env, "workspace"));
	list = js_get(env, "additional");
	for (size_t i = 0; i < js_len(list); i++)
		add_share(&l, "share", js_at(list, i));
	list = js_get(env, "kits");
	for (size_t i = 0; i < js_len(list); i++)
		add_kit(&l, js_at(list, i));
	while (js_each(js_get(env, "env"), &iter, &name, &v))
		add(&l, kit_variable_steers(name), false, "variable %s=%s", name, js_str(v));
	add_options(&l, env);
	add_secrets(&l, js_get(env, "secrets"));
	list = js_get(env, "ports");
	for (size_t i = 0; i < js_len(list); i++)
		add(&l, true, false, "port %s", js_str(js_at(list, i)));
	add_commands(&l, "before it is made", js_get(env, "initialize"));
	add_commands(&l, "after it was made", js_get(env, "postCreate"));
	add_commands(&l, "before it is removed", js_get(env, "preRemove"));
	if (l.bad) {
		js_free(l.list);
		return -ENOMEM;
	}
	*ret = l.list;
	return 0;
}
