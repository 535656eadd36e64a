/* start, stop, pause, resume: one call of the API for each name */
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <stdio.h>

#define STOP_MS 10000

struct change {
	const char *rest; /* of the target */
	const char *what; /* for errors: "stop sandbox 'x': …" */
	bool timed;
};

static int change_one(struct api *api, const struct change *c, const char *name, int64_t grace_ms,
	struct js **ret_box, struct err *e)
{
	char target[API_TARGET_MAX];
	AUTO_JS body = c->timed ? js_object() : NULL;
	int r;

	if (c->timed && js_set_int(body, "timeout_ms", grace_ms))
		return err_sys(e, -12, "stop sandbox '%s'", name);
	api_target(target, name, c->rest);
	r = api_call(api, "POST", target, body, (int)grace_ms + API_CALL_MS, ret_box, e);
	if (r < 0 && e->code == ERR_NOT_FOUND)
		return box_get(api, name, ret_box, e); /* says it in the usual words */
	return r < 0 ? err_wrap(e, r, "%s sandbox '%s'", c->what, name) : 0;
}

static int change_all(int argc, char **argv, const struct plain_form *form, const struct change *c)
{
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	struct err e = {0};
	int status = verb_plain(argc, argv, form, &a);

	if (status)
		return status;
	if (api_open(&api, API_START, &e) < 0)
		return report_err(&e, CLI_FAIL);
	for (size_t i = 0; i < a.n_words; i++) {
		AUTO_JS box = NULL;
		int r;

		e = (struct err){0};
		r = c->rest ? change_one(&api, c, a.words[i],
				      a.timeout_ms >= 0 ? a.timeout_ms : STOP_MS, &box, &e)
			    : box_start(&api, a.words[i], false, &box, &e);
		if (r < 0)
			status = report_err(&e, CLI_FAIL);
		else if ((a.given & OPT_JSON) && box_print(box, &e) < 0)
			status = report_err(&e, CLI_FAIL);
	}
	return status ? status : report_flush();
}

#define NAMES_FORM(opts, text)                                                                     \
	{                                                                                          \
		.options = (opts), .min_words = 1, .max_words = 256, .words = "NAME...",           \
		.doc = (text), .names = true                                                       \
	}

int verb_stop(int argc, char **argv)
{
	static const struct plain_form form =
		NAMES_FORM(OPT_JSON | OPT_TIMEOUT, "Stop sandboxes; what is in them is kept.");

	return change_all(argc, argv, &form, &(struct change){"/stop", "stop", true});
}

int verb_start(int argc, char **argv)
{
	static const struct plain_form form = NAMES_FORM(OPT_JSON, "Start sandboxes.");

	return change_all(argc, argv, &form, &(struct change){NULL, "start", false});
}

int verb_pause(int argc, char **argv)
{
	static const struct plain_form form =
		NAMES_FORM(OPT_JSON, "Let sandboxes stand still; they keep their memory.");

	return change_all(argc, argv, &form, &(struct change){"/pause", "pause", false});
}

int verb_resume(int argc, char **argv)
{
	static const struct plain_form form = NAMES_FORM(OPT_JSON, "Let paused sandboxes go on.");

	return change_all(argc, argv, &form, &(struct change){"/resume", "resume", false});
}
