#include "daemon/api.h"
#include <errno.h>
#include <string.h>

enum {
	BODY = 1,
	UPGRADE = 2,
	RAW = 4 /* bytes, not JSON */
}; /* what a route takes beside its path */

struct route {
	const char *method;
	const char *path[4]; /* after v1; "{name}" and "{id}" stand for anything */
	unsigned takes;
	const char *params[6]; /* query parameters it knows */
	api_fn fn;
};

static const struct route routes[] = {
	{"GET", {"version"}, 0, {0}, api_version},
	{"GET", {"sandboxes"}, 0, {0}, api_list},
	{"POST", {"sandboxes"}, BODY, {"plan"}, api_create},
	{"GET", {"sandboxes", "{name}"}, 0, {0}, api_inspect},
	{"DELETE", {"sandboxes", "{name}"}, 0, {"force"}, api_remove},
	{"POST", {"sandboxes", "{name}", "start"}, BODY, {0}, api_start},
	{"POST", {"sandboxes", "{name}", "stop"}, BODY, {0}, api_stop},
	{"POST", {"sandboxes", "{name}", "pause"}, BODY, {0}, api_pause},
	{"POST", {"sandboxes", "{name}", "resume"}, BODY, {0}, api_resume},
	{"POST", {"sandboxes", "{name}", "exec"}, BODY, {0}, api_exec},
	{"POST", {"sandboxes", "{name}", "kits"}, BODY, {"plan"}, api_kit_add},
	{"POST", {"sandboxes", "{name}", "stream"}, UPGRADE, {0}, api_stream},
	{"GET", {"sandboxes", "{name}", "logs"}, 0, {"kind", "tail", "follow"}, api_logs},
	{"GET", {"sandboxes", "{name}", "usage"}, 0, {0}, api_usage},
	{"GET", {"sandboxes", "{name}", "ports"}, 0, {0}, api_ports},
	{"POST", {"sandboxes", "{name}", "ports"}, BODY, {0}, api_ports_change},
	{"GET", {"images"}, 0, {0}, api_images},
	{"DELETE", {"images", "{id}"}, 0, {0}, api_image_remove},
	{"GET", {"policy"}, 0, {"sandbox"}, api_policy},
	{"DELETE", {"policy"}, 0, {0}, api_policy_reset},
	{"PUT", {"policy", "preset"}, BODY, {0}, api_policy_preset},
	{"PUT", {"policy", "bypass"}, BODY, {0}, api_policy_bypass},
	{"POST", {"policy", "rules"}, BODY, {"sandbox"}, api_policy_add},
	{"DELETE", {"policy", "rules", "{id}"}, 0, {0}, api_policy_remove},
	{"POST", {"policy", "check"}, BODY, {0}, api_policy_check},
	{"GET", {"approvals"}, 0, {0}, api_approvals},
	{"POST", {"approvals", "{id}"}, BODY, {0}, api_approve},
	{"GET", {"kits", "approvals"}, 0, {0}, api_kit_approvals},
	{"DELETE", {"kits", "approvals", "{id}"}, 0, {0}, api_kit_approval_remove},
	{"GET", {"diagnose"}, 0, {0}, api_diagnose},
	{"POST", {"daemon", "stop"}, BODY, {0}, api_daemon_stop},
	{"GET", {"services"}, 0, {0}, api_services},
	{"PUT", {"services", "{id}"}, BODY, {"sandbox"}, api_service_set},
	{"DELETE", {"services", "{id}"}, 0, {0}, api_service_remove},
	{"GET", {"secrets"}, 0, {0}, api_secrets},
	{"PUT", {"secrets", "{id}"}, RAW, {"sandbox", "command", "refresh"}, api_secret_set},
	{"DELETE", {"secrets", "{id}"}, 0, {"sandbox"}, api_secret_remove},
	{"GET", {"audit"}, 0, {"sandbox", "decision", "event", "after", "limit"}, api_audit},
	{"GET", {"settings"}, 0, {0}, api_settings},
	{"PUT", {"settings", "{id}"}, BODY, {0}, api_setting_set},
	{"DELETE", {"settings", "{id}"}, 0, {0}, api_setting_unset},
	{"GET", {"audit", "verify"}, 0, {0}, api_audit_verify},
};

const char *api_param(const struct api_call *a, const char *name)
{
	return http_target_param(&a->c->target, name);
}

bool api_flag(const struct api_call *a, const char *name)
{
	const char *v = api_param(a, name);

	return v && strcmp(v, "1") == 0;
}

static bool path_fits(const struct route *r, const struct http_target *t)
{
	size_t n = 0;

	while (n < ARRAY_LEN(r->path) && r->path[n])
		n++;
	if (t->n_segments != n + 1 || strcmp(t->segment[0], "v1") != 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (r->path[i][0] != '{' && strcmp(r->path[i], t->segment[i + 1]) != 0)
			return false;
	return true;
}

static const struct route *find_route(struct conn *c, const struct http_head *h, struct err *e)
{
	const struct route *other = NULL;

	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (!path_fits(&routes[i], &c->target))
			continue;
		if (strcmp(routes[i].method, h->method) == 0)
			return &routes[i];
		other = &routes[i];
	}
	if (other)
		(void)err_set(e, ERR_INVALID, -EOPNOTSUPP, "%s is not possible here; %s is",
			h->method, other->method);
	else
		(void)err_set(e, ERR_NOT_FOUND, -ENOENT, "no such path in this API");
	return NULL;
}

/* check() - parts of the request that the route does not take are refused, not ignored */
static int check(struct conn *c, const struct route *r, const struct http_head *h, struct err *e)
{
	const char *type = http_field(h, "content-type");

	/* Browsers send Origin; nothing that runs in one has any business here. */
	if (http_field(h, "origin"))
		return err_set(e, ERR_DENIED, -EPERM, "requests from web pages are not answered");
	for (size_t i = 0; i < c->target.n_params; i++) {
		bool known = false;

		for (size_t k = 0; k < ARRAY_LEN(r->params) && r->params[k]; k++)
			known |= strcmp(r->params[k], c->target.param[i].name) == 0;
		if (!known)
			return err_set(e, ERR_INVALID, -EINVAL, "unknown parameter '%.64s'",
				c->target.param[i].name);
	}
	if (h->upgrade != ((r->takes & UPGRADE) != 0))
		return err_set(e, ERR_INVALID, -EINVAL,
			h->upgrade ? "nothing to upgrade to here"
				   : "this needs 'Upgrade: sbx-agent/1'");
	if (c->body.len == 0)
		return 0;
	if (r->takes & RAW)
		return type && strcmp(type, "application/octet-stream") == 0
			       ? 0
			       : err_set(e, ERR_INVALID, -EINVAL,
					 "the body must be of Content-Type "
					 "application/octet-stream");
	if (!(r->takes & BODY))
		return err_set(e, ERR_INVALID, -EINVAL, "this request takes no body");
	if (!type || strncmp(type, "application/json", 16) != 0 ||
		(type[16] && type[16] != ';' && type[16] != ' '))
		return err_set(e, ERR_INVALID, -EINVAL,
			"the body must be of Content-Type application/json");
	return 0;
}

int api_dispatch(struct conn *c, struct err *e)
{
	const struct http_head *h = http_head(c->parser);
	struct api_call a = {.c = c, .d = c->d, .head = h};
	AUTO_BOX box = NULL;
	AUTO_JS body = NULL;
	const struct route *route;
	int r;

	if (h->form != HTTP_ORIGIN || !http_target_split(&c->target, h->target))
		return err_set(e, ERR_INVALID, -EINVAL, "malformed path");
	route = find_route(c, h, e);
	if (!route)
		return -ENOENT;
	r = check(c, route, h, e);
	if (r == 0 && c->body.len > 0 && !(route->takes & RAW))
		r = js_parse(c->body.data, c->body.len, JS_TEXT_MAX, &body, e);
	if (r < 0)
		return r;
	a.body = body;
	if (route->path[1] && strcmp(route->path[1], "{name}") == 0) {
		box = a.box = sandbox_find(c->d, c->target.segment[2], e);
		if (!box)
			return -ENOENT;
	}
	for (size_t i = 1; i < ARRAY_LEN(route->path) && route->path[i]; i++)
		if (strcmp(route->path[i], "{id}") == 0)
			a.arg = c->target.segment[i + 1];
	return route->fn(&a, e);
}
