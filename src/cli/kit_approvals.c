/* sbx kit approvals [ls | rm ID...]: what was approved of kits from outside the built-in ones */
#include "base/escape.h"
#include "cli/box.h"
#include "cli/kit_verbs.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static void print_one(const struct js *one, bool wide)
{
	const struct js *kits = js_get(one, "kits"), *lines = js_get(one, "lines");
	char agent[256], name[256], origin[8192];

	printf("%s  %-12s %s  %zu lines\n", box_str(one, "id"),
		escape_str(agent, sizeof(agent), box_str(one, "agent")),
		box_str(one, "approved_at"), js_len(lines));
	for (size_t i = 0; i < js_len(kits); i++)
		printf("    %s from %s\n",
			escape_str(name, sizeof(name), box_str(js_at(kits, i), "name")),
			escape_str(origin, sizeof(origin), box_str(js_at(kits, i), "origin")));
	for (size_t i = 0; wide && i < js_len(lines); i++) {
		const char *text = js_str(js_at(lines, i));

		printf("      %s\n", escape_again(origin, sizeof(origin), text));
	}
}

static int list_all(struct api *api, const struct plain_args *a, struct err *e)
{
	AUTO_JS all = NULL;
	const struct js *list;
	int r = api_call(api, "GET", "/v1/kits/approvals", NULL, API_CALL_MS, &all, e);

	if (r < 0 || (a->given & OPT_JSON))
		return r < 0 ? r : box_print(all, e);
	list = js_get(all, "approvals");
	for (size_t i = 0; i < js_len(list); i++)
		print_one(js_at(list, i), a->given & OPT_WIDE);
	if (js_len(list) == 0)
		report_note("nothing was approved");
	return 0;
}

static int forget(struct api *api, const char *id, struct err *e)
{
	char target[API_TARGET_MAX];

	if (id[0] == '\0' || strlen(id) > 64 || id[strspn(id, "0123456789abcdef")])
		return err_set(e, ERR_INVALID, -EINVAL, "'%.40s' is no id of an approval", id);
	(void)snprintf(target, sizeof(target), "/v1/kits/approvals/%s", id);
	return api_call(api, "DELETE", target, NULL, API_CALL_MS, NULL, e);
}

int kit_approvals(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON | OPT_WIDE,
		.max_words = 64,
		.words = "[ls | rm ID...]",
		.doc = "List what was approved of kits from outside the built-in ones (--wide: "
		       "every line), or take it back: they are asked about again when the next "
		       "sandbox is made. Sandboxes that are there keep what they were made with."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	struct err e = {0};
	int status = verb_plain(argc, argv, &form, &a);
	bool rm;

	if (status)
		return status;
	rm = a.n_words > 0 && strcmp(a.words[0], "rm") == 0;
	if (rm ? a.n_words < 2
	       : a.n_words > 1 || (a.n_words == 1 && strcmp(a.words[0], "ls") != 0)) {
		(void)err_set(&e, ERR_INVALID, -EINVAL, "kit approvals: [ls | rm ID...]");
		return report_err(&e, CLI_USAGE);
	}
	if (api_open(&api, API_START, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (!rm)
		return list_all(&api, &a, &e) < 0 ? report_err(&e, CLI_FAIL) : report_flush();
	for (size_t i = 1; i < a.n_words; i++) {
		e = (struct err){0};
		if (forget(&api, a.words[i], &e) < 0)
			status = report_err(&e, CLI_FAIL);
	}
	return status;
}
