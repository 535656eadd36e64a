#include "kit/decode.h"
#include "kit/kit.h"
#include "json/json.h"
#include "policy/pattern.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A credential by login: where its token comes from and is used, and the file that a client keeps it in. */

#define IN_OAUTH(member) offsetof(struct kit_oauth, member)
#define STAND_IN_LEAST	 8 /* characters of a stand-in */

static int take_endpoint_host(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_oauth *o = item;
	int r = decode_domain(d, v, "tokenEndpoint.host", &o->host);

	return r == 0 && strpbrk(o->host, "*?[") ? FAULT(d, v, "a token endpoint is one host") : r;
}

static int take_endpoint_path(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_oauth *o = item;
	int r = decode_printable(d, v, "tokenEndpoint.path", &o->path);

	return r == 0 && o->path[0] != '/' ? FAULT(d, v, "path must begin with '/'") : r;
}

static int take_endpoint(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"host", FIELD_TAKE, 0, take_endpoint_host, FIELD_REQUIRED},
		{"path", FIELD_TAKE, 0, take_endpoint_path, FIELD_REQUIRED},
	};

	return decode_map(d, v, "credentials.oauth.tokenEndpoint", fields, ARRAY_LEN(fields), item);
}

static int take_resource_hosts(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_oauth *o = item;
	int r = decode_words(d, v, "resourceHosts", &o->hosts);

	for (const struct ynode *i = ynode_first(d->t, v); r == 0 && i; i = ynode_next(d->t, i)) {
		const char *host;

		r = decode_domain(d, i, "resourceHosts", &host);
	}
	return r;
}

/* stand_in() - it is looked for everywhere in requests: a short one would stop those that mean something else */
static int stand_in(struct decode *d, const struct ynode *v, const char *what, const char **ret)
{
	int r = decode_printable(d, v, what, ret);

	return r == 0 && strlen(*ret) < STAND_IN_LEAST
		       ? FAULT(d, v, "%s has fewer than %d characters", what, STAND_IN_LEAST)
		       : r;
}

static int take_access(struct decode *d, const struct ynode *v, void *item)
{
	return stand_in(d, v, "accessToken", &((struct kit_oauth *)item)->access);
}
static int take_refresh(struct decode *d, const struct ynode *v, void *item)
{
	return stand_in(d, v, "refreshToken", &((struct kit_oauth *)item)->refresh);
}

static int take_sentinels(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"accessToken", FIELD_TAKE, 0, take_access, 0},
		{"refreshToken", FIELD_TAKE, 0, take_refresh, 0},
	};

	return decode_map(d, v, "credentials.oauth.sentinels", fields, ARRAY_LEN(fields), item);
}

/* "~/x/y" or beneath /: where the client inside keeps its tokens */
static int take_file_path(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_oauth *o = item;
	char path[KIT_TREE_PATH_MAX + 16];
	struct ynode as_absolute = *v;
	const char *clean;
	int r = decode_text(d, v, "credentialFile.path", &o->file_path);

	if (r < 0 || strncmp(o->file_path, "~/", 2) != 0)
		return r < 0 ? r : decode_path(d, v, "credentialFile.path", &o->file_path);
	(void)snprintf(path, sizeof(path), "%s", o->file_path + 1);
	as_absolute.text = path;
	as_absolute.len = strlen(path);
	return decode_path(d, &as_absolute, "credentialFile.path", &clean);
}

static struct js *level_new(const struct ynode *n)
{
	return n->kind == YNODE_MAP ? js_object() : js_array();
}

static bool is_number(const struct ynode *v)
{
	return v->plain && v->len && v->len < 16 && strspn(v->text, "0123456789") == v->len &&
	       (v->text[0] != '0' || v->len == 1);
}

static bool put_scalar(struct js *in, const char *key, const struct ynode *v)
{
	if (!key)
		return js_add_str(in, v->text); /* lists of such files are lists of words */
	if (v->plain && (strcmp(v->text, "true") == 0 || strcmp(v->text, "false") == 0))
		return js_set_bool(in, key, v->text[0] == 't');
	if (v->plain && (v->len == 0 || strcmp(v->text, "null") == 0))
		return js_set_null(in, key);
	return is_number(v) ? js_set_int(in, key, strtoll(v->text, NULL, 10))
			    : js_set_str(in, key, v->text);
}

/* to_json() - a mapping of the document as a JSON object; depth is the document's */
static struct js *to_json(struct decode *d, const struct ynode *map)
{
	struct {
		struct js *js;
		const struct ynode *next; /* key or item */
		bool list;
	} open[YAML_DEPTH_MAX + 1];
	AUTO_JS root = js_object();
	size_t depth = 0;
	bool bad = !root;

	open[depth].js = root;
	open[depth].list = false;
	open[depth++].next = ynode_first(d->t, map);
	while (!bad && depth) {
		const struct ynode *at = open[depth - 1].next, *v = at;
		struct js *in = open[depth - 1].js, *child;
		const char *key = NULL;

		if (!at) {
			depth--;
			continue;
		}
		if (!open[depth - 1].list) {
			key = at->text;
			v = ynode_next(d->t, at);
		}
		open[depth - 1].next = ynode_next(d->t, v);
		if (v->kind == YNODE_SCALAR) {
			bad = put_scalar(in, key, v);
			continue;
		}
		child = level_new(v);
		bad = key ? js_set(in, key, child) : js_add(in, child);
		open[depth].js = child;
		open[depth].list = v->kind == YNODE_LIST;
		open[depth++].next = ynode_first(d->t, v);
	}
	return bad ? NULL : TAKE(root);
}

static int take_structure(struct decode *d, const struct ynode *v, void *item)
{
	struct kit_oauth *o = item;
	AUTO_JS tree = NULL;
	AUTO(buf) text;

	buf_init(&text, KIT_SPEC_MAX * 2);
	if (!decode_is(v, YNODE_MAP))
		return FAULT(d, v, "credentialFile.structure must be a mapping");
	tree = to_json(d, v);
	if (!tree || js_print(tree, &text) < 0)
		return decode_nomem(d);
	o->structure = kit_mem_str(&d->s->mem, buf_str(&text));
	return o->structure ? 0 : decode_nomem(d);
}

static int take_file(struct decode *d, const struct ynode *v, void *item)
{
	static const struct field fields[] = {
		{"path", FIELD_TAKE, 0, take_file_path, FIELD_REQUIRED},
		{"structure", FIELD_TAKE, 0, take_structure, 0},
		{"template", FIELD_TEXT, IN_OAUTH(template_text), NULL, 0},
	};
	struct kit_oauth *o = item;
	int r = decode_map(
		d, v, "credentials.oauth.credentialFile", fields, ARRAY_LEN(fields), item);

	return r == 0 && !o->structure && !o->template_text
		       ? FAULT(d, v, "credentialFile needs a structure")
		       : r;
}

static int take_response_fields(struct decode *d, const struct ynode *v, void *item)
{
	static const char *const known[] = {"accessToken", "refreshToken", "expiresIn", "scope"};
	struct kit_oauth *o = item;
	const struct ynode *key, *value;

	if (!decode_is(v, YNODE_MAP))
		return FAULT(d, v, "responseFields must be a mapping");
	o->fields = kit_mem_array(&d->s->mem, v->count / 2, sizeof(*o->fields));
	if (!o->fields)
		return decode_nomem(d);
	for (key = ynode_first(d->t, v); key; key = ynode_next(d->t, value)) {
		size_t i = 0;
		int r;

		value = ynode_next(d->t, key);
		while (i < ARRAY_LEN(known) && strcmp(known[i], key->text) != 0)
			i++;
		if (i == ARRAY_LEN(known))
			return FAULT(d, key, "unknown field '%.64s' in responseFields", key->text);
		o->fields[o->n_fields].key = known[i];
		r = decode_printable(d, value, known[i], &o->fields[o->n_fields].value);
		if (r < 0)
			return r;
		o->n_fields++;
	}
	return 0;
}

static int take_oauth_service(struct decode *d, const struct ynode *v, void *item)
{
	const char *service;

	(void)item;
	return decode_service(d, v, "oauth.service", &service);
}

int decode_oauth(struct decode *d, const struct ynode *v, struct kit_oauth *ret)
{
	static const struct field fields[] = {
		{"tokenEndpoint", FIELD_TAKE, 0, take_endpoint, FIELD_REQUIRED},
		{"resourceHosts", FIELD_TAKE, 0, take_resource_hosts, 0},
		{"sentinels", FIELD_TAKE, 0, take_sentinels, 0},
		{"credentialFile", FIELD_TAKE, 0, take_file, 0},
		{"responseFields", FIELD_TAKE, 0, take_response_fields, 0},
		{"skipIfEnv", FIELD_WORDS, IN_OAUTH(skip_if_env), NULL, 0},
		{"passthrough", FIELD_BOOL, IN_OAUTH(passthrough), NULL, 0},
		/* schema 1 */
		{"passthroughResponse", FIELD_BOOL, IN_OAUTH(passthrough), NULL, 0},
		{"service", FIELD_TAKE, 0, take_oauth_service, FIELD_REQUIRED},
	};
	size_t n = d->s->schema == 1 ? ARRAY_LEN(fields) : ARRAY_LEN(fields) - 2;
	int r;

	if (d->s->kind == KIT_MIXIN)
		return FAULT(d, v, "a mixin has no oauth: logging in is the agent's");
	r = decode_map(d, v, "credentials.oauth", fields, n, ret);
	if (r < 0)
		return r;
	ret->at = decode_at(v);
	if (!ret->passthrough && (!ret->access || !ret->refresh))
		return FAULT(d, v, "oauth needs sentinels: accessToken and refreshToken");
	return ret->passthrough
		       ? decode_warn(d, ret->at, "passthrough: the real token enters the sandbox")
		       : 0;
}
