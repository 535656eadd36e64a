/* args.h - command lines of the verbs: text into structs, no I/O
 *
 * Every parser takes argv with argv[0] = "sbx VERB". With ARGS_EXIT, faults of the form (unknown
 * option, missing argument, --help) are told and end the process as argp does; without it the
 * parser is silent and returns a negative errno, which is how tests and fuzzing use it. Faults of
 * meaning always come back as @e. Texts in the results are borrowed from argv.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H
#include "cli/env.h"
#include "cli/keys.h"
#include "cli/values.h"
#include "image/import.h"
#include <stdbool.h>

enum args_mode { ARGS_EXIT, ARGS_SILENT };

#define ARGS_KITS_MAX	   32
#define ARGS_ENV_FILES_MAX 32
#define ARGS_RULES_MAX	   64
#define ARGS_MASKS_MAX	   32

/* An option that may be given again. */
#define ARGS_LIST_MAX 32
struct args_list {
	const char *v[ARGS_LIST_MAX];
	size_t n;
};
/* args_list_add() - @option names it in errors */
int args_list_add(
	struct args_list *list, const char *option, const char *text, struct err *e) MUST_USE;

/* Variables as they were given; args_env_load() reads the files. */
struct args_env {
	struct env_list list;
	const char *files[ARGS_ENV_FILES_MAX];
	size_t n_files;
};
/* args_env_load() - read the files into env->list */
int args_env_load(struct args_env *env, struct err *e) MUST_USE;
int args_env_file(struct args_env *env, const char *path, struct err *e) MUST_USE;

/* run, create */
struct run_args {
	const char *agent; /* NULL: none given (run --name NAME) */
	const char *name;
	const char *template_image;
	enum image_pull pull; /* --pull */
	bool pull_given;
	const char *isolation;
	const char *kits[ARGS_KITS_MAX];
	size_t n_kits;
	struct args_env kit_args; /* NAME or KIT.NAME; read by birth_kits_args_file() */
	const char *masks[ARGS_MASKS_MAX];
	size_t n_masks;
	struct args_list ports; /* SPECs */
	long cpus; /* 0: not given, or automatic */
	int64_t memory, disk;
	struct args_env env;
	struct workspace *workspaces; /* heap, as they were given: not yet resolved */
	size_t n_workspaces;
	char **args; /* after "--"; borrowed */
	size_t n_args;
	bool cpus_given, json, quiet, detached, plan, no_approve, approve_kits;
	struct {
		const char *decision, *resource; /* --allow, --deny; as they were given */
	} rules[ARGS_RULES_MAX];
	size_t n_rules;
	struct keys keys;
};
void run_args_fini(struct run_args *a);
void run_args_auto(struct run_args *a);
int run_args_parse(int argc, char **argv, enum args_mode mode, bool create,
	struct run_args *ret_args, struct err *e) MUST_USE;

/* exec */
struct exec_args {
	const char *name;
	const char *user, *cwd;
	struct args_env env;
	char **argv; /* borrowed */
	size_t argc;
	bool interactive, tty, json, approve;
	struct keys keys;
};
void exec_args_fini(struct exec_args *a);
void exec_args_auto(struct exec_args *a);
int exec_args_parse(int argc, char **argv, enum args_mode mode, struct exec_args *ret_args,
	struct err *e) MUST_USE;

/* kit validate, inspect, pack, push, pull, sign, verify, keygen, add */
#define ARGS_KIT_ARGS_MAX 64
struct kit_form {
	const char *
		options; /* letters: a --kit-arg, k --kit, o, f, j --json, K --key, s --sign, A --approve-kits */
	const char *words, *doc;
	bool two; /* words, not one; none_too: none is right, too */
	bool none_too;
};
struct kit_args_cli {
	const char *ref; /* never NULL after parsing, unless form.none_too */
	const char *to; /* the second word; NULL: the form has one */
	const char *kits[ARGS_KITS_MAX];
	size_t n_kits;
	const char *keys[ARGS_KITS_MAX]; /* files */
	size_t n_keys;
	struct {
		const char *key, *value;
	} args[ARGS_KIT_ARGS_MAX];
	size_t n_args;
	const char *output; /* NULL: not given */
	const char *description; /* NULL: not given */
	bool force, json, sign, approve;
};
int kit_args_parse(int argc, char **argv, enum args_mode mode, const struct kit_form *form,
	struct kit_args_cli *ret_args, struct err *e) MUST_USE;

/* ports */
struct ports_args {
	const char *name;
	struct args_list publish, unpublish; /* SPECs */
	bool json;
};
int ports_args_parse(int argc, char **argv, enum args_mode mode, struct ports_args *ret_args,
	struct err *e) MUST_USE;

/* secret set-custom */
struct custom_args { /* NULL: not given */
	const char *name, *placeholder, *header, *format, *path, *sandbox;
	const char *value, *from_env, *command; /* at most one of them */
	struct args_list hosts, env, places;
	long refresh_s; /* -1: not given */
	bool json;
};
int custom_args_parse(int argc, char **argv, enum args_mode mode, struct custom_args *ret_args,
	struct err *e) MUST_USE;

/* All other verbs: options out of one table, and words. */
enum args_option {
	OPT_JSON = 1 << 0,
	OPT_QUIET = 1 << 1,
	OPT_FORCE = 1 << 2,
	OPT_ALL = 1 << 3,
	OPT_CONSOLE = 1 << 4,
	OPT_TAIL = 1 << 5,
	OPT_RAW = 1 << 6,
	OPT_TIMEOUT = 1 << 7,
	OPT_FOLLOW_LINK = 1 << 8,
	OPT_KEYS = 1 << 9,
	OPT_DETACHED = 1 << 10,
	OPT_NAME = 1 << 11,
	OPT_SANDBOX = 1 << 12,
	OPT_COMMAND = 1 << 13,
	OPT_REFRESH = 1 << 14,
	OPT_FROM_ENV = 1 << 15,
	OPT_DRY_RUN = 1 << 16,
	OPT_SERVICES = 1 << 17,
	OPT_METHOD = 1 << 18,
	OPT_PATH = 1 << 19,
	OPT_GRPC = 1 << 20,
	OPT_WEBSOCKET = 1 << 21,
	OPT_KIND = 1 << 22,
	OPT_ADDRESS = 1 << 23,
	OPT_WIDE = 1 << 24,
	OPT_SOURCE = 1 << 25,
	OPT_DECISION = 1 << 26,
	OPT_FOLLOW = 1 << 27,
	OPT_LIMIT = 1 << 28,
	OPT_DENY = 1 << 29,
	OPT_REMEMBER = 1 << 30,
};
#define OPT_SETUP (UINT64_C(1) << 32) /* an enumeration ends at 31 bits */
struct plain_form {
	uint64_t options; /* args_option bits */
	size_t min_words, max_words;
	const char *words; /* for the usage line: "NAME…" */
	const char *doc; /* one paragraph */
	bool names; /* every word is the name (or id) of a sandbox */
	int usage_status; /* exit status for a wrong command line; 0: CLI_USAGE */
};
struct plain_args {
	uint64_t given; /* args_option bits */
	long tail;
	int64_t timeout_ms;
	const char *name;
	const char *sandbox, *command, *from_env; /* NULL: not given */
	long refresh_s; /* -1: not given */
	const char *method, *path, *grpc, *kind, *address; /* of a request; NULL: not given */
	const char *source, *decision, *remember; /* NULL: not given */
	long limit; /* -1: not given */
	struct keys keys;
	char **words; /* heap array of borrowed texts */
	size_t n_words;
};
void plain_args_fini(struct plain_args *a);
void plain_args_auto(struct plain_args *a);
int plain_args_parse(int argc, char **argv, enum args_mode mode, const struct plain_form *form,
	struct plain_args *ret_args, struct err *e) MUST_USE;

/* args_done() - the end of a parser: argp's result and what the callbacks found, as one */
int args_done(int argp_result, struct err *e) MUST_USE;
/* args_box_name() - fit to name a sandbox (or its id) in a request? Says why not. */
int args_box_name(const char *text, struct err *e) MUST_USE;
#endif
