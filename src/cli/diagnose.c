#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool print_text(const struct js *checks)
{
	char name[256], message[2048], fix[2048];
	bool failed = false;

	for (size_t i = 0; i < js_len(checks); i++) {
		const struct js *c = js_at(checks, i);
		const char *status = box_str(c, "status");

		printf("%-4.4s  %-14s %s\n", status,
			escape_str(name, sizeof(name), box_str(c, "name")),
			escape_str(message, sizeof(message), box_str(c, "message")));
		if (box_str(c, "fix")[0] && strcmp(status, "pass") != 0)
			printf("      %-14s fix: %s\n", "",
				escape_str(fix, sizeof(fix), box_str(c, "fix")));
		failed |= strcmp(status, "fail") == 0;
	}
	return failed;
}

/* no_daemon() - the one check that can be made without it, in the same form */
static struct js *no_daemon(const struct err *e)
{
	struct js *all = js_object(), *list = js_array(), *c = js_object();
	bool bad = js_set_str(c, "name", "daemon");

	bad |= js_set_str(c, "status", "fail");
	bad |= js_set_str(c, "message", e->msg);
	bad |= js_set_str(c, "fix", e->hint[0] ? e->hint : NULL);
	bad |= js_add(list, c);
	bad |= js_set(all, "checks", list);
	if (!bad)
		return all;
	js_free(all);
	return NULL;
}

int verb_diagnose(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON,
		.words = "",
		.doc = "Check what sbx needs of this host. Exit status 1 when a check fails."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS all = NULL;
	struct err e = {0};
	bool failed;
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	r = api_open(&api, API_START, &e);
	if (r == 0)
		r = api_call(&api, "GET", "/v1/diagnose", NULL, 60000, &all, &e);
	if (r < 0)
		all = no_daemon(&e);
	if (!all)
		return report_err(&e, CLI_FAIL);
	failed = r < 0;
	if (!(a.given & OPT_JSON))
		failed |= print_text(js_get(all, "checks"));
	else if (box_print(all, &e) < 0)
		return report_err(&e, CLI_FAIL);
	for (size_t i = 0; i < js_len(js_get(all, "checks")); i++)
		failed |= strcmp(box_str(js_at(js_get(all, "checks"), i), "status"), "fail") == 0;
	r = report_flush();
	return r ? r : (failed ? CLI_FAIL : CLI_OK);
}
