/* sbx secret set|import|rm; the others are in secret_*.c */
#include "cli/box.h"
#include "cli/report.h"
#include "cli/secret.h"
#include "cli/verb.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int is_service(struct api *api, const char *name, struct err *e)
{
	AUTO_JS all = NULL;
	const struct js *list;
	int r = api_call(api, "GET", "/v1/services", NULL, API_CALL_MS, &all, e);

	list = js_get(all, "services");
	for (size_t i = 0; r == 0 && i < js_len(list); i++)
		if (strcmp(box_str(js_at(list, i), "name"), name) == 0)
			return 0;
	if (r < 0)
		return r;
	(void)err_set(e, ERR_NOT_FOUND, -ENOENT, "there is no service '%.64s'", name);
	err_hint(e, "sbx secret ls --services lists them; sbx secret set-custom makes one");
	return -ENOENT;
}

static int secret_set(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_JSON | OPT_SANDBOX | OPT_COMMAND | OPT_REFRESH | OPT_FROM_ENV,
		.min_words = 1,
		.max_words = 1,
		.words = "SERVICE",
		.doc = "Keep a credential for a service. Inside a sandbox stands a stand-in; the "
		       "value "
		       "is put in on the way out, for the service's hosts only. It is asked for, "
		       "or "
		       "read from standard input."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	struct secret_source source;
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	source = (struct secret_source){.service = a.words[0],
		.sandbox = a.sandbox,
		.command = a.command,
		.refresh_s = a.refresh_s,
		.from_env = a.from_env};
	r = secret_check_name(a.words[0], &e);
	if (r == 0 && a.refresh_s >= 0 && !a.command)
		r = err_set(&e, ERR_INVALID, -EINVAL, "--refresh is for --command");
	if (r == 0 && a.command && a.from_env)
		r = err_set(
			&e, ERR_INVALID, -EINVAL, "--command and --from-env exclude each other");
	if (r == 0)
		r = api_open(&api, API_START, &e);
	/* before anybody types anything */
	if (r == 0)
		r = is_service(&api, a.words[0], &e);
	if (r == 0)
		r = secret_put(&api, &source, &e);
	if (r < 0)
		return report_err(&e, e.code == ERR_INVALID ? CLI_USAGE : CLI_FAIL);
	report_note("secret '%s' is stored%s%s", a.words[0], a.sandbox ? " for sandbox " : "",
		a.sandbox ? a.sandbox : "");
	return CLI_OK;
}

/* ---- import ---- */

/* from_env() - the service's value in our environment: 1 with @out filled, 0 when it is not there */
static int from_env(const struct js *service, struct buf *out)
{
	const struct js *env = js_get(service, "env");
	const char *join = js_str(js_get(service, "join"));
	int r = 0;

	buf_clear(out);
	for (size_t i = 0; i < js_len(env) && r == 0; i++) {
		const char *name = js_str(js_at(env, i)), *value = name ? getenv(name) : NULL;

		if (!value || !*value) {
			if (join)
				return 0;
			continue;
		}
		if (join && out->len > 0)
			r = buf_add(out, join, strlen(join));
		if (r == 0)
			r = buf_add(out, value, strlen(value));
		if (!join)
			break;
	}
	return r < 0 ? r : out->len > 0;
}

static bool wanted(const struct plain_args *a, const char *name)
{
	for (size_t i = 0; i < a->n_words; i++)
		if (strcmp(a->words[i], name) == 0)
			return true;
	return a->n_words == 0;
}

static int import_one(struct api *api, const struct plain_args *a, const struct js *service,
	struct buf *value, struct err *e)
{
	const char *name = js_str(js_get(service, "name"));
	int r;

	if (!name || !wanted(a, name) || secret_check_name(name, e) < 0)
		return 0;
	r = from_env(service, value);
	if (r <= 0) {
		if (r < 0)
			return err_sys(e, r, "read the variables of %s", name);
		if (a->n_words > 0)
			report_note("%s: none of its variables is set", name);
		return 0;
	}
	if (!(a->given & OPT_DRY_RUN))
		r = secret_send(api,
			&(struct secret_source){.service = name, .sandbox = a->sandbox},
			value->data, value->len, e);
	if (r >= 0)
		printf("%s\n", name);
	return r < 0 ? r : 1;
}

static int secret_import(int argc, char **argv)
{
	static const struct plain_form form = {
		.options = OPT_JSON | OPT_ALL | OPT_DRY_RUN | OPT_SANDBOX,
		.max_words = 64,
		.words = "[SERVICE...]",
		.doc = "Keep what the variables of this shell hold, for the services named or for "
		       "--all. "
		       "Prints the names."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO(buf) value = {0};
	AUTO_JS all = NULL;
	struct err e = {0};
	const struct js *list;
	int r = verb_plain(argc, argv, &form, &a), n = 0;

	if (r)
		return r;
	if (a.n_words == 0 && !(a.given & (OPT_ALL | OPT_DRY_RUN))) {
		(void)err_set(&e, ERR_INVALID, -EINVAL, "import: which services?");
		err_hint(&e, "sbx secret import --dry-run shows what there is, --all takes it");
		return report_err(&e, CLI_USAGE);
	}
	buf_init(&value, SECRET_VALUE_MAX);
	r = api_open(&api, API_START, &e);
	if (r == 0)
		r = api_call(&api, "GET", "/v1/services", NULL, API_CALL_MS, &all, &e);
	list = js_get(all, "services");
	for (size_t i = 0; r >= 0 && i < js_len(list); i++) {
		r = import_one(&api, &a, js_at(list, i), &value, &e);
		n += r > 0;
	}
	if (value.data)
		explicit_bzero(value.data, value.cap);
	if (r < 0)
		return report_err(&e, CLI_FAIL);
	if (n == 0)
		report_note("no variable of a service is set");
	return report_flush();
}

/* ---- rm ---- */

static int secret_rm(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON | OPT_SANDBOX | OPT_FORCE,
		.min_words = 1,
		.max_words = 64,
		.words = "SERVICE...",
		.doc = "Forget credentials. Running sandboxes lose the use of them at once."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	struct err e = {0};
	int status = verb_plain(argc, argv, &form, &a);

	if (status)
		return status;
	if (api_open(&api, API_START, &e) < 0)
		return report_err(&e, CLI_FAIL);
	for (size_t i = 0; i < a.n_words; i++) {
		char target[API_TARGET_MAX];
		int r = secret_check_name(a.words[i], &e);

		(void)snprintf(target, sizeof(target), "/v1/secrets/%.64s%s%s", a.words[i],
			a.sandbox ? "?sandbox=" : "", a.sandbox ? a.sandbox : "");
		if (r == 0)
			r = api_call(&api, "DELETE", target, NULL, SECRET_MS, NULL, &e);
		if (r < 0)
			status = report_err(&e, CLI_FAIL);
		e = (struct err){0};
	}
	return status;
}

int verb_secret(int argc, char **argv)
{
	static const struct verb subs[] = {
		{"set", secret_set, "keep one for a service"},
		{"set-custom", secret_set_custom, "keep one for hosts of your own"},
		{"import", secret_import, "keep what this shell's variables hold"},
		{"ls", secret_ls, "list them, masked"},
		{"rm", secret_rm, "forget some"},
	};

	return verb_sub(subs, ARRAY_LEN(subs), argc, argv);
}
