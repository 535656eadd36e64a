#include "cli/env.h"
#include "base/buf.h"
#include "base/escape.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

void env_fini(struct env_list *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].text);
	free(l->v);
	*l = (struct env_list){0};
}

static int check_name(const char *s, size_t len, struct err *e)
{
	if (len == 0)
		return err_set(e, ERR_INVALID, -EINVAL, "a variable without a name");
	if (s[0] >= '0' && s[0] <= '9')
		return err_set(e, ERR_INVALID, -EINVAL, "variable '%.*s' begins with a digit",
			(int)(len < 80 ? len : 80), s);
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] > '~')
			return err_set(e, ERR_INVALID, -EINVAL,
				"variable '%.*s' has a blank or special character in its name",
				(int)(len < 80 ? len : 80), s);
	return 0;
}

static int check_value(const char *name, size_t name_len, const char *s, struct err *e)
{
	size_t len = strlen(s);

	for (size_t i = 0; i < len;) {
		unsigned cp = 0;
		size_t n = utf8_decode(s + i, len - i, &cp);

		if (n == 0 || ((cp < ' ' && cp != '\t' && cp != '\n') || cp == 0x7f))
			return err_set(e, ERR_INVALID, -EINVAL,
				"the value of variable '%.*s' is not text in UTF-8",
				(int)(name_len < 80 ? name_len : 80), name);
		i += n;
	}
	return 0;
}

/* put() - own @text (heap), replacing an earlier one of the same name and no higher rank */
static int put(struct env_list *l, char *text, size_t name_len, int rank, struct err *e)
{
	struct env_var *v;

	for (size_t i = 0; i < l->n; i++) {
		v = &l->v[i];
		if (v->name_len != name_len || memcmp(v->text, text, name_len) != 0)
			continue;
		if (rank < v->rank) {
			free(text);
			return 0;
		}
		free(v->text);
		*v = (struct env_var){text, name_len, rank};
		return 0;
	}
	v = l->n < ENV_VARS_MAX ? realloc(l->v, (l->n + 1) * sizeof(*v)) : NULL;
	if (!v) {
		free(text);
		return err_set(e, ERR_LIMIT, -E2BIG, "more than %d variables", ENV_VARS_MAX);
	}
	l->v = v;
	l->v[l->n++] = (struct env_var){text, name_len, rank};
	return 0;
}

static int add(struct env_list *l, const char *s, size_t len, int rank, struct err *e)
{
	const char *eq = memchr(s, '=', len), *value;
	size_t name_len = eq ? (size_t)(eq - s) : len;
	char *text = NULL;
	int r = check_name(s, name_len, e);

	if (r < 0)
		return r;
	if (eq) {
		text = strndup(s, len);
	} else {
		AUTO_FREE char *name = strndup(s, len);

		value = name ? getenv(name) : NULL;
		if (name && !value)
			return 0;
		if (name && asprintf(&text, "%s=%s", name, value) < 0)
			text = NULL;
	}
	if (!text)
		return err_sys(e, -ENOMEM, "add a variable");
	r = check_value(text, name_len, text + name_len + 1, e);
	if (r < 0) {
		free(text);
		return r;
	}
	return put(l, text, name_len, rank, e);
}

int env_add(struct env_list *l, const char *text, struct err *e)
{
	int r = add(l, text, strlen(text), 1, e);

	return r < 0 ? err_wrap(e, r, "-e") : 0;
}

int env_add_text(struct env_list *l, const char *text, size_t len, const char *name, struct err *e)
{
	unsigned line = 0;

	if (memchr(text, '\0', len))
		return err_set(e, ERR_INVALID, -EINVAL, "%.200s: not a text file", name);
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	while (len > 0) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl ? (size_t)(nl - text) : len, full = nl ? n + 1 : n;
		const char *s = text;
		int r = 0;

		line++;
		if (n > 0 && s[n - 1] == '\r')
			n--;
		while (n > 0 && (*s == ' ' || *s == '\t')) {
			s++;
			n--;
		}
		if (n > 0 && *s != '#')
			r = add(l, s, n, 0, e);
		if (r < 0)
			return err_wrap(e, r, "%.200s: line %u", name, line);
		text += full;
		len -= full;
	}
	return 0;
}

int env_add_file(struct env_list *l, const char *path, struct err *e)
{
	bool is_stdin = strcmp(path, "-") == 0;
	struct buf text;
	int r;

	buf_init(&text, ENV_FILE_MAX);
	r = is_stdin ? io_read_fd(STDIN_FILENO, &text) : io_read_file(AT_FDCWD, path, &text);
	if (r < 0)
		(void)err_sys(e, r, "read '%.200s'", path);
	else
		r = env_add_text(l, buf_str(&text), text.len, path, e);
	buf_fini(&text);
	return r;
}
