/* policy.c - a policy is built: rules are checked, made canonical, kept, indexed */
#include "policy/internal.h"
#include "policy/path.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

#define CHUNK_BYTES 16384

struct policy_layer *policy_layer_new(struct policy *p)
{
	struct policy_layer *l = calloc(1, sizeof(*l));

	if (l) {
		l->all = l->local = NO_ENTRY;
		p->layers[p->n_layers++] = l;
	}
	return l;
}

struct policy *policy_new(void)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (p && !policy_layer_new(p)) {
		free(p);
		return NULL;
	}
	return p;
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_layers; i++) {
		free(p->layers[i]->entries);
		free(p->layers[i]->heads);
		free(p->layers[i]->bypass);
		free(p->layers[i]->bypass_text);
		free(p->layers[i]);
	}
	while (p->chunks) {
		struct policy_chunk *c = p->chunks;

		p->chunks = c->next;
		free(c);
	}
	free(p);
}

void policy_freep(struct policy **p)
{
	policy_free(*p);
}

/* keep() - a copy of @s that lives as long as the policy; NULL without memory */
static const char *keep(struct policy *p, const char *s)
{
	size_t len = strlen(s) + 1;
	struct policy_chunk *c = p->chunks;

	if (!c || c->cap - c->used < len) {
		size_t cap = len > CHUNK_BYTES ? len : CHUNK_BYTES;

		c = malloc(sizeof(*c) + cap);
		if (!c)
			return NULL;
		*c = (struct policy_chunk){.next = p->chunks, .cap = cap};
		p->chunks = c;
	}
	memcpy(c->bytes + c->used, s, len);
	c->used += len;
	return c->bytes + c->used - len;
}

static int bad(struct err *e, const struct policy_rule *r, const char *why)
{
	return err_set(e, ERR_INVALID, -EINVAL, "rule for '%.120s': %s", r->resource, why);
}

static bool looks_into_requests(const struct policy_rule *r)
{
	return r->methods || r->path || r->grpc || r->websocket;
}

static bool grpc_ok(const char *s)
{
	const char *slash = strchr(s, '/');
	size_t len = strlen(s);

	if (len > POLICY_GRPC_MAX || !slash || slash == s || slash[1] == '\0' ||
		strchr(slash + 1, '/'))
		return false;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-*/") ==
	       len;
}

static bool text_ok(const char *s, size_t max)
{
	size_t len = strlen(s);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < ' ' || (unsigned char)s[i] == 0x7f)
			return false;
	return len > 0 && len <= max;
}

static int check_http(const struct policy_rule *r, const struct policy_pattern *p, struct err *e)
{
	unsigned most = p->net.family == 4 ? 32 : 128;
	int rc;

	if (r->path) {
		rc = policy_path_pattern_check(r->path, e);
		if (rc < 0)
			return rc;
	}
	if (r->grpc && !grpc_ok(r->grpc))
		return bad(e, r,
			"a gRPC method is 'package.Service/Method', '*' for any run of characters");
	if (r->grpc && (r->path || r->methods || r->websocket))
		return bad(e, r, "a gRPC method excludes methods, path and WebSocket");
	if (r->websocket && r->methods)
		return bad(e, r, "WebSocket has no other method: leave the methods out");
	if (p->kind == POLICY_PATTERN_NET && p->prefix != most)
		return bad(e, r, "rules about requests need a host or one address, not a range");
	return 0;
}

static int check_rule(const struct policy_rule *r, struct policy_pattern *ret_p, struct err *e)
{
	static const char id_bytes[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-";
	int rc = policy_pattern_parse(r->resource, strlen(r->resource), ret_p, e);

	if (rc < 0)
		return rc;
	if (!text_ok(r->id, POLICY_ID_MAX) || strspn(r->id, id_bytes) != strlen(r->id))
		return bad(e, r, "its id is empty, too long, or has odd characters");
	if (!text_ok(r->origin, POLICY_ORIGIN_MAX))
		return bad(e, r, "its origin is empty, too long, or has control characters");
	if ((unsigned)r->source >= POLICY_SOURCE_PARENT || (unsigned)r->decision > POLICY_ALLOW ||
		(r->methods & ~POLICY_METHODS))
		return bad(e, r, "unknown source, decision or method");
	if (looks_into_requests(r)) {
		rc = check_http(r, ret_p, e);
		if (rc < 0)
			return rc;
	}
	if (r->decision == POLICY_DENY)
		return 0;
	if (ret_p->broad)
		return bad(e, r, "a wildcard straight under a top level domain can only be denied");
	if (ret_p->kind == POLICY_PATTERN_LOCAL && !ret_p->port)
		return bad(e, r, "that is every service of this host: write localhost:PORT");
	return 0;
}

int policy_check_rule(const struct policy_rule *r, struct err *e)
{
	struct policy_pattern p;

	return check_rule(r, &p, e);
}

/* net_class() - the special class the whole range lies in; PUBLIC when it has no such class. Ranges
 * that do not begin and end in one class name no special address (0.0.0.0/0 does not name 10.0.0.1).
 */
static enum policy_address_class net_class(const struct policy_pattern *p)
{
	struct policy_address last = p->net;
	enum policy_address_class c = policy_address_class(&p->net);
	unsigned most = p->net.family == 4 ? 32 : 128;

	for (unsigned i = p->prefix; i < most; i++)
		last.byte[i / 8] |= (uint8_t)(0x80U >> i % 8);
	return policy_address_class(&last) == c ? c : POLICY_ADDRESS_PUBLIC;
}

static int grow(struct policy_layer *l)
{
	uint32_t cap = l->cap ? l->cap * 2 : 16;
	struct policy_entry *more;

	if (l->n < l->cap)
		return 0;
	more = reallocarray(l->entries, cap, sizeof(*more));
	if (!more)
		return -ENOMEM;
	l->entries = more;
	l->cap = cap;
	return 0;
}

/* set_texts() - the rule's strings become the policy's own */
static int set_texts(struct policy *p, const struct policy_rule *r,
	const struct policy_pattern *pattern, struct policy_entry *en)
{
	char text[POLICY_PATTERN_MAX];
	bool any_path = r->path && strcmp(r->path, "/**") == 0;

	en->rule = *r;
	en->rule.id = keep(p, r->id);
	en->rule.resource = keep(p, policy_pattern_text(pattern, text));
	en->rule.origin = keep(p, r->origin);
	en->host = pattern->len ? keep(p, pattern->host) : "";
	if (!en->rule.id || !en->rule.resource || !en->rule.origin || !en->host)
		return -ENOMEM;
	/* a tree of everything says nothing unless it is what makes the rule one about requests */
	if (any_path && (r->methods || r->websocket))
		en->rule.path = NULL;
	else if (r->path && !(en->rule.path = keep(p, r->path)))
		return -ENOMEM;
	if (r->grpc && !(en->rule.grpc = keep(p, r->grpc)))
		return -ENOMEM;
	return 0;
}

int policy_add(struct policy *p, const struct policy_rule *r, struct err *e)
{
	struct policy_layer *l = p->layers[0];
	struct policy_pattern pattern;
	struct policy_entry *en;
	int rc = check_rule(r, &pattern, e);

	assert(!p->sealed);
	if (rc < 0)
		return rc;
	if (l->n >= POLICY_RULES_MAX)
		return err_set(e, ERR_LIMIT, -ENOSPC, "more than %u rules", POLICY_RULES_MAX);
	if (grow(l) < 0)
		return err_sys(e, -ENOMEM, "rule for '%.120s'", r->resource);
	en = &l->entries[l->n];
	memset(en, 0, sizeof(*en));
	if (set_texts(p, r, &pattern, en) < 0)
		return err_sys(e, -ENOMEM, "rule for '%.120s'", r->resource);
	en->kind = pattern.kind;
	en->port = pattern.port;
	en->prefix = pattern.prefix;
	en->net = pattern.net;
	en->len = pattern.len;
	en->tail = pattern.tail;
	en->http = looks_into_requests(&en->rule);
	en->class =
		pattern.kind == POLICY_PATTERN_NET ? net_class(&pattern) : POLICY_ADDRESS_PUBLIC;
	l->n++;
	return 0;
}

int policy_add_bypass(struct policy *p, const char *resource, struct err *e)
{
	struct policy_layer *l = p->layers[0];
	char text[POLICY_PATTERN_MAX];
	struct policy_pattern pattern;
	int rc = policy_pattern_parse(resource, strlen(resource), &pattern, e);

	assert(!p->sealed);
	if (rc < 0)
		return rc;
	if (pattern.kind == POLICY_PATTERN_ALL || pattern.kind == POLICY_PATTERN_NET ||
		pattern.broad)
		return err_set(e, ERR_INVALID, -EINVAL,
			"bypass '%.120s': names of hosts only, and not all of them", resource);
	if (l->n_bypass >= POLICY_BYPASS_MAX)
		return err_set(
			e, ERR_LIMIT, -ENOSPC, "more than %u hosts in bypass", POLICY_BYPASS_MAX);
	if (!l->bypass) {
		l->bypass = calloc(POLICY_BYPASS_MAX, sizeof(*l->bypass));
		l->bypass_text = calloc(POLICY_BYPASS_MAX, sizeof(*l->bypass_text));
	}
	if (l->bypass && l->bypass_text)
		l->bypass_text[l->n_bypass] = keep(p, policy_pattern_text(&pattern, text));
	if (!l->bypass || !l->bypass_text || !l->bypass_text[l->n_bypass])
		return err_sys(e, -ENOMEM, "bypass '%.120s'", resource);
	l->bypass[l->n_bypass++] = pattern;
	return 0;
}

void policy_govern(struct policy *p)
{
	assert(!p->sealed);
	p->layers[0]->governed = true;
}

/* copy_layer() - @from's rules again, into a policy of their own: every check anew */
static int copy_layer(struct policy *p, const struct policy_layer *from, struct err *e)
{
	struct policy_layer *own = p->layers[0], *l = policy_layer_new(p);
	int rc = 0;

	if (!l)
		return err_sys(e, -ENOMEM, "inherit a policy");
	l->governed = from->governed;
	p->layers[0] = l; /* policy_add() adds to the first */
	for (uint32_t i = 0; i < from->n && rc == 0; i++)
		rc = policy_add(p, &from->entries[i].rule, e);
	for (uint32_t i = 0; i < from->n_bypass && rc == 0; i++)
		rc = policy_add_bypass(p, from->bypass_text[i], e);
	p->layers[0] = own;
	return rc;
}

int policy_inherit(struct policy *p, const struct policy *parent, struct err *e)
{
	assert(!p->sealed && parent->sealed && p != parent);
	if (p->n_layers + parent->n_layers > POLICY_LAYERS_MAX)
		return err_set(e, ERR_LIMIT, -ENOSPC, "more than %d generations of sandboxes",
			POLICY_LAYERS_MAX);
	for (size_t i = 0; i < parent->n_layers; i++) {
		int rc = copy_layer(p, parent->layers[i], e);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int policy_seal(struct policy *p)
{
	for (size_t i = 0; i < p->n_layers; i++) {
		int rc = policy_index(p->layers[i]);

		if (rc < 0)
			return rc;
	}
	p->sealed = true;
	return 0;
}

size_t policy_layers(const struct policy *p)
{
	return p->n_layers;
}

size_t policy_rules(const struct policy *p, size_t layer)
{
	assert(layer < p->n_layers);
	return p->layers[layer]->n;
}

const struct policy_rule *policy_rule_at(const struct policy *p, size_t layer, size_t i)
{
	assert(layer < p->n_layers && i < p->layers[layer]->n);
	return &p->layers[layer]->entries[i].rule;
}

bool policy_governed(const struct policy *p)
{
	return p->layers[0]->governed;
}

size_t policy_bypasses(const struct policy *p, size_t layer)
{
	assert(layer < p->n_layers);
	return p->layers[layer]->n_bypass;
}

const char *policy_bypass_at(const struct policy *p, size_t layer, size_t i)
{
	assert(layer < p->n_layers && i < p->layers[layer]->n_bypass);
	return p->layers[layer]->bypass_text[i];
}
