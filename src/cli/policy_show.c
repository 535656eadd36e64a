/* sbx policy ls|inspect|check */
#include "cli/policy.h"
#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 1400 /* an escaped resource or path */

char *policy_asks(const struct js *rule, char *dst, size_t cap)
{
	const char *path = box_str(rule, "path"), *methods = box_str(rule, "methods");
	const char *grpc = box_str(rule, "grpc");
	char raw[1400];

	if (grpc[0])
		(void)snprintf(raw, sizeof(raw), "gRPC %s", grpc);
	else if (js_bool(js_get(rule, "websocket")))
		(void)snprintf(raw, sizeof(raw), "WebSocket%s%s", path[0] ? " " : "", path);
	else if (methods[0] || path[0])
		(void)snprintf(raw, sizeof(raw), "%s%s%s", methods[0] ? methods : "ANY",
			path[0] ? " " : "", path);
	else
		(void)snprintf(raw, sizeof(raw), "-");
	return escape_str(dst, cap, raw);
}

/* group_len() - presets and clients' hosts are one line each, unless --wide: "balanced.ai.1" is of
 * the group "balanced"; a rule that was added stands alone
 */
static size_t group_len(const struct js *rule)
{
	const char *id = box_str(rule, "id"), *dot = strchr(id, '.');

	if (!dot || strncmp(id, "plan.", 5) == 0 || strncmp(id, "org.", 4) == 0)
		return 0;
	return (size_t)(dot - id);
}

static bool same_group(const struct js *a, const struct js *b)
{
	size_t n = group_len(a);

	return n > 0 && n == group_len(b) && strncmp(box_str(a, "id"), box_str(b, "id"), n) == 0;
}

static bool wanted(const struct js *rule, const struct plain_args *a)
{
	return (!a->source || strcmp(a->source, box_str(rule, "source")) == 0) &&
	       (!a->decision || strcmp(a->decision, box_str(rule, "decision")) == 0);
}

static void print_rule(const struct js *rule)
{
	char id[160], decision[32], resource[TEXT_MAX], asks[TEXT_MAX], origin[600];

	printf("%-12s %-8s %-36s %-24s %s\n", escape_str(id, sizeof(id), box_str(rule, "id")),
		escape_str(decision, sizeof(decision), box_str(rule, "decision")),
		escape_str(resource, sizeof(resource), box_str(rule, "resource")),
		policy_asks(rule, asks, sizeof(asks)),
		escape_str(origin, sizeof(origin), box_str(rule, "origin")));
}

static void print_group(const struct js *rules, size_t first, const struct plain_args *a)
{
	const struct js *rule = js_at(rules, first);
	char name[64], decision[32], origin[600], text[64];
	size_t n = 0;

	for (size_t i = 0; i < js_len(rules); i++)
		n += same_group(rule, js_at(rules, i)) && wanted(js_at(rules, i), a);
	(void)snprintf(text, sizeof(text), n == 1 ? "%zu resource" : "%zu resources", n);
	(void)escape_text(name, sizeof(name), box_str(rule, "id"), group_len(rule));
	(void)escape_str(origin, sizeof(origin), box_str(rule, "origin"));
	printf("%-12s %-8s %-36s %-24s %s\n", name,
		escape_str(decision, sizeof(decision), box_str(rule, "decision")), text, "-",
		strcmp(name, "host") == 0 ? "what this host's own clients use" : origin);
}

/* warn_of_state() - what a list of rules alone does not say */
static void warn_of_state(const struct js *policy)
{
	const struct js *org = js_get(policy, "organisation");

	if (js_bool(js_get(policy, "lost")))
		report_note("the policy was lost with a damaged database and everything is denied: "
			    "sbx policy init balanced begins anew");
	if (box_str(org, "fault")[0])
		report_note("the organisation's policy is invalid and everything is denied: %s",
			box_str(org, "fault"));
	else if (js_bool(js_get(policy, "governed")))
		report_note(
			"the organisation's policy (%s) is in force: only what it allows counts",
			box_str(org, "path"));
	else if (!js_bool(js_get(policy, "preset_chosen")))
		report_note(
			"no preset was chosen, so it is 'balanced'; sbx policy init changes that");
}

static void print_rules(const struct js *rules, const struct plain_args *a)
{
	printf("%-12s %-8s %-36s %-24s %s\n", "RULE", "DECISION", "RESOURCE", "REQUESTS", "FROM");
	for (size_t i = 0; i < js_len(rules); i++) {
		const struct js *rule = js_at(rules, i);
		bool seen = false;

		if (!wanted(rule, a))
			continue;
		if ((a->given & OPT_WIDE) || group_len(rule) == 0) {
			print_rule(rule);
			continue;
		}
		for (size_t k = 0; k < i && !seen; k++)
			seen = same_group(rule, js_at(rules, k)) && wanted(js_at(rules, k), a);
		if (!seen)
			print_group(rules, i, a);
	}
}

int policy_ls(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_JSON | OPT_WIDE | OPT_SOURCE | OPT_DECISION | OPT_SANDBOX,
		.max_words = 1,
		.words = "[SANDBOX]",
		.names = true,
		.doc = "List the rules in force for a sandbox, or for all."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS policy = NULL;
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (api_open(&api, API_START, &e) < 0 ||
		policy_get(&api, a.n_words ? a.words[0] : a.sandbox, &policy, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.given & OPT_JSON) {
		if (box_print(policy, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return report_flush();
	}
	print_rules(js_get(policy, "rules"), &a);
	warn_of_state(policy);
	return report_flush();
}

static void line(const char *name, const char *value)
{
	char text[TEXT_MAX];

	printf("%-10s %s\n", name, escape_str(text, sizeof(text), value));
}

static void show_rule(const struct js *rule)
{
	const char *id = box_str(rule, "id"), *box = box_str(rule, "sandbox");
	char asks[TEXT_MAX];
	const bool added = id[0] == 'r' && id[1] >= '0' && id[1] <= '9';

	line("Rule:", id);
	line("Decision:", box_str(rule, "decision"));
	line("Resource:", box_str(rule, "resource"));
	printf("%-10s %s\n", "Requests:", policy_asks(rule, asks, sizeof(asks)));
	line("Applies:", box[0] ? box : "all sandboxes");
	line("Source:", box_str(rule, "source"));
	line("From:", box_str(rule, "origin"));
	if (added)
		printf("%-10s sbx policy rm %s\n", "Remove:", id);
	else
		line("Remove:", strncmp(id, "plan.", 5) == 0
					? "not possible: the sandbox was created with it"
				: strncmp(id, "org.", 4) == 0
					? "not possible: it is the organisation's"
					: "choose another preset: sbx policy init");
}

/* copy_of() - NULL: no memory */
static struct js *copy_of(const struct js *o)
{
	AUTO_JS copy = js_object();
	const struct js *value;
	const char *key;
	void *iter = NULL;
	bool bad = false;

	while (js_each(o, &iter, &key, &value))
		bad |= js_set_copy(copy, key, value);
	return bad ? NULL : TAKE(copy);
}

int policy_inspect(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON | OPT_SANDBOX,
		.min_words = 1,
		.max_words = 1,
		.words = "RULE|GROUP",
		.doc = "Show a rule by its id, or the rules of a group such as a preset."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS policy = NULL;
	AUTO_JS list = js_array();
	const struct js *rules;
	struct err e = {0};
	size_t found = 0;
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (api_open(&api, API_START, &e) < 0 || policy_get(&api, a.sandbox, &policy, &e) < 0)
		return report_err(&e, CLI_FAIL);
	rules = js_get(policy, "rules");
	for (size_t i = 0; i < js_len(rules); i++) {
		const struct js *rule = js_at(rules, i);
		const char *id = box_str(rule, "id");
		size_t n = group_len(rule);
		bool whole = strcmp(id, a.words[0]) == 0;

		if (!whole && (n != strlen(a.words[0]) || strncmp(id, a.words[0], n) != 0))
			continue;
		found++;
		if (a.given & OPT_JSON)
			r |= js_add(list, copy_of(rule));
		else if (whole)
			show_rule(rule);
		else
			print_rule(rule);
	}
	if (found == 0) {
		(void)err_set(&e, ERR_NOT_FOUND, -ENOENT, "there is no rule '%.80s'", a.words[0]);
		err_hint(&e, "sbx policy ls%s%s shows what there is",
			a.sandbox ? "" : "; with --sandbox NAME", a.sandbox ? "" : " also its own");
		return report_err(&e, CLI_FAIL);
	}
	if ((a.given & OPT_JSON) && (r || box_print(list, &e) < 0))
		return report_err(&e, CLI_FAIL);
	return report_flush();
}

/* ---- check ---- */

static struct js *question(const struct plain_args *a)
{
	AUTO_JS o = js_object();
	bool bad = js_set_str(o, "target", a->words[0]);

	if (a->sandbox)
		bad |= js_set_str(o, "sandbox", a->sandbox);
	if (a->method)
		bad |= js_set_str(o, "method", a->method);
	if (a->path)
		bad |= js_set_str(o, "path", a->path);
	if (a->kind)
		bad |= js_set_str(o, "kind", a->kind);
	if (a->address)
		bad |= js_set_str(o, "address", a->address);
	return bad ? NULL : TAKE(o);
}

static void print_verdict(const struct js *v)
{
	const struct js *rule = js_get(v, "rule");
	const char *decision = box_str(v, "decision"), *method = box_str(v, "method");
	const char *path = box_str(v, "path"), *hint = box_str(v, "hint");
	char text[TEXT_MAX], more[TEXT_MAX];

	printf("%s: %s%s",
		strcmp(decision, "allow") == 0 ? "Allowed"
		: strcmp(decision, "ask") == 0 ? "Asks"
					       : "Denied",
		method[0] ? escape_str(more, sizeof(more), method) : "", method[0] ? " " : "");
	printf("%s%s\n", escape_str(text, sizeof(text), box_str(v, "target")),
		escape_str(more, sizeof(more), path));
	line("reason:", box_str(v, "text"));
	if (box_str(rule, "id")[0]) {
		printf("%-10s %s: ", "rule:", escape_str(text, sizeof(text), box_str(rule, "id")));
		printf("%s %s", box_str(rule, "decision"),
			escape_str(text, sizeof(text), box_str(rule, "resource")));
		printf(" %s (%s)\n", policy_asks(rule, more, sizeof(more)),
			escape_str(text, sizeof(text), box_str(rule, "origin")));
	}
	if (js_bool(js_get(v, "inspect")))
		line("note:", "each request is judged; what cannot be inspected is refused");
	if (js_bool(js_get(v, "bypass")))
		line("note:", "TLS to it is not inspected");
	if (hint[0])
		line("hint:", hint);
}

int policy_check(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_JSON | OPT_SANDBOX | OPT_METHOD | OPT_PATH | OPT_KIND | OPT_ADDRESS,
		.min_words = 1,
		.max_words = 2,
		.words = "TARGET",
		.doc = "Say what would be decided about a host, host:port, address or URL, and by "
		       "which "
		       "rule. Without a port it is 443. Exit status 0 when it is allowed, 1 when "
		       "not."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS body = NULL;
	AUTO_JS verdict = NULL;
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	policy_skip_word(&a);
	if (a.n_words != 1)
		r = err_set(&e, ERR_INVALID, -EINVAL, "check: one target at a time");
	if (r == 0 && !(body = question(&a)))
		r = err_sys(&e, -ENOMEM, "write the request");
	if (r == 0)
		r = api_open(&api, API_START, &e);
	if (r == 0)
		r = api_call(&api, "POST", "/v1/policy/check", body, API_CALL_MS, &verdict, &e);
	if (r == 0 && (a.given & OPT_JSON))
		r = box_print(verdict, &e);
	if (r < 0)
		return report_err(&e, CLI_FAIL);
	if (!(a.given & OPT_JSON))
		print_verdict(verdict);
	r = report_flush();
	return r ? r : strcmp(box_str(verdict, "decision"), "allow") == 0 ? CLI_OK : CLI_FAIL;
}
