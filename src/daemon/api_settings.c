#include "daemon/api.h"
#include "daemon/credentials.h"
#include "daemon/idle.h"
#include "daemon/keyring.h"
#include "daemon/settings.h"
#include <string.h>

int api_settings(struct api_call *a, struct err *e)
{
	enum secret_place place;
	struct js *v;
	int r = secret_file_place(a->d->secrets, &place, e);

	if (r == 0)
		r = settings_view(&a->d->paths, daemon_keyring_word(place), &v, e);
	return r < 0 ? r : conn_json(a->c, 200, v);
}

static int put_setting(struct api_call *a, const char *value, struct err *e)
{
	int r = 0;

	/* What is kept moves first: a setting that could not be followed is not set. */
	if (strcmp(a->arg, SETTINGS_STORE) == 0 && settings_check(a->arg, value, e) == 0)
		r = daemon_keyring_follow(a->d, value, e);
	if (r == 0)
		r = settings_set(&a->d->paths, a->arg, value, e);
	if (r == 0)
		r = audit_admin(
			a->d->audit, value ? "settings.set" : "settings.unset", "", a->arg, e);
	if (r < 0)
		return r;
	credentials_table_changed(a->d);
	idle_poke(a->d);
	return conn_empty(a->c, 204);
}

int api_setting_set(struct api_call *a, struct err *e)
{
	struct js_reader rd;
	const char *value;
	int r;

	js_read(&rd, a->body, "", e);
	value = js_want_str(&rd, "value", SETTINGS_VALUE_MAX - 1);
	r = js_done(&rd);
	return r < 0 ? r : put_setting(a, value, e);
}

int api_setting_unset(struct api_call *a, struct err *e)
{
	return put_setting(a, NULL, e);
}
