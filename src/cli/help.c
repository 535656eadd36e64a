#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>

static int help_of(const char *name)
{
	char prog[] = "sbx", help[] = "--help";
	char *argv[] = {prog, help, NULL};
	const struct verb *v = verb_find(name);
	struct err e = {0};

	if (v)
		return verb_dispatch(v, 2, argv);
	(void)err_set(&e, ERR_INVALID, -EINVAL, "there is no command '%.80s'", name);
	err_hint(&e, "sbx help lists the commands");
	return report_err(&e, CLI_USAGE);
}

int verb_help(int argc, char **argv)
{
	static const struct plain_form form = {
		.max_words = 1, .words = "[COMMAND]", .doc = "Show what there is."};
	AUTO(plain_args) a = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (a.n_words == 1)
		return help_of(a.words[0]);
	verb_overview();
	return report_flush();
}

int verb_login(int argc, char **argv)
{
	static const struct plain_form form = {
		.words = "", .doc = "Not needed: there is no account."};
	AUTO(plain_args) a = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	report_note("there is no account: nothing to log in to or out of");
	return CLI_OK;
}
