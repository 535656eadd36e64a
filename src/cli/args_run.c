#include "cli/args_internal.h"
#include "base/name.h"
#include "cli/report.h"
#include <errno.h>
#include <string.h>

enum {
	K_NAME = 256,
	K_CPUS,
	K_DISK,
	K_ENV_FILE,
	K_ISOLATION,
	K_KIT,
	K_KIT_ARG,
	K_KIT_ARGS_FILE,
	K_APPROVE_KITS,
	K_JSON,
	K_PLAN,
	K_KEYS,
	K_ALLOW,
	K_DENY,
	K_MASK,
	K_NO_APPROVE,
	K_PULL
};

static const struct argp_option options[] = {
	{"name", K_NAME, "NAME", 0, "Name of the sandbox (default: AGENT-FOLDER)", 0},
	{"kit", K_KIT, "KIT", 0, "Add a kit; may be given again", 0},
	{"kit-arg", K_KIT_ARG, "[KIT.]NAME=VALUE", 0, "A value for an argument of a kit", 0},
	{"kit-args-file", K_KIT_ARGS_FILE, "FILE", 0, "Values for arguments of kits, one a line",
		0},
	{"approve-kits", K_APPROVE_KITS, NULL, 0,
		"Approve all that the kits ask for, without a question", 0},
	{"template", 't', "IMAGE", 0,
		"Root image (see sbx image ls), or a reference such as "
		"docker.io/library/debian:12",
		0},
	{"pull", K_PULL, "WHEN", 0,
		"Ask the registry for the image: missing (default), always or never", 0},
	{"cpus", K_CPUS, "N", 0, "Number of processors; 0: automatic", 0},
	{"memory", 'm', "SIZE", 0, "Memory, such as 2g", 0},
	{"disk", K_DISK, "SIZE", 0, "Scratch disk, such as 20g; takes what is used", 0},
	{"isolation", K_ISOLATION, "TIER", 0, "auto, kvm or emulated", 0},
	{"mask", K_MASK, "PATTERN", 0,
		"Hide the contents of files with such a name; may be given again", 0},
	{"env", 'e', "NAME[=VALUE]", 0, "Set a variable inside; without value: as it is here", 0},
	{"env-file", K_ENV_FILE, "FILE", 0, "Variables from a file, one a line", 0},
	{"publish", 'p', "SPEC", 0,
		"Publish [[HOSTIP:]HOSTPORT:]PORT[/tcp] on this host; may be given again", 0},
	{"allow", K_ALLOW, "RESOURCE", 0,
		"Let it reach these hosts (see sbx policy); may be given again", 0},
	{"allow-network", 0, NULL, OPTION_ALIAS, NULL, 0},
	{"deny", K_DENY, "RESOURCE", 0, "Never let it reach these; \"**\" closes everything", 0},
	{"deny-network", 0, NULL, OPTION_ALIAS, NULL, 0},
	{"detached", 'd', NULL, 0, "Start the agent, print the sandbox's name, and leave", 0},
	{"detach-keys", K_KEYS, "KEYS", 0, "Keys that leave the terminal (default: ctrl-\\)", 0},
	{"no-approve", K_NO_APPROVE, NULL, 0,
		"Do not show on this terminal what waits for an answer (see sbx approve)", 0},
	{"plan", K_PLAN, NULL, 0, "Print what would be made, as JSON, and make nothing", 0},
	{"quiet", 'q', NULL, 0, "Say nothing but errors and the name", 0},
	{"json", K_JSON, NULL, 0, "Results and errors as JSON on stdout", 0},
	{0},
};

struct parse {
	struct run_args *a;
	struct err *e;
};

void run_args_fini(struct run_args *a)
{
	if (!a)
		return;
	env_fini(&a->env.list);
	env_fini(&a->kit_args.list);
	free(a->workspaces);
	*a = (struct run_args){0};
}

void run_args_auto(struct run_args *a)
{
	run_args_fini(a);
}

static int add_kit(struct parse *p, const char *kit)
{
	if (p->a->n_kits == ARGS_KITS_MAX)
		return err_set(p->e, ERR_LIMIT, -E2BIG, "more than %d kits", ARGS_KITS_MAX);
	if (kit[0] == '\0')
		return err_set(p->e, ERR_INVALID, -EINVAL, "--kit is empty");
	p->a->kits[p->a->n_kits++] = kit;
	return 0;
}

static int add_kit_arg(struct parse *p, const char *arg)
{
	const char *is = strchr(arg, '=');

	if (!is || is == arg)
		return err_set(
			p->e, ERR_INVALID, -EINVAL, "--kit-arg '%.80s' is not NAME=VALUE", arg);
	return env_add(&p->a->kit_args.list, arg, p->e);
}

static int add_rule(struct parse *p, const char *decision, const char *resource)
{
	if (p->a->n_rules == ARGS_RULES_MAX)
		return err_set(p->e, ERR_LIMIT, -E2BIG, "more than %d times --allow or --deny",
			ARGS_RULES_MAX);
	if (resource[0] == '\0')
		return err_set(p->e, ERR_INVALID, -EINVAL, "--%s is empty", decision);
	p->a->rules[p->a->n_rules].decision = decision;
	p->a->rules[p->a->n_rules++].resource = resource;
	return 0;
}

static int add_mask(struct parse *p, const char *pattern)
{
	if (p->a->n_masks == ARGS_MASKS_MAX)
		return err_set(p->e, ERR_LIMIT, -E2BIG, "more than %d masks", ARGS_MASKS_MAX);
	if (pattern[0] == '\0')
		return err_set(p->e, ERR_INVALID, -EINVAL, "--mask is empty");
	p->a->masks[p->a->n_masks++] = pattern;
	return 0;
}

static int add_workspace(struct parse *p, const char *text)
{
	struct run_args *a = p->a;
	struct workspace *ws;

	if (a->n_workspaces == VALUES_WORKSPACES_MAX)
		return err_set(
			p->e, ERR_LIMIT, -E2BIG, "more than %d workspaces", VALUES_WORKSPACES_MAX);
	ws = realloc(a->workspaces, (a->n_workspaces + 1) * sizeof(*ws));
	if (!ws)
		return err_sys(p->e, -ENOMEM, "read the command line");
	a->workspaces = ws;
	return workspace_parse(text, &ws[a->n_workspaces++], p->e);
}

static int add_word(struct parse *p, const char *word)
{
	if (p->a->agent)
		return add_workspace(p, word);
	if (word[0] == '\0')
		return err_set(p->e, ERR_INVALID, -EINVAL, "the agent is empty");
	p->a->agent = word;
	return 0;
}

static int set_name(struct parse *p, const char *name)
{
	int r = name_check(name, p->e);

	p->a->name = name;
	return r;
}

static int option(struct parse *p, int key, const char *arg)
{
	struct run_args *a = p->a;

	switch (key) {
	case K_NAME:
		return set_name(p, arg);
	case K_KIT:
		return add_kit(p, arg);
	case K_KIT_ARG:
		return add_kit_arg(p, arg);
	case K_KIT_ARGS_FILE:
		return args_env_file(&a->kit_args, arg, p->e);
	case K_APPROVE_KITS:
		a->approve_kits = true;
		return 0;
	case 't':
		a->template_image = arg;
		return arg[0] ? 0 : err_set(p->e, ERR_INVALID, -EINVAL, "--template is empty");
	case K_PULL:
		a->pull_given = true;
		if (image_pull_from_name(arg, &a->pull))
			return 0;
		return err_set(p->e, ERR_INVALID, -EINVAL,
			"--pull: '%.40s' is not one of missing, always, never", arg);
	case K_CPUS:
		a->cpus_given = true;
		return value_count(arg, "--cpus", 0, VALUES_CPUS_MAX, &a->cpus, p->e);
	case 'm':
		return value_size(arg, "--memory", &a->memory, p->e);
	case K_DISK:
		return value_size(arg, "--disk", &a->disk, p->e);
	case K_ISOLATION:
		a->isolation = arg;
		return value_isolation(arg, p->e);
	case K_MASK:
		return add_mask(p, arg);
	case 'e':
		return env_add(&a->env.list, arg, p->e);
	case K_ENV_FILE:
		return args_env_file(&a->env, arg, p->e);
	case K_ALLOW:
		return add_rule(p, "allow", arg);
	case K_DENY:
		return add_rule(p, "deny", arg);
	case 'p':
		return args_list_add(&a->ports, "--publish", arg, p->e);
	case 'd':
		a->detached = true;
		return 0;
	case K_KEYS:
		return keys_parse(arg, &a->keys, p->e);
	case K_NO_APPROVE:
		a->no_approve = true;
		return 0;
	case K_PLAN:
		a->plan = true;
		return 0;
	case 'q':
		a->quiet = true;
		return 0;
	default:
		a->json = true;
		return 0;
	}
}

static error_t parse_key(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;
	int r;

	switch (key) {
	case ARGP_KEY_ARG:
		if (state->quoted) {
			p->a->args = state->argv + state->quoted;
			p->a->n_args = (size_t)(state->argc - state->quoted);
			state->next = state->argc;
			return 0;
		}
		r = add_word(p, arg);
		break;
	default:
		if (!args_is_option(options, key))
			return ARGP_ERR_UNKNOWN;
		r = option(p, key, arg);
		break;
	}
	/* The errno is in p->e; argp takes some numbers for its own. */
	return r < 0 ? EINVAL : 0;
}

static int check(const struct run_args *a, bool create, struct err *e)
{
	if (!a->agent && create)
		(void)err_set(e, ERR_INVALID, -EINVAL, "create: no agent given");
	else if (!a->agent && !a->name)
		(void)err_set(e, ERR_INVALID, -EINVAL, "run: no agent given");
	else if (create && a->n_args > 0)
		return err_set(e, ERR_INVALID, -EINVAL,
			"create: arguments for the agent are given to sbx run");
	else
		return 0;
	err_hint(e, "sbx %s shell opens a shell; sbx help %s has the rest",
		create ? "create" : "run", create ? "create" : "run");
	return -EINVAL;
}

int run_args_parse(int argc, char **argv, enum args_mode mode, bool create,
	struct run_args *ret_args, struct err *e)
{
	static const char run_doc[] =
		"Run an agent in a sandbox: create it if it is not there, start it if it is "
		"stopped, and give the terminal to the agent. AGENT is a built-in agent or the "
		"folder of a kit (./my-kit). The first PATH is where the agent works (default: the "
		"current folder); :ro makes a PATH read-only. ARGS that begin with '-' are "
		"appended "
		"to the agent's own arguments, others replace them.";
	static const char create_doc[] =
		"Create a sandbox without running its agent. PATHs are shared folders.";
	const struct argp argp = {options, parse_key,
		create ? "AGENT [PATH[:ro]...]" : "[AGENT [PATH[:ro]...]] [-- ARGS...]",
		create ? create_doc : run_doc, NULL, NULL, NULL};
	struct run_args a = {0};
	struct parse p = {.a = &a, .e = e};
	unsigned flags = args_flags(mode, argc, argv) | ARGP_IN_ORDER;
	int r;

	argp_err_exit_status = create ? CLI_USAGE : CLI_OWN;
	r = keys_parse(KEYS_DEFAULT, &a.keys, e);
	if (r == 0)
		r = args_done(argp_parse(&argp, argc, argv, flags, NULL, &p), e);
	if (r == 0)
		r = check(&a, create, e);
	if (r < 0) {
		run_args_fini(&a);
		return r;
	}
	*ret_args = a;
	return 0;
}
