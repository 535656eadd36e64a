/* sbx attach: join the agent's terminal, never start anything */
#include "cli/join.h"
#include "cli/report.h"
#include "cli/verb.h"

int verb_attach(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_KEYS | OPT_JSON,
		.min_words = 1,
		.max_words = 1,
		.words = "NAME",
		.doc = "Join the terminal of the agent that runs in a sandbox.",
		.names = true,
		.usage_status = CLI_OWN};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS box = NULL;
	struct err e = {0};
	struct join j = {.only_join = true};
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (api_open(&api, API_START, &e) < 0 || box_get(&api, a.words[0], &box, &e) < 0)
		return report_err(&e, CLI_OWN);
	j.api = &api;
	j.box = box;
	j.keys = a.keys;
	return join_agent(&j);
}
