#include "kit/lines.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

bool kit_surface_add(struct kit_surface *s, char *line)
{
	if (!s->v)
		s->v = calloc(KIT_LINES_MAX, sizeof(*s->v));
	if (!line || !s->v || s->n == KIT_LINES_MAX) {
		free(line);
		return true;
	}
	s->v[s->n++] = line;
	return false;
}

static bool line(struct kit_surface *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool line(struct kit_surface *s, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return kit_surface_add(s, n < 0 ? NULL : text);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void kit_surface_sort(struct kit_surface *s)
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
			bad |= kit_surface_add(s, kit_line_allow(&q->allow.v[i], false));
	for (size_t i = 0; i < q->install_allow.n; i++)
		if (foreign(p, q->install_allow.v[i].at))
			bad |= kit_surface_add(s, kit_line_allow(&q->install_allow.v[i], true));
	/* whoever wrote it: to drop it is to ask for more */
	for (size_t i = 0; i < q->deny.n; i++)
		bad |= kit_surface_add(s, kit_line_deny(q->deny.v[i].text));
	for (size_t i = 0; i < q->n_ports; i++)
		if (foreign(p, q->ports[i].at))
			bad |= kit_surface_add(s, kit_line_port(&q->ports[i]));
	return bad;
}

static bool add_cred(
	const struct kit_plan *p, const struct kit_credential *c, struct kit_surface *s)
{
	bool bad = false, theirs = foreign(p, c->at);

	for (size_t i = 0; theirs && i < c->variables.n; i++)
		bad |= kit_surface_add(s, kit_line_variable(c, c->variables.v[i].text));
	for (size_t i = 0; theirs && i < c->env.n; i++)
		bad |= kit_surface_add(s, kit_line_env(c, c->env.v[i].text));
	if (theirs && c->file_path)
		bad |= kit_surface_add(s, kit_line_file(c));
	for (size_t i = 0; i < c->n_injects; i++)
		if (foreign(p, c->injects[i].at))
			bad |= kit_surface_add(s, kit_line_inject(c, &c->injects[i]));
	if (theirs && c->oauth.at.line) {
		bad |= kit_surface_add(s, kit_line_login(c));
		for (size_t i = 0; i < c->oauth.hosts.n; i++)
			bad |= kit_surface_add(s, kit_line_login_host(c, c->oauth.hosts.v[i].text));
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
			bad |= kit_surface_add(s, kit_line_volume(&q->volumes[i]));
	for (size_t i = 0; i < q->n_workspace; i++)
		if (foreign(p, q->workspace[i].at) && q->workspace[i].entry->type == KIT_FILE)
			bad |= kit_surface_add(s, kit_line_workspace(&q->workspace[i]));
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
			bad |= line(&s, KIT_LINE_PRIVILEGED);
	if (bad) {
		kit_surface_fini(&s);
		return -ENOMEM;
	}
	kit_surface_sort(&s);
	*ret_surface = s;
	return 0;
}

bool kit_surface_has(const struct kit_surface *s, const char *text)
{
	return s->n && bsearch(&text, s->v, s->n, sizeof(*s->v), by_text);
}

int kit_surface_widens(const struct kit_surface *approved, const struct kit_surface *now,
	struct kit_surface *ret_more)
{
	struct kit_surface more = {0};
	bool bad = false;

	for (size_t i = 0; i < now->n; i++)
		if (now->v[i][0] != '-' && !kit_surface_has(approved, now->v[i]))
			bad |= line(&more, "%s", now->v[i]);
	for (size_t i = 0; i < approved->n; i++)
		if (approved->v[i][0] == '-' && !kit_surface_has(now, approved->v[i]))
			bad |= line(&more, "dropped: %s", approved->v[i] + 2);
	if (bad) {
		kit_surface_fini(&more);
		return -ENOMEM;
	}
	kit_surface_sort(&more);
	*ret_more = more;
	return 0;
}
