#include "cli/args_internal.h"
#include "cli/report.h"
#include <errno.h>
#include <string.h>

enum {
	K_HOST = 256,
	K_ENV,
	K_PLACEHOLDER,
	K_HEADER,
	K_FORMAT,
	K_IN,
	K_PATH,
	K_VALUE,
	K_FROM_ENV,
	K_COMMAND,
	K_REFRESH,
	K_SANDBOX,
	K_NAME,
	K_JSON
};

static const struct argp_option options[] = {
	{"name", K_NAME, "NAME", 0, "What to call it (default: from the variable or host)", 0},
	{"host", K_HOST, "HOST[:PORT]", 0, "A host it is for, *.HOST or **.HOST; may be repeated",
		0},
	{"env", K_ENV, "VARIABLE", 0, "Variable that holds the placeholder inside; may be repeated",
		0},
	{"placeholder", K_PLACEHOLDER, "TEXT", 0,
		"What stands for it inside; {rand} is random (default: sbx-cs-{rand})", 0},
	{"header", K_HEADER, "HEADER", 0, "Header that is it (default: authorization)", 0},
	{"format", K_FORMAT, "FORMAT", 0,
		"The header's value, %s is the secret (default: Bearer %s, or %s)", 0},
	{"in", K_IN, "PLACE", 0,
		"Another place: header:NAME, query:NAME or basic:USER; may be repeated", 0},
	{"path", K_PATH, "PATH", 0, "Requests to that path only, with * and **", 0},
	{"value", K_VALUE, "VALUE", 0, "The secret; others on this host may see it", 0},
	{"from-env", K_FROM_ENV, "VARIABLE", 0, "Take the value of this variable", 0},
	{"command", K_COMMAND, "COMMAND", 0, "A shell command of this host that prints it", 0},
	{"refresh", K_REFRESH, "SECONDS", 0, "How long what it printed is good for (default: 3300)",
		0},
	{"sandbox", K_SANDBOX, "NAME", 0, "For that sandbox only", 0},
	{"json", K_JSON, NULL, 0, "Errors as JSON on stdout", 0},
	{0},
};

static const char doc[] =
	"Keep a credential of your own kind. Inside stands a placeholder; in requests to the hosts "
	"given the value is put into the places given, and nowhere else. It is asked for, or read "
	"from standard input.";

struct parse {
	struct custom_args *a;
	struct err *e;
};

static int option(struct parse *p, int key, const char *arg)
{
	struct custom_args *a = p->a;

	switch (key) {
	case K_HOST:
		return args_list_add(&a->hosts, "--host", arg, p->e);
	case K_ENV:
		return args_list_add(&a->env, "--env", arg, p->e);
	case K_IN:
		return args_list_add(&a->places, "--in", arg, p->e);
	case K_PLACEHOLDER:
		a->placeholder = arg;
		return 0;
	case K_HEADER:
		a->header = arg;
		return 0;
	case K_FORMAT:
		a->format = arg;
		return 0;
	case K_PATH:
		a->path = arg;
		return 0;
	case K_VALUE:
		a->value = arg;
		return 0;
	case K_FROM_ENV:
		a->from_env = arg;
		return 0;
	case K_COMMAND:
		a->command = arg;
		return 0;
	case K_REFRESH:
		return value_count(arg, "--refresh", 0, 86400, &a->refresh_s, p->e);
	case K_SANDBOX:
		a->sandbox = arg;
		return args_box_name(arg, p->e);
	case K_NAME:
		a->name = arg;
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
	int r;

	if (key == ARGP_KEY_ARG)
		r = err_set(p->e, ERR_INVALID, -EINVAL, "'%.200s' is too much", arg);
	else if (args_is_option(options, key))
		r = option(p, key, arg);
	else
		return ARGP_ERR_UNKNOWN;
	return r < 0 ? EINVAL : 0;
}

/* check() - what does not go together */
static int check(const struct custom_args *a, struct err *e)
{
	int sources = (a->value != NULL) + (a->from_env != NULL) + (a->command != NULL);

	if (a->hosts.n == 0) {
		(void)err_set(e, ERR_INVALID, -EINVAL, "which hosts is it for?");
		err_hint(e, "sbx secret set-custom --host api.example.com --env EXAMPLE_TOKEN");
		return -EINVAL;
	}
	if (sources > 1)
		return err_set(e, ERR_INVALID, -EINVAL,
			"--value, --from-env and --command exclude each other");
	if (a->refresh_s >= 0 && !a->command)
		return err_set(e, ERR_INVALID, -EINVAL, "--refresh is for --command");
	if (a->format && !a->header)
		return err_set(e, ERR_INVALID, -EINVAL, "--format is for --header");
	return 0;
}

int custom_args_parse(
	int argc, char **argv, enum args_mode mode, struct custom_args *ret_args, struct err *e)
{
	static const struct argp argp = {options, parse_key, "", doc, NULL, NULL, NULL};
	struct custom_args a = {.refresh_s = -1};
	struct parse p = {.a = &a, .e = e};
	int r;

	argp_err_exit_status = CLI_USAGE;
	r = args_done(argp_parse(&argp, argc, argv, args_flags(mode, argc, argv), NULL, &p), e);
	if (r == 0)
		r = check(&a, e);
	if (r == 0)
		*ret_args = a;
	return r;
}
