#include "cli/args_internal.h"
#include "cli/report.h"
#include "proto/agent.h"
#include <errno.h>
#include <string.h>

enum { K_ENV_FILE = 256, K_KEYS, K_JSON, K_APPROVE };

static const struct argp_option options[] = {
	{"interactive", 'i', NULL, 0, "Pass standard input on", 0},
	{"tty", 't', NULL, 0, "Give the command a terminal", 0},
	{"user", 'u', "USER", 0, "Run as NAME, UID or UID:GID (default: agent)", 0},
	{"workdir", 'w', "PATH", 0, "Working directory (default: the first workspace)", 0},
	{"env", 'e', "NAME[=VALUE]", 0, "Set a variable; without value: as it is here", 0},
	{"env-file", K_ENV_FILE, "FILE", 0, "Variables from a file, one a line", 0},
	{"detach-keys", K_KEYS, "KEYS", 0, "Keys that leave, which ends the command", 0},
	{"approve", K_APPROVE, NULL, 0,
		"Show here what waits for an answer, and take it (see sbx approve)", 0},
	{"json", K_JSON, NULL, 0, "Errors of sbx as JSON on stdout", 0},
	{0},
};

static const char doc[] =
	"Run a command in a sandbox; a stopped one is started. Its output streams and exit status "
	"are "
	"passed on exactly. Exit status 125: sbx failed; 126: CMD cannot be executed; 127: it was "
	"not found; 128+N: signal N ended it.";

struct parse {
	struct exec_args *a;
	struct err *e;
};

void exec_args_fini(struct exec_args *a)
{
	if (!a)
		return;
	env_fini(&a->env.list);
	*a = (struct exec_args){0};
}

void exec_args_auto(struct exec_args *a)
{
	exec_args_fini(a);
}

static int option(struct parse *p, int key, const char *arg)
{
	struct exec_args *a = p->a;

	switch (key) {
	case 'i':
		a->interactive = true;
		return 0;
	case 't':
		a->tty = true;
		return 0;
	case 'u':
		a->user = arg;
		if (arg[0] && strlen(arg) < sizeof(((struct agent_exec *)0)->user))
			return 0;
		return err_set(p->e, ERR_INVALID, -EINVAL, "--user '%.80s' is no user", arg);
	case 'w':
		a->cwd = arg;
		if (arg[0] == '/' && strlen(arg) < sizeof(((struct agent_exec *)0)->cwd))
			return 0;
		return err_set(p->e, ERR_INVALID, -EINVAL,
			"--workdir '%.200s' is not an absolute path", arg);
	case 'e':
		return env_add(&a->env.list, arg, p->e);
	case K_ENV_FILE:
		return args_env_file(&a->env, arg, p->e);
	case K_APPROVE:
		a->approve = true;
		return 0;
	case K_KEYS:
		return keys_parse(arg, &a->keys, p->e);
	default:
		a->json = true;
		report_json(true);
		return 0;
	}
}

static int word(struct parse *p, char *arg, struct argp_state *state)
{
	int at = state->next - 1;

	if (!p->a->name) {
		p->a->name = arg;
		return args_box_name(arg, p->e);
	}
	/* The command's own options begin here: nothing after it is ours. */
	p->a->argv = state->argv + at;
	p->a->argc = (size_t)(state->argc - at);
	state->next = state->argc;
	return 0;
}

static error_t parse_key(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;
	int r;

	if (key == ARGP_KEY_ARG)
		r = word(p, arg, state);
	else if (args_is_option(options, key))
		r = option(p, key, arg);
	else
		return ARGP_ERR_UNKNOWN;
	return r < 0 ? EINVAL : 0;
}

int exec_args_parse(
	int argc, char **argv, enum args_mode mode, struct exec_args *ret_args, struct err *e)
{
	static const struct argp argp = {
		options, parse_key, "NAME CMD [ARG...]", doc, NULL, NULL, NULL};
	struct exec_args a = {0};
	struct parse p = {.a = &a, .e = e};
	int r;

	argp_err_exit_status = CLI_OWN;
	r = args_done(argp_parse(&argp, argc, argv, args_flags(mode, argc, argv) | ARGP_IN_ORDER,
			      NULL, &p),
		e);
	if (r == 0 && a.argc == 0) {
		r = err_set(e, ERR_INVALID, -EINVAL, "exec: no %s given",
			a.name ? "command" : "sandbox");
		err_hint(e, "sbx exec NAME CMD [ARG...]");
	}
	if (r < 0) {
		exec_args_fini(&a);
		return r;
	}
	*ret_args = a;
	return 0;
}
