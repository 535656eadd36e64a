#include "base/escape.h"
#include "cli/birth.h"
#include "cli/needs.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>

/* tell_needs() - what its kits want of credentials, before anybody starts it */
static void tell_needs(struct api *api, const struct run_args *a, const char *name)
{
	AUTO_JS box = NULL;
	struct err silent = {0};

	if (box_get(api, name, &box, &silent) < 0)
		return;
	needs_read(api, box);
	if (!a->quiet)
		needs_tell(api, box);
}

static int create(struct run_args *a, struct js **ret_box, struct err *e)
{
	char agent[PATH_MAX], name[NAME_MAX_LEN + 1];
	AUTO(api) api = {0};
	int r = birth_prepare(a, true, agent, e);

	if (r == 0)
		r = api_open(&api, API_START, e);
	if (r == 0)
		r = birth_find(&api, a, agent, ret_box, name, e);
	if (r == 0 && *ret_box)
		return err_set(e, ERR_CONFLICT, -EEXIST, "sandbox '%s' is there already",
			box_str(*ret_box, "name"));
	if (r == 0)
		r = birth_create(&api, a, agent, name, ret_box, e);
	if (r == 0 && a->plan && !a->quiet)
		needs_tell_plan(&api, *ret_box);
	if (r == 0 && !a->plan)
		tell_needs(&api, a, box_str(*ret_box, "name"));
	return r;
}

int verb_create(int argc, char **argv)
{
	AUTO(run_args) a = {0};
	AUTO_JS box = NULL;
	struct err e = {0};
	char text[512];

	if (run_args_parse(argc, argv, ARGS_EXIT, true, &a, &e) < 0)
		return report_err(&e, CLI_USAGE);
	if (create(&a, &box, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.plan || a.json) {
		if (box_print(box, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return report_flush();
	}
	if (!a.quiet)
		box_tell_notes(box);
	puts(escape_str(text, sizeof(text), box_str(box, "name")));
	return report_flush();
}
