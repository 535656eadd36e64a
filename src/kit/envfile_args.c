/* Arguments: what the files declare, what was given, and where it is put in. */
#include "kit/envfile_int.h"
#include <errno.h>
#include <string.h>

#define OPEN  "${{"
#define CLOSE "}}"

int env_nomem(struct err *e)
{
	return err_sys(e, -ENOMEM, "read the environment");
}

static bool arg_name_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 64 &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == n;
}

/* ---- placeholders ---- */

static int put_arg(struct env_read *r, const struct ynode *v, const char *name, struct buf *out)
{
	const struct js *arg = js_get(r->args, name);
	const char *value = js_str(js_get(arg, "value"));

	if (!arg)
		return ENV_FAULT(r, v, "there is no argument '%.64s'", name);
	if (!value)
		return ENV_FAULT(
			r, v, "argument '%.64s' has no value: --env-arg %.64s=VALUE", name, name);
	return buf_add(out, value, strlen(value)) < 0 ? env_nomem(r->e) : 0;
}

static int put_one(struct env_read *r, const struct ynode *v, const char *name, struct buf *out)
{
	const char *text;

	if (strncmp(name, "env.args.", 9) == 0)
		return put_arg(r, v, name + 9, out);
	if (strcmp(name, "env.projectDir") == 0)
		text = r->project;
	else if (strcmp(name, "env.fileDir") == 0)
		text = r->src->dir;
	else
		return ENV_FAULT(r, v, "there is no placeholder '%.64s'", name);
	return buf_add(out, text, strlen(text)) < 0 ? env_nomem(r->e) : 0;
}

/* placeholder() - @p is behind "${{"; *ret_end behind its "}}" */
static int placeholder(struct env_read *r, const struct ynode *v, const char *p,
	const char **ret_end, struct buf *out)
{
	const char *end = strstr(p, CLOSE), *from = p + strspn(p, " \t");
	char name[96];
	size_t len;

	if (!end)
		return ENV_FAULT(r, v, "'${{' is not closed; a literal one is written '$${{'");
	len = (size_t)(end - from);
	if (from > end)
		len = 0;
	while (len > 0 && (from[len - 1] == ' ' || from[len - 1] == '\t'))
		len--;
	if (len == 0 || len >= sizeof(name))
		return ENV_FAULT(r, v, "'${{ … }}' does not hold a name");
	memcpy(name, from, len);
	name[len] = '\0';
	*ret_end = end + strlen(CLOSE);
	return put_one(r, v, name, out);
}

int env_put_args(struct env_read *r, const struct ynode *v, const char *what, struct buf *out)
{
	const char *p = v->text;

	for (;;) {
		const char *at = strstr(p, OPEN);
		bool literal = at && at > p && at[-1] == '$';
		size_t plain = at ? (size_t)(at - p) - literal : strlen(p);
		int n = buf_add(out, p, plain);

		if (n == 0 && literal)
			n = buf_add(out, OPEN, strlen(OPEN));
		if (n < 0)
			return ENV_FAULT(
				r, v, "%s is longer than %d bytes", what, ENVFILE_VALUE_MAX);
		if (!at)
			return 0;
		p = at + strlen(OPEN);
		if (literal)
			continue;
		n = placeholder(r, v, p, &p, out);
		if (n < 0)
			return n;
	}
}

/* ---- declarations ---- */

static int take_choices(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	struct js *list = js_array();

	if (v->kind != YNODE_LIST) {
		js_free(list);
		return ENV_FAULT(r, v, "%s must be a list of text", what);
	}
	for (const struct ynode *i = ynode_first(r->t, v); i; i = ynode_next(r->t, i)) {
		if (i->kind != YNODE_SCALAR) {
			js_free(list);
			return ENV_FAULT(r, i, "%s must be a list of text", what);
		}
		if (js_add_str(list, i->text)) {
			js_free(list);
			return env_nomem(r->e);
		}
	}
	return js_set(o, key, list) ? env_nomem(r->e) : 0;
}

/* take_plain() - text of a declaration, in which no placeholder is looked for */
static int take_plain(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	if (v->kind != YNODE_SCALAR || v->len > KIT_VALUE_MAX)
		return ENV_FAULT(r, v, "%s must be text of at most %d bytes", what, KIT_VALUE_MAX);
	return js_set_str(o, key, v->text) ? env_nomem(r->e) : 0;
}

static int declare(
	struct env_read *r, const struct ynode *key, const struct ynode *v, struct js *all)
{
	static const struct env_field fields[] = {{"required", env_take_bool, NULL},
		{"default", take_plain, NULL}, {"description", take_plain, NULL},
		{"enum", take_choices, NULL}};
	AUTO_JS o = js_object();
	int n = 0;

	if (!arg_name_ok(key->text))
		return ENV_FAULT(r, key, "'%.64s' is no name for an argument", key->text);
	if (js_len(all) >= ENVFILE_ARGS_MAX)
		return ENV_FAULT(r, key, "more than %d arguments", ENVFILE_ARGS_MAX);
	if (!env_absent(v))
		n = env_fields(r, v, "args", fields, ARRAY_LEN(fields), o);
	if (n < 0)
		return n;
	if (js_bool(js_get(o, "required")) && js_get(o, "default"))
		return ENV_FAULT(r, v, "argument '%.64s' has a default, or is required, not both",
			key->text);
	return js_set(all, key->text, TAKE(o)) ? env_nomem(r->e) : 0;
}

static int declare_all(struct env_read *r, struct js *all)
{
	const struct ynode *root = &r->t->nodes[r->t->root], *v;

	for (const struct ynode *k = ynode_first(r->t, root); k && root->kind == YNODE_MAP;
		k = ynode_next(r->t, v)) {
		v = ynode_next(r->t, k);
		if (strcmp(k->text, "args") != 0 || env_absent(v))
			continue;
		if (v->kind != YNODE_MAP)
			return ENV_FAULT(r, v, "args must be a mapping");
		for (const struct ynode *a = ynode_first(r->t, v), *d; a; a = ynode_next(r->t, d)) {
			int n;

			d = ynode_next(r->t, a);
			n = declare(r, a, d, all);
			if (n < 0)
				return n;
		}
	}
	return 0;
}

/* give() - the value of one argument, and whether it may have it */
static int give(const struct envfile_request *q, const char *name, const struct js *decl,
	struct js *values, struct err *e)
{
	const struct js *choices = js_get(decl, "enum");
	const char *value = js_str(js_get(decl, "default"));
	AUTO_JS o = js_object();
	bool fits = js_len(choices) == 0;

	for (size_t i = 0; i < q->n_args; i++)
		if (strcmp(q->args[i].key, name) == 0)
			value = q->args[i].value;
	if (!value && js_bool(js_get(decl, "required"))) {
		(void)err_set(e, ERR_INVALID, -EINVAL, "argument '%s' is required", name);
		err_hint(e, "give it with --env-arg %s=VALUE", name);
		return -EINVAL;
	}
	if (value && strlen(value) > KIT_VALUE_MAX)
		return err_set(e, ERR_INVALID, -EINVAL, "argument '%s' is longer than %d bytes",
			name, KIT_VALUE_MAX);
	for (size_t i = 0; value && i < js_len(choices); i++)
		fits |= strcmp(js_str(js_at(choices, i)), value) == 0;
	if (value && !fits)
		return err_set(e, ERR_INVALID, -EINVAL,
			"argument '%s' may not be '%.64s'; see its enum", name, value);
	return js_set_str(o, "value", value) || js_set(values, name, TAKE(o)) ? env_nomem(e) : 0;
}

int env_args(
	const struct ytree *trees, const struct envfile_request *q, struct js **ret, struct err *e)
{
	AUTO_JS declared = js_object();
	AUTO_JS values = js_object();
	const struct js *decl;
	const char *name;
	void *iter = NULL;
	int r = 0;

	for (size_t i = 0; i < q->n && r == 0; i++) {
		struct env_read rd = {.t = &trees[i], .src = &q->files[i], .e = e};

		r = declare_all(&rd, declared);
	}
	for (size_t i = 0; i < q->n_args && r == 0; i++)
		if (!js_get(declared, q->args[i].key))
			r = err_set(e, ERR_INVALID, -EINVAL, "no file has an argument '%.64s'",
				q->args[i].key);
	while (r == 0 && js_each(declared, &iter, &name, &decl))
		r = give(q, name, decl, values, e);
	if (r < 0)
		return r;
	*ret = TAKE(values);
	return *ret ? 0 : env_nomem(e);
}
