#include "cli/verb.h"
#include "cli/report.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

int verb_dispatch(const struct verb *v, int argc, char **argv)
{
	char name[64];

	/* argp shows argv[0] in help and errors. */
	(void)snprintf(name, sizeof(name), "sbx %s", v->name);
	argv[0] = name;
	return v->run(argc, argv);
}

int verb_sub(const struct verb *subs, size_t count, int argc, char **argv)
{
	struct err e = {0};
	char name[80];

	for (size_t i = 0; argc > 1 && i < count; i++) {
		if (strcmp(subs[i].name, argv[1]) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s %s", argv[0], subs[i].name);
		argv[1] = name;
		return subs[i].run(argc - 1, argv + 1);
	}
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0)) {
		printf("Usage: %s COMMAND\n\n", argv[0]);
		for (size_t i = 0; i < count; i++)
			printf("  %-9s %s\n", subs[i].name, subs[i].summary);
		return report_flush();
	}
	if (argc > 1)
		(void)err_set(
			&e, ERR_INVALID, -EINVAL, "%s: there is no '%.80s'", argv[0] + 4, argv[1]);
	else
		(void)err_set(&e, ERR_INVALID, -EINVAL, "%s: what to do is missing", argv[0] + 4);
	err_hint(&e, "%s --help lists what there is", argv[0]);
	return report_err(&e, CLI_USAGE);
}

int verb_plain(int argc, char **argv, const struct plain_form *form, struct plain_args *ret_args)
{
	struct err e = {0};
	int status = form->usage_status ? form->usage_status : CLI_USAGE;

	if (plain_args_parse(argc, argv, ARGS_EXIT, form, ret_args, &e) == 0)
		return 0;
	return report_err(&e, status);
}
