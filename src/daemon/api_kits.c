#include "daemon/api.h"
#include "daemon/kit_approvals.h"
#include "daemon/view.h"
#include <errno.h>
#include <string.h>

/* What was approved of kits: listed, and taken back. Sandboxes that were made with it keep it. */

static int add_row(void *ctx, const struct store_approval *a)
{
	AUTO_JS o = js_object();
	AUTO_JS kits = NULL;
	AUTO_JS lines = NULL;
	struct err silent = {0};
	struct js *list = ctx;
	bool bad;

	if (js_parse(a->kits, strlen(a->kits), STORE_APPROVAL_TEXT, &kits, &silent) < 0)
		kits = js_array();
	if (js_parse(a->lines, strlen(a->lines), STORE_APPROVAL_TEXT, &lines, &silent) < 0)
		lines = js_array();
	bad = js_set_str(o, "id", a->id) || js_set_str(o, "agent", a->agent) ||
	      js_set(o, "kits", TAKE(kits)) || js_set(o, "lines", TAKE(lines)) ||
	      js_set_str(o, "digest", a->digest) || view_time(o, "approved_at", a->approved_ms) ||
	      js_add(list, TAKE(o));
	return bad ? -ENOMEM : 0;
}

int api_kit_approvals(struct api_call *a, struct err *e)
{
	AUTO_JS o = js_object();
	AUTO_JS list = js_array();
	int r = store_approvals_each(a->d->store, NULL, add_row, list, e);

	if (r == -ENOMEM || (r == 0 && js_set(o, "approvals", TAKE(list))))
		return err_sys(e, -ENOMEM, "list what was approved");
	return r < 0 ? r : conn_json(a->c, 200, TAKE(o));
}

int api_kit_approval_remove(struct api_call *a, struct err *e)
{
	int r = store_approval_remove(a->d->store, a->arg, e);

	if (r == 0)
		r = audit_admin(a->d->audit, "kit.forget", a->arg, "", e);
	return r < 0 ? r : conn_empty(a->c, 204);
}
