#include "kit/args.h"
#include "kit/decode.h"
#include "kit/kit.h"
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define IN_SPEC(member) offsetof(struct kit_spec, member)
#define URL_MAX		2048

int kit_fault(struct err *e, const struct kit_spec *s, struct kit_place at, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e, ERR_INVALID, -EINVAL, "%s:%u:%u: %s", s->file, at.line, at.column, text);
}

/* ---- who it is ---- */

bool kit_name_ok(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n < KIT_NAME_BYTES &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && s[0] != '-' &&
	       s[n - 1] != '-';
}

static int take_name_of(
	struct decode *d, const struct ynode *v, const char *what, struct kit_word *ret)
{
	int r = decode_word(d, v, what, ret);

	return r < 0 || kit_name_ok(ret->text)
		       ? r
		       : FAULT(d, v,
				 "%s must be 1 to 64 of a-z, 0-9 and '-', not beginning or ending "
				 "with '-'",
				 what);
}

int decode_name(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return take_name_of(d, v, "name", &d->s->name);
}

static int take_extends(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return take_name_of(d, v, "extends", &d->s->extends);
}

static int take_requires_agent(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return take_name_of(d, v, "requires.agent", &d->s->requires_agent);
}

static int take_requires(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"agent", FIELD_TAKE, 0, take_requires_agent, FIELD_REQUIRED},
	};

	return decode_map(d, v, "requires", fields, ARRAY_LEN(fields), item);
}

static int no_doubles(struct decode *d, const struct ynode *v, const struct kit_words *w)
{
	const struct ynode *at = ynode_first(d->t, v);

	for (size_t i = 0; i < w->n; i++, at = ynode_next(d->t, at)) {
		if (w->v[i].text[0] == '\0')
			return FAULT(d, at, "an empty entry");
		for (size_t j = 0; j < i; j++)
			if (strcmp(w->v[i].text, w->v[j].text) == 0)
				return FAULT(d, at, "'%.64s' is in this list twice", w->v[i].text);
	}
	return 0;
}

static int take_licenses(struct decode *d, const struct ynode *v, void *item)
{
	int r = decode_words(d, v, "licenses", &d->s->licenses);

	(void)item;
	return r < 0 ? r : no_doubles(d, v, &d->s->licenses);
}

/* A dotted path of the grammar: words that begin with a small letter. */
static bool dotted_ok(const char *s)
{
	do {
		size_t n;

		s += *s == '.';
		n = strcspn(s, ".");
		if (*s < 'a' || *s > 'z' ||
			strspn(s,
				"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") !=
				n)
			return false;
		s += n;
	} while (*s);
	return true;
}

static int take_locked(struct decode *d, const struct ynode *v, void *item)
{
	int r = decode_words(d, v, "locked", &d->s->locked);

	(void)item;
	if (r == 0)
		r = no_doubles(d, v, &d->s->locked);
	for (const struct ynode *i = ynode_first(d->t, v); r == 0 && i; i = ynode_next(d->t, i))
		if (!dotted_ok(i->text))
			return FAULT(d, i, "'%.64s' is no path of a field", i->text);
	return r;
}

static int take_url(struct decode *d, const struct ynode *v, void *item)
{
	int r = decode_word(d, v, "sourceURL", &d->s->source_url);
	const char *u = d->s->source_url.text;

	(void)item;
	if (r < 0)
		return r;
	for (size_t i = 0; u[i]; i++)
		if (u[i] <= ' ' || u[i] == 0x7f || i > URL_MAX)
			return FAULT(d, v, "sourceURL is no URL");
	return strncmp(u, "https://", 8) == 0 || strncmp(u, "http://", 7) == 0
		       ? 0
		       : FAULT(d, v, "sourceURL must begin with https:// or http://");
}

static int take_privileged(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	d->s->privileged_at = decode_at(v);
	return decode_bool(d, v, "security.privileged", &d->s->privileged);
}

static int take_security(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"privileged", FIELD_TAKE, 0, take_privileged, FIELD_QUIET},
	};

	return decode_map(d, v, "security", fields, ARRAY_LEN(fields), item);
}

/* ---- instructions ---- */

int decode_content(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_parts *p = &d->s->parts;
	int r;

	(void)item;
	if (p->n_texts)
		return FAULT(d, v, "the text for the agent is here twice");
	p->texts = kit_mem_get(&d->s->mem, sizeof(*p->texts));
	if (!p->texts)
		return decode_nomem(d);
	r = decode_text(d, v, "the text for the agent", &p->texts->text);
	if (r < 0)
		return r;
	if (strstr(p->texts->text, "<!-- sbx:"))
		return FAULT(d, v, "the text for the agent has a mark '<!-- sbx:' of our own");
	p->texts->at = decode_at(v);
	p->n_texts = 1;
	return 0;
}

int decode_instructions_file(struct decode *d, const struct ynode *v, void *item)
{
	int r = decode_word(d, v, "agentInstructions.filename", &d->s->instructions_file);
	const char *f = d->s->instructions_file.text;

	(void)item;
	if (r < 0)
		return r;
	if (!*f || strlen(f) > 255 || strchr(f, '/') || strcmp(f, ".") == 0 || strcmp(f, "..") == 0)
		return FAULT(d, v, "agentInstructions.filename must be a file name without '/'");
	return 0;
}

static int take_instructions(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"filename", FIELD_TAKE, 0, decode_instructions_file, 0},
		{"content", FIELD_TAKE, 0, decode_content, 0},
	};

	return decode_map(d, v, "agentInstructions", fields, ARRAY_LEN(fields), item);
}

static int take_network_install(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"allow", FIELD_TAKE, 0, decode_install_allow, FIELD_REQUIRED},
	};

	return decode_map(d, v, "permissions.network.install", fields, ARRAY_LEN(fields), item);
}

static int take_network(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"allow", FIELD_TAKE, 0, decode_allow, 0},
		{"deny", FIELD_TAKE, 0, decode_deny, 0},
		{"install", FIELD_TAKE, 0, take_network_install, 0},
	};

	return decode_map(d, v, "permissions.network", fields, ARRAY_LEN(fields), item);
}

static int take_permissions(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"network", FIELD_TAKE, 0, take_network, 0},
	};

	return decode_map(d, v, "permissions", fields, ARRAY_LEN(fields), item);
}

static const struct field top2[] = {
	{"schemaVersion", FIELD_SKIP, 0, NULL, FIELD_QUIET},
	{"kind", FIELD_SKIP, 0, NULL, FIELD_QUIET},
	{"name", FIELD_TAKE, 0, decode_name, FIELD_QUIET | FIELD_REQUIRED},
	{"version", FIELD_WORD, IN_SPEC(version), NULL, FIELD_QUIET},
	{"displayName", FIELD_WORD, IN_SPEC(display_name), NULL, FIELD_QUIET},
	{"description", FIELD_WORD, IN_SPEC(description), NULL, FIELD_QUIET},
	{"sourceURL", FIELD_TAKE, 0, take_url, FIELD_QUIET},
	{"licenses", FIELD_TAKE, 0, take_licenses, FIELD_QUIET},
	{"locked", FIELD_TAKE, 0, take_locked, FIELD_QUIET},
	{"args", FIELD_SKIP, 0, NULL, FIELD_QUIET}, /* args.c has read them */
	{"security", FIELD_TAKE, 0, take_security, FIELD_QUIET},
	{"extends", FIELD_TAKE, 0, take_extends, 0},
	{"mixins", FIELD_WORDS, IN_SPEC(mixins), NULL, 0},
	{"requires", FIELD_TAKE, 0, take_requires, 0},
	{"sandbox", FIELD_TAKE, 0, decode_sandbox, 0},
	{"agentInstructions", FIELD_TAKE, 0, take_instructions, 0},
	{"permissions", FIELD_TAKE, 0, take_permissions, 0},
	{"ports", FIELD_TAKE, 0, decode_ports, 0},
	{"credentials", FIELD_TAKE, 0, decode_credentials, 0},
	{"environment", FIELD_TAKE, 0, decode_environment, 0},
	{"setup", FIELD_TAKE, 0, decode_setup, 0},
	{"volumes", FIELD_TAKE, 0, decode_volumes, 0},
};

static const struct ynode *child(const struct ytree *t, const struct ynode *map, const char *name)
{
	const struct ynode *key, *value;

	for (key = ynode_first(t, map); key; key = ynode_next(t, value)) {
		value = ynode_next(t, key);
		if (strcmp(key->text, name) == 0)
			return key;
	}
	return NULL;
}

/* renamed() - a field of schema 1 in a kit of schema 2: what it is called there */
static void renamed(struct decode *d, const struct ynode *root)
{
	static const struct kit_pair names[] = {{"agent", "sandbox"}, {"commands", "setup"},
		{"network", "permissions.network"}, {"caps", "permissions"},
		{"memory", "agentInstructions.content"},
		{"agentContext", "agentInstructions.content"}, {"publishedPorts", "ports"},
		{"tmpfs", "volumes, with type: tmpfs"}, {"oauth", "credentials[].oauth"}};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (child(d->t, root, names[i].key) && d->e && strstr(d->e->msg, "unknown field"))
			err_hint(d->e, "'%s' is of schema 1; schema 2 has %s", names[i].key,
				names[i].value);
}

int decode_v2(struct decode *d, const struct ynode *root)
{
	static const char *const agent_only[] = {"sandbox", "extends", "mixins"};
	int r = decode_map(d, root, "", top2, ARRAY_LEN(top2), d->s);
	const struct ynode *at;

	if (r < 0) {
		renamed(d, root);
		return r;
	}
	for (size_t i = 0; d->s->kind == KIT_MIXIN && i < ARRAY_LEN(agent_only); i++) {
		at = child(d->t, root, agent_only[i]);
		if (at)
			return FAULT(d, at, "a mixin has no field '%s'", agent_only[i]);
	}
	at = child(d->t, root, "requires");
	if (d->s->kind == KIT_SANDBOX && at)
		return FAULT(d, at, "requires is for mixins: this kit is the agent itself");
	if (d->s->kind == KIT_SANDBOX && !child(d->t, root, "sandbox"))
		return FAULT(d, root, "the kit has no field 'sandbox'");
	return 0;
}

/* ---- the fork ---- */

static int word_of(
	struct decode *d, const struct ynode *root, const char *name, const struct ynode **ret)
{
	const struct ynode *key = child(d->t, root, name), *v;

	if (!key)
		return FAULT(d, root, "the kit has no field '%s'", name);
	v = ynode_next(d->t, key);
	if (v->kind != YNODE_SCALAR)
		return FAULT(d, v, "%s must be text", name);
	*ret = v;
	return 0;
}

static int take_kind(struct decode *d, const struct ynode *root)
{
	const struct ynode *v;
	int r = word_of(d, root, "schemaVersion", &v);

	if (r < 0)
		return r;
	if (strcmp(v->text, "1") != 0 && strcmp(v->text, "2") != 0)
		return FAULT(d, v, "schemaVersion must be \"1\" or \"2\"");
	d->s->schema = v->text[0] - '0';
	r = word_of(d, root, "kind", &v);
	if (r < 0)
		return r;
	if (strcmp(v->text, "sandbox") == 0 || (d->s->schema == 1 && strcmp(v->text, "agent") == 0))
		d->s->kind = KIT_SANDBOX;
	else if (strcmp(v->text, "mixin") != 0)
		return FAULT(
			d, v, "kind must be %s or mixin", d->s->schema == 1 ? "agent" : "sandbox");
	return 0;
}

static int decode_tree(struct decode *d, struct ytree *t, const struct kit_args *args,
	const struct kit_holes *holes)
{
	struct ynode *root = &t->nodes[t->root];
	int r;

	d->t = t;
	if (root->kind != YNODE_MAP)
		return FAULT(d, root, "the kit must be a mapping");
	r = take_kind(d, root);
	if (r == 0)
		r = kit_args_read(d, d->s->schema == 2 ? child(t, root, "args") : NULL, holes);
	if (r == 0)
		r = kit_args_give(d, args);
	if (r == 0)
		r = kit_args_fill(d, t, holes);
	if (r == 0)
		r = d->s->schema == 2 ? decode_v2(d, root) : decode_v1(d, root);
	if (r == 0)
		r = decode_whole(d, root);
	return r;
}

static int decode_text_of(
	struct decode *d, const struct kit_entry *spec, const struct kit_args *args)
{
	AUTO(kit_holes) holes = {0};
	AUTO(ytree) t = {0};
	int r;

	if (spec->len > KIT_SPEC_MAX)
		return err_set(d->e, ERR_LIMIT, -EFBIG, "%s:1:1: larger than %u KiB", d->s->file,
			KIT_SPEC_MAX >> 10);
	r = kit_holes_find(&holes, d->s->file, spec->bytes, spec->len, d->e);
	if (r == 0)
		r = yaml_read(d->s->file, holes.masked, spec->len, &t, d->e);
	if (r == 0)
		r = decode_tree(d, &t, args, &holes);
	return r;
}

int kit_name_of(
	const struct kit_tree *tree, const char *file, char name[KIT_NAME_BYTES], struct err *e)
{
	const struct kit_entry *spec = kit_tree_find(tree, "spec.yaml");
	AUTO(kit_holes) holes = {0};
	AUTO(ytree) t = {0};
	const struct ynode *key;
	int r;

	name[0] = '\0';
	if (!spec || spec->type != KIT_FILE || spec->len > KIT_SPEC_MAX)
		return 0; /* kit_decode() says so */
	r = kit_holes_find(&holes, file, spec->bytes, spec->len, e);
	if (r == 0)
		r = yaml_read(file, holes.masked, spec->len, &t, e);
	if (r < 0 || t.nodes[t.root].kind != YNODE_MAP)
		return r;
	key = child(&t, &t.nodes[t.root], "name");
	if (key && ynode_next(&t, key)->kind == YNODE_SCALAR)
		(void)snprintf(name, KIT_NAME_BYTES, "%s", ynode_next(&t, key)->text);
	return 0;
}

int kit_decode(const struct kit_tree *tree, const char *file, const struct kit_args *args,
	struct kit_spec **ret_spec, struct err *e)
{
	const struct kit_entry *spec = kit_tree_find(tree, "spec.yaml");
	AUTO_KIT_SPEC *s = calloc(1, sizeof(*s));
	struct decode d = {.s = s, .e = e};
	int r;

	if (!spec || spec->type != KIT_FILE)
		return err_set(e, ERR_INVALID, -EINVAL, "%s:1:1: the kit has no spec.yaml", file);
	if (!s)
		return err_sys(e, -ENOMEM, "read '%s'", file);
	s->tree = tree;
	s->file = kit_mem_str(&s->mem, file);
	if (!s->file)
		return err_sys(e, -ENOMEM, "read '%s'", file);
	r = decode_text_of(&d, spec, args);
	if (r < 0)
		return r;
	*ret_spec = TAKE(s);
	return 0;
}

void kit_spec_free(struct kit_spec *s)
{
	if (!s)
		return;
	kit_mem_fini(&s->mem);
	free(s);
}

void kit_spec_freep(struct kit_spec **s)
{
	kit_spec_free(*s);
}
