/* sbx secret ls */
#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/secret.h"
#include "cli/verb.h"
#include <stdio.h>
#include <string.h>

static void print_services(const struct js *list)
{
	char name[256], doc[512];

	printf("%-14s %s\n", "SERVICE", "FOR");
	for (size_t i = 0; i < js_len(list); i++)
		printf("%-14s %s\n",
			escape_str(name, sizeof(name), box_str(js_at(list, i), "name")),
			escape_str(doc, sizeof(doc), box_str(js_at(list, i), "description")));
}

static const char *secret_text(const struct js *v, char *dst, size_t cap)
{
	return strcmp(box_str(v, "type"), "command") == 0
		       ? "(asked for)"
		       : escape_str(dst, cap, box_str(v, "mask"));
}

static void print_one(const struct js *v)
{
	char box[512], name[256], mask[128];

	(void)escape_str(box, sizeof(box), box_str(v, "sandbox"));
	printf("%-20s %-8s %-14s %s\n", box[0] ? box : "all",
		strcmp(box_str(v, "type"), "command") == 0 ? "command" : "value",
		escape_str(name, sizeof(name), box_str(v, "name")),
		secret_text(v, mask, sizeof(mask)));
}

/* join() - a list of texts with commas between; "-" when it is empty */
static const char *join(const struct js *list, char *dst, size_t cap)
{
	size_t at = 0;

	(void)snprintf(dst, cap, "-");
	for (size_t i = 0; i < js_len(list) && at < cap; i++) {
		const char *one = js_str(js_at(list, i));
		char text[400];
		int n = snprintf(dst + at, cap - at, "%s%s", i ? "," : "",
			escape_str(text, sizeof(text), one ? one : ""));

		if (n < 0)
			break;
		at += (size_t)n;
	}
	return dst;
}

static void print_custom(const struct js *v)
{
	const struct js *c = js_get(v, "custom");
	char box[512], name[256], hosts[1024], env[512], stand_in[300], mask[128];

	(void)escape_str(box, sizeof(box), box_str(v, "sandbox"));
	printf("%-20s %-14s %-24s %-16s %-20s %s\n", box[0] ? box : "all",
		escape_str(name, sizeof(name), box_str(v, "name")),
		join(js_get(c, "hosts"), hosts, sizeof(hosts)),
		join(js_get(c, "env"), env, sizeof(env)),
		escape_str(stand_in, sizeof(stand_in), box_str(c, "placeholder")),
		secret_text(v, mask, sizeof(mask)));
}

static void print_secrets(const struct js *list)
{
	size_t customs = 0;

	printf("%-20s %-8s %-14s %s\n", "SCOPE", "TYPE", "NAME", "SECRET");
	for (size_t i = 0; i < js_len(list); i++) {
		if (js_is_object(js_get(js_at(list, i), "custom")))
			customs++;
		else
			print_one(js_at(list, i));
	}
	if (customs == 0)
		return;
	printf("\n%-20s %-14s %-24s %-16s %-20s %s\n", "SCOPE", "NAME", "TARGET", "ENV",
		"PLACEHOLDER", "SECRET");
	for (size_t i = 0; i < js_len(list); i++)
		if (js_is_object(js_get(js_at(list, i), "custom")))
			print_custom(js_at(list, i));
}

static void tell_store(const char *store)
{
	if (strcmp(store, "keyring") == 0)
		report_note("their key is in the keyring of your session");
	else if (strcmp(store, "file") == 0)
		report_note("their key is in a file that only you can read");
}

int secret_ls(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON | OPT_SERVICES | OPT_QUIET,
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
		api_call(&api, "GET", services ? "/v1/services" : "/v1/secrets", NULL, SECRET_MS,
			&all, &e) < 0)
		return report_err(&e, CLI_FAIL);
	if (a.given & OPT_JSON) {
		if (box_print(all, &e) < 0)
			return report_err(&e, CLI_FAIL);
	} else if (a.given & OPT_QUIET) {
		const struct js *list = js_get(all, services ? "services" : "secrets");

		for (size_t i = 0; i < js_len(list); i++)
			printf("%s\n", box_str(js_at(list, i), "name"));
	} else if (services) {
		print_services(js_get(all, "services"));
	} else {
		print_secrets(js_get(all, "secrets"));
		(void)fflush(stdout);
		tell_store(box_str(all, "store"));
	}
	return report_flush();
}
