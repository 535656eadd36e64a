/* Values of an environment's fields: text with its placeholders, numbers, times, paths. */
#include "kit/envfile_int.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MAX_S 86400

bool env_absent(const struct ynode *v)
{
	return v->kind == YNODE_SCALAR && v->plain && v->len == 0;
}

/* ---- values ---- */

static bool text_ok(const char *s, enum env_text_kind kind)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == 0x7f || (c < 0x20 && (kind == ENV_WORD || (c != '\n' && c != '\t'))))
			return false;
	}
	return true;
}

int env_text(struct env_read *r, const struct ynode *v, const char *what, enum env_text_kind kind,
	char **ret)
{
	AUTO(buf) b = {0};
	int n;

	if (v->kind != YNODE_SCALAR)
		return ENV_FAULT(r, v, "%s must be text", what);
	buf_init(&b, ENVFILE_VALUE_MAX + 1);
	n = env_put_args(r, v, what, &b);
	if (n < 0)
		return n;
	if (b.len == 0 && kind != ENV_VALUE)
		return ENV_FAULT(r, v, "%s is empty", what);
	if (!text_ok(buf_str(&b), kind))
		return ENV_FAULT(r, v, "%s has a control character", what);
	*ret = strdup(buf_str(&b));
	return *ret ? 0 : env_nomem(r->e);
}

static int put_text(struct env_read *r, const struct ynode *v, const char *what,
	enum env_text_kind kind, struct js *o, const char *key)
{
	AUTO_FREE char *text = NULL;
	int n = env_text(r, v, what, kind, &text);

	if (n < 0)
		return n;
	return js_set_str(o, key, text) ? env_nomem(r->e) : 0;
}

int env_take_text(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	return put_text(r, v, what, ENV_WORD, o, key);
}

int env_take_lines(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	return put_text(r, v, what, ENV_LINES, o, key);
}

int env_take_value(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	return put_text(r, v, what, ENV_VALUE, o, key);
}

int env_take_bool(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	bool yes = v->kind == YNODE_SCALAR && v->plain && strcmp(v->text, "true") == 0;
	bool no = v->kind == YNODE_SCALAR && v->plain && strcmp(v->text, "false") == 0;

	if (!yes && !no)
		return ENV_FAULT(r, v, "%s must be true or false", what);
	return js_set_bool(o, key, yes) ? env_nomem(r->e) : 0;
}

static int take_number(struct env_read *r, const struct ynode *v, const char *what, int64_t max,
	struct js *o, const char *key)
{
	AUTO_FREE char *text = NULL;
	int n = env_text(r, v, what, ENV_WORD, &text);
	size_t len = n < 0 ? 0 : strlen(text);

	if (n < 0)
		return n;
	if (len > 9 || strspn(text, "0123456789") != len || strtol(text, NULL, 10) > max)
		return ENV_FAULT(r, v, "%s must be a number up to %lld", what, (long long)max);
	return js_set_int(o, key, strtol(text, NULL, 10)) ? env_nomem(r->e) : 0;
}

int env_take_port(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	return take_number(r, v, what, 65535, o, key);
}

int env_take_cpus(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	return take_number(r, v, what, 1024, o, key);
}

/* take_seconds() - "90", "90s", "5m", "1h" */
int env_take_seconds(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	AUTO_FREE char *text = NULL;
	int n = env_text(r, v, what, ENV_WORD, &text);
	size_t digits = n < 0 ? 0 : strspn(text, "0123456789");
	long s = digits > 0 && digits < 7 ? strtol(text, NULL, 10) : 0;

	if (n < 0)
		return n;
	if (strcmp(text + digits, "m") == 0)
		s *= 60;
	else if (strcmp(text + digits, "h") == 0)
		s *= 3600;
	else if (text[digits] && strcmp(text + digits, "s") != 0)
		s = 0;
	if (s < 1 || s > TIMEOUT_MAX_S)
		return ENV_FAULT(r, v, "%s must be a time up to a day, as 90s, 5m or 1h", what);
	return js_set_int(o, key, s) ? env_nomem(r->e) : 0;
}

/* take_path() - absolute; nothing of the file system is looked at */
int env_take_path(
	struct env_read *r, const struct ynode *v, const char *what, struct js *o, const char *key)
{
	AUTO_FREE char *text = NULL;
	char path[2 * ENVFILE_VALUE_MAX];
	int n = env_text(r, v, what, ENV_WORD, &text);

	if (n < 0)
		return n;
	if (text[0] == '~')
		return ENV_FAULT(r, v, "%s: '~' is not expanded; write the path", what);
	n = snprintf(path, sizeof(path), "%s%s%s", text[0] == '/' ? "" : r->src->dir,
		text[0] == '/' ? "" : "/", text);
	if (n < 0 || n >= (int)sizeof(path))
		return ENV_FAULT(r, v, "%s is too long", what);
	return js_set_str(o, key, path) ? env_nomem(r->e) : 0;
}
