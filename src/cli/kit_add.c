/* sbx kit add */
#include "cli/birth_kits.h"
#include "cli/kit_verbs.h"
#include "cli/kits.h"
#include "cli/report.h"
#include "cli/verb.h"
#include "base/escape.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ADD_MS 90000 /* stopping what runs is part of it */

/* make_body() - the kit as the daemon can open it, and arguments */
static int make_body(
	const struct kit_args_cli *a, const struct api *api, struct js **ret, struct err *e)
{
	AUTO(kits_at) at = {0};
	AUTO_JS o = js_object();
	AUTO_JS kits = js_array();
	AUTO_JS args = js_array();
	bool bad = false;
	int r = kits_find(&a->to, 1, &api->paths, a->json, &at, e);

	if (r < 0)
		return r;
	if (at.v[0].origin[0]) {
		AUTO_JS one = js_object();

		bad |= js_set_str(one, "path", at.v[0].path);
		bad |= js_set_str(one, "origin", at.v[0].origin);
		bad |= js_add(kits, TAKE(one));
	} else {
		bad |= js_add_str(kits, at.v[0].path);
	}
	for (size_t i = 0; i < a->n_args; i++) {
		AUTO_JS one = js_object();

		bad |= js_set_str(one, "name", a->args[i].key);
		bad |= js_set_str(one, "value", a->args[i].value);
		bad |= js_add(args, TAKE(one));
	}
	bad |= js_set(o, "kits", TAKE(kits));
	bad |= js_set(o, "kit_args", TAKE(args));
	if (bad)
		return err_sys(e, -ENOMEM, "write the request");
	*ret = TAKE(o);
	return 0;
}

/* confirm() - what runs in it ends */
static int confirm(const struct kit_args_cli *a, const struct js *box, struct err *e)
{
	char answer[16] = "", name[256];

	if (a->force || strcmp(box_str(box, "status"), "running") != 0)
		return 0;
	if (!isatty(STDIN_FILENO))
		return err_set(e, ERR_INVALID, -ENOTTY, "stdin is not a terminal; use --force");
	(void)fprintf(stderr,
		"Sandbox '%s' is stopped and started anew: what runs in it ends. Go on? (y/N) ",
		escape_str(name, sizeof(name), a->ref));
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return 0;
	return err_set(e, ERR_CONFLICT, -ECANCELED, "nothing was added");
}

static int post(struct api *api, const char *name, bool plan, const struct js *body,
	struct js **ret, struct err *e)
{
	char target[API_TARGET_MAX];

	api_target(target, name, plan ? "/kits?plan=1" : "/kits");
	return api_call(api, "POST", target, body, ADD_MS, ret, e);
}

static int add(const struct kit_args_cli *a, struct api *api, struct js **ret, struct err *e)
{
	const struct run_args ask = {.approve_kits = a->approve, .json = a->json};
	AUTO_JS box = NULL;
	AUTO_JS body = NULL;
	AUTO_JS plan = NULL;
	AUTO_JS added = NULL;
	int r = box_get(api, a->ref, &box, e);

	if (r == 0)
		r = make_body(a, api, &body, e);
	if (r == 0)
		r = post(api, a->ref, true, body, &plan, e);
	if (r == 0)
		r = birth_kits_approve(&ask, plan, body, e);
	if (r == 0)
		r = confirm(a, box, e);
	if (r == 0)
		r = post(api, a->ref, false, body, &added, e);
	if (r == 0)
		r = box_start(api, a->ref, a->json, ret, e);
	return r < 0 ? err_wrap(e, r, "add a kit to sandbox '%s'", a->ref) : 0;
}

int kit_add(int argc, char **argv)
{
	static const struct kit_form form = {.options = "aAfj",
		.words = "SANDBOX KIT",
		.two = true,
		.doc = "Add a mixin to a sandbox that is there. It is stopped and started anew "
		       "with all "
		       "that is on its disk; only what the added kit installs is installed, and "
		       "only its "
		       "files are put. What it asks for has to be approved, as with sbx run. If "
		       "its "
		       "installation fails, the sandbox is as before but for what the commands "
		       "did."};
	AUTO(api) api = {0};
	AUTO_JS box = NULL;
	struct kit_args_cli a;
	struct err e = {0};

	if (kit_args_parse(argc, argv, ARGS_EXIT, &form, &a, &e) < 0 ||
		args_box_name(a.ref, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (api_open(&api, API_START, &e) < 0 || add(&a, &api, &box, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.json)
		return box_print(js_get(box, "sandbox"), &e) < 0 ? report_err(&e, CLI_FAIL)
								 : report_flush();
	box_tell_notes(js_get(box, "sandbox"));
	puts(a.ref);
	return report_flush();
}
