#include "kit/args.h"
#include "base/buf.h"
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define OPEN	   "${{"
#define PREFIX	   "kit."
#define MARK_BYTES 7 /* letters that begin a mask; five digits follow, then letters */
#define MASK_LEAST 12

static const char name_bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

static size_t blanks(const char *s)
{
	return strspn(s, " \t");
}

/* A placeholder of ours at @s: its length, 0 when it is none (other text with ${{ stays), or -1. */
static ptrdiff_t placeholder(const char *s, const char **ret_name, size_t *ret_len)
{
	static const char args[] = "kit.args.";
	const char *p = s + strlen(OPEN);

	p += blanks(p);
	if (strncmp(p, PREFIX, strlen(PREFIX)) != 0)
		return 0;
	if (strncmp(p, args, strlen(args)) != 0)
		return -1;
	p += strlen(args);
	*ret_name = p;
	*ret_len = strspn(p, name_bytes);
	if (*ret_len == 0 || strchr("0123456789-", *p))
		return -1;
	p += *ret_len;
	p += blanks(p);
	return strncmp(p, "}}", 2) == 0 ? p + 2 - s : -1;
}

/* A place in a text, counted on from an earlier one; columns are characters. */
struct place {
	size_t at;
	unsigned line, column;
};

static void advance(struct place *p, const char *text, size_t to)
{
	for (; p->at < to; p->at++) {
		if (text[p->at] == '\n') {
			p->line++;
			p->column = 1;
		} else if (((unsigned char)text[p->at] & 0xc0) != 0x80) {
			p->column++;
		}
	}
}

static char unused_letter(const char *text)
{
	char mark[MARK_BYTES + 1] = "";

	for (char c = 'Q'; c <= 'Z'; c++) {
		memset(mark, c, MARK_BYTES);
		if (!strstr(text, mark))
			return c;
	}
	return 0;
}

static int add_hole(struct kit_holes *h, const struct kit_hole *hole)
{
	if (h->n == KIT_HOLES_MAX)
		return -E2BIG;
	if (!h->v)
		h->v = calloc(KIT_HOLES_MAX, sizeof(*h->v));
	if (!h->v)
		return -ENOMEM;
	h->v[h->n++] = *hole;
	return 0;
}

int kit_holes_find(
	struct kit_holes *h, const char *file, const char *text, size_t len, struct err *e)
{
	struct place place = {.line = 1, .column = 1};
	const char *at = text;

	h->masked = malloc(len + 1);
	if (!h->masked)
		return err_sys(e, -ENOMEM, "read '%s'", file);
	memcpy(h->masked, text, len);
	h->masked[len] = '\0';
	/* a NUL ends the search; the document is refused for it anyway */
	while ((at = strstr(at, OPEN))) {
		struct kit_hole hole = {0};
		ptrdiff_t n = placeholder(at, &hole.name, &hole.name_len);
		size_t from = (size_t)(at - text);

		if (n == 0) {
			at += strlen(OPEN);
			continue;
		}
		advance(&place, text, from);
		hole.line = place.line;
		hole.column = place.column;
		hole.len = (size_t)n;
		if (n < 0)
			return err_set(e, ERR_INVALID, -EINVAL,
				"%s:%u:%u: a placeholder must be ${{ kit.args.NAME }}", file,
				hole.line, hole.column);
		h->letter = h->letter ? h->letter : unused_letter(text);
		if (!h->letter || add_hole(h, &hole) < 0)
			return err_set(e, ERR_LIMIT, -E2BIG, "%s:%u:%u: too many placeholders",
				file, hole.line, hole.column);
		memset(h->masked + from, h->letter, hole.len);
		(void)snprintf(h->masked + from + MARK_BYTES, 6, "%05zu", h->n - 1);
		h->masked[from + MASK_LEAST] = h->letter; /* snprintf's NUL */
		at += n;
	}
	return 0;
}

void kit_holes_auto(struct kit_holes *h)
{
	free(h->v);
	free(h->masked);
	*h = (struct kit_holes){0};
}

/* ---- declarations ---- */

#define IN_ARG(member) offsetof(struct kit_arg, member)

struct arg_item {
	struct kit_arg arg;
	bool required, has_required;
};

static int take_required(struct decode *d, const struct ynode *v, void *item)
{
	struct arg_item *a = item;

	a->has_required = true;
	return decode_bool(d, v, "args required", &a->required);
}

static int judge_value(struct decode *d, const struct ynode *at, const struct kit_arg *a,
	const char *value, const char *whose)
{
	char why[128];
	int r = 1;

	if (strlen(value) > KIT_VALUE_MAX)
		return FAULT(d, at, "the %s of argument '%s' is longer than %d bytes", whose,
			a->name, KIT_VALUE_MAX);
	if (a->pattern) {
		r = kit_pattern_match(a->pattern, value, why);
		if (r < 0)
			return FAULT(d, at, "the pattern of argument '%s': %s", a->name, why);
		if (r == 0)
			return FAULT(d, at,
				"the %s '%.80s' of argument '%s' does not match '%.80s'", whose,
				value, a->name, a->pattern);
	}
	for (size_t i = 0; a->choices.given && i <= a->choices.n; i++) {
		if (i == a->choices.n)
			return FAULT(d, at, "the %s '%.80s' of argument '%s' is none of its enum",
				whose, value, a->name);
		if (strcmp(a->choices.v[i].text, value) == 0)
			break;
	}
	return 0;
}

static int judge_arg(struct decode *d, const struct ynode *v, struct arg_item *a)
{
	char why[128];

	if (!!a->arg.fallback == (a->has_required && a->required))
		return FAULT(
			d, v, "argument '%s' needs one of default and required: true", a->arg.name);
	if (a->arg.pattern && a->arg.choices.given)
		return FAULT(d, v, "argument '%s' has both enum and pattern", a->arg.name);
	if (a->arg.pattern && kit_pattern_match(a->arg.pattern, "", why) < 0)
		return FAULT(d, v, "the pattern of argument '%s': %s", a->arg.name, why);
	for (size_t i = 0; i < a->arg.choices.n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(a->arg.choices.v[i].text, a->arg.choices.v[j].text) == 0)
				return FAULT(d, v, "argument '%s' has '%.64s' in its enum twice",
					a->arg.name, a->arg.choices.v[i].text);
	return a->arg.fallback ? judge_value(d, v, &a->arg, a->arg.fallback, "default") : 0;
}

static int take_arg(
	struct decode *d, const struct ynode *key, const struct ynode *v, struct kit_arg *ret)
{
	static const struct field fields[] = {
		{"default", FIELD_TEXT, IN_ARG(fallback), NULL, FIELD_QUIET},
		{"description", FIELD_TEXT, IN_ARG(description), NULL, FIELD_QUIET},
		{"required", FIELD_TAKE, 0, take_required, FIELD_QUIET},
		{"enum", FIELD_WORDS, IN_ARG(choices), NULL, FIELD_QUIET},
		{"pattern", FIELD_TEXT, IN_ARG(pattern), NULL, FIELD_QUIET},
	};
	struct arg_item a = {.arg.at = decode_at(key)};
	int r;

	if (strspn(key->text, name_bytes) != key->len || key->len == 0 ||
		strchr("0123456789-", key->text[0]))
		return FAULT(d, key, "'%.64s' is no name for an argument", key->text);
	a.arg.name = kit_mem_str(&d->s->mem, key->text);
	if (!a.arg.name)
		return decode_nomem(d);
	r = decode_map(d, v, "args", fields, ARRAY_LEN(fields), &a);
	if (r == 0)
		r = judge_arg(d, v, &a);
	*ret = a.arg;
	return r;
}

static struct kit_arg *find_arg(const struct kit_spec *s, const char *name, size_t len)
{
	for (size_t i = 0; i < s->n_args; i++)
		if (strlen(s->args[i].name) == len && memcmp(s->args[i].name, name, len) == 0)
			return &s->args[i];
	return NULL;
}

/* last_line() - of the declarations: where the next field of the kit begins, or the end */
static unsigned last_line(const struct ytree *t, const struct ynode *list)
{
	const struct ynode *next = ynode_next(t, list);

	return next ? next->line : ~0U;
}

static int hole_fault(
	struct decode *d, const char *file, const struct kit_hole *hole, const char *what)
{
	return err_set(d->e, ERR_INVALID, -EINVAL, "%s:%u:%u: %s '%.*s'", file, hole->line,
		hole->column, what, (int)(hole->name_len > 64 ? 64 : hole->name_len), hole->name);
}

int kit_args_read(struct decode *d, const struct ynode *key, const struct kit_holes *h)
{
	const struct ynode *list = key ? ynode_next(d->t, key) : NULL, *v;
	struct kit_spec *s = d->s;

	if (list && !decode_is(list, YNODE_MAP))
		return FAULT(d, list, "args must be a mapping");
	for (size_t i = 0; list && i < h->n; i++)
		if (h->v[i].line >= list->line && h->v[i].line < last_line(d->t, list))
			return hole_fault(
				d, d->t->file, &h->v[i], "within args there is no placeholder");
	if (list && list->count / 2 > KIT_ARGS_MAX)
		return FAULT(d, list, "more than %d arguments", KIT_ARGS_MAX);
	s->args = kit_mem_array(&s->mem, KIT_ARGS_MAX, sizeof(*s->args));
	if (!s->args)
		return decode_nomem(d);
	for (const struct ynode *k = list ? ynode_first(d->t, list) : NULL; k;
		k = ynode_next(d->t, v)) {
		int r;

		v = ynode_next(d->t, k);
		r = take_arg(d, k, v, &s->args[s->n_args]);
		if (r < 0)
			return r;
		s->n_args++;
	}
	for (size_t i = 0; i < h->n; i++)
		if (!find_arg(s, h->v[i].name, h->v[i].name_len))
			return hole_fault(d, d->t->file, &h->v[i], "the kit declares no argument");
	return 0;
}

int kit_args_give(struct decode *d, const struct kit_args *given)
{
	struct kit_spec *s = d->s;

	for (size_t i = 0; given && i < given->n; i++) {
		struct kit_arg *a = find_arg(s, given->v[i].key, strlen(given->v[i].key));
		struct ynode at;
		int r;

		if (!a && given->loose)
			continue;
		if (!a)
			return err_set(d->e, ERR_INVALID, -EINVAL,
				"%s:1:1: the kit has no argument '%.64s'", d->t->file,
				given->v[i].key);
		at = (struct ynode){.line = a->at.line, .column = a->at.column};
		r = judge_value(d, &at, a, given->v[i].value, "value");
		if (r < 0)
			return r;
		a->value = kit_mem_str(&s->mem, given->v[i].value);
		if (!a->value)
			return decode_nomem(d);
	}
	for (size_t i = 0; i < s->n_args; i++) {
		struct kit_arg *a = &s->args[i];

		if (!a->value)
			a->value = a->fallback;
		if (!a->value) {
			int r = kit_fault(d->e, s, a->at, "argument '%s' is required", a->name);

			err_hint(d->e, "--kit-arg %s=VALUE", a->name);
			return r;
		}
	}
	return 0;
}

/* ---- filling in ---- */

/* fill() - @text with each mask replaced by its value */
static int fill(struct decode *d, struct ynode *n, const struct kit_holes *h)
{
	char mark[MARK_BYTES + 1] = "";
	const char *at = n->text, *hit;
	AUTO(buf) out;
	int r = 0;

	buf_init(&out, KIT_MEM_MAX / 8);
	memset(mark, h->letter, MARK_BYTES);
	while (r == 0 && (hit = strstr(at, mark))) {
		size_t i = strtoul(hit + MARK_BYTES, NULL, 10);
		const struct kit_hole *hole = &h->v[i < h->n ? i : 0];
		const struct kit_arg *a = find_arg(d->s, hole->name, hole->name_len);

		r = buf_add(&out, at, (size_t)(hit - at));
		if (r == 0)
			r = buf_add(&out, a->value, strlen(a->value));
		at = hit + hole->len;
	}
	if (r == 0)
		r = buf_add(&out, at, strlen(at));
	if (r < 0)
		return r == -ENOBUFS ? FAULT(d, n, "too large with its arguments")
				     : decode_nomem(d);
	free(n->text);
	n->len = out.len;
	n->text = buf_take(&out);
	return n->text ? 0 : decode_nomem(d);
}

int kit_args_fill(struct decode *d, struct ytree *t, const struct kit_holes *h)
{
	char mark[MARK_BYTES + 1] = "";

	if (h->n == 0)
		return 0;
	memset(mark, h->letter, MARK_BYTES);
	for (unsigned i = 1; i < t->n; i++) {
		struct ynode *n = &t->nodes[i];
		const struct ynode *key, *v;
		int r;

		for (key = n->kind == YNODE_MAP ? ynode_first(t, n) : NULL; key;
			key = ynode_next(t, v)) {
			v = ynode_next(t, key);
			if (strstr(key->text, mark))
				return FAULT(d, key, "a field's name cannot be a placeholder");
		}
		if (n->kind != YNODE_SCALAR || !strstr(n->text, mark))
			continue;
		r = fill(d, n, h);
		if (r < 0)
			return r;
	}
	return 0;
}

/* next_hole() - the next placeholder of a file at or after @at; NULL: none. A file may hold NULs. */
static const char *next_hole(const char *at, const char *end)
{
	while ((at = memmem(at, (size_t)(end - at), OPEN, strlen(OPEN)))) {
		const char *name;
		size_t len;

		if (placeholder(at, &name, &len) != 0)
			return at;
		at += strlen(OPEN);
	}
	return NULL;
}

/* name_of() - a file beside spec.yaml, as errors name it */
static const char *name_of(const struct decode *d, const struct kit_entry *f, char *dst, size_t cap)
{
	size_t dir = strlen(d->s->file) - strlen("spec.yaml");

	(void)snprintf(dst, cap, "%.*s%s", (int)dir, d->s->file, f->path);
	return dst;
}

/* one_hole() - append what stands at @at up to the placeholder @hit, and its value */
static int one_hole(struct decode *d, const struct kit_entry *f, struct place *place,
	const char **at, const char *hit, struct buf *out)
{
	char name[PATH_MAX + KIT_TREE_PATH_MAX];
	struct kit_hole hole = {0};
	ptrdiff_t n = placeholder(hit, &hole.name, &hole.name_len);
	const struct kit_arg *a;
	int r;

	advance(place, f->bytes, (size_t)(hit - f->bytes));
	hole.line = place->line;
	hole.column = place->column;
	(void)name_of(d, f, name, sizeof(name));
	if (n < 0)
		return err_set(d->e, ERR_INVALID, -EINVAL,
			"%s:%u:%u: a placeholder must be ${{ kit.args.NAME }}", name, hole.line,
			hole.column);
	a = find_arg(d->s, hole.name, hole.name_len);
	if (!a)
		return hole_fault(d, name, &hole, "the kit declares no argument");
	r = buf_add(out, *at, (size_t)(hit - *at));
	if (r == 0)
		r = buf_add(out, a->value, strlen(a->value));
	*at = hit + n;
	return r < 0 ? err_set(d->e, ERR_LIMIT, r, "%s:%u:%u: too large with its arguments", name,
			       hole.line, hole.column)
		     : 0;
}

int kit_args_file(
	struct decode *d, const struct kit_entry *f, const char **ret_bytes, size_t *ret_len)
{
	const char *at = f->bytes, *end = f->bytes + f->len, *hit;
	struct place place = {.line = 1, .column = 1};
	AUTO(buf) out = {0};
	int r = 0;

	*ret_bytes = f->bytes;
	*ret_len = f->len;
	hit = d->s->schema == 2 ? next_hole(at, end) : NULL;
	if (!hit)
		return 0;
	buf_init(&out, KIT_TREE_BYTES_MAX);
	for (; r == 0 && hit; hit = next_hole(at, end))
		r = one_hole(d, f, &place, &at, hit, &out);
	if (r < 0)
		return r;
	if (buf_add(&out, at, (size_t)(end - at)) < 0)
		return decode_nomem(d);
	*ret_len = out.len;
	*ret_bytes = kit_mem_dup(&d->s->mem, buf_str(&out), out.len);
	return *ret_bytes ? 0 : decode_nomem(d);
}
