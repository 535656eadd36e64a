#include "cli/args_internal.h"
#include "cli/project.h"
#include "cli/report.h"
#include <errno.h>
#include <string.h>

enum { K_NAME = 256, K_ARG, K_FILE, K_SKIP, K_JSON, K_FORCE };

static const struct argp_option options[] = {
	{"name", K_NAME, "NAME", 0, "Name of the sandbox (default: what the file says)", 0},
	{"env-arg", K_ARG, "NAME=VALUE", 0, "A value for an argument of the file", 0},
	{"env-args-file", K_FILE, "FILE", 0, "Values for arguments, one a line", 0},
	{"auto-approve", 'y', NULL, 0, "Approve all of it, commands on the host as well", 0},
	{"skip-host-commands", K_SKIP, NULL, 0, "Run none of its commands on the host", 0},
	{"detached", 'd', NULL, 0, "Start the agent, print the sandbox's name, and leave", 0},
	{"force", K_FORCE, NULL, 0, "Do not ask whether to remove it", 0},
	{"quiet", 'q', NULL, 0, "Say nothing but errors and the name", 0},
	{"json", K_JSON, NULL, 0, "Results and errors as JSON on stdout", 0},
	{0},
};

struct parse {
	const struct project_form *form;
	struct project_args *a;
	struct err *e;
};

static char letter(int key)
{
	switch (key) {
	case K_SKIP:
		return 's';
	case K_JSON:
		return 'j';
	case K_FORCE:
		return 'f';
	default:
		return key < 256 ? (char)key : '*'; /* every verb has it */
	}
}

static int option(struct parse *p, int key, const char *arg)
{
	struct project_args *a = p->a;

	switch (key) {
	case K_NAME:
		a->name = arg;
		return name_check(arg, p->e);
	case K_ARG:
		if (!strchr(arg, '='))
			return err_set(p->e, ERR_INVALID, -EINVAL,
				"--env-arg '%.80s' is not NAME=VALUE", arg);
		return env_add(&a->given, arg, p->e);
	case K_FILE:
		return env_add_file(&a->given, arg, p->e);
	case 'y':
		a->yes = true;
		return 0;
	case K_SKIP:
		a->skip_host = true;
		return 0;
	case 'd':
		a->detached = true;
		return 0;
	case 'q':
		a->quiet = true;
		report_quiet(true);
		return 0;
	case K_FORCE:
		a->force = true;
		return 0;
	default:
		a->json = true;
		report_json(true);
		return 0;
	}
}

static error_t parse_key(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;
	int r = 0;

	if (key == ARGP_KEY_ARG) {
		if (p->a->n_paths == PROJECT_PATHS_MAX)
			r = err_set(
				p->e, ERR_LIMIT, -E2BIG, "more than %d files", PROJECT_PATHS_MAX);
		else
			p->a->paths[p->a->n_paths++] = arg;
	} else if (args_is_option(options, key)) {
		if (!strchr(p->form->options, letter(key)) && letter(key) != '*')
			return ARGP_ERR_UNKNOWN;
		r = option(p, key, arg);
	} else {
		return ARGP_ERR_UNKNOWN;
	}
	return r < 0 ? EINVAL : 0;
}

int project_args_parse(int argc, char **argv, const struct project_form *form,
	struct project_args *ret_args, struct err *e)
{
	struct argp_option table[ARRAY_LEN(options)] = {0};
	const char *words = strchr(form->options, '-') ? "[PATH...] [-- WORD...]" : "[PATH...]";
	const struct argp argp = {table, parse_key, words, form->doc, NULL, NULL, NULL};
	struct parse p = {.form = form, .a = ret_args, .e = e};
	int own = argc, r;
	size_t n = 0;

	*ret_args = (struct project_args){0};
	for (size_t i = 0; options[i].name; i++)
		if (letter(options[i].key) == '*' || strchr(form->options, letter(options[i].key)))
			table[n++] = options[i];
	for (int i = 1; i < own && strchr(form->options, '-'); i++)
		if (strcmp(argv[i], "--") == 0)
			own = i;
	if (own < argc) {
		ret_args->rest = argv + own + 1;
		ret_args->n_rest = (size_t)(argc - own - 1);
	}
	argp_err_exit_status = CLI_USAGE;
	r = args_done(argp_parse(&argp, own, argv, args_flags(ARGS_EXIT, own, argv), NULL, &p), e);
	if (r == 0 && ret_args->n_paths == 0)
		ret_args->paths[ret_args->n_paths++] = ".";
	return r;
}

void project_args_auto(struct project_args *a)
{
	env_fini(&a->given);
}
