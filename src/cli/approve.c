/* sbx approve [ls | ID...]: requests that a rule says to ask about */
#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int get_all(struct api *api, struct js **ret, struct err *e)
{
	return api_call(api, "GET", "/v1/approvals", NULL, API_CALL_MS, ret, e);
}

/* describe() - what a person says yes or no to; the host first, since it decides most */
static void describe(const struct js *w)
{
	char host[1200], method[160], path[2400], box[200], rule[200];
	int64_t port = js_int(js_get(w, "port"), 0);

	printf("%5lld  %-16s %s:%lld", (long long)js_int(js_get(w, "id"), 0),
		escape_str(box, sizeof(box), box_str(w, "sandbox")),
		escape_str(host, sizeof(host), box_str(w, "host")), (long long)port);
	printf("  %s%s%s", escape_str(method, sizeof(method), box_str(w, "method")),
		method[0] ? " " : "connection", escape_str(path, sizeof(path), box_str(w, "path")));
	printf("  (rule %s, %lld s left)\n", escape_str(rule, sizeof(rule), box_str(w, "rule")),
		(long long)js_int(js_get(w, "seconds_left"), 0));
}

static int approve_ls(bool json)
{
	AUTO(api) api = {0};
	AUTO_JS all = NULL;
	const struct js *list;
	struct err e = {0};

	if (api_open(&api, API_START, &e) < 0 || get_all(&api, &all, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (json) {
		if (box_print(all, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return report_flush();
	}
	list = js_get(all, "approvals");
	for (size_t i = 0; i < js_len(list); i++)
		describe(js_at(list, i));
	if (js_len(list) == 0)
		report_note("nothing waits for an answer");
	return report_flush();
}

static int answer(struct api *api, const char *id, bool allow, const char *remember, struct err *e)
{
	AUTO_JS body = js_object();
	char target[API_TARGET_MAX];
	size_t n = strspn(id, "0123456789");
	bool bad = false;

	if (n == 0 || n > 19 || id[n])
		return err_set(e, ERR_INVALID, -EINVAL, "'%.40s' is no number of a request", id);
	bad |= js_set_str(body, "decision", allow ? "allow" : "deny");
	if (remember)
		bad |= js_set_str(body, "remember", remember);
	if (bad)
		return err_sys(e, -ENOMEM, "write the request");
	(void)snprintf(target, sizeof(target), "/v1/approvals/%s", id);
	return api_call(api, "POST", target, body, API_CALL_MS, NULL, e);
}

/* ask_each() - on the terminal, one after the other; anything but y is a no, s skips */
static int ask_each(struct api *api, const char *remember, struct err *e)
{
	AUTO_JS all = NULL;
	const struct js *list;
	int r = get_all(api, &all, e);

	if (r < 0)
		return r;
	list = js_get(all, "approvals");
	if (js_len(list) == 0)
		report_note("nothing waits for an answer");
	for (size_t i = 0; i < js_len(list) && r == 0; i++) {
		char line[16] = "", id[32];

		describe(js_at(list, i));
		printf("Let it pass? (y/N/s to skip) ");
		(void)fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		if (line[0] == 's')
			continue;
		(void)snprintf(id, sizeof(id), "%" PRId64, js_int(js_get(js_at(list, i), "id"), 0));
		r = answer(api, id, line[0] == 'y' || line[0] == 'Y', remember, e);
		if (r == -ENOENT || (r < 0 && e->code == ERR_NOT_FOUND)) {
			report_note("too late: %s", e->msg);
			r = 0;
		}
	}
	return r;
}

int verb_approve(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON | OPT_DENY | OPT_REMEMBER,
		.max_words = 64,
		.words = "[ls | ID...]",
		.doc = "Answer requests that a rule says to ask about: those with these numbers, "
		       "or, on a "
		       "terminal, one after the other. ls lists them."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	struct err e = {0};
	int status = verb_plain(argc, argv, &form, &a);

	if (status)
		return status;
	if (a.n_words == 1 && strcmp(a.words[0], "ls") == 0)
		return approve_ls(a.given & OPT_JSON);
	if (a.n_words == 0 && !isatty(STDIN_FILENO)) {
		(void)err_set(
			&e, ERR_INVALID, -EINVAL, "stdin is not a terminal; name the requests");
		err_hint(&e, "sbx approve ls shows what waits");
		return report_err(&e, CLI_USAGE);
	}
	if (api_open(&api, API_START, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.n_words == 0) {
		if (ask_each(&api, a.remember, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return report_flush();
	}
	for (size_t i = 0; i < a.n_words; i++) {
		e = (struct err){0};
		if (answer(&api, a.words[i], !(a.given & OPT_DENY), a.remember, &e) < 0)
			status = report_err(&e, CLI_FAIL);
	}
	return status;
}
