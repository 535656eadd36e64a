#include "kit/plan.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WARNINGS_MAX 128

struct compose {
	struct kit_plan *p;
	struct err *e;
};

static int nomem(const struct compose *c)
{
	return err_sys(c->e, -ENOMEM, "put kits together");
}

static const struct kit_spec *spec_of(const struct compose *c, size_t i)
{
	return c->p->kits[i].spec;
}

/* same_kit() - the same bytes with the same arguments */
static int same_kit(const struct kit_spec *a, const struct kit_spec *b)
{
	AUTO(buf) x, y;

	if (a == b)
		return 1;
	if (a->n_args != b->n_args)
		return 0;
	for (size_t i = 0; i < a->n_args; i++)
		if (strcmp(a->args[i].name, b->args[i].name) != 0 ||
			strcmp(a->args[i].value, b->args[i].value) != 0)
			return 0;
	buf_init(&x, 2 * KIT_TREE_BYTES_MAX);
	buf_init(&y, 2 * KIT_TREE_BYTES_MAX);
	if (kit_tree_bytes(a->tree, &x) < 0 || kit_tree_bytes(b->tree, &y) < 0)
		return -ENOMEM;
	return x.len == y.len && memcmp(buf_str(&x), buf_str(&y), x.len) == 0;
}

static int two_places(const struct compose *c, const struct kit_spec *a, struct kit_place at,
	const struct kit_spec *b, struct kit_place other, const char *fmt, ...) PRINTF_LIKE(6, 7);
static int two_places(const struct compose *c, const struct kit_spec *a, struct kit_place at,
	const struct kit_spec *b, struct kit_place other, const char *fmt, ...)
{
	char text[ERR_MSG_MAX / 2];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(c->e, ERR_CONFLICT, -EINVAL, "%s:%u:%u: %s (%s:%u:%u)", a->file, at.line,
		at.column, text, b->file, other.line, other.column);
}

/* take_member() - 1: it is one of the plan now; 0: it was there already */
static int take_member(struct compose *c, const struct kit_member *k)
{
	struct kit_plan *p = c->p;

	for (size_t i = 0; i < p->n_kits; i++) {
		const struct kit_spec *other = spec_of(c, i);
		int same;

		if (strcmp(other->name.text, k->spec->name.text) != 0)
			continue;
		same = same_kit(other, k->spec);
		if (same < 0)
			return nomem(c);
		if (same && i > p->agent)
			return 0;
		return two_places(c, k->spec, k->spec->name.at, other, other->name.at,
			"another kit is called '%s'", other->name.text);
	}
	p->kits[p->n_kits++] = *k;
	return 1;
}

/* adopt() - the parts of the kit that was taken last, each item marked as its own */
#define MARK(list, n, kit_index)                                                                   \
	for (size_t mark_ = 0; mark_ < (n); mark_++)                                               \
	(list)[mark_].at.kit = (kit_index)

static int copy_list(const struct compose *c, void *list, size_t n, size_t size)
{
	void *v, *own = kit_mem_array(&c->p->mem, n, size);

	if (!own)
		return nomem(c);
	memcpy(&v, list, sizeof(v));
	if (n)
		memcpy(own, v, n * size);
	memcpy(list, &own, sizeof(own));
	return 0;
}

static int mark_creds(const struct compose *c, struct kit_parts *p, unsigned kit)
{
	MARK(p->creds, p->n_creds, kit);
	for (size_t i = 0; i < p->n_creds; i++) {
		struct kit_credential *k = &p->creds[i];
		int r = copy_list(c, &k->injects, k->n_injects, sizeof(*k->injects));

		if (r == 0)
			r = copy_list(c, &k->variables.v, k->variables.n, sizeof(*k->variables.v));
		if (r < 0)
			return r;
		MARK(k->injects, k->n_injects, kit);
		MARK(k->variables.v, k->variables.n, kit);
		k->oauth.at.kit = kit;
	}
	return 0;
}

static int own_parts(
	const struct compose *c, const struct kit_parts *from, unsigned kit, struct kit_parts *ret)
{
	struct kit_parts p = *from;
	int r = 0;

#define OWN(list, n)                                                                               \
	do {                                                                                       \
		r = r < 0 ? r : copy_list(c, &(list), (n), sizeof(*(list)));                       \
		if (r == 0)                                                                        \
			MARK(list, n, kit);                                                        \
	} while (0)
	OWN(p.allow.v, p.allow.n);
	OWN(p.deny.v, p.deny.n);
	OWN(p.install_allow.v, p.install_allow.n);
	OWN(p.vars, p.n_vars);
	OWN(p.ports, p.n_ports);
	OWN(p.volumes, p.n_volumes);
	OWN(p.install, p.n_install);
	OWN(p.startup, p.n_startup);
	OWN(p.files, p.n_files);
	OWN(p.texts, p.n_texts);
	OWN(p.home, p.n_home);
	OWN(p.workspace, p.n_workspace);
#undef OWN
	if (r == 0)
		r = copy_list(c, &p.creds, p.n_creds, sizeof(*p.creds));
	if (r == 0)
		r = mark_creds(c, &p, kit);
	*ret = p;
	return r;
}

static int adopt(struct compose *c, bool extends)
{
	unsigned kit = (unsigned)c->p->n_kits - 1;
	const struct kit_merge m = {
		.mem = &c->p->mem, .kits = c->p->kits, .extends = extends, .e = c->e};
	struct kit_parts own;
	int r = own_parts(c, &spec_of(c, kit)->parts, kit, &own);

	c->p->privileged |= spec_of(c, kit)->privileged;
	return r == 0 ? kit_parts_merge(&m, &c->p->parts, &own) : r;
}

/* take_agent() - what only agents say; a child's word replaces its parent's */
static void take_agent(struct kit_plan *p, const struct kit_spec *s)
{
	if (s->image.text)
		p->image = s->image;
	if (s->entrypoint.given)
		p->entrypoint = s->entrypoint;
	if (s->command.given || s->interactive.given) {
		p->command = s->command;
		p->interactive = s->interactive;
	}
	if (s->cpu_milli)
		p->cpu_milli = s->cpu_milli;
	if (s->memory_bytes)
		p->memory_bytes = s->memory_bytes;
	if (s->gpu.text)
		p->gpu = s->gpu;
	if (s->instructions_file.text)
		p->instructions_file = s->instructions_file;
}

/* beneath() - is @field @path, or part of it? "a.b.c" is beneath "a.b" */
static bool beneath(const char *field, const char *path)
{
	size_t n = strlen(path);

	return strncmp(field, path, n) == 0 && (field[n] == '\0' || field[n] == '.');
}

/* check_locked() - what a parent has locked, no kit that extends it says otherwise. A field that holds a
 * locked one is met by the part that is said, not by its name alone.
 */
static int check_locked(
	const struct compose *c, const struct kit_spec *parent, const struct kit_spec *child)
{
	for (size_t i = 0; i < parent->locked.n; i++) {
		const struct kit_word *lock = &parent->locked.v[i];

		for (size_t k = 0; k < child->n_uses; k++)
			if (beneath(child->uses[k].field, lock->text))
				return two_places(c, child, child->uses[k].at, parent, lock->at,
					"'%s' has locked %s", parent->name.text, lock->text);
	}
	return 0;
}

static int take_lineage(struct compose *c, const struct kit_member *lineage, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct kit_spec *s = lineage[i].spec;
		int r;

		if (s->kind != KIT_SANDBOX)
			return kit_fault(c->e, s, s->name.at,
				"'%s' is a mixin: it extends an agent", s->name.text);
		if (i > 0 && (!s->extends.text ||
				     strcmp(s->extends.text, lineage[i - 1].spec->name.text) != 0))
			return kit_fault(c->e, s, s->name.at, "'%s' does not extend '%s'",
				s->name.text, lineage[i - 1].spec->name.text);
		if (i == 0 && s->extends.text)
			return kit_fault(
				c->e, s, s->extends.at, "'%s' is not known here", s->extends.text);
		for (size_t j = 0; j < i; j++)
			if (strcmp(lineage[j].spec->name.text, s->name.text) == 0)
				return two_places(c, lineage[j + 1].spec,
					lineage[j + 1].spec->extends.at, s, s->name.at,
					"'%s' extends itself", s->name.text);
		for (size_t j = 0; j < i; j++)
			if (check_locked(c, lineage[j].spec, s) < 0)
				return -EINVAL;
		c->p->agent = i;
		r = take_member(c, &lineage[i]);
		if (r >= 0)
			r = adopt(c, i > 0);
		if (r < 0)
			return r;
		take_agent(c->p, s);
	}
	if (c->p->entrypoint.n + c->p->command.n == 0 && !c->p->image.text)
		return kit_fault(c->e, lineage[n - 1].spec, lineage[n - 1].spec->name.at,
			"the agent has neither entrypoint nor command: nothing to run");
	return 0;
}

static int check_requires(const struct compose *c, const struct kit_spec *s)
{
	const struct kit_plan *p = c->p;
	const struct kit_spec *agent = spec_of(c, p->agent);

	for (size_t i = 0; i <= p->agent; i++)
		if (strcmp(spec_of(c, i)->name.text, s->requires_agent.text) == 0)
			return 0;
	/* of two mixins for different agents the other one is the better explanation */
	for (size_t i = p->agent + 1; i + 1 < p->n_kits; i++) {
		const struct kit_spec *o = spec_of(c, i);

		if (o->requires_agent.text &&
			strcmp(o->requires_agent.text, s->requires_agent.text) != 0)
			return two_places(c, s, s->requires_agent.at, o, o->requires_agent.at,
				"'%s' is for the agent '%s', '%s' for '%s'", s->name.text,
				s->requires_agent.text, o->name.text, o->requires_agent.text);
	}
	return two_places(c, s, s->requires_agent.at, agent, agent->name.at,
		"'%s' is for the agent '%s', not for '%s'", s->name.text, s->requires_agent.text,
		agent->name.text);
}

static int take_mixins(struct compose *c, const struct kit_member *mixins, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct kit_spec *s = mixins[i].spec;
		int r;

		if (s->kind != KIT_MIXIN)
			return two_places(c, s, s->name.at, spec_of(c, c->p->agent),
				spec_of(c, c->p->agent)->name.at,
				"'%s' is an agent, and there is one already", s->name.text);
		r = take_member(c, &mixins[i]);
		if (r == 1 && s->requires_agent.text && check_requires(c, s) < 0)
			return -EINVAL;
		if (r == 1)
			r = adopt(c, false);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- what all of it says together ---- */

static int warn(struct compose *c, struct kit_place at, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int warn(struct compose *c, struct kit_place at, const char *fmt, ...)
{
	struct kit_plan *p = c->p;
	char text[ERR_MSG_MAX];
	va_list ap;

	if (p->n_warnings == WARNINGS_MAX)
		return 0;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->warnings[p->n_warnings] =
		(struct kit_word){.text = kit_mem_str(&p->mem, text), .at = at};
	return p->warnings[p->n_warnings++].text ? 0 : nomem(c);
}

static int check_variables(struct compose *c)
{
	const struct kit_parts *p = &c->p->parts;

	for (size_t i = 0; i < p->n_creds; i++)
		for (size_t j = 0; j < p->creds[i].variables.n; j++) {
			const struct kit_word *w = &p->creds[i].variables.v[j];

			for (size_t k = 0; k < p->n_vars; k++)
				if (strcmp(p->vars[k].name, w->text) == 0)
					return two_places(c, spec_of(c, p->vars[k].at.kit),
						p->vars[k].at, spec_of(c, w->at.kit), w->at,
						"%s holds the stand-in of the credential '%s': it "
						"cannot be set",
						w->text, p->creds[i].service);
			for (size_t k = 0; k < i; k++)
				for (size_t l = 0; l < p->creds[k].variables.n; l++)
					if (strcmp(p->creds[k].variables.v[l].text, w->text) == 0)
						return two_places(c, spec_of(c, w->at.kit), w->at,
							spec_of(c, p->creds[k].at.kit),
							p->creds[k].variables.v[l].at,
							"%s holds two credentials", w->text);
		}
	return 0;
}

static int note_warnings(struct compose *c)
{
	const struct kit_parts *p = &c->p->parts;
	int r = 0;

	c->p->warnings = kit_mem_array(&c->p->mem, WARNINGS_MAX, sizeof(*c->p->warnings));
	if (!c->p->warnings)
		return nomem(c);
	for (size_t i = 0; i < c->p->n_kits; i++)
		for (size_t j = 0; r == 0 && j < spec_of(c, i)->n_warnings; j++) {
			struct kit_place at = spec_of(c, i)->warnings[j].at;

			at.kit = (unsigned)i;
			r = warn(c, at, "%s", spec_of(c, i)->warnings[j].text);
		}
	for (size_t i = 0; i < p->n_creds; i++)
		if (r == 0 && !p->creds[i].owner)
			r = warn(c, p->creds[i].at,
				"no kit owns the credential '%s': its routes are unused",
				p->creds[i].service);
	for (size_t i = 0; r == 0 && !c->p->instructions_file.text && i < p->n_texts; i++)
		r = warn(c, p->texts[i].at,
			"the agent reads no file of instructions: this text goes nowhere");
	return r;
}

static int compose(struct compose *c, const struct kit_member *lineage, size_t n_lineage,
	const struct kit_member *mixins, size_t n_mixins)
{
	int r = take_lineage(c, lineage, n_lineage);

	if (r == 0)
		r = take_mixins(c, mixins, n_mixins);
	if (r == 0)
		r = check_variables(c);
	return r == 0 ? note_warnings(c) : r;
}

int kit_compose(const struct kit_member *lineage, size_t n_lineage, const struct kit_member *mixins,
	size_t n_mixins, struct kit_plan **ret_plan, struct err *e)
{
	AUTO_KIT_PLAN *p = NULL;
	struct compose c = {.e = e};
	int r;

	if (n_lineage == 0 || n_lineage > KIT_PARENTS_MAX + 1 || n_mixins > KIT_MIXINS_MAX)
		return err_set(e, ERR_LIMIT, -E2BIG,
			"more than %d kits that extend each other, or %d mixins",
			KIT_PARENTS_MAX + 1, KIT_MIXINS_MAX);
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_sys(e, -ENOMEM, "put kits together");
	c.p = p;
	r = compose(&c, lineage, n_lineage, mixins, n_mixins);
	if (r < 0)
		return r;
	*ret_plan = TAKE(p);
	return 0;
}

int kit_plan_check_enforced(const struct kit_plan *p, struct err *e)
{
	for (size_t i = 0; i < p->n_kits; i++) {
		int r = kit_check_enforced(p->kits[i].spec, e);

		if (r < 0)
			return r;
	}
	return 0;
}

void kit_plan_free(struct kit_plan *p)
{
	if (!p)
		return;
	kit_mem_fini(&p->mem);
	free(p);
}

void kit_plan_freep(struct kit_plan **p)
{
	kit_plan_free(*p);
}
