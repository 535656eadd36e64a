/* sbx secret set|import|ls|rm */
#include "base/escape.h"
#include "base/io.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

#define VALUE_MAX  8192
#define SECRET_MS  15000 /* a command as a source may take 10 s */
#define TARGET_MAX API_TARGET_MAX

/* check_service() - the name becomes part of a URL */
static int check_service(const char *name, struct err *e)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

	if (n > 0 && n <= 64 && name[n] == '\0')
		return 0;
	return err_set(e, ERR_INVALID, -EINVAL, "'%.80s' is no name of a service", name);
}

/* ---- the value ---- */

static struct termios saved;
static volatile sig_atomic_t hidden;

static void show_again(int sig)
{
	if (hidden)
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved);
	hidden = 0;
	if (sig) {
		(void)signal(sig, SIG_DFL);
		(void)raise(sig);
	}
}

/* hide() - what is typed is not shown; every way out shows it again */
static void hide(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		(void)signal(ends[i], show_again);
	hidden = 1;
	t = saved;
	t.c_lflag &= ~(tcflag_t)ECHO;
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &t);
}

static int read_value(const char *service, struct buf *out, struct err *e)
{
	int r = 0;

	if (isatty(STDIN_FILENO)) {
		int c;

		(void)fprintf(stderr, "Secret for %s (not shown): ", service);
		hide();
		while (r == 0 && (c = getchar()) != EOF && c != '\n')
			r = buf_add(out, &(char){(char)c}, 1);
		show_again(0);
		(void)fputc('\n', stderr);
	} else {
		r = io_read_fd(STDIN_FILENO, out);
	}
	if (r < 0)
		return err_set(e, ERR_INVALID, r, "a secret has at most %d bytes", VALUE_MAX);
	while (out->len > 0 && strchr("\r\n", out->data[out->len - 1]))
		out->data[--out->len] = '\0';
	return out->len > 0 ? 0 : err_set(e, ERR_INVALID, -EINVAL, "the secret is empty");
}

static int take_value(const struct plain_args *a, struct buf *out, struct err *e)
{
	const char *value;

	if (!a->from_env)
		return read_value(a->words[0], out, e);
	value = getenv(a->from_env);
	if (!value || !*value)
		return err_set(
			e, ERR_NOT_FOUND, -ENOENT, "the variable %.64s is not set", a->from_env);
	return buf_add(out, value, strlen(value)) < 0
		       ? err_set(e, ERR_INVALID, -E2BIG, "a secret has at most %d bytes", VALUE_MAX)
		       : 0;
}

static int put(struct api *api, const char *service, const char *sandbox, bool command,
	long refresh_s, const void *p, size_t len, struct err *e)
{
	char target[TARGET_MAX], refresh[32] = "";

	if (refresh_s >= 0)
		(void)snprintf(refresh, sizeof(refresh), "&refresh=%ld", refresh_s);
	(void)snprintf(target, sizeof(target), "/v1/secrets/%s?command=%d%s%s%s", service, command,
		refresh, sandbox ? "&sandbox=" : "", sandbox ? sandbox : "");
	return api_put_raw(api, target, p, len, SECRET_MS, e);
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
	AUTO(buf) value = {0};
	struct err e = {0};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	buf_init(&value, VALUE_MAX);
	r = check_service(a.words[0], &e);
	if (r == 0 && a.refresh_s >= 0 && !a.command)
		r = err_set(&e, ERR_INVALID, -EINVAL, "--refresh is for --command");
	if (r == 0)
		r = api_open(&api, API_START, &e);
	if (r == 0 && a.command)
		r = put(&api, a.words[0], a.sandbox, true, a.refresh_s, a.command,
			strlen(a.command), &e);
	else if (r == 0) {
		r = take_value(&a, &value, &e);
		if (r == 0)
			r = put(&api, a.words[0], a.sandbox, false, -1, value.data, value.len, &e);
	}
	if (value.data)
		explicit_bzero(value.data, value.cap);
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

	if (!name || !wanted(a, name) || check_service(name, e) < 0)
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
		r = put(api, name, a->sandbox, false, -1, value->data, value->len, e);
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
	buf_init(&value, VALUE_MAX);
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

/* ---- ls, rm ---- */

static void print_services(const struct js *list)
{
	char name[256], doc[512];

	printf("%-14s %s\n", "SERVICE", "FOR");
	for (size_t i = 0; i < js_len(list); i++)
		printf("%-14s %s\n",
			escape_str(name, sizeof(name), box_str(js_at(list, i), "name")),
			escape_str(doc, sizeof(doc), box_str(js_at(list, i), "description")));
}

static void print_secrets(const struct js *list)
{
	char box[512], name[256], mask[128];

	printf("%-20s %-8s %-14s %s\n", "SCOPE", "TYPE", "NAME", "SECRET");
	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *v = js_at(list, i);
		const char *type = box_str(v, "type");

		(void)escape_str(box, sizeof(box), box_str(v, "sandbox"));
		printf("%-20s %-8s %-14s %s\n", box[0] ? box : "all",
			strcmp(type, "command") == 0 ? "command" : "value",
			escape_str(name, sizeof(name), box_str(v, "name")),
			strcmp(type, "command") == 0
				? "(asked for)"
				: escape_str(mask, sizeof(mask), box_str(v, "mask")));
	}
}

static int secret_ls(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON | OPT_SERVICES,
		.words = "",
		.doc = "List credentials, masked."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS all = NULL;
	struct err e = {0};
	bool services;
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	services = a.given & OPT_SERVICES;
	if (api_open(&api, API_START, &e) < 0 ||
		api_call(&api, "GET", services ? "/v1/services" : "/v1/secrets", NULL, API_CALL_MS,
			&all, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.given & OPT_JSON) {
		if (box_print(all, &e) < 0)
			return report_err(&e, CLI_FAIL);
	} else if (services) {
		print_services(js_get(all, "services"));
	} else {
		print_secrets(js_get(all, "secrets"));
	}
	return report_flush();
}

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
		char target[TARGET_MAX];
		int r = check_service(a.words[i], &e);

		(void)snprintf(target, sizeof(target), "/v1/secrets/%.64s%s%s", a.words[i],
			a.sandbox ? "?sandbox=" : "", a.sandbox ? a.sandbox : "");
		if (r == 0)
			r = api_call(&api, "DELETE", target, NULL, API_CALL_MS, NULL, &e);
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
		{"import", secret_import, "keep what this shell's variables hold"},
		{"ls", secret_ls, "list them, masked"},
		{"rm", secret_rm, "forget some"},
	};

	return verb_sub(subs, ARRAY_LEN(subs), argc, argv);
}
