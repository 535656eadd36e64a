#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include "base/escape.h"
#include <errno.h>
#include <stdio.h>

static int print_json(const struct js *server)
{
	AUTO_JS all = js_object();
	struct js *client = js_object(), *copy = js_object();
	struct err e = {0};
	bool bad = js_set_str(client, "version", SBX_VERSION);

	bad |= js_set_int(client, "api", API_VERSION);
	bad |= js_set_str(copy, "state", server ? "running" : "unavailable");
	if (server) {
		bad |= js_set_copy(copy, "version", js_get(server, "version"));
		bad |= js_set_copy(copy, "api", js_get(server, "api"));
		bad |= js_set_copy(copy, "pid", js_get(server, "pid"));
		bad |= js_set_copy(copy, "started_at", js_get(server, "started_at"));
	}
	bad |= js_set(all, "client", client);
	bad |= js_set(all, "server", copy);
	if (bad)
		(void)err_sys(&e, -ENOMEM, "print the version");
	if (bad || box_print(all, &e) < 0)
		return report_err(&e, CLI_FAIL);
	return report_flush();
}

int verb_version(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON,
		.words = "",
		.doc = "Show the versions of sbx and of the daemon, which is not started for it."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS server = NULL;
	struct err e = {0};
	char text[128];
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (api_open_any(&api, &e) == 0 &&
		api_call(&api, "GET", "/v1/version", NULL, 2000, &server, &e) < 0)
		report_note("ask the daemon: %s", e.msg);
	if (a.given & OPT_JSON)
		return print_json(server);
	printf("sbx    %s (API %d)\n", SBX_VERSION, API_VERSION);
	if (server)
		printf("daemon %s (API %lld)\n",
			escape_str(text, sizeof(text), box_str(server, "version")),
			(long long)js_int(js_get(server, "api"), 0));
	else
		puts("daemon unavailable");
	return report_flush();
}
