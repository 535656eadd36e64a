#include "cli/args_internal.h"
#include "cli/report.h"
#include <errno.h>

enum { K_JSON = 256, K_PUBLISH, K_UNPUBLISH };

static const struct argp_option options[] = {
	{"publish", K_PUBLISH, "SPEC", 0,
		"Publish [[HOSTIP:]HOSTPORT:]PORT[/tcp]; may be given again", 0},
	{"unpublish", K_UNPUBLISH, "SPEC", 0,
		"Take it back; PORT alone means all its host ports; may be given again", 0},
	{"json", K_JSON, NULL, 0, "Results and errors as JSON on stdout", 0},
	{0},
};

struct parse {
	struct ports_args *a;
	struct err *e;
};

int args_list_add(struct args_list *list, const char *option, const char *text, struct err *e)
{
	if (list->n == ARGS_LIST_MAX)
		return err_set(
			e, ERR_LIMIT, -E2BIG, "more than %d times %s", ARGS_LIST_MAX, option);
	if (text[0] == '\0')
		return err_set(e, ERR_INVALID, -EINVAL, "%s is empty", option);
	list->v[list->n++] = text;
	return 0;
}

static error_t parse_key(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;
	int r = 0;

	switch (key) {
	case ARGP_KEY_ARG:
		if (p->a->name)
			r = err_set(p->e, ERR_INVALID, -EINVAL, "'%.200s' is too much", arg);
		else
			r = args_box_name(arg, p->e);
		p->a->name = arg;
		break;
	case K_JSON:
		p->a->json = true;
		report_json(true);
		break;
	case K_PUBLISH:
		r = args_list_add(&p->a->publish, "--publish", arg, p->e);
		break;
	case K_UNPUBLISH:
		r = args_list_add(&p->a->unpublish, "--unpublish", arg, p->e);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	/* The errno is in p->e; argp takes some numbers for its own. */
	return r < 0 ? EINVAL : 0;
}

int ports_args_parse(
	int argc, char **argv, enum args_mode mode, struct ports_args *ret_args, struct err *e)
{
	static const char doc[] =
		"Show the ports of a sandbox that are published on this host's loopback, publish "
		"more, or take "
		"some back, while it runs. Publishing and showing start a sandbox that is stopped.";
	const struct argp argp = {options, parse_key, "NAME", doc, NULL, NULL, NULL};
	struct ports_args a = {0};
	struct parse p = {.a = &a, .e = e};
	int r;

	argp_err_exit_status = CLI_USAGE;
	r = args_done(argp_parse(&argp, argc, argv, args_flags(mode, argc, argv), NULL, &p), e);
	if (r == 0 && !a.name) {
		r = err_set(e, ERR_INVALID, -EINVAL, "ports: missing NAME");
		err_hint(e, "sbx ports NAME [--publish SPEC]");
	}
	if (r == 0)
		*ret_args = a;
	return r;
}
