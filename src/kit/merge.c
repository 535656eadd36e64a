#include "kit/plan.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int nomem(const struct kit_merge *m)
{
	return err_sys(m->e, -ENOMEM, "put kits together");
}

/* clash() - both places, the later first: it is the one that was added */
static int clash(const struct kit_merge *m, struct kit_place a, struct kit_place b,
	const char *what, const char *name)
{
	return err_set(m->e, ERR_CONFLICT, -EINVAL,
		"%s:%u:%u: %s '%.128s' is of another kit, too (%s:%u:%u)",
		m->kits[b.kit].spec->file, b.line ? b.line : 1, b.column ? b.column : 1, what, name,
		m->kits[a.kit].spec->file, a.line ? a.line : 1, a.column ? a.column : 1);
}

/* room() - the list @v of @n items with room for @more behind them */
static void *room(const struct kit_merge *m, const void *v, size_t n, size_t more, size_t size)
{
	void *bigger = kit_mem_array(m->mem, n + more, size);

	if (bigger && n)
		memcpy(bigger, v, n * size);
	return bigger;
}

static int append(const struct kit_merge *m, void *list, size_t *n, const void *more, size_t n_more,
	size_t size)
{
	void *v;
	char *bigger;

	if (n_more == 0)
		return 0;
	memcpy(&v, list, sizeof(v));
	bigger = room(m, v, *n, n_more, size);
	if (!bigger)
		return nomem(m);
	memcpy(bigger + *n * size, more, n_more * size);
	*n += n_more;
	memcpy(list, &bigger, sizeof(bigger));
	return 0;
}

static int merge_words(const struct kit_merge *m, struct kit_words *a, const struct kit_words *b)
{
	struct kit_word *v = room(m, a->v, a->n, b->n, sizeof(*v));

	if (!v)
		return nomem(m);
	a->v = v;
	a->given |= b->given;
	for (size_t i = 0; i < b->n; i++) {
		size_t j = 0;

		while (j < a->n && strcmp(v[j].text, b->v[i].text) != 0)
			j++;
		if (j == a->n)
			v[a->n++] = b->v[i];
	}
	return 0;
}

static int merge_vars(const struct kit_merge *m, struct kit_parts *a, const struct kit_parts *b)
{
	struct kit_variable *v = room(m, a->vars, a->n_vars, b->n_vars, sizeof(*v));

	if (!v)
		return nomem(m);
	a->vars = v;
	for (size_t i = 0; i < b->n_vars; i++) {
		size_t j = 0;

		while (j < a->n_vars && strcmp(v[j].name, b->vars[i].name) != 0)
			j++;
		v[j] = b->vars[i];
		a->n_vars += j == a->n_vars;
	}
	return 0;
}

static bool same_port(const struct kit_port *a, const struct kit_port *b)
{
	return a->container == b->container &&
	       (strcmp(a->protocol, "udp") == 0) == (strcmp(b->protocol, "udp") == 0);
}

static int merge_ports(const struct kit_merge *m, struct kit_parts *a, const struct kit_parts *b)
{
	struct kit_port *v = room(m, a->ports, a->n_ports, b->n_ports, sizeof(*v));

	if (!v)
		return nomem(m);
	a->ports = v;
	for (size_t i = 0; i < b->n_ports; i++) {
		const struct kit_port *p = &b->ports[i];
		size_t j = 0;

		while (j < a->n_ports && !same_port(&v[j], p))
			j++;
		if (j == a->n_ports) {
			v[a->n_ports++] = *p;
			continue;
		}
		if (v[j].name && p->name && strcmp(v[j].name, p->name) != 0 && !m->extends) {
			char number[8];

			(void)snprintf(number, sizeof(number), "%u", p->container);
			return clash(m, v[j].at, p->at, "the port", number);
		}
		/* the wider of the two: "tcp" is both families, "" is IPv4 */
		if (p->protocol[0] && !v[j].protocol[0]) {
			v[j].protocol = p->protocol;
			v[j].at = p->at; /* who widens it answers for it */
		}
		v[j].name = p->name ? p->name : v[j].name;
	}
	return 0;
}

static int merge_volumes(const struct kit_merge *m, struct kit_parts *a, const struct kit_parts *b)
{
	struct kit_volume *v = room(m, a->volumes, a->n_volumes, b->n_volumes, sizeof(*v));

	if (!v)
		return nomem(m);
	a->volumes = v;
	for (size_t i = 0; i < b->n_volumes; i++) {
		size_t j = 0;

		while (j < a->n_volumes && strcmp(v[j].path, b->volumes[i].path) != 0)
			j++;
		v[j] = b->volumes[i];
		a->n_volumes += j == a->n_volumes;
	}
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Routes to one host through one header are one route; they must then say the same. */
static int merge_injects(
	const struct kit_merge *m, struct kit_credential *a, const struct kit_credential *b)
{
	struct kit_inject *v = room(m, a->injects, a->n_injects, b->n_injects, sizeof(*v));

	if (!v)
		return nomem(m);
	a->injects = v;
	for (size_t i = 0; i < b->n_injects; i++) {
		const struct kit_inject *in = &b->injects[i];
		size_t j = 0;

		while (j < a->n_injects && (strcmp(v[j].domain, in->domain) != 0 ||
						   !same_text(v[j].header, in->header)))
			j++;
		if (j < a->n_injects && !m->extends &&
			(!same_text(v[j].format, in->format) ||
				!same_text(v[j].username, in->username)))
			return clash(
				m, v[j].at, in->at, "the way of the credential to", in->domain);
		if (j == a->n_injects || m->extends)
			v[j] = *in;
		a->n_injects += j == a->n_injects;
	}
	return 0;
}

static int merge_cred(
	const struct kit_merge *m, struct kit_credential *a, const struct kit_credential *b)
{
	struct kit_credential own = b->owner ? *b : *a;
	int r;

	if (a->owner && b->owner && !m->extends)
		return clash(m, a->at, b->at, "the service", b->service);
	own.injects = a->injects;
	own.n_injects = a->n_injects;
	own.required = a->required || b->required;
	own.description = own.description  ? own.description
			  : a->description ? a->description
					   : b->description;
	r = merge_injects(m, &own, b);
	if (r == 0)
		*a = own;
	return r;
}

static int merge_creds(const struct kit_merge *m, struct kit_parts *a, const struct kit_parts *b)
{
	struct kit_credential *v = room(m, a->creds, a->n_creds, b->n_creds, sizeof(*v));

	if (!v)
		return nomem(m);
	a->creds = v;
	for (size_t i = 0; i < b->n_creds; i++) {
		size_t j = 0;
		int r = 0;

		while (j < a->n_creds && strcmp(v[j].service, b->creds[i].service) != 0)
			j++;
		if (j == a->n_creds)
			v[a->n_creds++] = b->creds[i];
		else
			r = merge_cred(m, &v[j], &b->creds[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct kit_placed *)a)->path, ((const struct kit_placed *)b)->path);
}

/* merge_files() - both lists are sorted by path: the later kit's file takes the place of the earlier */
static int merge_files(const struct kit_merge *m, struct kit_placed **a, size_t *n,
	const struct kit_placed *b, size_t n_b)
{
	struct kit_placed *v = kit_mem_array(m->mem, *n + n_b, sizeof(*v));
	size_t i = 0, j = 0, to = 0;

	if (!v)
		return nomem(m);
	while (i < *n || j < n_b) {
		int order = i == *n ? 1 : j == n_b ? -1 : by_path(&(*a)[i], &b[j]);

		if (order == 0 && ((*a)[i].entry->type == KIT_DIR) != (b[j].entry->type == KIT_DIR))
			return clash(
				m, (*a)[i].at, b[j].at, "as something else the file", b[j].path);
		v[to++] = order < 0 ? (*a)[i] : b[j];
		i += order <= 0;
		j += order >= 0;
	}
	*a = v;
	*n = to;
	return 0;
}

int kit_parts_merge(const struct kit_merge *m, struct kit_parts *a, const struct kit_parts *b)
{
	int r = merge_words(m, &a->allow, &b->allow);

	if (r == 0)
		r = merge_words(m, &a->install_allow, &b->install_allow);
	if (r == 0)
		r = merge_words(m, &a->deny, &b->deny);
	if (r == 0)
		r = merge_vars(m, a, b);
	if (r == 0)
		r = merge_ports(m, a, b);
	if (r == 0)
		r = merge_volumes(m, a, b);
	if (r == 0)
		r = merge_creds(m, a, b);
	if (r == 0)
		r = append(m, &a->install, &a->n_install, b->install, b->n_install,
			sizeof(*b->install));
	if (r == 0)
		r = append(m, &a->startup, &a->n_startup, b->startup, b->n_startup,
			sizeof(*b->startup));
	if (r == 0)
		r = append(m, &a->files, &a->n_files, b->files, b->n_files, sizeof(*b->files));
	if (r == 0)
		r = append(m, &a->texts, &a->n_texts, b->texts, b->n_texts, sizeof(*b->texts));
	if (r == 0)
		r = merge_files(m, &a->home, &a->n_home, b->home, b->n_home);
	return r == 0 ? merge_files(m, &a->workspace, &a->n_workspace, b->workspace, b->n_workspace)
		      : r;
}
