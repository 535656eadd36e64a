/* sbx policy init|allow|deny|ask|rm|reset; the rest of sbx policy is in policy_show.c and policy_log.c */
#include "cli/policy.h"
#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 256

void policy_skip_word(struct plain_args *a)
{
	if (a->n_words < 2 || strcmp(a->words[0], "network") != 0)
		return;
	a->n_words--;
	memmove(&a->words[0], &a->words[1], a->n_words * sizeof(a->words[0]));
}

int policy_get(struct api *api, const char *sandbox, struct js **ret, struct err *e)
{
	char target[API_TARGET_MAX];

	(void)snprintf(target, sizeof(target), "/v1/policy%s%s", sandbox ? "?sandbox=" : "",
		sandbox ? sandbox : "");
	return api_call(api, "GET", target, NULL, API_CALL_MS, ret, e);
}

/* ask_first() - -ECANCELED when declined, -ENOTTY when there is nobody to ask */
static int ask_first(const char *question, struct err *e)
{
	char answer[16] = "";

	if (!isatty(STDIN_FILENO))
		return err_set(e, ERR_INVALID, -ENOTTY, "stdin is not a terminal; use --force");
	(void)fprintf(stderr, "%s (y/N) ", question);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return 0;
	return err_set(e, ERR_CONFLICT, -ECANCELED, "nothing was changed");
}

static int policy_init(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON,
		.min_words = 1,
		.max_words = 1,
		.words = "open|balanced|locked-down",
		.doc = "Choose what holds for all sandboxes to begin with: everything, AI "
		       "services, "
		       "code hosts and package registries, or nothing. Also allow-all and "
		       "deny-all."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS body = js_object();
	AUTO_JS now = NULL;
	struct err e = {0};
	char name[128];
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (js_set_str(body, "preset", a.words[0]))
		r = err_sys(&e, -ENOMEM, "write the request");
	if (r == 0)
		r = api_open(&api, API_START, &e);
	if (r == 0)
		r = api_call(&api, "PUT", "/v1/policy/preset", body, API_CALL_MS, &now, &e);
	if (r == 0 && (a.given & OPT_JSON))
		r = box_print(now, &e);
	if (r < 0)
		return report_err(&e, CLI_FAIL);
	if (!(a.given & OPT_JSON))
		printf("policy: %s\n", escape_str(name, sizeof(name), box_str(now, "preset")));
	return report_flush();
}

/* add_body() - NULL: no memory */
static struct js *add_body(const struct plain_args *a, const char *decision, const char *resources)
{
	AUTO_JS o = js_object();
	bool bad = false;

	bad |= js_set_str(o, "decision", decision);
	bad |= js_set_str(o, "resource", resources);
	bad |= js_set_str(o, "methods", a->method);
	bad |= js_set_str(o, "path", a->path);
	bad |= js_set_str(o, "grpc", a->grpc);
	bad |= js_set_bool(o, "websocket", a->given & OPT_WEBSOCKET);
	return bad ? NULL : TAKE(o);
}

static int join_words(const struct plain_args *a, struct buf *out, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < a->n_words && r == 0; i++)
		r = buf_addf(out, "%s%s", i ? "," : "", a->words[i]);
	return r < 0 ? err_set(e, ERR_LIMIT, r, "too many resources at once") : 0;
}

static void print_added(const struct js *answer)
{
	const struct js *rules = js_get(answer, "rules");
	char id[128], resource[512], decision[32], asks[1024];

	for (size_t i = 0; i < js_len(rules); i++) {
		const struct js *rule = js_at(rules, i);

		printf("%s  %s %s  %s\n", escape_str(id, sizeof(id), box_str(rule, "id")),
			escape_str(decision, sizeof(decision), box_str(rule, "decision")),
			escape_str(resource, sizeof(resource), box_str(rule, "resource")),
			policy_asks(rule, asks, sizeof(asks)));
	}
}

static int add_rules(int argc, char **argv, const char *decision, const char *doc)
{
	const struct plain_form form = {.options = OPT_SANDBOX | OPT_METHOD | OPT_PATH | OPT_GRPC |
						   OPT_WEBSOCKET | OPT_JSON,
		.min_words = 1,
		.max_words = WORDS_MAX,
		.words = "RESOURCE...",
		.doc = doc};
	char target[API_TARGET_MAX];
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO(buf) resources = {0};
	AUTO_JS body = NULL;
	AUTO_JS answer = NULL;
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	policy_skip_word(&a);
	buf_init(&resources, 8192);
	r = join_words(&a, &resources, &e);
	if (r == 0 && !(body = add_body(&a, decision, buf_str(&resources))))
		r = err_sys(&e, -ENOMEM, "write the request");
	(void)snprintf(target, sizeof(target), "/v1/policy/rules%s%s", a.sandbox ? "?sandbox=" : "",
		a.sandbox ? a.sandbox : "");
	if (r == 0)
		r = api_open(&api, API_START, &e);
	if (r == 0)
		r = api_call(&api, "POST", target, body, API_CALL_MS, &answer, &e);
	if (r == 0 && (a.given & OPT_JSON))
		r = box_print(answer, &e);
	if (r < 0)
		return report_err(&e, CLI_FAIL);
	if (!(a.given & OPT_JSON))
		print_added(answer);
	return report_flush();
}

static int policy_allow(int argc, char **argv)
{
	return add_rules(argc, argv, "allow",
		"Let sandboxes reach these: hosts, *.domains, **.domains, addresses, ranges, each "
		"with "
		"or without a port; localhost:PORT is a service of this host. With --method and "
		"--path "
		"only such requests. In force at once, also where sandboxes run.");
}

static int policy_deny(int argc, char **argv)
{
	return add_rules(argc, argv, "deny",
		"Never let sandboxes reach these: a denial wins over every allow. \"**\" is "
		"everything.");
}

static int policy_ask(int argc, char **argv)
{
	return add_rules(argc, argv, "ask",
		"Hold such requests until sbx approve answers them (two minutes, then it is a no). "
		"\"**\" asks about what nothing else allows.");
}

/* check_id() - it becomes part of a URL */
static int check_id(const char *id, struct err *e)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	if (n > 0 && n <= 64 && id[n] == '\0')
		return 0;
	return err_set(e, ERR_INVALID, -EINVAL, "'%.80s' is no id of a rule", id);
}

static int remove_id(struct api *api, const char *id, struct err *e)
{
	char target[API_TARGET_MAX];
	int r = check_id(id, e);

	if (r < 0)
		return r;
	(void)snprintf(target, sizeof(target), "/v1/policy/rules/%s", id);
	return api_call(api, "DELETE", target, NULL, API_CALL_MS, NULL, e);
}

static bool is_id(const char *word)
{
	return word[0] == 'r' && word[1] && word[1 + strspn(word + 1, "0123456789")] == '\0';
}

/* matches() - is @word the resource of that rule, and the rule one of the scope that is meant? */
static bool matches(const struct js *rule, const char *word, const char *sandbox)
{
	const char *id = box_str(rule, "id");

	if (strcmp(box_str(rule, "resource"), word) != 0)
		return false;
	if (!is_id(id))
		return false;
	return strcmp(box_str(rule, "sandbox"), sandbox ? sandbox : "") == 0;
}

/* remove_word() - a rule's id, or a resource: then all added rules that have it */
static int remove_word(struct api *api, const char *word, const char *sandbox, struct err *e)
{
	AUTO_JS policy = NULL;
	const struct js *rules;
	bool found = false;
	int r;

	if (is_id(word))
		return remove_id(api, word, e);
	r = policy_get(api, sandbox, &policy, e);
	rules = js_get(policy, "rules");
	for (size_t i = 0; i < js_len(rules) && r == 0; i++) {
		const struct js *rule = js_at(rules, i);

		if (!matches(rule, word, sandbox))
			continue;
		found = true;
		r = remove_id(api, box_str(rule, "id"), e);
	}
	return r < 0 || found ? r : remove_id(api, word, e);
}

static int policy_rm(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_SANDBOX | OPT_JSON | OPT_FORCE,
		.min_words = 1,
		.max_words = WORDS_MAX,
		.words = "RULE...",
		.doc = "Remove rules that were added, by id or by resource as sbx policy ls shows "
		       "it."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	struct err e = {0};
	int status = verb_plain(argc, argv, &form, &a);

	if (status)
		return status;
	policy_skip_word(&a);
	if (api_open(&api, API_START, &e) < 0)
		return report_err(&e, CLI_FAIL);
	for (size_t i = 0; i < a.n_words; i++) {
		e = (struct err){0};
		if (remove_word(&api, a.words[i], a.sandbox, &e) < 0)
			status = report_err(&e, CLI_FAIL);
	}
	return status;
}

static int policy_reset(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON | OPT_FORCE,
		.words = "",
		.doc = "Remove every rule that was added, of all sandboxes too, and the choice of "
		       "a preset."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (!(a.given & OPT_FORCE))
		r = ask_first("Remove every rule that was added?", &e);
	if (r == 0)
		r = api_open(&api, API_START, &e);
	if (r == 0)
		r = api_call(&api, "DELETE", "/v1/policy", NULL, API_CALL_MS, NULL, &e);
	return r < 0 ? report_err(&e, CLI_FAIL) : CLI_OK;
}

static bool among(char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

/* change_list() - the list of @policy with @words added, or without them */
static int change_list(const struct js *policy, char *const *words, size_t n, bool without,
	struct buf *out, struct err *e)
{
	const struct js *now = js_get(policy, "bypass");
	int r = 0;

	for (size_t i = 0; i < js_len(now) && r == 0; i++) {
		const char *s = js_str(js_at(now, i));

		if (s && !(without && among(words, n, s)))
			r = buf_addf(out, "%s%s", out->len ? "," : "", s);
	}
	for (size_t i = 0; i < n && !without && r == 0; i++)
		r = buf_addf(out, "%s%s", out->len ? "," : "", words[i]);
	return r < 0 ? err_set(e, ERR_LIMIT, r, "the list is too long") : 0;
}

static int put_bypass(
	struct api *api, const struct plain_args *a, struct js **policy, struct err *e)
{
	AUTO(buf) list = {0};
	AUTO_JS body = js_object();
	bool without = strcmp(a->words[0], "rm") == 0;
	int r;

	if ((!without && strcmp(a->words[0], "add") != 0) || a->n_words < 2)
		return err_set(e, ERR_INVALID, -EINVAL, "policy bypass: add or rm, and names");
	buf_init(&list, 4096);
	r = change_list(*policy, a->words + 1, a->n_words - 1, without, &list, e);
	if (r == 0 && js_set_str(body, "resources", buf_str(&list)))
		r = err_sys(e, -ENOMEM, "write the request");
	js_free(TAKE(*policy));
	return r < 0 ? r : api_call(api, "PUT", "/v1/policy/bypass", body, API_CALL_MS, policy, e);
}

static int policy_bypass(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON,
		.max_words = WORDS_MAX,
		.words = "[add|rm RESOURCE...]",
		.doc = "Hosts whose TLS is judged by name and passed on unopened, for clients that "
		       "pin "
		       "certificates. No credentials are put in there, and rules about requests "
		       "refuse "
		       "them. Without words: list them."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS policy = NULL;
	const struct js *list;
	char text[512];
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	r = api_open(&api, API_START, &e);
	if (r == 0)
		r = policy_get(&api, NULL, &policy, &e);
	if (r == 0 && a.n_words > 0)
		r = put_bypass(&api, &a, &policy, &e);
	list = js_get(policy, "bypass");
	if (r == 0 && (a.given & OPT_JSON))
		r = box_print(list, &e);
	if (r < 0)
		return report_err(&e, CLI_FAIL);
	for (size_t i = 0; i < js_len(list) && !(a.given & OPT_JSON); i++)
		puts(escape_str(text, sizeof(text), js_str(js_at(list, i))));
	return report_flush();
}

int verb_policy(int argc, char **argv)
{
	static const struct verb subs[] = {
		{"init", policy_init, "choose open, balanced or locked-down"},
		{"allow", policy_allow, "let sandboxes reach something"},
		{"deny", policy_deny, "never let them reach something"},
		{"ask", policy_ask, "ask before they reach something"},
		{"rm", policy_rm, "remove rules"},
		{"ls", policy_ls, "list the rules in force"},
		{"inspect", policy_inspect, "show one rule, or a group of them"},
		{"check", policy_check, "say what would be decided, and why"},
		{"log", policy_log, "show what was decided"},
		{"bypass", policy_bypass, "hosts whose TLS is not inspected"},
		{"reset", policy_reset, "remove every rule"},
	};

	return verb_sub(subs, ARRAY_LEN(subs), argc, argv);
}
