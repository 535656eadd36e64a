/* rules_org.c - the organisation's policy file; a fault names its place, and nothing of it is used then */
#include "daemon/rules.h"
#include "kit/ytree.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

struct org {
	struct ytree tree;
	struct policy *p; /* owned until it is handed on */
	unsigned n;
	char origin[POLICY_ORIGIN_MAX + 1];
	struct err *e;
};

#define FAULT(o, node, ...) yaml_fault((o)->e, &(o)->tree, (node), __VA_ARGS__)

static int text_of(struct org *o, const struct ynode *v, size_t max, const char **ret)
{
	if (v->kind != YNODE_SCALAR || v->len == 0 || v->len > max)
		return FAULT(o, v, "must be a text of 1 to %zu bytes", max);
	*ret = v->text;
	return 0;
}

/* methods_of() - a list of methods, or one text with commas */
static int methods_of(struct org *o, const struct ynode *v, uint16_t *ret)
{
	struct err why = {0};
	char text[128] = "";
	size_t len = 0;

	if (v->kind == YNODE_MAP)
		return FAULT(o, v, "methods must be a list");
	if (v->kind == YNODE_SCALAR)
		(void)snprintf(text, sizeof(text), "%s", v->text);
	else
		for (const struct ynode *m = ynode_first(&o->tree, v); m;
			m = ynode_next(&o->tree, m)) {
			if (m->kind != YNODE_SCALAR || len + m->len + 2 > sizeof(text))
				return FAULT(o, m, "is no method");
			len += (size_t)snprintf(
				text + len, sizeof(text) - len, "%s%s", len ? "," : "", m->text);
		}
	if (policy_methods_parse(text, ret, &why) < 0)
		return FAULT(o, v, "%s", why.msg);
	return 0;
}

static int field(
	struct org *o, const struct ynode *key, const struct ynode *v, struct policy_rule *r)
{
	if (strcmp(key->text, "resource") == 0)
		return text_of(o, v, POLICY_PATTERN_MAX, &r->resource);
	if (strcmp(key->text, "path") == 0)
		return text_of(o, v, POLICY_PATH_PATTERN_MAX, &r->path);
	if (strcmp(key->text, "grpc") == 0)
		return text_of(o, v, POLICY_GRPC_MAX, &r->grpc);
	if (strcmp(key->text, "methods") == 0)
		return methods_of(o, v, &r->methods);
	if (strcmp(key->text, "websocket") != 0)
		return FAULT(o, key, "unknown field '%.64s' in a rule", key->text);
	if (v->kind != YNODE_SCALAR || !v->plain ||
		(strcmp(v->text, "true") != 0 && strcmp(v->text, "false") != 0))
		return FAULT(o, v, "websocket must be true or false");
	r->websocket = v->text[0] == 't';
	return 0;
}

static int add_rule(struct org *o, const struct ynode *v, enum policy_decision d)
{
	struct policy_rule r = {.source = POLICY_SOURCE_ORG, .decision = d, .origin = o->origin};
	char id[16];
	struct err why = {0};
	const struct ynode *key, *value;
	int rc = 0;

	if (v->kind == YNODE_SCALAR)
		rc = text_of(o, v, POLICY_PATTERN_MAX, &r.resource);
	else if (v->kind == YNODE_MAP)
		for (key = ynode_first(&o->tree, v); key && rc == 0;
			key = ynode_next(&o->tree, value)) {
			value = ynode_next(&o->tree, key);
			rc = field(o, key, value, &r);
		}
	if (rc < 0)
		return rc;
	if (!r.resource)
		return FAULT(o, v, "a rule is a resource, or a mapping with 'resource'");
	(void)snprintf(id, sizeof(id), "org.%u", ++o->n);
	r.id = id;
	rc = policy_add(o->p, &r, &why);
	return rc < 0 ? FAULT(o, v, "%s", why.msg) : 0;
}

static int add_bypass(struct org *o, const struct ynode *v)
{
	struct err why = {0};
	const char *text;
	int r = text_of(o, v, POLICY_PATTERN_MAX, &text);

	if (r < 0)
		return r;
	return policy_add_bypass(o->p, text, &why) < 0 ? FAULT(o, v, "%s", why.msg) : 0;
}

static int section(struct org *o, const struct ynode *key, const struct ynode *list)
{
	enum policy_decision d = POLICY_DENY;
	const bool bypass = strcmp(key->text, "bypass") == 0;
	int r = 0;

	if (strcmp(key->text, "version") == 0) {
		if (list->kind != YNODE_SCALAR || strcmp(list->text, "1") != 0)
			return FAULT(o, list, "version must be 1");
		return 1;
	}
	if (!bypass && !policy_decision_from(key->text, &d))
		return FAULT(o, key, "unknown field '%.64s'", key->text);
	if (list->kind != YNODE_LIST)
		return FAULT(o, list, "%s must be a list", key->text);
	for (const struct ynode *v = ynode_first(&o->tree, list); v && r == 0;
		v = ynode_next(&o->tree, v))
		r = bypass ? add_bypass(o, v) : add_rule(o, v, d);
	return r;
}

static int sections(struct org *o)
{
	const struct ynode *root = &o->tree.nodes[o->tree.root], *key, *value;
	bool version = false;

	if (root->kind != YNODE_MAP)
		return FAULT(o, root, "must be a mapping");
	for (key = ynode_first(&o->tree, root); key; key = ynode_next(&o->tree, value)) {
		int r;

		value = ynode_next(&o->tree, key);
		r = section(o, key, value);
		if (r < 0)
			return r;
		version |= r == 1;
	}
	return version ? 0 : FAULT(o, root, "has no 'version: 1'");
}

int rules_org_parse(
	const char *file, const char *text, size_t len, struct policy **ret, struct err *e)
{
	struct org o = {.e = e};
	int r = yaml_read_plain(file, text, len, &o.tree, e);

	if (r < 0)
		return r;
	(void)snprintf(o.origin, sizeof(o.origin), "the organisation's file");
	o.p = policy_new();
	r = o.p ? sections(&o) : err_sys(e, -ENOMEM, "read '%s'", file);
	ytree_fini(&o.tree);
	if (r == 0 && policy_seal(o.p) < 0)
		r = err_sys(e, -ENOMEM, "read '%s'", file);
	if (r < 0) {
		policy_free(o.p);
		return r;
	}
	*ret = o.p;
	return 0;
}
