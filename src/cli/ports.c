/* sbx ports: what of a sandbox can be reached from this host, and where */
#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>

/* print_ports() - one line for each host address */
static void print_ports(const struct js *ports)
{
	for (size_t i = 0; i < js_len(ports); i++) {
		const struct js *p = js_at(ports, i);
		char label[256], name[512], trouble[512];
		const char *why = box_str(p, "trouble");

		printf("%s%s%s%s%s%s\n", escape_str(label, sizeof(label), box_str(p, "label")),
			box_str(p, "name")[0] ? "  " : "",
			escape_str(name, sizeof(name), box_str(p, "name")), why[0] ? "  (" : "",
			escape_str(trouble, sizeof(trouble), why), why[0] ? ")" : "");
	}
}

static bool add_specs(struct js *body, const char *key, const struct args_list *list)
{
	AUTO_JS specs = js_array();
	bool bad = false;

	for (size_t i = 0; i < list->n; i++)
		bad |= js_add_str(specs, list->v[i]);
	return bad | js_set(body, key, TAKE(specs));
}

/* ask() - a start where the ports are to be there, then the change or the question */
static int ask(struct api *api, const struct ports_args *a, struct js **ret, struct err *e)
{
	bool change = a->publish.n + a->unpublish.n > 0;
	char target[API_TARGET_MAX];
	AUTO_JS body = NULL;
	AUTO_JS box = NULL;
	int r = box_get(api, a->name, &box, e);

	if (r == 0 && (a->publish.n > 0 || !change))
		r = box_start(api, a->name, a->json, NULL, e);
	if (r == 0 && change) {
		body = js_object();
		if (add_specs(body, "publish", &a->publish) ||
			add_specs(body, "unpublish", &a->unpublish))
			r = err_sys(e, -ENOMEM, "write the request");
	}
	if (r < 0)
		return r;
	api_target(target, a->name, "/ports");
	return api_call(api, change ? "POST" : "GET", target, body, API_CALL_MS, ret, e);
}

int verb_ports(int argc, char **argv)
{
	struct ports_args a = {0};
	AUTO(api) api = {0};
	AUTO_JS answer = NULL;
	struct err e = {0};

	if (ports_args_parse(argc, argv, ARGS_EXIT, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (api_open(&api, API_START, &e) < 0 || ask(&api, &a, &answer, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.json && box_print(answer, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (!a.json)
		print_ports(js_get(answer, "ports"));
	return report_flush();
}
