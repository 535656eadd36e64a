#include "kit/decode.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define IN_SPEC(member) offsetof(struct kit_spec, member)
#define IN_CRED(member) offsetof(struct kit_credential, member)

/* Schema 1 says what a credential is in five places: credentials.sources, network.serviceDomains,
 * network.serviceAuth, environment.proxyManaged and oauth. They are kept while the document is read,
 * as their order is free, and put together by fold_credentials().
 */

static int keep_sources(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	d->sources = v;
	return decode_is(v, YNODE_MAP) ? 0 : FAULT(d, v, "credentials.sources must be a mapping");
}
static int keep_domains(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	d->domains = v;
	return decode_is(v, YNODE_MAP) ? 0
				       : FAULT(d, v, "network.serviceDomains must be a mapping");
}
static int keep_auth(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	d->auth = v;
	return decode_is(v, YNODE_MAP) ? 0 : FAULT(d, v, "network.serviceAuth must be a mapping");
}
static int keep_managed(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	d->managed = v;
	return decode_is(v, YNODE_LIST)
		       ? 0
		       : FAULT(d, v, "environment.proxyManaged must be a list of text");
}
static int keep_oauth(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	d->oauth = v;
	return decode_is(v, YNODE_MAP) ? 0 : FAULT(d, v, "oauth must be a mapping");
}

static int take_credentials(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"sources", FIELD_TAKE, 0, keep_sources, 0},
	};

	return decode_map(d, v, "credentials", fields, ARRAY_LEN(fields), item);
}

static int take_network(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"allowedDomains", FIELD_TAKE, 0, decode_allow, 0},
		{"deniedDomains", FIELD_TAKE, 0, decode_deny, 0},
		{"serviceDomains", FIELD_TAKE, 0, keep_domains, 0},
		{"serviceAuth", FIELD_TAKE, 0, keep_auth, 0},
		{"publishedPorts", FIELD_TAKE, 0, decode_ports, 0},
	};

	return decode_map(d, v, "network", fields, ARRAY_LEN(fields), item);
}

/* An early form of the same lists. */
static int take_caps_network(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"allow", FIELD_TAKE, 0, decode_allow, 0},
		{"deny", FIELD_TAKE, 0, decode_deny, 0},
	};

	return decode_map(d, v, "caps.network", fields, ARRAY_LEN(fields), item);
}

static int take_caps(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"network", FIELD_TAKE, 0, take_caps_network, 0},
	};

	return decode_map(d, v, "caps", fields, ARRAY_LEN(fields), item);
}

static int take_environment(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"variables", FIELD_TAKE, 0, decode_variables, 0},
		{"proxyManaged", FIELD_TAKE, 0, keep_managed, 0},
	};

	return decode_map(d, v, "environment", fields, ARRAY_LEN(fields), item);
}

static int take_settings(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return decode_warn(d, decode_at(v), "settings has no effect: use commands.initFiles");
}

static const struct field top1[] = {
	{"schemaVersion", FIELD_SKIP, 0, NULL, FIELD_QUIET},
	{"kind", FIELD_SKIP, 0, NULL, FIELD_QUIET},
	{"name", FIELD_TAKE, 0, decode_name, FIELD_QUIET | FIELD_REQUIRED},
	{"version", FIELD_WORD, IN_SPEC(version), NULL, FIELD_QUIET},
	{"displayName", FIELD_WORD, IN_SPEC(display_name), NULL, FIELD_QUIET},
	{"description", FIELD_WORD, IN_SPEC(description), NULL, FIELD_QUIET},
	{"agent", FIELD_TAKE, 0, decode_agent1, 0},
	{"sandbox", FIELD_TAKE, 0, decode_agent1, 0},
	{"credentials", FIELD_TAKE, 0, take_credentials, 0},
	{"oauth", FIELD_TAKE, 0, keep_oauth, 0},
	{"network", FIELD_TAKE, 0, take_network, 0},
	{"caps", FIELD_TAKE, 0, take_caps, 0},
	{"publishedPorts", FIELD_TAKE, 0, decode_ports, 0},
	{"environment", FIELD_TAKE, 0, take_environment, 0},
	{"commands", FIELD_TAKE, 0, decode_commands, 0},
	{"memory", FIELD_TAKE, 0, decode_content, 0},
	{"agentContext", FIELD_TAKE, 0, decode_content, 0},
	{"volumes", FIELD_TAKE, 0, decode_volumes, 0},
	{"tmpfs", FIELD_TAKE, 0, decode_tmpfs, 0},
	{"settings", FIELD_TAKE, 0, take_settings, FIELD_QUIET},
	{"kitDir", FIELD_SKIP, 0, NULL, FIELD_QUIET},
};

/* ---- credentials ---- */

static int take_source_file_path(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_credential *c = item;
	int r = decode_text(d, v, "file.path", &c->file_path);
	const char *p = c->file_path;

	if (r < 0)
		return r;
	/* a file of the host: named by the kit, read only after the user said so */
	if ((strncmp(p, "~/", 2) != 0 && p[0] != '/') || strlen(p) > KIT_TREE_PATH_MAX)
		return FAULT(d, v, "file.path must begin with '~/' or '/'");
	for (const char *c2 = p; (c2 = strstr(c2, "..")); c2 += 2)
		if (c2[-1] == '/' && (c2[2] == '/' || c2[2] == '\0'))
			return FAULT(d, v, "file.path must not have '..' parts");
	return 0;
}

/* "json:a.b.c": names of object keys */
static int take_parser(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_credential *c = item;
	int r = decode_text(d, v, "file.parser", &c->file_parser);
	const char *p = c->file_parser;
	size_t n = r == 0 ? strlen(p) : 0;

	if (r < 0)
		return r;
	if (strncmp(p, "json:", 5) != 0 || n == 5 || n > 256 || p[5] == '.' || p[n - 1] == '.' ||
		strstr(p, ".."))
		return FAULT(d, v, "file.parser must be json: and the names of keys, with dots");
	return 0;
}

static int take_source_file(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"path", FIELD_TAKE, 0, take_source_file_path, FIELD_REQUIRED},
		{"parser", FIELD_TAKE, 0, take_parser, 0},
	};

	return decode_map(d, v, "credentials.sources.file", fields, ARRAY_LEN(fields), item);
}

static int take_priority(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_credential *c = item;
	const char *text;
	int r = decode_text(d, v, "priority", &text);

	if (r < 0)
		return r;
	c->file_first = strcmp(text, "file-first") == 0;
	return c->file_first || strcmp(text, "env-first") == 0
		       ? 0
		       : FAULT(d, v, "priority must be env-first or file-first");
}

static int take_env(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_credential *c = item;
	int r = decode_words(d, v, "env", &c->env);

	for (size_t i = 0; r == 0 && i < c->env.n; i++)
		if (!kit_variable_ok(c->env.v[i].text))
			return kit_fault(d->e, d->s, c->env.v[i].at,
				"'%.64s' is not a name for a variable", c->env.v[i].text);
	return r;
}

/* cred_of() - the one of that service, made when there is none */
static struct kit_credential *cred_of(
	struct decode *d, const struct ynode *at, const char *service, size_t cap)
{
	struct kit_parts *p = &d->s->parts;

	for (size_t i = 0; i < p->n_creds; i++)
		if (strcmp(p->creds[i].service, service) == 0)
			return &p->creds[i];
	if (p->n_creds == cap)
		return NULL;
	p->creds[p->n_creds] = (struct kit_credential){.at = decode_at(at), .service = service};
	return &p->creds[p->n_creds++];
}

static int fold_sources(struct decode *d, size_t cap)
{
	static const struct field fields[] = {
		{"env", FIELD_TAKE, 0, take_env, 0},
		{"file", FIELD_TAKE, 0, take_source_file, 0},
		{"priority", FIELD_TAKE, 0, take_priority, 0},
	};
	const struct ynode *key, *v;

	for (key = d->sources ? ynode_first(d->t, d->sources) : NULL; key;
		key = ynode_next(d->t, v)) {
		struct kit_credential *c;
		const char *service;
		int r = decode_service(d, key, "a service", &service);

		v = ynode_next(d->t, key);
		if (r < 0)
			return r;
		c = cred_of(d, key, service, cap);
		if (!c)
			return decode_nomem(d);
		c->owner = true;
		r = decode_map(d, v, "credentials.sources", fields, ARRAY_LEN(fields), c);
		if (r == 0 && !c->env.n && !c->file_path)
			return FAULT(d, v, "a source needs env or file");
		if (r < 0)
			return r;
	}
	return 0;
}

struct auth {
	const char *header, *format, *username;
};

static int take_auth_header(struct decode *d, const struct ynode *v, void *item)
{
	return decode_header(d, v, "headerName", &((struct auth *)item)->header);
}
static int take_auth_format(struct decode *d, const struct ynode *v, void *item)
{
	return decode_format(d, v, "valueFormat", &((struct auth *)item)->format);
}
static int take_auth_user(struct decode *d, const struct ynode *v, void *item)
{
	struct auth *a = item;
	int r = decode_text(d, v, "username", &a->username);

	return r == 0 && (strchr(a->username, ':') || !a->username[0])
		       ? FAULT(d, v, "a user name of Basic has no ':'")
		       : r;
}

static int read_auth(struct decode *d, const struct ynode *v, struct auth *ret)
{
	static const struct field fields[] = {
		{"headerName", FIELD_TAKE, 0, take_auth_header, 0},
		{"valueFormat", FIELD_TAKE, 0, take_auth_format, 0},
		{"username", FIELD_TAKE, 0, take_auth_user, 0},
	};
	int r = decode_map(d, v, "network.serviceAuth", fields, ARRAY_LEN(fields), ret);

	if (r == 0 && !ret->username && !ret->header)
		return FAULT(d, v, "serviceAuth needs headerName");
	if (r == 0 && !ret->format && !ret->username)
		ret->format = "%s";
	return r;
}

/* auth_of() - how that service is told who asks; all NULL: as its own file says */
static int auth_of(struct decode *d, const char *service, struct auth *ret)
{
	const struct ynode *key, *v;

	*ret = (struct auth){0};
	for (key = d->auth ? ynode_first(d->t, d->auth) : NULL; key; key = ynode_next(d->t, v)) {
		v = ynode_next(d->t, key);
		if (strcmp(key->text, service) == 0)
			return read_auth(d, v, ret);
	}
	return 0;
}

static int add_inject(struct decode *d, struct kit_credential *c, const struct kit_inject *in)
{
	struct kit_inject *more = kit_mem_array(&d->s->mem, c->n_injects + 1, sizeof(*c->injects));

	if (!more)
		return decode_nomem(d);
	if (c->n_injects)
		memcpy(more, c->injects, c->n_injects * sizeof(*more));
	more[c->n_injects++] = *in;
	c->injects = more;
	return 0;
}

static int fold_domains(struct decode *d, size_t cap)
{
	const struct ynode *key, *v;

	for (key = d->domains ? ynode_first(d->t, d->domains) : NULL; key;
		key = ynode_next(d->t, v)) {
		struct kit_inject in = {.at = decode_at(key)};
		struct kit_credential *c;
		const char *service;
		struct auth a;
		int r = decode_domain(d, key, "a domain", &in.domain);

		v = ynode_next(d->t, key);
		if (r == 0)
			r = decode_service(d, v, "a service", &service);
		if (r == 0)
			r = auth_of(d, service, &a);
		if (r < 0)
			return r;
		in.header = a.header;
		in.format = a.format;
		in.username = a.username;
		c = cred_of(d, key, service, cap);
		r = c ? add_inject(d, c, &in) : decode_nomem(d);
		if (r < 0)
			return r;
	}
	/* what serviceAuth says of services without a domain is judged, too */
	for (key = d->auth ? ynode_first(d->t, d->auth) : NULL; key; key = ynode_next(d->t, v)) {
		const char *service;
		struct auth a = {0};
		int r = decode_service(d, key, "a service", &service);

		v = ynode_next(d->t, key);
		if (r == 0)
			r = read_auth(d, v, &a);
		if (r < 0)
			return r;
	}
	return 0;
}

/* derived() - the service that a variable without a source is for: SAMPLE_TOKEN is "sample" */
static const char *derived(struct decode *d, const char *variable)
{
	static const char *const ends[] = {"_API_KEY", "_TOKEN", "_KEY", "_SECRET"};
	char *name = kit_mem_str(&d->s->mem, variable);

	for (size_t i = 0; name && i < ARRAY_LEN(ends); i++) {
		size_t n = strlen(name), m = strlen(ends[i]);

		if (n > m && strcmp(name + n - m, ends[i]) == 0) {
			name[n - m] = '\0';
			break;
		}
	}
	for (char *c = name; c && *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	return name;
}

static struct kit_credential *cred_with(struct decode *d, const char *variable)
{
	struct kit_parts *p = &d->s->parts;

	for (size_t i = 0; i < p->n_creds; i++)
		for (size_t j = 0; j < p->creds[i].env.n; j++)
			if (strcmp(p->creds[i].env.v[j].text, variable) == 0)
				return &p->creds[i];
	return NULL;
}

static int fold_managed(struct decode *d, size_t cap)
{
	for (const struct ynode *i = d->managed ? ynode_first(d->t, d->managed) : NULL; i;
		i = ynode_next(d->t, i)) {
		struct kit_word w = {0}, *more;
		struct kit_credential *c;
		int r = decode_word(d, i, "environment.proxyManaged", &w);
		const char *why, *service;

		if (r < 0)
			return r;
		if (!kit_variable_ok(w.text))
			return FAULT(d, i, "'%.64s' is not a name for a variable", w.text);
		why = kit_variable_reserved(w.text);
		if (why)
			return FAULT(d, i, "a kit must not set %.64s: %s", w.text, why);
		c = cred_with(d, w.text);
		service = c ? c->service : derived(d, w.text);
		c = c ? c : (service ? cred_of(d, i, service, cap) : NULL);
		more = c ? kit_mem_array(&d->s->mem, c->variables.n + 1, sizeof(*more)) : NULL;
		if (!more)
			return decode_nomem(d);
		if (c->variables.n)
			memcpy(more, c->variables.v, c->variables.n * sizeof(*more));
		more[c->variables.n++] = w;
		c->variables.v = more;
		c->variables.given = c->managed = c->owner = true;
	}
	return 0;
}

static int fold_oauth(struct decode *d, size_t cap)
{
	const struct ynode *key, *v, *service = NULL;
	struct kit_credential *c;
	const char *name;
	int r;

	if (!d->oauth)
		return 0;
	for (key = ynode_first(d->t, d->oauth); key; key = ynode_next(d->t, v)) {
		v = ynode_next(d->t, key);
		if (strcmp(key->text, "service") == 0)
			service = v;
	}
	if (!service)
		return FAULT(d, d->oauth, "oauth has no field 'service'");
	r = decode_service(d, service, "oauth.service", &name);
	if (r < 0)
		return r;
	c = cred_of(d, d->oauth, name, cap);
	if (!c)
		return decode_nomem(d);
	c->owner = true;
	return decode_oauth(d, d->oauth, &c->oauth);
}

static int fold_credentials(struct decode *d)
{
	size_t cap = (d->sources ? d->sources->count / 2 : 0) +
		     (d->domains ? d->domains->count / 2 : 0) +
		     (d->managed ? d->managed->count : 0) + 1;
	int r;

	d->s->parts.creds = kit_mem_array(&d->s->mem, cap, sizeof(*d->s->parts.creds));
	if (!d->s->parts.creds)
		return decode_nomem(d);
	r = fold_sources(d, cap);
	if (r == 0)
		r = fold_domains(d, cap);
	if (r == 0)
		r = fold_managed(d, cap);
	return r == 0 ? fold_oauth(d, cap) : r;
}

int decode_v1(struct decode *d, const struct ynode *root)
{
	const struct ynode *block = NULL, *key, *v;
	int r = decode_map(d, root, "", top1, ARRAY_LEN(top1), d->s);

	if (r < 0)
		return r;
	for (key = ynode_first(d->t, root); key; key = ynode_next(d->t, v)) {
		v = ynode_next(d->t, key);
		if (strcmp(key->text, "agent") != 0 && strcmp(key->text, "sandbox") != 0)
			continue;
		if (d->s->kind == KIT_MIXIN)
			return FAULT(d, key, "a mixin has no field '%s'", key->text);
		if (block)
			return FAULT(d, key, "agent and sandbox are the same field");
		block = key;
	}
	if (d->s->kind == KIT_SANDBOX && !block)
		return FAULT(d, root, "the kit has no field 'agent'");
	return fold_credentials(d);
}
