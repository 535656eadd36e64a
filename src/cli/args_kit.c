#include "cli/args_internal.h"
#include "cli/report.h"
#include <errno.h>
#include <string.h>

enum { K_ARG = 256, K_KIT, K_JSON, K_KEY, K_SIGN, K_APPROVE, K_DESCRIPTION };

static const struct argp_option options[] = {
	{"kit", K_KIT, "KIT", 0, "A mixin to put on top; may be given again", 0},
	{"kit-arg", K_ARG, "[KIT.]NAME=VALUE", 0, "A value for an argument of a kit", 0},
	{"output", 'o', "FILE", 0, "The file to write", 0},
	{"key", K_KEY, "FILE", 0, "A key: the private one to sign, public ones to verify", 0},
	{"sign", K_SIGN, NULL, 0, "Sign it, too, with the private key of --key", 0},
	{"approve-kits", K_APPROVE, NULL, 0,
		"Approve all that the kit asks for, without a question", 0},
	{"force", 'f', NULL, 0, "Ask nothing: write over a file that is there, end what runs", 0},
	{"description", K_DESCRIPTION, "TEXT", 0, "What it is, kept with the image", 0},
	{"json", K_JSON, NULL, 0, "Results and errors as JSON on stdout", 0},
	{0},
};

/* letter() - of an option, as kit_form names it */
static int letter(int key)
{
	switch (key) {
	case K_ARG:
		return 'a';
	case K_KIT:
		return 'k';
	case K_JSON:
		return 'j';
	case K_KEY:
		return 'K';
	case K_SIGN:
		return 's';
	case K_APPROVE:
		return 'A';
	case K_DESCRIPTION:
		return 'd';
	default:
		return key;
	}
}

struct parse {
	const struct kit_form *form;
	struct kit_args_cli *a;
	struct err *e;
};

static int kit_arg(struct parse *p, char *arg)
{
	struct kit_args_cli *a = p->a;
	char *value = strchr(arg, '=');

	if (!value || value == arg)
		return err_set(
			p->e, ERR_INVALID, -EINVAL, "--kit-arg '%.80s' is not NAME=VALUE", arg);
	if (a->n_args == ARGS_KIT_ARGS_MAX)
		return err_set(
			p->e, ERR_LIMIT, -E2BIG, "more than %d times --kit-arg", ARGS_KIT_ARGS_MAX);
	*value = '\0';
	a->args[a->n_args].key = arg;
	a->args[a->n_args++].value = value + 1;
	return 0;
}

static int option(struct parse *p, int key, char *arg)
{
	struct kit_args_cli *a = p->a;

	switch (key) {
	case K_ARG:
		return kit_arg(p, arg);
	case K_KIT:
		if (a->n_kits == ARGS_KITS_MAX)
			return err_set(
				p->e, ERR_LIMIT, -E2BIG, "more than %d times --kit", ARGS_KITS_MAX);
		a->kits[a->n_kits++] = arg;
		return 0;
	case K_KEY:
		if (a->n_keys == ARGS_KITS_MAX)
			return err_set(
				p->e, ERR_LIMIT, -E2BIG, "more than %d times --key", ARGS_KITS_MAX);
		a->keys[a->n_keys++] = arg;
		return 0;
	case K_DESCRIPTION:
		a->description = arg;
		return strlen(arg) < 1024
			       ? 0
			       : err_set(p->e, ERR_INVALID, -EINVAL, "--description is too long");
	case K_SIGN:
		a->sign = true;
		return 0;
	case K_APPROVE:
		a->approve = true;
		return 0;
	case 'o':
		a->output = arg;
		return 0;
	case 'f':
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
		if (p->a->ref && (p->a->to || !p->form->two))
			r = err_set(p->e, ERR_INVALID, -EINVAL, "'%.200s' is too much", arg);
		else if (p->a->ref)
			p->a->to = arg;
		else
			p->a->ref = arg;
	} else if (args_is_option(options, key)) {
		if (!strchr(p->form->options, letter(key)))
			return ARGP_ERR_UNKNOWN;
		r = option(p, key, arg);
	} else {
		return ARGP_ERR_UNKNOWN;
	}
	return r < 0 ? EINVAL : 0;
}

int kit_args_parse(int argc, char **argv, enum args_mode mode, const struct kit_form *form,
	struct kit_args_cli *ret_args, struct err *e)
{
	struct argp_option table[ARRAY_LEN(options)] = {0};
	const struct argp argp = {table, parse_key, form->words, form->doc, NULL, NULL, NULL};
	struct kit_args_cli a = {0};
	struct parse p = {.form = form, .a = &a, .e = e};
	size_t n = 0;
	int r;

	for (size_t i = 0; options[i].name; i++) {
		int key = options[i].key;

		if (strchr(form->options, letter(key)))
			table[n++] = options[i];
	}
	argp_err_exit_status = CLI_USAGE;
	r = args_done(argp_parse(&argp, argc, argv, args_flags(mode, argc, argv), NULL, &p), e);
	if (r == 0 && !form->none_too && (!a.ref || (form->two && !a.to))) {
		r = err_set(e, ERR_INVALID, -EINVAL, "%s: missing %s", argv[0] + 4, form->words);
		err_hint(e, "%s %s", argv[0], form->words);
	}
	if (r == 0)
		*ret_args = a;
	return r;
}
