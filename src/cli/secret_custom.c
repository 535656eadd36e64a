/* sbx secret set-custom: a descriptor as services/NAME.yaml has it, and its secret */
#include "cli/box.h"
#include "cli/report.h"
#include "cli/secret.h"
#include "cli/verb.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RAND	"{rand}"
#define LETTERS 40

/* name_of() - from the first variable, or the first host without its wildcard and port */
static void name_of(const struct custom_args *a, char dst[65])
{
	const char *from = a->env.n ? a->env.v[0] : a->hosts.v[0];
	size_t n = 0;

	from += strspn(from, "*.");
	for (; *from && *from != ':' && n < 63; from++)
		dst[n++] =
			(char)(isalnum((unsigned char)*from) ? tolower((unsigned char)*from) : '-');
	dst[n] = '\0';
}

/* put_sentinel() - TEXT as it is, or with random letters in the place of {rand} */
static bool put_sentinel(struct js *o, const char *text)
{
	const char *mark = strstr(text, RAND);
	AUTO_JS s = js_object();
	bool bad = false;

	if (!mark) {
		bad |= js_set_str(s, "text", text);
	} else {
		if (mark > text)
			bad |= js_set_strn(s, "prefix", text, (size_t)(mark - text));
		if (mark[strlen(RAND)])
			bad |= js_set_str(s, "suffix", mark + strlen(RAND));
		/* libyaml gives numbers as text anyway, and the schema takes them from there */
		bad |= js_set_int(s, "random", LETTERS);
	}
	return js_set(o, "sentinel", TAKE(s)) || bad;
}

static bool put_list(struct js *o, const char *key, const struct args_list *l)
{
	AUTO_JS list = js_array();
	bool bad = false;

	for (size_t i = 0; i < l->n; i++)
		bad |= js_add_str(list, l->v[i]);
	return js_set(o, key, TAKE(list)) || bad;
}

/* add_slot() - @kind is "header" (with @format), "placeholder", "query" or "basic" */
static bool add_slot(struct js *slots, const struct custom_args *a, const char *kind,
	const char *what, const char *format)
{
	AUTO_JS s = js_object();
	bool bad = put_list(s, "hosts", &a->hosts);

	bad |= js_set_str(s, kind, what);
	if (format)
		bad |= js_set_str(s, "format", format);
	if (a->path)
		bad |= js_set_str(s, "path", a->path);
	return js_add(slots, TAKE(s)) || bad;
}

/* add_place() - of --in; false: it is none */
static bool add_place(struct js *slots, const struct custom_args *a, const char *place, bool *bad)
{
	static const struct {
		const char *word, *kind;
	} known[] = {{"header:", "placeholder"}, {"query:", "query"}, {"basic:", "basic"}};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		size_t n = strlen(known[i].word);

		if (strncmp(place, known[i].word, n) != 0 || !place[n])
			continue;
		*bad |= add_slot(slots, a, known[i].kind, place + n, NULL);
		return true;
	}
	return false;
}

static int fill_slots(struct js *slots, const struct custom_args *a, struct err *e)
{
	bool bad = false;

	if (a->header || a->places.n == 0) {
		const char *header = a->header ? a->header : "authorization";
		bool bearer = strcasecmp(header, "authorization") == 0;

		bad |= add_slot(slots, a, "header", header,
			a->format ? a->format
			: bearer  ? "Bearer %s"
				  : "%s");
	}
	for (size_t i = 0; i < a->places.n; i++) {
		if (add_place(slots, a, a->places.v[i], &bad))
			continue;
		(void)err_set(e, ERR_INVALID, -EINVAL, "--in '%.80s' is no place for a credential",
			a->places.v[i]);
		err_hint(e, "header:NAME, query:NAME or basic:USER; never a body or path, which "
			    "servers keep and show");
		return -EINVAL;
	}
	return bad ? err_sys(e, -ENOMEM, "describe the credential") : 0;
}

static int describe(const struct custom_args *a, const char *name, struct js **ret, struct err *e)
{
	AUTO_JS o = js_object();
	AUTO_JS slots = js_array();
	char text[300];
	bool bad;
	int r = fill_slots(slots, a, e);

	if (r < 0)
		return r;
	(void)snprintf(text, sizeof(text), "custom credential for %.200s", a->hosts.v[0]);
	bad = js_set_str(o, "name", name);
	bad |= js_set_str(o, "description", text);
	if (a->env.n > 0)
		bad |= put_list(o, "env", &a->env);
	bad |= put_sentinel(o, a->placeholder ? a->placeholder : "sbx-cs-" RAND);
	bad |= js_set(o, "slots", TAKE(slots));
	if (bad)
		return err_sys(e, -ENOMEM, "describe the credential");
	*ret = TAKE(o);
	return 0;
}

/* keep() - the description first: a secret without one would be refused. What was made for nothing goes. */
static int keep(struct api *api, const struct custom_args *a, const char *name, const struct js *o,
	struct err *e)
{
	const struct secret_source s = {.service = name,
		.sandbox = a->sandbox,
		.command = a->command,
		.refresh_s = a->refresh_s,
		.from_env = a->from_env,
		.value = a->value};
	char target[API_TARGET_MAX];
	struct err ignored = {0};
	int r;

	(void)snprintf(target, sizeof(target), "/v1/services/%.64s%s%s", name,
		a->sandbox ? "?sandbox=" : "", a->sandbox ? a->sandbox : "");
	r = api_call(api, "PUT", target, o, SECRET_MS, NULL, e);
	if (r < 0)
		return r;
	r = secret_put(api, &s, e);
	if (r < 0) {
		/* refused as long as another secret needs it */
		(void)snprintf(target, sizeof(target), "/v1/services/%.64s", name);
		(void)!api_call(api, "DELETE", target, NULL, SECRET_MS, NULL, &ignored);
	}
	return r;
}

int secret_set_custom(int argc, char **argv)
{
	struct custom_args a = {0};
	AUTO(api) api = {0};
	AUTO_JS o = NULL;
	struct err e = {0};
	char name[65];
	int r = custom_args_parse(argc, argv, ARGS_EXIT, &a, &e);

	if (r < 0)
		return report_err(&e, CLI_USAGE);
	if (a.name)
		(void)snprintf(name, sizeof(name), "%s", a.name);
	else
		name_of(&a, name);
	r = secret_check_name(a.name ? a.name : name, &e);
	if (r == 0)
		r = describe(&a, name, &o, &e);
	if (r == 0)
		r = api_open(&api, API_START, &e);
	if (r == 0)
		r = keep(&api, &a, name, o, &e);
	if (r < 0)
		return report_err(&e, e.code == ERR_INVALID ? CLI_USAGE : CLI_FAIL);
	report_note("custom secret '%s' is stored%s%s", name, a.sandbox ? " for sandbox " : "",
		a.sandbox ? a.sandbox : "");
	return CLI_OK;
}
