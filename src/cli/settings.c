/* sbx settings list|get|set|unset */
#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CHANGE_MS 150000 /* moving secrets may ask for a keyring's password, more than once */

static int get_all(struct api *api, struct js **ret, struct err *e)
{
	int r = api_open(api, API_START, e);

	return r < 0 ? r : api_call(api, "GET", "/v1/settings", NULL, API_CALL_MS, ret, e);
}

static int settings_list(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON,
		.words = "",
		.doc = "List settings and where each comes from."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS all = NULL;
	const struct js *list;
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (get_all(&api, &all, &e) < 0)
		return report_err(&e, CLI_FAIL);
	list = js_get(all, "settings");
	if (a.given & OPT_JSON) {
		if (box_print(all, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return report_flush();
	}
	printf("%-20s %-24s %-9s %s\n", "KEY", "VALUE", "SOURCE", "DESCRIPTION");
	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *v = js_at(list, i);
		char key[128], value[1024], source[32], doc[256], now[64];

		(void)escape_str(value, sizeof(value), box_str(v, "value"));
		(void)escape_str(now, sizeof(now), box_str(v, "now"));
		printf("%-20s %-24s %-9s %s%s%s%s\n",
			escape_str(key, sizeof(key), box_str(v, "key")), value[0] ? value : "-",
			escape_str(source, sizeof(source), box_str(v, "source")),
			escape_str(doc, sizeof(doc), box_str(v, "description")),
			now[0] ? " (now: " : "", now, now[0] ? ")" : "");
	}
	return report_flush();
}

static int settings_get_verb(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON,
		.min_words = 1,
		.max_words = 1,
		.words = "KEY",
		.doc = "Print the value that is in force."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS all = NULL;
	const struct js *list;
	struct err e = {0};
	char value[8192];
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (get_all(&api, &all, &e) < 0)
		return report_err(&e, CLI_FAIL);
	list = js_get(all, "settings");
	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *v = js_at(list, i);

		if (strcmp(box_str(v, "key"), a.words[0]) != 0)
			continue;
		if (!(a.given & OPT_JSON))
			puts(escape_str(value, sizeof(value), box_str(v, "value")));
		else if (box_print(v, &e) < 0)
			return report_err(&e, CLI_FAIL);
		return report_flush();
	}
	(void)err_set(&e, ERR_NOT_FOUND, -ENOENT, "there is no setting '%.80s'", a.words[0]);
	err_hint(&e, "sbx settings list shows what there is");
	return report_err(&e, CLI_FAIL);
}

static int change(const struct plain_args *a, const char *value, struct err *e)
{
	AUTO(api) api = {0};
	AUTO_JS body = NULL;
	char target[API_TARGET_MAX];
	const char *key = a->words[0];
	size_t n = strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.");
	int r;

	if (key[n] || n == 0 || n > 64)
		return err_set(e, ERR_NOT_FOUND, -ENOENT, "there is no setting '%.80s'", key);
	(void)snprintf(target, sizeof(target), "/v1/settings/%s", key);
	r = api_open(&api, API_START, e);
	if (r < 0)
		return r;
	if (!value)
		return api_call(&api, "DELETE", target, NULL, CHANGE_MS, NULL, e);
	body = js_object();
	if (js_set_str(body, "value", value))
		return err_sys(e, -ENOMEM, "write the request");
	return api_call(&api, "PUT", target, body, CHANGE_MS, NULL, e);
}

/* change_verb() - the frame of set and unset: which differ in their form, and in the value that one has */
static int change_verb(int argc, char **argv, const struct plain_form *form)
{
	AUTO(plain_args) a = {0};
	struct err e = {0};
	int r = verb_plain(argc, argv, form, &a);

	if (r)
		return r;
	if (change(&a, a.n_words > 1 ? a.words[1] : NULL, &e) < 0)
		return report_err(&e, CLI_FAIL);
	return CLI_OK;
}

static int settings_set_verb(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON,
		.min_words = 2,
		.max_words = 2,
		.words = "KEY VALUE",
		.doc = "Set a value for all sandboxes; running ones follow at once."};

	return change_verb(argc, argv, &form);
}

static int settings_unset(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON,
		.min_words = 1,
		.max_words = 1,
		.words = "KEY",
		.doc = "Go back to the default."};

	return change_verb(argc, argv, &form);
}

int verb_settings(int argc, char **argv)
{
	static const struct verb subs[] = {
		{"list", settings_list, "all of them"},
		{"get", settings_get_verb, "one"},
		{"set", settings_set_verb, "set one"},
		{"unset", settings_unset, "back to the default"},
	};

	return verb_sub(subs, ARRAY_LEN(subs), argc, argv);
}
