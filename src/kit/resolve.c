#include "kit/resolve.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ARGS_MOST 256

struct resolve {
	const struct kit_request *q;
	struct kit_resolved *out;
	struct err *e;
	bool used[ARGS_MOST]; /* which of q->args some kit took */
};

/* decode() - with the arguments that are this kit's: those without a kit's name, and those with its own */
static int decode(struct resolve *rs, const struct kit_source *src, struct kit_spec **ret)
{
	AUTO_FREE struct kit_pair *mine = calloc(rs->q->n_args + 1, sizeof(*mine));
	struct kit_args args = {.v = mine, .loose = true};
	char name[KIT_NAME_BYTES] = "";
	bool dotted = false;
	int r;

	if (!mine)
		return err_sys(rs->e, -ENOMEM, "read '%s'", src->file);
	for (size_t i = 0; i < rs->q->n_args; i++)
		dotted |= strchr(rs->q->args[i].key, '.') != NULL;
	r = dotted ? kit_name_of(&src->tree, src->file, name, rs->e) : 0;
	for (size_t i = 0; r == 0 && i < rs->q->n_args; i++) {
		const struct kit_pair *p = &rs->q->args[i];
		const char *dot = strchr(p->key, '.');
		size_t n = dot ? (size_t)(dot - p->key) : 0;

		if (dot && (n != strlen(name) || strncmp(p->key, name, n) != 0))
			continue;
		mine[args.n++] =
			(struct kit_pair){.key = dot ? dot + 1 : p->key, .value = p->value};
	}
	if (r == 0)
		r = kit_decode(&src->tree, src->file, &args, ret, rs->e);
	for (size_t i = 0; r == 0 && i < rs->q->n_args; i++) {
		const char *key = rs->q->args[i].key, *dot = strchr(key, '.');

		if (dot && ((size_t)(dot - key) != strlen(name) ||
				   strncmp(key, name, strlen(name)) != 0))
			continue;
		for (size_t j = 0; j < (*ret)->n_args; j++)
			rs->used[i] |= strcmp((*ret)->args[j].name, dot ? dot + 1 : key) == 0;
	}
	return r;
}

static int set_origin(struct resolve *rs, struct kit_source *src, const char *origin)
{
	if (!origin || src->kind == KIT_BUILTIN)
		return 0;
	if (origin[0] == '\0' || snprintf(src->origin, sizeof(src->origin), "%s", origin) >=
					 (int)sizeof(src->origin))
		return err_set(rs->e, ERR_INVALID, -EINVAL,
			"the origin of kit '%.200s' is empty or "
			"too long",
			src->file);
	return 0;
}

static int add(struct resolve *rs, const char *ref, const char *origin, size_t *ret_at)
{
	struct kit_resolved *out = rs->out;
	AUTO_FREE struct kit_source *src = calloc(1, sizeof(*src));
	size_t at = out->n;
	int r;

	if (at == KIT_PLAN_KITS)
		return err_set(rs->e, ERR_LIMIT, -E2BIG, "more than %d kits", KIT_PLAN_KITS);
	if (!src)
		return err_sys(rs->e, -ENOMEM, "read kit '%.200s'", ref);
	r = kit_source_read(ref, rs->q->data_dir, rs->q->tmp, src, rs->e);
	if (r < 0)
		return r;
	out->sources[at] = TAKE(src);
	out->n++;
	r = set_origin(rs, out->sources[at], origin);
	if (r == 0)
		r = decode(rs, out->sources[at], &out->specs[at]);
	if (r == 0)
		r = kit_source_check_name(out->sources[at], out->specs[at], rs->q->data_dir, rs->e);
	*ret_at = at;
	return r;
}

/* add_parents() - of the agent, which is the first: each is a built-in kit */
static int add_parents(struct resolve *rs)
{
	struct kit_resolved *out = rs->out;
	size_t at = 0;

	while (out->specs[at]->extends.text) {
		const struct kit_spec *child = out->specs[at];
		int r;

		for (size_t i = 0; i <= at; i++)
			if (strcmp(out->specs[i]->name.text, child->extends.text) == 0)
				return err_set(rs->e, ERR_CONFLICT, -ELOOP,
					"%s:%u:%u: '%s' extends itself (%s:%u:%u)", child->file,
					child->extends.at.line, child->extends.at.column,
					child->extends.text, out->specs[i]->file,
					out->specs[i]->name.at.line, out->specs[i]->name.at.column);
		if (at == KIT_PARENTS_MAX)
			return kit_fault(rs->e, child, child->extends.at,
				"more than %d kits extend each other", KIT_PARENTS_MAX);
		r = add(rs, child->extends.text, NULL, &at);
		if (r == -ENOENT) {
			(void)kit_fault(rs->e, child, child->extends.at,
				"there is no built-in kit '%s'", child->extends.text);
			return r;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static struct kit_member member(const struct kit_resolved *out, size_t i)
{
	return (struct kit_member){.spec = out->specs[i],
		.origin = out->sources[i]->origin,
		.builtin = out->sources[i]->kind == KIT_BUILTIN};
}

static int put_together(struct resolve *rs)
{
	struct kit_member lineage[KIT_PARENTS_MAX + 1], mixins[KIT_MIXINS_MAX + 1];
	struct kit_resolved *out = rs->out;
	size_t n = out->first_mixin;

	for (size_t i = 0; i < n; i++)
		lineage[i] = member(out, n - 1 - i);
	for (size_t i = n; i < out->n; i++)
		mixins[i - n] = member(out, i);
	return kit_compose(lineage, n, mixins, out->n - n, &out->plan, rs->e);
}

static int resolve(struct resolve *rs)
{
	const struct kit_request *q = rs->q;
	size_t at;
	int r = q->agent ? add(rs, q->agent, q->agent_origin, &at) : 0;

	if (r == 0 && q->agent)
		r = add_parents(rs);
	rs->out->first_mixin = rs->out->n;
	if (r == 0 && q->n_mixins > KIT_MIXINS_MAX)
		r = err_set(rs->e, ERR_LIMIT, -E2BIG, "more than %d kits", KIT_MIXINS_MAX);
	for (size_t i = 0; r == 0 && i < q->n_mixins; i++)
		r = add(rs, q->mixins[i], q->origins ? q->origins[i] : NULL, &at);
	for (size_t i = 0; r == 0 && i < q->n_args; i++)
		if (!rs->used[i])
			r = err_set(rs->e, ERR_INVALID, -EINVAL, "no kit has an argument '%.128s'",
				q->args[i].key);
	return r == 0 && q->agent ? put_together(rs) : r;
}

int kit_resolve(const struct kit_request *q, struct kit_resolved **ret, struct err *e)
{
	AUTO_KIT_RESOLVED *out = calloc(1, sizeof(*out));
	struct resolve rs = {.q = q, .out = out, .e = e};
	int r;

	if (!out)
		return err_sys(e, -ENOMEM, "read kits");
	if (q->n_args > ARGS_MOST)
		return err_set(e, ERR_LIMIT, -E2BIG, "more than %d arguments", ARGS_MOST);
	r = resolve(&rs);
	if (r < 0)
		return r;
	*ret = TAKE(out);
	return 0;
}

void kit_resolved_free(struct kit_resolved *r)
{
	if (!r)
		return;
	kit_plan_free(r->plan);
	for (size_t i = 0; i < r->n; i++) {
		kit_spec_free(r->specs[i]);
		kit_source_fini(r->sources[i]);
		free(r->sources[i]);
	}
	free(r);
}

void kit_resolved_freep(struct kit_resolved **r)
{
	kit_resolved_free(*r);
}
