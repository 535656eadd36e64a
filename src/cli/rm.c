#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* confirm() - ask on the terminal; -ECANCELED when declined, -ENOTTY when there is nobody to ask */
static int confirm(char **names, size_t n, struct err *e)
{
	char answer[16] = "", text[512];

	if (!isatty(STDIN_FILENO))
		return err_set(e, ERR_INVALID, -ENOTTY, "stdin is not a terminal; use --force");
	if (n == 1)
		fprintf(stderr, "Remove sandbox '%s' and all that is in it? (y/N) ",
			escape_str(text, sizeof(text), names[0]));
	else
		fprintf(stderr, "Remove %zu sandboxes and all that is in them? (y/N) ", n);
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return 0;
	return err_set(e, ERR_CONFLICT, -ECANCELED, "nothing was removed");
}

static int remove_one(struct api *api, const char *name, struct err *e)
{
	char target[API_TARGET_MAX];
	AUTO_JS none = NULL;
	int r;

	api_target(target, name, "?force=1");
	r = api_call(api, "DELETE", target, NULL, API_REMOVE_MS, NULL, e);
	if (r < 0 && e->code == ERR_NOT_FOUND)
		return box_get(api, name, &none, e);
	return r < 0 ? err_wrap(e, r, "remove sandbox '%s'", name) : 0;
}

/* all_names() - @ret_names is the caller's to free, the texts are borrowed from @boxes */
static int all_names(const struct js *boxes, char ***ret_names, size_t *ret_n, struct err *e)
{
	size_t n = js_len(boxes);
	char **names = calloc(n + 1, sizeof(*names));

	if (!names)
		return err_sys(e, -ENOMEM, "list sandboxes");
	for (size_t i = 0; i < n; i++) {
		const char *name = box_str(js_at(boxes, i), "name");

		if (args_box_name(name, e) < 0) {
			free(names);
			return e->num;
		}
		memcpy(&names[i], &name, sizeof(name)); /* they are only read from here on */
	}
	*ret_names = names;
	*ret_n = n;
	return 0;
}

static int remove_all(struct api *api, char **names, size_t n, bool force)
{
	struct err e = {0};
	int status = CLI_OK;

	if (!force && n > 0 && confirm(names, n, &e) < 0)
		return report_err(&e, CLI_FAIL);
	for (size_t i = 0; i < n; i++) {
		e = (struct err){0};
		if (remove_one(api, names[i], &e) < 0)
			status = report_err(&e, CLI_FAIL);
	}
	return status;
}

int verb_rm(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_FORCE | OPT_ALL | OPT_JSON,
		.max_words = 256,
		.words = "[NAME...]",
		.doc = "Remove sandboxes and all that is in them. Shared folders are not touched.",
		.names = true};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS all = NULL;
	AUTO_JS box = NULL;
	AUTO_FREE char **listed = NULL;
	const struct js *boxes = NULL;
	struct err e = {0};
	bool every, force;
	size_t n = 0;
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	every = a.given & OPT_ALL;
	force = a.given & OPT_FORCE;
	if (every == (a.n_words > 0)) {
		(void)err_set(&e, ERR_INVALID, -EINVAL,
			every ? "rm: names and --all together" : "rm: missing NAME");
		err_hint(&e, "sbx rm NAME... or sbx rm --all");
		return report_err(&e, CLI_USAGE);
	}
	if (api_open(&api, API_START, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (!every) {
		/* A name that is not there is told before anything is asked. */
		if (a.n_words == 1 && box_get(&api, a.words[0], &box, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return remove_all(&api, a.words, a.n_words, force);
	}
	if (box_list(&api, &all, &boxes, &e) < 0 || all_names(boxes, &listed, &n, &e) < 0)
		return report_err(&e, CLI_FAIL);
	return remove_all(&api, listed, n, force);
}
