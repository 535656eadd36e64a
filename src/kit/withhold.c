#include "kit/lines.h"
#include <errno.h>
#include <string.h>

/* What nobody approved is taken out of a plan, thing by thing, by the sentence that asks for it. */

struct withholding {
	struct kit_plan *p;
	const struct kit_surface *approved;
	struct kit_surface gone;
	bool bad; /* no memory */
};

/* keeps() - may it stay? Takes @line, which asks for it; what a built-in kit says always may. */
static bool keeps(struct withholding *w, struct kit_place at, char *line)
{
	bool keep = w->p->kits[at.kit].builtin || (line && kit_surface_has(w->approved, line));

	if (keep)
		free(line);
	else
		w->bad |= kit_surface_add(&w->gone, line);
	return keep;
}

static void hosts(struct withholding *w, struct kit_words *list, bool installing)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++)
		if (keeps(w, list->v[i].at, kit_line_allow(&list->v[i], installing)))
			list->v[n++] = list->v[i];
	list->n = n;
}

/* sources() - from where on the host it comes: the words that hold a stand-in, too, are the owner's */
static void sources(struct withholding *w, struct kit_credential *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->variables.n; i++)
		if (keeps(w, c->at, kit_line_variable(c, c->variables.v[i].text)))
			c->variables.v[n++] = c->variables.v[i];
	c->variables.n = n;
	n = 0;
	for (size_t i = 0; i < c->env.n; i++)
		if (keeps(w, c->at, kit_line_env(c, c->env.v[i].text)))
			c->env.v[n++] = c->env.v[i];
	c->env.n = n;
	if (c->file_path && !keeps(w, c->at, kit_line_file(c)))
		c->file_path = c->file_parser = NULL;
}

static void login(struct withholding *w, struct kit_credential *c)
{
	size_t n = 0;

	if (!c->oauth.at.line)
		return;
	for (size_t i = 0; i < c->oauth.hosts.n; i++)
		if (keeps(w, c->at, kit_line_login_host(c, c->oauth.hosts.v[i].text)))
			c->oauth.hosts.v[n++] = c->oauth.hosts.v[i];
	c->oauth.hosts.n = n;
	/* without a place of its own a token would go where the service's key does */
	if (!keeps(w, c->at, kit_line_login(c)) || n == 0)
		c->oauth.at.line = 0;
}

static void credential(struct withholding *w, struct kit_credential *c)
{
	size_t n = 0;

	sources(w, c);
	for (size_t i = 0; i < c->n_injects; i++)
		if (keeps(w, c->injects[i].at, kit_line_inject(c, &c->injects[i])))
			c->injects[n++] = c->injects[i];
	c->n_injects = n;
	login(w, c);
}

static void mounts(struct withholding *w, struct kit_parts *q)
{
	size_t n = 0;

	for (size_t i = 0; i < q->n_ports; i++)
		if (keeps(w, q->ports[i].at, kit_line_port(&q->ports[i])))
			q->ports[n++] = q->ports[i];
	q->n_ports = n;
	n = 0;
	for (size_t i = 0; i < q->n_volumes; i++)
		if (q->volumes[i].tmpfs ||
			keeps(w, q->volumes[i].at, kit_line_volume(&q->volumes[i])))
			q->volumes[n++] = q->volumes[i];
	q->n_volumes = n;
	n = 0;
	for (size_t i = 0; i < q->n_workspace; i++)
		if (q->workspace[i].entry->type != KIT_FILE ||
			keeps(w, q->workspace[i].at, kit_line_workspace(&q->workspace[i])))
			q->workspace[n++] = q->workspace[i];
	q->n_workspace = n;
}

static void privileged(struct withholding *w)
{
	struct kit_plan *p = w->p;

	p->privileged = false;
	for (size_t i = 0; i < p->n_kits; i++) {
		const struct kit_place at = {.kit = (unsigned)i};

		if (p->kits[i].spec->privileged)
			p->privileged |= keeps(w, at, strdup(KIT_LINE_PRIVILEGED));
	}
}

int kit_plan_withhold(
	struct kit_plan *p, const struct kit_surface *approved, struct kit_surface *ret_withheld)
{
	struct withholding w = {.p = p, .approved = approved};

	hosts(&w, &p->parts.allow, false);
	hosts(&w, &p->parts.install_allow, true);
	for (size_t i = 0; i < p->parts.n_creds; i++)
		credential(&w, &p->parts.creds[i]);
	mounts(&w, &p->parts);
	privileged(&w);
	if (w.bad) {
		kit_surface_fini(&w.gone);
		return -ENOMEM;
	}
	kit_surface_sort(&w.gone);
	*ret_withheld = w.gone;
	return 0;
}

int kit_surface_dropped(
	const struct kit_plan *p, const struct kit_surface *approved, struct kit_surface *ret_hosts)
{
	struct kit_surface hosts = {0};
	bool bad = false;

	for (size_t i = 0; i < approved->n; i++) {
		const char *host = approved->v[i] + strlen(KIT_LINE_DENY);
		bool there = false;

		if (strncmp(approved->v[i], KIT_LINE_DENY, strlen(KIT_LINE_DENY)) != 0)
			continue;
		for (size_t k = 0; k < p->parts.deny.n; k++)
			there |= strcmp(p->parts.deny.v[k].text, host) == 0;
		if (!there)
			bad |= kit_surface_add(&hosts, strdup(host));
	}
	if (bad) {
		kit_surface_fini(&hosts);
		return -ENOMEM;
	}
	*ret_hosts = hosts;
	return 0;
}
