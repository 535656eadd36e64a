/* sbx audit verify */
#include "base/escape.h"
#include "cli/box.h"
#include "cli/report.h"
#include "cli/verb.h"
#include <stdio.h>

#define VERIFY_MS 120000 /* a gigabyte of records */

static int audit_verify_verb(int argc, char **argv)
{
	static const struct plain_form form = {.options = OPT_JSON,
		.words = "",
		.doc = "Check that no record of the audit log was changed, left out or cut off. "
		       "Exit "
		       "status 1 when one was."};
	AUTO(plain_args) a = {0};
	AUTO(api) api = {0};
	AUTO_JS v = NULL;
	struct err e = {0};
	char why[512], file[256];
	bool ok;
	int r = verb_plain(argc, argv, &form, &a);

	if (r)
		return r;
	if (api_open(&api, API_START, &e) < 0 ||
		api_call(&api, "GET", "/v1/audit/verify", NULL, VERIFY_MS, &v, &e) < 0)
		return report_err(&e, CLI_FAIL);
	ok = js_bool(js_get(v, "ok"));
	if (a.given & OPT_JSON) {
		if (box_print(v, &e) < 0)
			return report_err(&e, CLI_FAIL);
	} else if (ok) {
		printf("%lld records, %lld to %lld: the chain holds\n",
			(long long)js_int(js_get(v, "records"), 0),
			(long long)js_int(js_get(v, "first"), 0),
			(long long)js_int(js_get(v, "last"), 0));
	} else {
		printf("broken in %s, line %lld: %s\n",
			escape_str(file, sizeof(file), box_str(v, "file")),
			(long long)js_int(js_get(v, "line"), 0),
			escape_str(why, sizeof(why), box_str(v, "why")));
	}
	r = report_flush();
	return r ? r : ok ? CLI_OK : CLI_FAIL;
}

int verb_audit(int argc, char **argv)
{
	static const struct verb subs[] = {
		{"verify", audit_verify_verb, "check that nothing was altered"},
	};

	return verb_sub(subs, ARRAY_LEN(subs), argc, argv);
}
