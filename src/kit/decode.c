#include "kit/decode.h"
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define USES_MAX     4096
#define WARNINGS_MAX 64

int decode_nomem(struct decode *d)
{
	return err_sys(d->e, -ENOMEM, "read '%s'", d->t->file);
}

static bool nothing(const struct ynode *v)
{
	return v->kind == YNODE_SCALAR && v->plain &&
	       (v->len == 0 || strcmp(v->text, "~") == 0 || strcasecmp(v->text, "null") == 0);
}

bool decode_is(const struct ynode *v, enum ynode_kind kind)
{
	return v->kind == kind || nothing(v);
}

struct kit_place decode_at(const struct ynode *n)
{
	return (struct kit_place){.line = n->line, .column = n->column};
}

/* grow() - room for one more item in an array of the kit's memory */
static void *grow(struct kit_mem *m, void *items, size_t n, size_t *cap, size_t size)
{
	void *bigger;

	if (n < *cap)
		return items;
	bigger = kit_mem_array(m, *cap ? *cap * 2 : 16, size);
	if (!bigger)
		return NULL;
	if (n)
		memcpy(bigger, items, n * size);
	*cap = *cap ? *cap * 2 : 16;
	return bigger;
}

static int note_use(struct decode *d, const char *what, const char *name, const struct ynode *key)
{
	struct kit_spec *s = d->s;
	size_t n = strlen(what) + strlen(name) + 2;
	char *field = kit_mem_get(&s->mem, n);
	struct kit_use *uses = grow(&s->mem, s->uses, s->n_uses, &s->cap_uses, sizeof(*s->uses));

	if (!uses || !field || s->n_uses == USES_MAX)
		return decode_nomem(d);
	(void)snprintf(field, n, "%s%s%s", what, what[0] ? "." : "", name);
	s->uses = uses;
	s->uses[s->n_uses++] = (struct kit_use){.field = field, .at = decode_at(key)};
	return 0;
}

int decode_warn(struct decode *d, struct kit_place at, const char *fmt, ...)
{
	struct kit_spec *s = d->s;
	struct kit_word *list;
	char text[ERR_MSG_MAX];
	va_list ap;

	if (s->n_warnings == WARNINGS_MAX)
		return 0;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	list = grow(&s->mem, s->warnings, s->n_warnings, &s->cap_warnings, sizeof(*list));
	if (!list)
		return decode_nomem(d);
	s->warnings = list;
	list[s->n_warnings] = (struct kit_word){.text = kit_mem_str(&s->mem, text), .at = at};
	if (!list[s->n_warnings].text)
		return decode_nomem(d);
	s->n_warnings++;
	return 0;
}

/* ---- scalars ---- */

/* check_text() - what a plain scalar may not be: nothing at all, or the word for it */
static int check_text(struct decode *d, const struct ynode *v, const char *what)
{
	if (v->kind != YNODE_SCALAR)
		return FAULT(d, v, "%s must be text", what);
	if (nothing(v))
		return FAULT(d, v, "%s has no value: quote it if text is meant", what);
	return 0;
}

int decode_text(struct decode *d, const struct ynode *v, const char *what, const char **ret)
{
	int r = check_text(d, v, what);

	if (r < 0)
		return r;
	*ret = kit_mem_dup(&d->s->mem, v->text, v->len);
	return *ret ? 0 : decode_nomem(d);
}

int decode_word(struct decode *d, const struct ynode *v, const char *what, struct kit_word *ret)
{
	ret->at = decode_at(v);
	return decode_text(d, v, what, &ret->text);
}

int decode_words(struct decode *d, const struct ynode *v, const char *what, struct kit_words *ret)
{
	struct kit_words w = {.given = true};

	if (!decode_is(v, YNODE_LIST))
		return FAULT(d, v, "%s must be a list of text", what);
	w.v = kit_mem_array(&d->s->mem, v->count, sizeof(*w.v));
	if (!w.v)
		return decode_nomem(d);
	for (const struct ynode *i = ynode_first(d->t, v); i; i = ynode_next(d->t, i)) {
		int r = decode_word(d, i, what, &w.v[w.n]);

		if (r < 0)
			return r;
		w.n++;
	}
	*ret = w;
	return 0;
}

int decode_bool(struct decode *d, const struct ynode *v, const char *what, bool *ret)
{
	bool yes = v->kind == YNODE_SCALAR && v->plain && strcmp(v->text, "true") == 0;
	bool no = v->kind == YNODE_SCALAR && v->plain && strcmp(v->text, "false") == 0;

	if (!yes && !no)
		return FAULT(d, v, "%s must be true or false", what);
	*ret = yes;
	return 0;
}

/* digits() - a decimal number that begins @text; false when there is none or it is too large */
static bool digits(const char *text, uint64_t *ret, const char **ret_end)
{
	uint64_t n = 0;

	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(n, 10, &n) ||
			__builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return false;
	*ret = n;
	*ret_end = text;
	return true;
}

int decode_number(struct decode *d, const struct ynode *v, const char *what, uint64_t min,
	uint64_t max, uint64_t *ret)
{
	int r = check_text(d, v, what);
	const char *end;
	uint64_t n;

	if (r < 0)
		return r;
	if (!digits(v->text, &n, &end) || *end || n < min || n > max)
		return FAULT(d, v, "%s must be a whole number from %llu to %llu", what,
			(unsigned long long)min, (unsigned long long)max);
	*ret = n;
	return 0;
}

/* "512m", "4g", "2gib", "1.5g" is not: powers of 1024, as memory is counted */
int decode_size(struct decode *d, const struct ynode *v, const char *what, uint64_t *ret)
{
	static const char units[] = "kmgt";
	int r = check_text(d, v, what);
	const char *end, *unit;
	uint64_t n = 0;
	bool ok;

	if (r < 0)
		return r;
	ok = digits(v->text, &n, &end) && n > 0;
	unit = ok && *end ? strchr(units, *end | 0x20) : NULL;
	if (ok && unit) {
		ok = !__builtin_mul_overflow(n, UINT64_C(1) << 10 * (unit - units + 1), &n);
		end++;
		if (ok && (strcasecmp(end, "b") == 0 || strcasecmp(end, "ib") == 0))
			end += strlen(end);
	}
	if (!ok || *end || n > INT64_MAX)
		return FAULT(d, v, "%s must be a size like 512m or 4g", what);
	*ret = n;
	return 0;
}

int decode_mode(
	struct decode *d, const struct ynode *v, const char *what, uint32_t max, uint32_t *ret)
{
	int r = check_text(d, v, what);
	uint32_t mode = 0;

	if (r < 0)
		return r;
	if (v->len < 3 || v->len > 4 || strspn(v->text, "01234567") != v->len)
		return FAULT(d, v, "%s must be octal digits like \"0644\"", what);
	for (const char *c = v->text; *c; c++)
		mode = mode << 3 | (uint32_t)(*c - '0');
	if (mode > max)
		return FAULT(d, v, "%s must not have set-id%s bits", what,
			max == 0777 ? " or sticky" : "");
	*ret = mode;
	return 0;
}

/* path_ok() - absolute and already in its simplest form, so that nobody can read it differently */
static bool path_ok(const char *s)
{
	size_t n = strlen(s);

	if (n < 2 || n > KIT_TREE_PATH_MAX || s[0] != '/' || s[n - 1] == '/')
		return false;
	for (const char *c = s; c; c = strchr(c + 1, '/'))
		if (strncmp(c, "//", 2) == 0 || strncmp(c, "/./", 3) == 0 ||
			strncmp(c, "/../", 4) == 0 || strcmp(c, "/.") == 0 || strcmp(c, "/..") == 0)
			return false;
	return true;
}

int decode_path(struct decode *d, const struct ynode *v, const char *what, const char **ret)
{
	static const char *const kernel[] = {"/proc", "/sys", "/dev"};
	int r = decode_text(d, v, what, ret);

	if (r < 0)
		return r;
	if (!path_ok(*ret))
		return FAULT(d, v, "%s must be absolute, without '.' or '..' parts", what);
	for (size_t i = 0; i < ARRAY_LEN(kernel); i++) {
		size_t n = strlen(kernel[i]);

		if (strncmp(*ret, kernel[i], n) == 0 && ((*ret)[n] == '/' || !(*ret)[n]))
			return FAULT(d, v, "%s is in %s, which is the kernel's", what, kernel[i]);
	}
	return 0;
}

/* ---- mappings and lists ---- */

static int take_field(struct decode *d, const struct field *f, const char *what,
	const struct ynode *v, void *item)
{
	char name[128];
	void *at = (char *)item + f->at;

	(void)snprintf(name, sizeof(name), "%s%s%s", what, what[0] ? "." : "", f->name);
	switch (f->type) {
	case FIELD_TAKE:
		return f->take(d, v, item);
	case FIELD_WORD:
		return decode_word(d, v, name, at);
	case FIELD_TEXT:
		return decode_text(d, v, name, at);
	case FIELD_WORDS:
		return decode_words(d, v, name, at);
	case FIELD_BOOL:
		return decode_bool(d, v, name, at);
	case FIELD_MODE:
		return decode_mode(d, v, name, 0777, at);
	case FIELD_PATH:
		return decode_path(d, v, name, at);
	case FIELD_SIZE:
		return decode_size(d, v, name, at);
	case FIELD_SKIP:
		return 0;
	}
	return 0;
}

int decode_map(struct decode *d, const struct ynode *map, const char *what,
	const struct field *fields, size_t n, void *item)
{
	const char *shown = what[0] ? what : "the kit";
	const struct ynode *key, *value;
	uint64_t seen = 0;

	assert(n <= 64);
	if (!decode_is(map, YNODE_MAP))
		return FAULT(d, map, "%s must be a mapping", shown);
	for (key = ynode_first(d->t, map); key; key = ynode_next(d->t, value)) {
		size_t i = 0;
		int r = 0;

		value = ynode_next(d->t, key);
		while (i < n && strcmp(fields[i].name, key->text) != 0)
			i++;
		if (i == n)
			return FAULT(d, key, "unknown field '%.64s' in %s", key->text, shown);
		if (!(fields[i].flags & FIELD_QUIET))
			r = note_use(d, what, fields[i].name, key);
		if (r == 0)
			r = take_field(d, &fields[i], what, value, item);
		if (r < 0)
			return r;
		seen |= UINT64_C(1) << i;
	}
	for (size_t i = 0; i < n; i++)
		if ((fields[i].flags & FIELD_REQUIRED) && !(seen & UINT64_C(1) << i))
			return FAULT(d, map, "%s has no field '%s'", shown, fields[i].name);
	return 0;
}

int decode_list(struct decode *d, const struct ynode *v, const struct list_form *form,
	void *ret_items, size_t *ret_n)
{
	char *items;
	size_t n = 0;

	if (!decode_is(v, YNODE_LIST))
		return FAULT(d, v, "%s must be a list", form->what);
	items = kit_mem_array(&d->s->mem, v->count, form->size);
	if (!items)
		return decode_nomem(d);
	for (const struct ynode *i = ynode_first(d->t, v); i; i = ynode_next(d->t, i)) {
		void *item = items + n * form->size;
		struct kit_place at = decode_at(i);
		int r;

		if (form->init)
			form->init(item);
		r = decode_map(d, i, form->what, form->fields, form->n, item);
		memcpy(item, &at, sizeof(at)); /* every item begins with its place */
		if (r == 0 && form->done)
			r = form->done(d, i, item);
		if (r < 0)
			return r;
		n++;
	}
	memcpy(ret_items, &items, sizeof(items));
	*ret_n = n;
	return 0;
}
