#include "kit/args.h"
#include "kit/decode.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOME_DIR      "files/home/"
#define WORKSPACE_DIR "files/workspace/"

/* ---- the kit's files ---- */

static bool begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

static int put_files(struct decode *d, const char *dir, struct kit_placed **ret, size_t *ret_n)
{
	const struct kit_tree *t = d->s->tree;
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += begins(t->v[i].path, dir);
	*ret = kit_mem_array(&d->s->mem, n, sizeof(**ret));
	if (!*ret)
		return decode_nomem(d);
	*ret_n = 0;
	for (size_t i = 0; i < t->n; i++) {
		struct kit_placed p = {.entry = &t->v[i], .path = t->v[i].path + strlen(dir)};
		int r;

		if (!begins(t->v[i].path, dir))
			continue;
		p.bytes = p.entry->bytes;
		p.len = p.entry->len;
		r = p.entry->type == KIT_FILE ? kit_args_file(d, p.entry, &p.bytes, &p.len) : 0;
		if (r < 0)
			return r;
		(*ret)[(*ret_n)++] = p;
	}
	return 0;
}

/* Git runs what lies in .git: a kit that writes into a workspace does not get there. */
static int judge_workspace(struct decode *d)
{
	const struct kit_parts *p = &d->s->parts;
	size_t dir = strlen(d->s->file) - strlen("spec.yaml");

	for (size_t i = 0; i < p->n_workspace; i++) {
		const char *c = p->workspace[i].path;

		if (p->workspace[i].entry->type == KIT_LINK)
			return err_set(d->e, ERR_INVALID, -EINVAL,
				"%.*s%s:1:1: files/workspace holds no links", (int)dir, d->s->file,
				p->workspace[i].entry->path);
		for (; c; c = strchr(c, '/')) {
			c += *c == '/';
			if (strncasecmp(c, ".git", 4) == 0 && (c[4] == '/' || c[4] == '\0'))
				return err_set(d->e, ERR_INVALID, -EINVAL,
					"%.*s%s:1:1: a kit does not write into .git", (int)dir,
					d->s->file, p->workspace[i].entry->path);
		}
	}
	return 0;
}

static int warn_others(struct decode *d)
{
	const struct kit_tree *t = d->s->tree;

	for (size_t i = 0; i < t->n; i++) {
		const char *rest = begins(t->v[i].path, "files/") ? t->v[i].path + 6 : NULL;

		if (rest && !strchr(rest, '/') && strcmp(rest, "home") != 0 &&
			strcmp(rest, "workspace") != 0) {
			int r = decode_warn(d, (struct kit_place){0, 1, 1},
				"%.200s is left out: files has home and workspace", t->v[i].path);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* ---- what fields say together ---- */

static int judge_volumes(struct decode *d)
{
	const struct kit_parts *p = &d->s->parts;

	for (size_t i = 0; i < p->n_volumes; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(p->volumes[i].path, p->volumes[j].path) == 0)
				return kit_fault(d->e, d->s, p->volumes[i].at,
					"the volume %.256s is there twice", p->volumes[i].path);
	return 0;
}

static int judge_ports(struct decode *d)
{
	const struct kit_parts *p = &d->s->parts;

	for (size_t i = 0; i < p->n_ports; i++)
		for (size_t j = 0; j < i; j++)
			if (p->ports[i].container == p->ports[j].container &&
				(strcmp(p->ports[i].protocol, "udp") == 0) ==
					(strcmp(p->ports[j].protocol, "udp") == 0))
				return kit_fault(d->e, d->s, p->ports[i].at,
					"the port %u is there twice", p->ports[i].container);
	return 0;
}

/* A variable that holds a stand-in cannot be something else as well. */
static int judge_variables(struct decode *d)
{
	const struct kit_parts *p = &d->s->parts;

	for (size_t i = 0; i < p->n_creds; i++)
		for (size_t j = 0; j < p->creds[i].variables.n; j++)
			for (size_t k = 0; k < p->n_vars; k++)
				if (strcmp(p->vars[k].name, p->creds[i].variables.v[j].text) == 0)
					return kit_fault(d->e, d->s, p->vars[k].at,
						"%.64s holds the stand-in of the credential "
						"'%s' (line %u): it cannot be set",
						p->vars[k].name, p->creds[i].service,
						p->creds[i].variables.v[j].at.line);
	return 0;
}

static int warn_mixin(struct decode *d)
{
	struct kit_spec *s = d->s;

	if (s->mixins.n &&
		decode_warn(d, s->mixins.v[0].at,
			"mixins are not applied by themselves: give them with --kit") < 0)
		return -ENOMEM;

	if (s->kind == KIT_MIXIN && s->instructions_file.text) {
		struct kit_place at = s->instructions_file.at;

		s->instructions_file.text = NULL;
		return decode_warn(
			d, at, "the file of instructions is the agent's: a mixin's is left out");
	}
	return 0;
}

/* note() - a field that counts only with this value */
static int note_value(struct decode *d, const char *field, struct kit_place at)
{
	struct kit_spec *s = d->s;
	struct kit_use *uses = kit_mem_array(&s->mem, s->n_uses + 1, sizeof(*uses));

	if (!uses)
		return decode_nomem(d);
	if (s->n_uses)
		memcpy(uses, s->uses, s->n_uses * sizeof(*uses));
	uses[s->n_uses++] = (struct kit_use){.field = field, .at = at};
	s->uses = uses;
	s->cap_uses = s->n_uses;
	return 0;
}

static int note_values(struct decode *d)
{
	const struct kit_spec *s = d->s;
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->parts.n_files; i++)
		if (s->parts.files[i].if_missing)
			r = note_value(d, "onlyIfMissing", s->parts.files[i].at);
	for (size_t i = 0; r == 0 && i < s->parts.n_creds; i++)
		if (s->parts.creds[i].oauth.at.line && s->parts.creds[i].oauth.passthrough)
			r = note_value(d, "oauth passthrough", s->parts.creds[i].oauth.at);
	if (r == 0 && s->privileged)
		r = note_value(d, "security.privileged", s->privileged_at);
	if (r == 0 && s->parts.n_workspace)
		r = note_value(d, "files/workspace", (struct kit_place){0, 1, 1});
	return r;
}

int decode_whole(struct decode *d, const struct ynode *root)
{
	struct kit_parts *p = &d->s->parts;
	int r = d->s->kind == KIT_SANDBOX ? decode_runs(d, root) : 0;

	if (r == 0)
		r = judge_volumes(d);
	if (r == 0)
		r = judge_ports(d);
	if (r == 0)
		r = judge_variables(d);
	if (r == 0)
		r = put_files(d, HOME_DIR, &p->home, &p->n_home);
	if (r == 0)
		r = put_files(d, WORKSPACE_DIR, &p->workspace, &p->n_workspace);
	if (r == 0)
		r = judge_workspace(d);
	if (r == 0)
		r = warn_others(d);
	if (r == 0)
		r = warn_mixin(d);
	return r == 0 ? note_values(d) : r;
}
