#include "kit/ytree.h"
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct anchor {
	char name[64];
	unsigned node;
};

struct reader {
	struct ytree tree;
	struct err *e;
	struct anchor anchors[YAML_ANCHORS_MAX];
	unsigned n_anchors;
	size_t copied; /* bytes */
	unsigned open[YAML_DEPTH_MAX]; /* collections that are not closed yet */
	unsigned last[YAML_DEPTH_MAX]; /* the latest child of each */
	unsigned depth;
	unsigned documents;
	bool ended;
	bool no_anchors;
};

static int PRINTF_LIKE(5, 0) fault_at(
	struct err *e, const char *file, size_t line, size_t column, const char *fmt, va_list ap)
{
	char text[ERR_MSG_MAX];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	return err_set(e, ERR_INVALID, -EINVAL, "%s:%zu:%zu: %s", file, line, column, text);
}

int yaml_fault(struct err *e, const struct ytree *t, const struct ynode *n, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fault_at(e, t->file, n->line, n->column, fmt, ap);
	va_end(ap);
	return r;
}

static int PRINTF_LIKE(3, 4)
	mark_fault(const struct reader *rd, yaml_mark_t mark, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fault_at(rd->e, rd->tree.file, mark.line + 1, mark.column + 1, fmt, ap);
	va_end(ap);
	return r;
}

const struct ynode *ynode_first(const struct ytree *t, const struct ynode *n)
{
	return n->first ? &t->nodes[n->first] : NULL;
}

const struct ynode *ynode_next(const struct ytree *t, const struct ynode *n)
{
	return n->next ? &t->nodes[n->next] : NULL;
}

void ytree_fini(struct ytree *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < t->n; i++)
		free(t->nodes[i].text);
	free(t->nodes);
	*t = (struct ytree){.file = t->file};
}

void ytree_auto(struct ytree *t)
{
	ytree_fini(t);
}

/* new_node() - index of a zeroed node, 0 without memory: index 0 is never used */
static unsigned new_node(struct ytree *t, enum ynode_kind kind, yaml_mark_t mark)
{
	if (t->n == t->cap) {
		unsigned cap = t->cap ? t->cap * 2 : 64;
		struct ynode *bigger = reallocarray(t->nodes, cap, sizeof(*bigger));

		if (!bigger)
			return 0;
		t->nodes = bigger;
		t->cap = cap;
	}
	if (t->n == 0)
		t->nodes[t->n++] = (struct ynode){0};
	t->nodes[t->n] = (struct ynode){
		.kind = kind, .line = (unsigned)mark.line + 1, .column = (unsigned)mark.column + 1};
	return t->n++;
}

static bool key_seen(const struct ytree *t, const struct ynode *map, const struct ynode *key)
{
	const struct ynode *k = ynode_first(t, map);

	while (k && k != key) {
		if (k->len == key->len && memcmp(k->text, key->text, key->len) == 0)
			return true;
		k = ynode_next(t, k);
		k = k ? ynode_next(t, k) : NULL;
	}
	return false;
}

/* attach() - hang node @i where the document now is */
static int attach(struct reader *rd, unsigned i, yaml_mark_t mark)
{
	struct ytree *t = &rd->tree;
	struct ynode *parent;
	bool key;

	if (rd->depth == 0) {
		t->root = i;
		return 0;
	}
	parent = &t->nodes[rd->open[rd->depth - 1]];
	key = parent->kind == YNODE_MAP && parent->count % 2 == 0;
	if (parent->count >= YAML_ITEMS_MAX * (parent->kind == YNODE_MAP ? 2U : 1U))
		return mark_fault(rd, mark, "more than %d entries", YAML_ITEMS_MAX);
	if (key && t->nodes[i].kind != YNODE_SCALAR)
		return mark_fault(rd, mark, "a key must be plain text");
	if (parent->count == 0)
		parent->first = i;
	else
		t->nodes[rd->last[rd->depth - 1]].next = i;
	rd->last[rd->depth - 1] = i;
	parent->count++;
	if (key && t->nodes[i].plain && strcmp(t->nodes[i].text, "<<") == 0)
		return mark_fault(rd, mark, "merge keys (<<) are not allowed");
	if (key && key_seen(t, parent, &t->nodes[i]))
		return mark_fault(rd, mark, "the key '%.64s' is here twice", t->nodes[i].text);
	return 0;
}

static int add_node(
	struct reader *rd, enum ynode_kind kind, const yaml_event_t *ev, unsigned *ret_index)
{
	unsigned i;

	if (rd->tree.n >= YAML_NODES_MAX)
		return mark_fault(rd, ev->start_mark, "more than %d values", YAML_NODES_MAX);
	i = new_node(&rd->tree, kind, ev->start_mark);
	if (!i)
		return err_sys(rd->e, -ENOMEM, "read '%s'", rd->tree.file);
	*ret_index = i;
	return 0;
}

/* set_text() - of scalar @i; @text may be that of another node */
static int set_text(struct reader *rd, unsigned i, const char *text, size_t len, bool plain)
{
	struct ynode *n = &rd->tree.nodes[i];

	n->plain = plain;
	n->len = len;
	n->text = malloc(len + 1);
	if (!n->text)
		return err_sys(rd->e, -ENOMEM, "read '%s'", rd->tree.file);
	memcpy(n->text, text, len);
	n->text[len] = '\0';
	return 0;
}

/* ---- anchors and aliases ---- */

static const struct anchor *find_anchor(const struct reader *rd, const char *name)
{
	for (unsigned i = 0; i < rd->n_anchors; i++)
		if (strcmp(rd->anchors[i].name, name) == 0)
			return &rd->anchors[i];
	return NULL;
}

/* take_anchor() - node @i is called @name (NULL: it is not) */
static int take_anchor(struct reader *rd, const yaml_char_t *name, unsigned i, yaml_mark_t mark)
{
	struct anchor *a = &rd->anchors[rd->n_anchors];

	if (!name)
		return 0;
	if (rd->no_anchors)
		return mark_fault(rd, mark, "anchors are not allowed in this file");
	if (rd->n_anchors == YAML_ANCHORS_MAX)
		return mark_fault(rd, mark, "more than %d anchors", YAML_ANCHORS_MAX);
	if (strlen((const char *)name) >= sizeof(a->name))
		return mark_fault(rd, mark, "the name of the anchor is too long");
	if (find_anchor(rd, (const char *)name))
		return mark_fault(rd, mark, "the anchor '%s' is here twice", (const char *)name);
	(void)snprintf(a->name, sizeof(a->name), "%s", (const char *)name);
	a->node = i;
	rd->n_anchors++;
	return 0;
}

/* copy_node() - @from alone, hung where the document now is; *ret_index is the copy */
static int copy_node(struct reader *rd, unsigned from, const yaml_event_t *ev, unsigned *ret_index)
{
	struct ynode was = rd->tree.nodes[from]; /* by value: adding a node may move them */
	unsigned i;
	int r = add_node(rd, was.kind, ev, &i);

	if (r < 0)
		return r;
	rd->tree.nodes[i].line = was.line;
	rd->tree.nodes[i].column = was.column;
	if (was.kind == YNODE_SCALAR) {
		rd->copied += was.len;
		if (rd->copied > YAML_COPIED_MAX)
			return mark_fault(rd, ev->start_mark,
				"aliases stand for more than %u KiB of text",
				YAML_COPIED_MAX >> 10);
		r = set_text(rd, i, was.text, was.len, was.plain);
	}
	if (r == 0)
		r = attach(rd, i, ev->start_mark);
	*ret_index = i;
	return r;
}

/* on_alias() - walks what the anchor names as if it stood here: all limits hold for it */
static int on_alias(struct reader *rd, const yaml_event_t *ev)
{
	const struct anchor *a = find_anchor(rd, (const char *)ev->data.alias.anchor);
	unsigned at[YAML_DEPTH_MAX + 1], floor = rd->depth, i;

	if (!a)
		return mark_fault(rd, ev->start_mark, "no anchor '%.64s' before this alias",
			(const char *)ev->data.alias.anchor);
	for (i = 0; i < rd->depth; i++)
		if (rd->open[i] == a->node)
			return mark_fault(rd, ev->start_mark, "an alias for what is around it");
	at[floor] = a->node;
	for (;;) {
		unsigned from = at[rd->depth];
		int r = copy_node(rd, from, ev, &i);

		if (r < 0)
			return r;
		if (rd->tree.nodes[from].kind != YNODE_SCALAR) {
			if (rd->depth == YAML_DEPTH_MAX)
				return mark_fault(rd, ev->start_mark,
					"nested deeper than %d levels", YAML_DEPTH_MAX);
			rd->open[rd->depth++] = i;
			at[rd->depth] = rd->tree.nodes[from].first;
		} else if (rd->depth > floor) {
			at[rd->depth] = rd->tree.nodes[from].next;
		}
		while (rd->depth > floor && at[rd->depth] == 0) {
			rd->depth--;
			if (rd->depth > floor)
				at[rd->depth] = rd->tree.nodes[at[rd->depth]].next;
		}
		if (rd->depth == floor)
			return 0;
	}
}

/* ---- events ---- */

static int on_scalar(struct reader *rd, const yaml_event_t *ev)
{
	const char *value = (const char *)ev->data.scalar.value;
	size_t len = ev->data.scalar.length;
	unsigned i;
	int r;

	if (ev->data.scalar.tag)
		return mark_fault(rd, ev->start_mark, "tags are not allowed");
	if (memchr(value, '\0', len))
		return mark_fault(rd, ev->start_mark, "a NUL character is not allowed");
	r = add_node(rd, YNODE_SCALAR, ev, &i);
	if (r == 0)
		r = set_text(rd, i, value, len, ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE);
	if (r == 0)
		r = take_anchor(rd, ev->data.scalar.anchor, i, ev->start_mark);
	return r == 0 ? attach(rd, i, ev->start_mark) : r;
}

static int on_open(struct reader *rd, const yaml_event_t *ev, enum ynode_kind kind,
	const yaml_char_t *anchor, bool tag)
{
	unsigned i;
	int r;

	if (tag)
		return mark_fault(rd, ev->start_mark, "tags are not allowed");
	if (rd->depth == YAML_DEPTH_MAX)
		return mark_fault(
			rd, ev->start_mark, "nested deeper than %d levels", YAML_DEPTH_MAX);
	r = add_node(rd, kind, ev, &i);
	if (r == 0)
		r = take_anchor(rd, anchor, i, ev->start_mark);
	if (r == 0)
		r = attach(rd, i, ev->start_mark);
	if (r == 0)
		rd->open[rd->depth++] = i;
	return r;
}

static int on_document(struct reader *rd, const yaml_event_t *ev)
{
	const yaml_tag_directive_t *tags = ev->data.document_start.tag_directives.start;

	if (rd->documents++)
		return mark_fault(rd, ev->start_mark, "a second document is not allowed");
	if (ev->data.document_start.version_directive ||
		tags != ev->data.document_start.tag_directives.end)
		return mark_fault(rd, ev->start_mark, "directives are not allowed");
	return 0;
}

static int on_event(struct reader *rd, const yaml_event_t *ev)
{
	switch (ev->type) {
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return 0;
	case YAML_STREAM_END_EVENT:
		rd->ended = true;
		return 0;
	case YAML_DOCUMENT_START_EVENT:
		return on_document(rd, ev);
	case YAML_ALIAS_EVENT:
		return on_alias(rd, ev);
	case YAML_SCALAR_EVENT:
		return on_scalar(rd, ev);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(rd, ev, YNODE_LIST, ev->data.sequence_start.anchor,
			ev->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return on_open(rd, ev, YNODE_MAP, ev->data.mapping_start.anchor,
			ev->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		rd->depth--; /* libyaml pairs them */
		return 0;
	}
	return 0;
}

static int parse_events(struct reader *rd, yaml_parser_t *parser)
{
	int r = 0;

	while (r == 0 && !rd->ended) {
		yaml_event_t ev;

		if (!yaml_parser_parse(parser, &ev))
			return mark_fault(rd, parser->problem_mark, "%s",
				parser->problem ? parser->problem : "malformed YAML");
		r = on_event(rd, &ev);
		yaml_event_delete(&ev);
	}
	return r;
}

static int read_all(const char *file, const char *text, size_t len, bool no_anchors,
	struct ytree *ret_tree, struct err *e)
{
	struct reader rd = {.tree = {.file = file}, .no_anchors = no_anchors, .e = e};
	yaml_parser_t parser;
	int r;

	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		return err_set(
			e, ERR_INVALID, -EINVAL, "%s:1:1: a byte order mark is not allowed", file);
	if (!yaml_parser_initialize(&parser))
		return err_sys(e, -ENOMEM, "read '%s'", file);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	r = parse_events(&rd, &parser);
	yaml_parser_delete(&parser);
	if (r == 0 && !rd.tree.root)
		r = err_set(e, ERR_INVALID, -EINVAL, "%s:1:1: the file is empty", file);
	if (r < 0) {
		ytree_fini(&rd.tree);
		return r;
	}
	*ret_tree = rd.tree;
	return 0;
}

int yaml_read(const char *file, const char *text, size_t len, struct ytree *ret_tree, struct err *e)
{
	return read_all(file, text, len, false, ret_tree, e);
}

int yaml_read_plain(
	const char *file, const char *text, size_t len, struct ytree *ret_tree, struct err *e)
{
	return read_all(file, text, len, true, ret_tree, e);
}
