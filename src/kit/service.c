#include "kit/service.h"
#include "kit/ytree.h"
#include "policy/path.h"
#include "policy/pattern.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RANDOM_LEAST 22
#define RANDOM_MOST  60
#define TEXT_MAX     1023
#define FIXED_LEAST  12
#define FIXED_MOST   120

struct parse {
	struct ytree tree;
	struct service *s;
	struct service_slot *slot; /* being read */
	const struct ynode *slot_node;
	struct err *e;
};

struct field {
	const char *name;
	int (*take)(struct parse *p, const struct ynode *v);
	bool required;
};

#define FAULT(p, node, ...) yaml_fault((p)->e, &(p)->tree, (node), __VA_ARGS__)

static int take_map(struct parse *p, const struct ynode *map, const char *what,
	const struct field *fields, size_t n)
{
	const struct ynode *key, *value;
	uint64_t seen = 0;

	if (map->kind != YNODE_MAP)
		return FAULT(p, map, "%s must be a mapping", what);
	for (key = ynode_first(&p->tree, map); key; key = ynode_next(&p->tree, value)) {
		size_t i = 0;
		int r;

		value = ynode_next(&p->tree, key);
		while (i < n && strcmp(fields[i].name, key->text) != 0)
			i++;
		if (i == n)
			return FAULT(p, key, "unknown field '%.64s' in %s", key->text, what);
		r = fields[i].take(p, value);
		if (r < 0)
			return r;
		seen |= UINT64_C(1) << i;
	}
	for (size_t i = 0; i < n; i++)
		if (fields[i].required && !(seen & UINT64_C(1) << i))
			return FAULT(p, map, "%s has no field '%s'", what, fields[i].name);
	return 0;
}

/* take_text() - printable ASCII, not empty */
static int take_text(struct parse *p, const struct ynode *v, const char *what, char **dst)
{
	if (v->kind != YNODE_SCALAR || v->len == 0 || v->len > TEXT_MAX)
		return FAULT(p, v, "%s must be text", what);
	for (size_t i = 0; i < v->len; i++)
		if (v->text[i] < ' ' || v->text[i] > '~')
			return FAULT(p, v, "%s has a character that must not stand there", what);
	free(*dst);
	*dst = strdup(v->text);
	return *dst ? 0 : err_sys(p->e, -ENOMEM, "read a service");
}

/* take_true() - what is only said when it holds */
static int take_true(struct parse *p, const struct ynode *v, const char *what, bool *ret)
{
	if (v->kind != YNODE_SCALAR || strcmp(v->text, "true") != 0)
		return FAULT(p, v, "%s can only be true", what);
	*ret = true;
	return 0;
}

static int take_list(struct parse *p, const struct ynode *v, const char *what, struct kit_strv *ret)
{
	int r = 0;

	if (v->kind != YNODE_LIST || v->count == 0)
		return FAULT(p, v, "%s must be a list", what);
	kit_strv_fini(ret);
	ret->v = calloc(v->count + 1U, sizeof(*ret->v));
	if (!ret->v)
		return err_sys(p->e, -ENOMEM, "read a service");
	for (const struct ynode *i = ynode_first(&p->tree, v); i && r == 0;
		i = ynode_next(&p->tree, i)) {
		r = take_text(p, i, what, &ret->v[ret->n]);
		if (r == 0)
			ret->n++;
	}
	return r;
}

/* ---- slots ---- */

/* local_ok() - a service on the host's own loopback is named with its port */
static bool local_ok(const char *h)
{
	size_t skip = strlen("localhost:");

	return strncmp(h, "localhost:", skip) == 0 && h[skip] != '\0' &&
	       strspn(h + skip, "0123456789") == strlen(h + skip) && strlen(h + skip) <= 5;
}

/* host_ok() - a credential is never bound to everything, nor to all names of a top-level domain */
static bool host_ok(const char *h)
{
	const char *fixed = h;
	struct policy_pattern p;

	if (local_ok(h))
		return true;
	while (strncmp(fixed, "*.", 2) == 0 || strncmp(fixed, "**.", 3) == 0)
		fixed = strchr(fixed, '.') + 1;
	return !strchr(h, '/') && strchr(fixed, '.') && fixed[strspn(fixed, "*.")] &&
	       policy_pattern_parse(h, strlen(h), &p, NULL) == 0 && !p.broad;
}

static int take_hosts(struct parse *p, const struct ynode *v)
{
	int r = take_list(p, v, "hosts", &p->slot->hosts);

	for (size_t i = 0; r == 0 && i < p->slot->hosts.n; i++) {
		const char *h = p->slot->hosts.v[i];

		if (!host_ok(h))
			return FAULT(
				p, v, "'%.80s' is no host that a credential can be bound to", h);
	}
	return r;
}

static int take_path(struct parse *p, const struct ynode *v)
{
	int r = take_text(p, v, "path", &p->slot->path);

	if (r < 0)
		return r;
	return policy_path_pattern_check(p->slot->path, NULL) < 0
		       ? FAULT(p, v, "path must begin with '/' and be one that a rule may have")
		       : 0;
}

/* Fields that say how a message is framed or routed are no place for a credential. */
bool service_header_ok(const char *s)
{
	static const char *const never[] = {"host", "content-length", "transfer-encoding",
		"connection", "upgrade", "te", "trailer", "keep-alive", "proxy-connection",
		"proxy-authorization", "expect", "content-type", "content-encoding"};

	for (size_t i = 0; s[i]; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '-' ||
			    s[i] == '_'))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		if (strcmp(s, never[i]) == 0)
			return false;
	return true;
}

static int set_kind(struct parse *p, const struct ynode *v, enum egress_slot_kind kind)
{
	if (p->slot->kind != 0)
		return FAULT(p, v, "a slot is one of header, basic, query, placeholder, sigv4");
	p->slot->kind = kind;
	return 0;
}

static void to_lower(char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s + 32);
}

static int take_header(struct parse *p, const struct ynode *v)
{
	int r = set_kind(p, v, EGRESS_SLOT_HEADER);

	if (r == 0)
		r = take_text(p, v, "header", &p->slot->header);
	if (r < 0)
		return r;
	to_lower(p->slot->header);
	return service_header_ok(p->slot->header)
		       ? 0
		       : FAULT(p, v, "a credential cannot go into this header");
}

static int take_format(struct parse *p, const struct ynode *v)
{
	const char *at;
	int r = take_text(p, v, "format", &p->slot->format);

	if (r < 0)
		return r;
	at = strstr(p->slot->format, "%s");
	if (!at || strchr(at + 1, '%') || strchr(p->slot->format, '%') != at)
		return FAULT(p, v, "format must have exactly one %%s and no other '%%'");
	return 0;
}

static int take_basic(struct parse *p, const struct ynode *v)
{
	int r = set_kind(p, v, EGRESS_SLOT_BASIC);

	if (r == 0)
		r = take_text(p, v, "basic", &p->slot->username);
	if (r == 0 && strchr(p->slot->username, ':'))
		return FAULT(p, v, "a user name of Basic has no ':'");
	return r;
}

static int take_query(struct parse *p, const struct ynode *v)
{
	int r = set_kind(p, v, EGRESS_SLOT_QUERY);

	if (r == 0)
		r = take_text(p, v, "query", &p->slot->header);
	return r == 0 && strpbrk(p->slot->header, "&=#+% ") ? FAULT(p, v, "no name of a parameter")
							    : r;
}

static int take_placeholder(struct parse *p, const struct ynode *v)
{
	int r = set_kind(p, v, EGRESS_SLOT_PLACEHOLDER);

	if (r == 0)
		r = take_text(p, v, "placeholder", &p->slot->header);
	if (r < 0)
		return r;
	/* the path, and small bodies of text: names that no field can have */
	if (strcmp(p->slot->header, ":path") == 0 || strcmp(p->slot->header, ":body") == 0)
		return 0;
	to_lower(p->slot->header);
	return service_header_ok(p->slot->header) ? 0 : FAULT(p, v, "no header for a credential");
}

static int take_sigv4(struct parse *p, const struct ynode *v)
{
	int r = set_kind(p, v, EGRESS_SLOT_SIGV4);
	bool yes;

	return r == 0 ? take_true(p, v, "sigv4", &yes) : r;
}

static int take_slot(struct parse *p, const struct ynode *v)
{
	static const struct field fields[] = {{"hosts", take_hosts, true}, {"path", take_path},
		{"header", take_header}, {"format", take_format}, {"basic", take_basic},
		{"query", take_query}, {"placeholder", take_placeholder}, {"sigv4", take_sigv4}};
	int r = take_map(p, v, "a slot", fields, ARRAY_LEN(fields));

	if (r < 0)
		return r;
	if (p->slot->kind == 0)
		return FAULT(p, v, "a slot needs one of header, basic, query, placeholder, sigv4");
	if ((p->slot->kind == EGRESS_SLOT_HEADER) != (p->slot->format != NULL))
		return FAULT(p, v, "format belongs to header, and header needs it");
	return 0;
}

static int take_slots(struct parse *p, const struct ynode *v)
{
	int r = 0;

	if (v->kind != YNODE_LIST || v->count == 0 || v->count > SERVICE_SLOTS_MAX)
		return FAULT(p, v, "slots must be a list of 1 to %d", SERVICE_SLOTS_MAX);
	p->s->slots = calloc(v->count, sizeof(*p->s->slots));
	if (!p->s->slots)
		return err_sys(p->e, -ENOMEM, "read a service");
	for (const struct ynode *i = ynode_first(&p->tree, v); i && r == 0;
		i = ynode_next(&p->tree, i)) {
		p->slot = &p->s->slots[p->s->n_slots++];
		r = take_slot(p, i);
	}
	return r;
}

/* ---- top level ---- */

static int take_name(struct parse *p, const struct ynode *v)
{
	int r = take_text(p, v, "name", &p->s->name);

	return r == 0 && !kit_name_ok(p->s->name) ? FAULT(p, v, "no name of a service") : r;
}

static int take_description(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "description", &p->s->description);
}

static bool variable_ok(const char *s)
{
	for (size_t i = 0; s[i]; i++)
		if (!((s[i] >= 'A' && s[i] <= 'Z') || s[i] == '_' ||
			    (i > 0 && s[i] >= '0' && s[i] <= '9')))
			return false;
	return s[0] != '\0' && strncmp(s, "LD_", 3) != 0 && strncmp(s, "SBX_", 4) != 0 &&
	       strcmp(s, "PATH") != 0 && strcmp(s, "HOME") != 0;
}

static int take_env(struct parse *p, const struct ynode *v)
{
	int r = take_list(p, v, "env", &p->s->env);

	for (size_t i = 0; r == 0 && i < p->s->env.n; i++)
		if (!variable_ok(p->s->env.v[i]))
			return FAULT(
				p, v, "'%.64s' is no variable for a credential", p->s->env.v[i]);
	return r;
}

static int take_join(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "join", &p->s->join);
}

static int take_bodies(struct parse *p, const struct ynode *v)
{
	bool pass = v->kind == YNODE_SCALAR && strcmp(v->text, "pass") == 0;

	if (!pass && (v->kind != YNODE_SCALAR || strcmp(v->text, "refuse") != 0))
		return FAULT(p, v, "bodies must be refuse or pass");
	p->s->pass_body = pass;
	return 0;
}

static int take_prefix(struct parse *p, const struct ynode *v)
{
	int r = take_text(p, v, "prefix", &p->s->prefix);

	return r == 0 && strlen(p->s->prefix) > 64 ? FAULT(p, v, "prefix is too long") : r;
}

static int take_random(struct parse *p, const struct ynode *v)
{
	char *end = NULL;
	unsigned long n = v->kind == YNODE_SCALAR ? strtoul(v->text, &end, 10) : 0;

	if (!end || *end || n < RANDOM_LEAST || n > RANDOM_MOST)
		return FAULT(p, v, "random must be %d to %d", RANDOM_LEAST, RANDOM_MOST);
	p->s->random = (uint32_t)n;
	return 0;
}

/* stand_in_ok() - what every client passes on as it is, in headers, queries and variables */
static bool stand_in_ok(const char *s)
{
	return s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-")] ==
	       '\0';
}

static int take_suffix(struct parse *p, const struct ynode *v)
{
	int r = take_text(p, v, "suffix", &p->s->suffix);

	return r == 0 && (strlen(p->s->suffix) > 64 || !stand_in_ok(p->s->suffix))
		       ? FAULT(p, v, "no suffix of a stand-in")
		       : r;
}

/* take_fixed() - short ones would be found where nobody meant them, and refused there */
static int take_fixed(struct parse *p, const struct ynode *v)
{
	int r = take_text(p, v, "text", &p->s->text);
	size_t n = r == 0 ? strlen(p->s->text) : 0;

	return r == 0 && (n < FIXED_LEAST || n > FIXED_MOST || !stand_in_ok(p->s->text))
		       ? FAULT(p, v, "a stand-in has %d to %d letters, digits and ._~-",
				 FIXED_LEAST, FIXED_MOST)
		       : r;
}

static int take_sentinel(struct parse *p, const struct ynode *v)
{
	static const struct field fields[] = {{"prefix", take_prefix}, {"random", take_random},
		{"suffix", take_suffix}, {"text", take_fixed}};
	int r = take_map(p, v, "sentinel", fields, ARRAY_LEN(fields));

	return r == 0 && p->s->text && (p->s->prefix || p->s->suffix)
		       ? FAULT(p, v, "a sentinel with text has nothing else")
		       : r;
}

static int take_custom(struct parse *p, const struct ynode *v)
{
	return take_true(p, v, "custom", &p->s->custom);
}

static int take_oauth_host(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "host", &p->s->oauth->host);
}
static int take_oauth_path(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "path", &p->s->oauth->path);
}
static int take_oauth_access(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "access", &p->s->oauth->access_field);
}
static int take_oauth_refresh(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "refresh", &p->s->oauth->refresh_field);
}

static int take_oauth_id(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "id", &p->s->oauth->id_field);
}

static int take_device_path(struct parse *p, const struct ynode *v)
{
	int r = take_text(p, v, "path", &p->s->oauth->device_path);

	return r == 0 && p->s->oauth->device_path[0] != '/'
		       ? FAULT(p, v, "path must begin with '/'")
		       : r;
}

static int take_device_field(struct parse *p, const struct ynode *v)
{
	return take_text(p, v, "field", &p->s->oauth->device_field);
}

static int take_oauth_device(struct parse *p, const struct ynode *v)
{
	static const struct field fields[] = {
		{"path", take_device_path, true}, {"field", take_device_field}};

	return take_map(p, v, "device", fields, ARRAY_LEN(fields));
}

static int take_oauth_claims(struct parse *p, const struct ynode *v)
{
	return take_true(p, v, "claims", &p->s->oauth->claims);
}

static int take_oauth(struct parse *p, const struct ynode *v)
{
	static const struct field fields[] = {{"host", take_oauth_host, true},
		{"path", take_oauth_path, true}, {"access", take_oauth_access, true},
		{"refresh", take_oauth_refresh, true}, {"id", take_oauth_id},
		{"device", take_oauth_device}, {"claims", take_oauth_claims}};

	p->s->oauth = calloc(1, sizeof(*p->s->oauth));
	if (!p->s->oauth)
		return err_sys(p->e, -ENOMEM, "read a service");
	return take_map(p, v, "oauth", fields, ARRAY_LEN(fields));
}

int service_parse(
	const char *file, const char *text, size_t len, struct service **ret_service, struct err *e)
{
	static const struct field fields[] = {{"name", take_name, true},
		{"description", take_description, true}, {"env", take_env}, {"join", take_join},
		{"bodies", take_bodies}, {"sentinel", take_sentinel}, {"slots", take_slots, true},
		{"oauth", take_oauth}, {"custom", take_custom}};
	struct parse p = {.e = e};
	int r;

	if (len > SERVICE_FILE_MAX)
		return err_set(e, ERR_INVALID, -EFBIG, "%s: larger than 64 KiB", file);
	r = yaml_read_plain(file, text, len, &p.tree, e);
	if (r < 0)
		return r;
	p.s = calloc(1, sizeof(*p.s));
	r = p.s ? 0 : err_sys(e, -ENOMEM, "read a service");
	if (r == 0) {
		p.s->random = 40;
		r = take_map(
			&p, &p.tree.nodes[p.tree.root], "a service", fields, ARRAY_LEN(fields));
	}
	ytree_fini(&p.tree);
	if (r < 0) {
		service_free(p.s);
		return r;
	}
	*ret_service = p.s;
	return 0;
}

void service_free(struct service *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_slots; i++) {
		kit_strv_fini(&s->slots[i].hosts);
		free(s->slots[i].path);
		free(s->slots[i].header);
		free(s->slots[i].format);
		free(s->slots[i].username);
	}
	free(s->slots);
	if (s->oauth) {
		free(s->oauth->host);
		free(s->oauth->path);
		free(s->oauth->access_field);
		free(s->oauth->refresh_field);
		free(s->oauth->id_field);
		free(s->oauth->device_path);
		free(s->oauth->device_field);
		free(s->oauth->access_text);
		free(s->oauth->refresh_text);
		kit_strv_fini(&s->oauth->hosts);
		free(s->oauth);
	}
	kit_strv_fini(&s->env);
	free(s->name);
	free(s->description);
	free(s->join);
	free(s->prefix);
	free(s->suffix);
	free(s->text);
	free(s);
}

int service_sentinel(const struct service *s, const uint8_t random[64], char *dst, size_t cap)
{
	/* 64 letters: six bits of a byte each, without bias. The last two repeat others: '-' and '_' are
	 * not taken by every client, and 22 characters still are more than 128 bits.
	 */
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789Ab";
	size_t at = s->prefix ? strlen(s->prefix) : 0;
	size_t tail = s->suffix ? strlen(s->suffix) : 0;

	if (s->text)
		return snprintf(dst, cap, "%s", s->text) < (int)cap ? 0 : -ENOBUFS;
	if (at + s->random + tail + 1 > cap || s->random > 64)
		return -ENOBUFS;
	if (at > 0)
		memcpy(dst, s->prefix, at);
	for (uint32_t i = 0; i < s->random; i++)
		dst[at++] = letters[random[i] & 63];
	if (tail > 0)
		memcpy(dst + at, s->suffix, tail);
	dst[at + tail] = '\0';
	return 0;
}
