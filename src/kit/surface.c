#include "kit/plan.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINES_MAX 8192

void kit_surface_fini(struct kit_surface *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct kit_surface){0};
}

void kit_surface_auto(struct kit_surface *s)
{
	kit_surface_fini(s);
}

static bool line(struct kit_surface *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool line(struct kit_surface *s, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	if (!s->v)
		s->v = calloc(LINES_MAX, sizeof(*s->v));
	if (!s->v || s->n == LINES_MAX)
		return true;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (!text)
		return true;
	s->v[s->n++] = text;
	return false;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_unique(struct kit_surface *s)
{
	size_t kept = 0;

	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), by_text);
	for (size_t i = 0; i < s->n; i++) {
		if (kept && strcmp(s->v[kept - 1], s->v[i]) == 0)
			free(s->v[i]);
		else
			s->v[kept++] = s->v[i];
	}
	s->n = kept;
}

static bool foreign(const struct kit_plan *p, struct kit_place at)
{
	return !p->kits[at.kit].builtin;
}

/* one_line() - a command as somebody reads it: its breaks shown */
static char *one_line(const char *text)
{
	size_t n = strlen(text);
	char *out = malloc(2 * n + 1), *to = out;

	for (size_t i = 0; out && i < n; i++) {
		if (text[i] == '\n' || text[i] == '\\') {
			*to++ = '\\';
			*to++ = text[i] == '\n' ? 'n' : '\\';
		} else {
			*to++ = text[i];
		}
	}
	if (out)
		*to = '\0';
	return out;
}

static bool add_network(const struct kit_plan *p, struct kit_surface *s)
{
	const struct kit_parts *q = &p->parts;
	bool bad = false;

	for (size_t i = 0; i < q->allow.n; i++)
		if (foreign(p, q->allow.v[i].at))
			bad |= line(s, "network allow %s", q->allow.v[i].text);
	for (size_t i = 0; i < q->install_allow.n; i++)
		if (foreign(p, q->install_allow.v[i].at))
			bad |= line(s, "network allow %s, while installing",
				q->install_allow.v[i].text);
	/* whoever wrote it: to drop it is to ask for more */
	for (size_t i = 0; i < q->deny.n; i++)
		bad |= line(s, "- network deny %s", q->deny.v[i].text);
	for (size_t i = 0; i < q->n_ports; i++)
		if (foreign(p, q->ports[i].at))
			bad |= line(s, "port %u/%s", q->ports[i].container,
				q->ports[i].protocol[0] ? q->ports[i].protocol : "tcp4");
	return bad;
}

/* when() - what is open at one time only; to drop such a word is to ask for more, and is another line */
static const char *when(enum kit_phase phase)
{
	return phase == KIT_PHASE_INSTALL   ? ", while installing"
	       : phase == KIT_PHASE_RUNTIME ? ", not while installing"
					    : "";
}

static bool add_cred(
	const struct kit_plan *p, const struct kit_credential *c, struct kit_surface *s)
{
	bool bad = false, theirs = foreign(p, c->at);

	for (size_t i = 0; theirs && i < c->variables.n; i++)
		bad |= line(s, "credential %s stands for %s", c->variables.v[i].text, c->service);
	for (size_t i = 0; theirs && i < c->env.n; i++)
		bad |= line(s, "credential %s from the host's variable %s", c->service,
			c->env.v[i].text);
	if (theirs && c->file_path)
		bad |= line(s, "credential %s from the host's file %s (%s)", c->service,
			c->file_path, c->file_parser ? c->file_parser : "whole");
	for (size_t i = 0; i < c->n_injects; i++) {
		const struct kit_inject *in = &c->injects[i];

		if (foreign(p, in->at))
			bad |= line(s, "credential %s to %s %s%s%s%s", c->service, in->domain,
				in->username ? "as Basic "
				: in->header ? in->header
					     : "as its service says",
				in->username ? in->username
				: in->header ? ": "
					     : "",
				!in->username && in->format ? in->format : "", when(c->phase));
	}
	if (theirs && c->oauth.at.line) {
		bad |= line(s, "credential %s by login at %s%s%s", c->service, c->oauth.host,
			c->oauth.path,
			c->oauth.passthrough ? ", the real token enters the sandbox" : "");
		for (size_t i = 0; i < c->oauth.hosts.n; i++)
			bad |= line(s, "credential %s of that login to %s", c->service,
				c->oauth.hosts.v[i].text);
	}
	return bad;
}

static bool add_commands(const struct kit_plan *p, const char *when, const struct kit_command *v,
	size_t n, struct kit_surface *s)
{
	bool bad = false;

	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *text = NULL;
		AUTO(buf) argv;

		if (!foreign(p, v[i].at))
			continue;
		buf_init(&argv, KIT_SPEC_MAX);
		for (size_t j = 0; j < v[i].argv.n; j++)
			bad |= buf_addf(&argv, "%s%s", j ? " " : "", v[i].argv.v[j].text) < 0;
		text = one_line(v[i].shell ? v[i].shell : buf_str(&argv));
		bad |= !text || line(s, "%s as %s: %s", when, v[i].user, text);
	}
	return bad;
}

static bool add_inside(const struct kit_plan *p, struct kit_surface *s)
{
	const struct kit_parts *q = &p->parts;
	bool bad = false;

	for (size_t i = 0; i < q->n_vars; i++)
		if (q->vars[i].steers && foreign(p, q->vars[i].at)) {
			AUTO_FREE char *text = one_line(q->vars[i].value);

			bad |= !text || line(s, "variable %s=%s", q->vars[i].name, text);
		}
	for (size_t i = 0; i < q->n_volumes; i++)
		if (foreign(p, q->volumes[i].at) && !q->volumes[i].tmpfs)
			bad |= line(s, "volume %s of %llu bytes", q->volumes[i].path,
				(unsigned long long)q->volumes[i].bytes);
	for (size_t i = 0; i < q->n_workspace; i++)
		if (foreign(p, q->workspace[i].at) && q->workspace[i].entry->type == KIT_FILE)
			bad |= line(s, "writes into the workspace: %s%s", q->workspace[i].path,
				q->workspace[i].entry->mode & 0111 ? " (executable)" : "");
	return bad;
}

int kit_plan_surface(const struct kit_plan *p, struct kit_surface *ret_surface)
{
	struct kit_surface s = {0};
	bool bad = add_network(p, &s);

	for (size_t i = 0; i < p->parts.n_creds; i++)
		bad |= add_cred(p, &p->parts.creds[i], &s);
	bad |= add_commands(p, "install", p->parts.install, p->parts.n_install, &s);
	bad |= add_commands(p, "startup", p->parts.startup, p->parts.n_startup, &s);
	bad |= add_inside(p, &s);
	if (p->image.text && !p->kits[p->agent].builtin)
		bad |= line(&s, "image %s", p->image.text);
	for (size_t i = 0; i < p->n_kits; i++)
		if (p->kits[i].spec->privileged && !p->kits[i].builtin)
			bad |= line(&s, "privileged");
	if (bad) {
		kit_surface_fini(&s);
		return -ENOMEM;
	}
	sort_unique(&s);
	*ret_surface = s;
	return 0;
}

static bool has(const struct kit_surface *s, const char *text)
{
	return s->n && bsearch(&text, s->v, s->n, sizeof(*s->v), by_text);
}

int kit_surface_widens(const struct kit_surface *approved, const struct kit_surface *now,
	struct kit_surface *ret_more)
{
	struct kit_surface more = {0};
	bool bad = false;

	for (size_t i = 0; i < now->n; i++)
		if (now->v[i][0] != '-' && !has(approved, now->v[i]))
			bad |= line(&more, "%s", now->v[i]);
	for (size_t i = 0; i < approved->n; i++)
		if (approved->v[i][0] == '-' && !has(now, approved->v[i]))
			bad |= line(&more, "dropped: %s", approved->v[i] + 2);
	if (bad) {
		kit_surface_fini(&more);
		return -ENOMEM;
	}
	sort_unique(&more);
	*ret_more = more;
	return 0;
}
