#include "kit/decode.h"
#include "kit/service.h"
#include "json/json.h"
#include "policy/pattern.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define IN_CRED(member)	  offsetof(struct kit_credential, member)
#define IN_INJECT(member) offsetof(struct inject_item, inject.member)
#define HOSTS_MAX	  1024
#define TEXT_LONGEST	  1023

/* ---- hosts ---- */

/* A port range stands for nothing in the policies of these kits: it matched no request ever. */
static bool port_range(const char *s)
{
	const char *colon = strrchr(s, ':'), *dash = colon ? strchr(colon, '-') : NULL;

	return dash && dash > colon + 1 && strspn(colon + 1, "0123456789-") == strlen(colon + 1) &&
	       !strchr(colon, ']');
}

static int take_hosts(struct decode *d, const struct ynode *v, const char *what, bool allow,
	struct kit_words *ret)
{
	struct kit_words w = {0};
	int r;

	if (ret->given)
		return FAULT(d, v, "%s is here twice", what);
	r = decode_words(d, v, what, &w);
	if (r < 0)
		return r;
	ret->v = w.v;
	ret->given = true;
	for (size_t i = 0; i < w.n; i++) {
		struct kit_word host = w.v[i];
		char canonical[POLICY_PATTERN_MAX];
		struct policy_pattern p;
		struct err why = {0};

		if (allow && port_range(host.text)) {
			r = decode_warn(d, host.at,
				"'%.100s' is left out: a range of ports allows nothing", host.text);
			if (r < 0)
				return r;
			continue;
		}
		r = policy_pattern_parse(host.text, strlen(host.text), &p, &why);
		if (r < 0)
			return kit_fault(d->e, d->s, host.at, "%s", why.msg);
		if (allow && p.broad)
			return kit_fault(d->e, d->s, host.at,
				"'%.100s' is a whole top-level domain: it can only be denied",
				host.text);
		(void)policy_pattern_text(&p, canonical);
		host.text = kit_mem_str(&d->s->mem, canonical);
		if (!host.text)
			return decode_nomem(d);
		ret->v[ret->n++] = host;
	}
	return 0;
}

int decode_allow(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return take_hosts(d, v, "network allow", true, &d->s->parts.allow);
}

int decode_install_allow(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return take_hosts(d, v, "network install allow", true, &d->s->parts.install_allow);
}

int decode_deny(struct decode *d, const struct ynode *v, void *item)
{
	(void)item;
	return take_hosts(d, v, "network deny", false, &d->s->parts.deny);
}

/* ---- where a value goes ---- */

/* decode_printable() - text that ends up in requests or in the guest's environment */
int decode_printable(struct decode *d, const struct ynode *v, const char *what, const char **ret)
{
	int r = decode_text(d, v, what, ret);

	if (r < 0)
		return r;
	if (!**ret || strlen(*ret) > TEXT_LONGEST)
		return FAULT(d, v, "%s is empty or too long", what);
	for (const char *c = *ret; *c; c++)
		if (*c < ' ' || *c > '~')
			return FAULT(d, v, "%s has a character that must not stand there", what);
	return 0;
}

int decode_service(struct decode *d, const struct ynode *v, const char *what, const char **ret)
{
	int r = decode_text(d, v, what, ret);
	size_t n = r == 0 ? strlen(*ret) : 0;

	if (r == 0 && (n == 0 || n > 64 || (*ret)[0] == '-' || (*ret)[n - 1] == '-' ||
			      strspn(*ret, "abcdefghijklmnopqrstuvwxyz0123456789_-") != n))
		return FAULT(d, v, "'%.64s' is no name of a service", *ret);
	return r;
}

int decode_domain(struct decode *d, const struct ynode *v, const char *what, const char **ret)
{
	struct policy_pattern p;
	struct err why = {0};
	int r = decode_printable(d, v, what, ret);

	if (r < 0)
		return r;
	r = policy_pattern_parse(*ret, strlen(*ret), &p, &why);
	if (r < 0)
		return FAULT(d, v, "%s", why.msg);
	/* a credential is never bound to everything, to all of a top-level domain, or to a network */
	if (p.kind == POLICY_PATTERN_ALL || p.kind == POLICY_PATTERN_NET || p.broad ||
		(p.kind == POLICY_PATTERN_LOCAL && p.port == 0))
		return FAULT(d, v, "'%.100s' is no host that a credential can be bound to", *ret);
	return 0;
}

int decode_header(struct decode *d, const struct ynode *v, const char *what, const char **ret)
{
	char *name;
	int r = decode_printable(d, v, what, ret);

	if (r < 0)
		return r;
	name = kit_mem_str(&d->s->mem, *ret);
	if (!name)
		return decode_nomem(d);
	for (char *c = name; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	*ret = name;
	return service_header_ok(name) ? 0 : FAULT(d, v, "a credential cannot go into this header");
}

int decode_format(struct decode *d, const struct ynode *v, const char *what, const char **ret)
{
	const char *at;
	int r = decode_printable(d, v, what, ret);

	if (r < 0)
		return r;
	at = strstr(*ret, "%s");
	if (!at || strchr(at + 1, '%') || strchr(*ret, '%') != at)
		return FAULT(d, v, "%s must have exactly one %%s and no other '%%'", what);
	return 0;
}

struct inject_item {
	struct kit_inject inject; /* first: it begins with the place */
	const char *scheme;
};

static int take_domain(struct decode *d, const struct ynode *v, void *item)
{
	return decode_domain(d, v, "domain", &((struct inject_item *)item)->inject.domain);
}
static int take_header(struct decode *d, const struct ynode *v, void *item)
{
	return decode_header(d, v, "header", &((struct inject_item *)item)->inject.header);
}
static int take_format(struct decode *d, const struct ynode *v, void *item)
{
	return decode_format(d, v, "format", &((struct inject_item *)item)->inject.format);
}
static int take_username(struct decode *d, const struct ynode *v, void *item)
{
	struct inject_item *i = item;
	int r = decode_printable(d, v, "username", &i->inject.username);

	return r == 0 && strchr(i->inject.username, ':')
		       ? FAULT(d, v, "a user name of Basic has no ':'")
		       : r;
}

static int take_scheme(struct decode *d, const struct ynode *v, void *item)
{
	struct inject_item *i = item;
	int r = decode_text(d, v, "scheme", &i->scheme);

	return r < 0 || strcmp(i->scheme, "bearer") == 0 || strcmp(i->scheme, "basic") == 0
		       ? r
		       : FAULT(d, v, "scheme must be bearer or basic");
}

static int inject_done(struct decode *d, const struct ynode *v, void *item)
{
	struct inject_item *i = item;
	struct kit_inject *in = &i->inject;
	bool bearer = i->scheme && strcmp(i->scheme, "bearer") == 0;

	if (i->scheme && in->format)
		return FAULT(d, v, "scheme and format exclude each other");
	if (bearer && in->username)
		return FAULT(d, v, "scheme bearer has no username");
	if (i->scheme && !bearer && !in->username)
		return FAULT(d, v, "scheme basic needs a username");
	if (!in->header && !in->username && !bearer)
		return FAULT(d, v, "inject needs a scheme or a header");
	if (bearer) {
		in->header = in->header ? in->header : "authorization";
		in->format = "Bearer %s";
	} else if (!in->username && !in->format) {
		in->format = "%s";
	}
	return 0;
}

static int take_inject(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"domain", FIELD_TAKE, 0, take_domain, FIELD_REQUIRED},
		{"header", FIELD_TAKE, 0, take_header, 0},
		{"format", FIELD_TAKE, 0, take_format, 0},
		{"scheme", FIELD_TAKE, 0, take_scheme, 0},
		{"username", FIELD_TAKE, 0, take_username, 0},
	};
	static const struct list_form form = {"credentials.apiKey.inject", fields,
		ARRAY_LEN(fields), sizeof(struct inject_item), NULL, inject_done};
	struct kit_credential *c = item;
	struct inject_item *list = NULL;
	size_t n = 0;
	int r = decode_list(d, v, &form, &list, &n);

	if (r < 0)
		return r;
	c->injects = kit_mem_array(&d->s->mem, n, sizeof(*c->injects));
	if (!c->injects)
		return decode_nomem(d);
	for (size_t i = 0; i < n; i++)
		c->injects[i] = list[i].inject;
	c->n_injects = n;
	return 0;
}

static int take_variable(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_credential *c = item;
	struct kit_word *w = kit_mem_get(&d->s->mem, sizeof(*w));
	const char *why;
	int r;

	if (!w)
		return decode_nomem(d);
	r = decode_word(d, v, "apiKey.name", w);
	if (r < 0)
		return r;
	why = kit_variable_reserved(w->text);
	if (why)
		return FAULT(d, v, "a kit must not set %.64s: %s", w->text, why);
	if (!kit_variable_ok(w->text))
		return FAULT(d, v, "'%.64s' is not a name for a variable", w->text);
	c->variables = (struct kit_words){.v = w, .n = 1, .given = true};
	c->owner = true;
	return 0;
}

static int take_managed(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_credential *c = item;
	int r = decode_bool(d, v, "apiKey.proxyManaged", &c->managed);

	c->owner |= c->managed;
	return r;
}

static int take_api_key(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"name", FIELD_TAKE, 0, take_variable, 0},
		{"proxyManaged", FIELD_TAKE, 0, take_managed, 0},
		{"inject", FIELD_TAKE, 0, take_inject, 0},
	};

	return decode_map(d, v, "credentials.apiKey", fields, ARRAY_LEN(fields), item);
}

static int take_oauth(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_credential *c = item;

	c->owner = true;
	return decode_oauth(d, v, &c->oauth);
}

/* ---- the list ---- */

static int take_service(struct decode *d, const struct ynode *v, void *item)
{
	return decode_service(d, v, "service", &((struct kit_credential *)item)->service);
}

const char *kit_phase_name(enum kit_phase phase)
{
	return phase == KIT_PHASE_INSTALL ? "install" : phase == KIT_PHASE_RUNTIME ? "runtime" : "";
}

static int take_phase(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_credential *c = item;
	const char *text;
	int r = decode_text(d, v, "credentials.phase", &text);

	if (r < 0)
		return r;
	for (enum kit_phase p = KIT_PHASE_INSTALL; p <= KIT_PHASE_RUNTIME; p++)
		if (strcmp(text, kit_phase_name(p)) == 0)
			c->phase = p;
	return c->phase == KIT_PHASE_ALWAYS ? FAULT(d, v, "phase must be install or runtime") : 0;
}

static int cred_done(struct decode *d, const struct ynode *v, void *item)
{
	const struct kit_credential *c = item;

	if (c->phase != KIT_PHASE_ALWAYS && !c->owner)
		return FAULT(d, v, "phase is said by the kit that owns the credential");
	if (c->phase == KIT_PHASE_INSTALL && c->oauth.at.line)
		return FAULT(d, v,
			"nobody logs in while the sandbox installs: oauth has no phase install");
	return c->n_injects || c->owner ? 0 : FAULT(d, v, "a credential needs apiKey or oauth");
}

int decode_credentials(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"service", FIELD_TAKE, 0, take_service, FIELD_REQUIRED},
		{"description", FIELD_TEXT, IN_CRED(description), NULL, 0},
		{"required", FIELD_BOOL, IN_CRED(required), NULL, 0},
		{"phase", FIELD_TAKE, 0, take_phase, 0},
		{"provider", FIELD_SKIP, 0, NULL, FIELD_QUIET},
		{"apiKey", FIELD_TAKE, 0, take_api_key, 0},
		{"oauth", FIELD_TAKE, 0, take_oauth, 0},
	};
	static const struct list_form form = {"credentials", fields, ARRAY_LEN(fields),
		sizeof(struct kit_credential), NULL, cred_done};
	struct kit_parts *p = &d->s->parts;
	int r;

	(void)item;
	r = decode_list(d, v, &form, &p->creds, &p->n_creds);
	for (size_t i = 0; r == 0 && i < p->n_creds; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(p->creds[i].service, p->creds[j].service) == 0)
				return kit_fault(d->e, d->s, p->creds[i].at,
					"the service '%s' is in this list twice",
					p->creds[i].service);
	return r;
}
