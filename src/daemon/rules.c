#include "daemon/rules.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

void rules_fini(struct rules *r)
{
	if (!r)
		return;
	free(r->v);
	*r = (struct rules){0};
}

void rules_auto(struct rules *r)
{
	rules_fini(r);
}

struct policy_rule rules_as_policy(
	const struct store_rule *r, const char *id, const char *origin, enum policy_source source)
{
	return (struct policy_rule){.id = id,
		.resource = r->resource,
		.path = r->path[0] ? r->path : NULL,
		.grpc = r->grpc[0] ? r->grpc : NULL,
		.origin = origin,
		.methods = r->methods,
		.source = source,
		.decision = r->decision,
		.websocket = r->websocket};
}

bool rules_same(const struct store_rule *a, const struct store_rule *b)
{
	return a->decision == b->decision && a->methods == b->methods &&
	       a->websocket == b->websocket && strcmp(a->resource, b->resource) == 0 &&
	       strcmp(a->path, b->path) == 0 && strcmp(a->grpc, b->grpc) == 0 &&
	       strcmp(a->sandbox, b->sandbox) == 0;
}

/* expand() - one rule for each resource of the list @text, otherwise as @like */
static int expand(const char *text, const struct store_rule *like, struct rules *out, struct err *e)
{
	struct policy_pattern p;
	const char *at = text;
	int r;

	if (!*at)
		return err_set(e, ERR_INVALID, -EINVAL, "no resource is given");
	while ((r = policy_pattern_next(&at, &p, e)) > 0) {
		struct store_rule *more, *rule;
		struct policy_rule check;

		if (out->n >= RULES_LIST_MAX)
			return err_set(e, ERR_LIMIT, -E2BIG, "more than %d resources at once",
				RULES_LIST_MAX);
		more = reallocarray(out->v, out->n + 1, sizeof(*more));
		if (!more)
			return err_sys(e, -ENOMEM, "read the rules");
		out->v = more;
		rule = &more[out->n];
		*rule = *like;
		policy_pattern_text(&p, rule->resource);
		check = rules_as_policy(rule, "new", "new", POLICY_SOURCE_USER);
		r = policy_check_rule(&check, e);
		if (r < 0)
			return r;
		out->n++;
	}
	return r;
}

static int read_methods(struct js_reader *rd, struct store_rule *rule, struct err *e)
{
	const char *text = js_take_str(rd, "methods", 128, "");

	if (rd->r < 0 || !text[0])
		return 0;
	return policy_methods_parse(text, &rule->methods, e);
}

int rules_read(const struct js *o, const char *where, struct rules *out, struct err *e)
{
	struct store_rule like = {0};
	const char *decision, *resource;
	struct js_reader rd;
	int r;

	js_read(&rd, o, where, e);
	decision = js_want_str(&rd, "decision", 16);
	resource = js_want_str(&rd, "resource", RULES_TEXT_MAX);
	(void)snprintf(like.path, sizeof(like.path), "%s",
		js_take_str(&rd, "path", POLICY_PATH_PATTERN_MAX, ""));
	(void)snprintf(
		like.grpc, sizeof(like.grpc), "%s", js_take_str(&rd, "grpc", POLICY_GRPC_MAX, ""));
	like.websocket = js_take_bool(&rd, "websocket", false);
	r = read_methods(&rd, &like, e);
	if (r == 0 && rd.r == 0 && !policy_decision_from(decision, &like.decision))
		js_fault(&rd, "decision", "must be allow, ask or deny");
	if (js_done(&rd) < 0)
		return rd.r < 0 ? rd.r : -EINVAL;
	return r < 0 ? r : expand(resource, &like, out, e);
}

struct js *rules_write(const struct store_rule *r)
{
	char methods[POLICY_METHODS_TEXT];
	AUTO_JS o = js_object();
	bool bad = false;

	bad |= js_set_str(o, "decision", policy_decision_name(r->decision));
	bad |= js_set_str(o, "resource", r->resource);
	bad |= js_set_str(
		o, "methods", r->methods ? policy_methods_text(r->methods, methods) : NULL);
	bad |= js_set_str(o, "path", r->path[0] ? r->path : NULL);
	bad |= js_set_str(o, "grpc", r->grpc[0] ? r->grpc : NULL);
	bad |= js_set_bool(o, "websocket", r->websocket);
	return bad ? NULL : TAKE(o);
}
