/* sbx approve [ls | ID...]: requests that a rule says to ask about */
#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define FOLLOW_MS 1000

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

/* Requests that were shown; a number is never given twice, so the greatest says it all. */
struct asking {
	struct api *api;
	const char *remember;
	int64_t shown;
	bool end; /* no more answers come */
};

/* ask_one() - anything but y is a no, s leaves it to somebody else, or to its time */
static int ask_one(struct asking *q, const struct js *w, struct err *e)
{
	char line[16] = "", id[32];
	int r;

	describe(w);
	printf("Let it pass? (y/N/s to skip) ");
	(void)fflush(stdout);
	q->shown = js_int(js_get(w, "id"), 0);
	q->end = !fgets(line, sizeof(line), stdin);
	if (q->end || line[0] == 's')
		return 0;
	(void)snprintf(id, sizeof(id), "%" PRId64, q->shown);
	r = answer(q->api, id, line[0] == 'y' || line[0] == 'Y', q->remember, e);
	if (r < 0 && e->code == ERR_NOT_FOUND) {
		report_note("too late: %s", e->msg);
		*e = (struct err){0};
		return 0;
	}
	return r;
}

/* ask_new() - those that were not shown yet, one after the other */
static int ask_new(struct asking *q, bool *ret_any, struct err *e)
{
	AUTO_JS all = NULL;
	const struct js *list;
	int r = get_all(q->api, &all, e);

	list = js_get(all, "approvals");
	for (size_t i = 0; i < js_len(list) && r == 0 && !q->end; i++)
		if (js_int(js_get(js_at(list, i), "id"), 0) > q->shown) {
			*ret_any = true;
			r = ask_one(q, js_at(list, i), e);
		}
	return r;
}

/* ask_all() - on the terminal; with @follow also what comes, until the end of input */
static int ask_all(struct asking *q, bool follow, struct err *e)
{
	bool any = false;
	int r;

	do {
		r = ask_new(q, &any, e);
		if (r == 0 && follow && !q->end)
			(void)poll(NULL, 0, FOLLOW_MS);
	} while (r == 0 && follow && !q->end);
	if (r == 0 && !any && !follow)
		report_note("nothing waits for an answer");
	return r;
}

int verb_approve(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_JSON | OPT_DENY | OPT_REMEMBER | OPT_FOLLOW,
		.max_words = 64,
		.words = "[ls | ID...]",
		.doc = "Answer requests that a rule says to ask about: those with these numbers, "
		       "or, on a "
		       "terminal, one after the other; with --follow also those that come. ls "
		       "lists them."};
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
		struct asking q = {.api = &api, .remember = a.remember};

		if (ask_all(&q, a.given & OPT_FOLLOW, &e) < 0)
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
