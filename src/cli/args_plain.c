#include "cli/args_internal.h"
#include "base/escape.h"
#include "base/name.h"
#include "cli/report.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TAIL_MAX    1000000
#define LIMIT_MAX   10000
#define TIMEOUT_MAX 3600 /* seconds */
#define REFRESH_MAX 86400 /* seconds */

struct row {
	uint64_t bit; /* args_option */
	struct argp_option o;
};

static const struct row rows[] = {
	{OPT_JSON, {"json", 256, NULL, 0, "Results and errors as JSON on stdout", 0}},
	{OPT_QUIET, {"quiet", 'q', NULL, 0, "Names only", 0}},
	{OPT_FORCE, {"force", 'f', NULL, 0, "Do not ask; stop what runs", 0}},
	{OPT_ALL, {"all", 257, NULL, 0, "All sandboxes", 0}},
	{OPT_CONSOLE,
		{"console", 258, NULL, 0, "The kernel's console, not the agent's terminal", 0}},
	{OPT_SETUP,
		{"setup", 279, NULL, 0, "What install and startup commands of kits printed", 0}},
	{OPT_TAIL, {"tail", 'n', "N", 0, "The last N lines only", 0}},
	{OPT_RAW, {"raw", 259, NULL, 0, "Bytes as they are; not to a terminal", 0}},
	{OPT_TIMEOUT, {"time", 't', "SECONDS", 0, "Grace before it is killed (default: 10)", 0}},
	{OPT_FOLLOW_LINK,
		{"follow-link", 'L', NULL, 0, "Copy what SRC points to, if it is a link", 0}},
	{OPT_KEYS, {"detach-keys", 260, "KEYS", 0, "Keys that leave (default: ctrl-\\)", 0}},
	{OPT_DETACHED, {"detached", 'd', NULL, 0, "Accepted: the daemon always runs detached", 0}},
	{OPT_NAME, {"name", 261, "NAME", 0, "What to call it (default: default)", 0}},
	{OPT_SANDBOX, {"sandbox", 262, "NAME", 0, "For that sandbox only", 0}},
	{OPT_COMMAND,
		{"command", 263, "COMMAND", 0,
			"A shell command of this host that prints the value, not the value", 0}},
	{OPT_REFRESH, {"refresh", 264, "SECONDS", 0,
			      "How long what it printed is good for (default: 3300)", 0}},
	{OPT_FROM_ENV, {"from-env", 265, "VARIABLE", 0, "Take the value of this variable", 0}},
	{OPT_DRY_RUN, {"dry-run", 266, NULL, 0, "Say what would be done", 0}},
	{OPT_METHOD, {"method", 268, "METHODS", 0,
			     "Requests with these methods only, such as GET,HEAD", 0}},
	{OPT_PATH,
		{"path", 269, "PATH", 0, "Requests to that path only; in rules with * and **", 0}},
	{OPT_GRPC,
		{"grpc", 270, "SERVICE/METHOD", 0, "Calls of that gRPC method only; * for any", 0}},
	{OPT_WEBSOCKET, {"websocket", 271, NULL, 0, "WebSocket connections only", 0}},
	{OPT_KIND, {"kind", 272, "KIND", 0, "dns, tcp, tunnel, http, websocket or grpc", 0}},
	{OPT_ADDRESS, {"address", 273, "ADDRESS", 0, "What the name resolves to", 0}},
	{OPT_WIDE, {"wide", 274, NULL, 0, "One line for each rule", 0}},
	{OPT_SOURCE,
		{"source", 275, "SOURCE", 0, "Those of org, user, sandbox, kit or parent only", 0}},
	{OPT_DECISION, {"decision", 276, "DECISION", 0, "Those that allow, ask or deny only", 0}},
	{OPT_FOLLOW, {"follow", 'f', NULL, 0, "Go on with what comes", 0}},
	{OPT_LIMIT, {"limit", 'n', "N", 0, "The newest N only (default: 1000)", 0}},
	{OPT_DENY, {"deny", 277, NULL, 0, "Say no", 0}},
	{OPT_REMEMBER, {"remember", 278, "SCOPE", 0,
			       "Make it a rule: sandbox, or all for all of them", 0}},
	{OPT_SERVICES, {"services", 267, NULL, 0, "The services that there are", 0}},
};

struct parse {
	const struct plain_form *form;
	struct plain_args *a;
	struct err *e;
};

int args_done(int argp_result, struct err *e)
{
	if (argp_result == 0)
		return 0;
	if (e->code == ERR_NONE)
		return err_set(e, ERR_INVALID, -EINVAL, "the command line is malformed");
	return e->num < 0 ? e->num : -EINVAL;
}

/* is_plain() - may @text be printed as it is? */
static bool is_plain(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0, n; i < len; i += n) {
		char shown[16];
		unsigned cp;

		n = utf8_decode(text + i, len - i, &cp);
		if (n == 0 ||
			(text[i] != '\\' && memcmp(escape_text(shown, sizeof(shown), text + i, n),
						    text + i, n) != 0))
			return false;
	}
	return true;
}

unsigned args_flags(enum args_mode mode, int argc, char **argv)
{
	const unsigned silent = ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP;

	if (mode == ARGS_SILENT)
		return silent;
	/* argp and getopt would print the arguments raw. */
	for (int i = 1; i < argc; i++)
		if (!is_plain(argv[i]))
			return silent;
	return 0;
}

bool args_is_option(const struct argp_option *table, int key)
{
	for (; table->name; table++)
		if (table->key == key)
			return true;
	return false;
}

int args_env_file(struct args_env *env, const char *path, struct err *e)
{
	if (env->n_files == ARGS_ENV_FILES_MAX)
		return err_set(
			e, ERR_LIMIT, -E2BIG, "more than %d times --env-file", ARGS_ENV_FILES_MAX);
	if (path[0] == '\0')
		return err_set(e, ERR_INVALID, -EINVAL, "--env-file is empty");
	env->files[env->n_files++] = path;
	return 0;
}

int args_env_load(struct args_env *env, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < env->n_files && r == 0; i++)
		r = env_add_file(&env->list, env->files[i], e);
	return r;
}

int args_box_name(const char *text, struct err *e)
{
	return name_check(text, e);
}

void plain_args_fini(struct plain_args *a)
{
	if (!a)
		return;
	free(a->words);
	*a = (struct plain_args){0};
}

void plain_args_auto(struct plain_args *a)
{
	plain_args_fini(a);
}

static int value_of(struct parse *p, uint64_t bit, const char *arg)
{
	long n = 0;
	int r = 0;

	switch ((int)bit) {
	case OPT_TAIL:
		return value_count(arg, "--tail", 0, TAIL_MAX, &p->a->tail, p->e);
	case OPT_TIMEOUT:
		r = value_count(arg, "--time", 0, TIMEOUT_MAX, &n, p->e);
		p->a->timeout_ms = n * 1000;
		return r;
	case OPT_KEYS:
		return keys_parse(arg, &p->a->keys, p->e);
	case OPT_REFRESH:
		return value_count(arg, "--refresh", 0, REFRESH_MAX, &p->a->refresh_s, p->e);
	case OPT_SANDBOX:
		p->a->sandbox = arg;
		return args_box_name(arg, p->e);
	case OPT_METHOD:
		p->a->method = arg;
		return 0;
	case OPT_PATH:
		p->a->path = arg;
		return 0;
	case OPT_GRPC:
		p->a->grpc = arg;
		return 0;
	case OPT_KIND:
		p->a->kind = arg;
		return 0;
	case OPT_ADDRESS:
		p->a->address = arg;
		return 0;
	case OPT_SOURCE:
		p->a->source = arg;
		return 0;
	case OPT_DECISION:
		p->a->decision = arg;
		return 0;
	case OPT_REMEMBER:
		p->a->remember = arg;
		return 0;
	case OPT_LIMIT:
		return value_count(arg, "--limit", 1, LIMIT_MAX, &p->a->limit, p->e);
	case OPT_COMMAND:
		p->a->command = arg;
		return 0;
	case OPT_FROM_ENV:
		p->a->from_env = arg;
		return 0;
	case OPT_NAME:
		p->a->name = arg;
		return name_check(arg, p->e);
	default:
		return 0;
	}
}

static int option(struct parse *p, int key, const char *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].o.key == key && (p->form->options & rows[i].bit)) {
			p->a->given |= rows[i].bit;
			return value_of(p, rows[i].bit, arg);
		}
	return 1;
}

static int word(struct parse *p, char *arg)
{
	struct plain_args *a = p->a;

	if (a->n_words == p->form->max_words)
		return err_set(p->e, ERR_INVALID, -EINVAL, "'%.200s' is too much", arg);
	if (p->form->names && args_box_name(arg, p->e) < 0)
		return -EINVAL;
	a->words[a->n_words++] = arg;
	return 0;
}

static error_t parse_key(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;
	int r = key == ARGP_KEY_ARG ? word(p, arg) : option(p, key, arg);

	if (r > 0)
		return ARGP_ERR_UNKNOWN;
	return r < 0 ? EINVAL : 0;
}

static int missing(const char *verb, const struct plain_form *form, struct err *e)
{
	(void)err_set(e, ERR_INVALID, -EINVAL, "%s: missing %s", verb, form->words);
	err_hint(e, "sbx %s %s", verb, form->words);
	return -EINVAL;
}

int plain_args_parse(int argc, char **argv, enum args_mode mode, const struct plain_form *form,
	struct plain_args *ret_args, struct err *e)
{
	struct argp_option table[ARRAY_LEN(rows) + 1] = {0};
	const struct argp argp = {table, parse_key, form->words, form->doc, NULL, NULL, NULL};
	struct plain_args a = {.timeout_ms = -1, .tail = -1, .limit = -1, .refresh_s = -1};
	struct parse p = {.form = form, .a = &a, .e = e};
	const char *verb = strchr(argv[0], ' ');
	size_t n = 0;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (form->options & rows[i].bit)
			table[n++] = rows[i].o;
	argp_err_exit_status = form->usage_status ? form->usage_status : CLI_USAGE;
	a.words = calloc((size_t)argc + 1, sizeof(char *));
	r = a.words ? keys_parse(KEYS_DEFAULT, &a.keys, e) : err_sys(e, -ENOMEM, "read arguments");
	if (r == 0)
		r = args_done(
			argp_parse(&argp, argc, argv, args_flags(mode, argc, argv), NULL, &p), e);
	if (r == 0 && a.n_words < form->min_words)
		r = missing(verb ? verb + 1 : argv[0], form, e);
	if (r < 0) {
		plain_args_fini(&a);
		return r;
	}
	*ret_args = a;
	return 0;
}
