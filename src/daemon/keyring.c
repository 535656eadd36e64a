#include "daemon/keyring.h"
#include "daemon/settings.h"
#include "keyring/client.h"
#include "store/age.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static int ask(void *ctx, enum keyring_op op, const char *id, const char *value,
	struct keyring_message *ret_m, struct err *e)
{
	const struct daemon *d = ctx;
	char path[PATH_MAX];
	int r = paths_join(path, d->paths.libexec, KEYRING_PROGRAM);

	if (r == 0 && access(path, X_OK) < 0)
		return err_set(e, ERR_UNAVAILABLE, -ENODEV, "the helper '%s' is not there", path);
	return r < 0 ? err_sys(e, r, "find the helper of the keyring")
		     : keyring_ask(path, op, id, value, ret_m, e);
}

static int get(void *ctx, const char *id, char text[SECRET_KEY_TEXT], struct err *e)
{
	struct keyring_message m;
	int r = ask(ctx, KEYRING_GET, id, "", &m, e);

	if (r == 0 && strlen(m.value) >= SECRET_KEY_TEXT)
		r = err_set(e, ERR_INTERNAL, -EBADMSG, "the keyring has something else there");
	if (r == 0)
		memcpy(text, m.value, strlen(m.value) + 1);
	explicit_bzero(&m, sizeof(m));
	return r;
}

static int put(void *ctx, const char *id, const char *text, struct err *e)
{
	struct keyring_message m;

	return ask(ctx, KEYRING_PUT, id, text, &m, e);
}

static int drop(void *ctx, const char *id, struct err *e)
{
	struct keyring_message m;

	return ask(ctx, KEYRING_DROP, id, "", &m, e);
}

void daemon_keyring(struct daemon *d, struct secret_keeper *ret_keeper)
{
	*ret_keeper = (struct secret_keeper){.get = get, .put = put, .drop = drop, .ctx = d};
}

const char *daemon_keyring_word(enum secret_place place)
{
	switch (place) {
	case SECRET_IN_FILE:
		return "file";
	case SECRET_IN_KEYRING:
		return "keyring";
	case SECRET_NOWHERE:
		break;
	}
	return "none";
}

/* usable() - could a key be kept in the keyring now, and is it there for one who can open it? */
static bool usable(struct daemon *d, bool *ret_locked, struct err *why)
{
	struct keyring_message m;

	*ret_locked = false;
	if (ask(d, KEYRING_PROBE, "", "", &m, why) < 0)
		return false;
	*ret_locked = m.flags & KEYRING_FLAG_LOCKED;
	return true;
}

/* choose() - what "auto" means here and now */
static enum secret_place choose(struct daemon *d, char note[KEYRING_NOTE_MAX])
{
	struct err why = {0};
	bool locked, there = usable(d, &locked, &why);

	if (there && (!locked || keyring_can_ask()))
		return SECRET_IN_KEYRING;
	(void)snprintf(note, KEYRING_NOTE_MAX,
		"%.300s: the secrets' key is a file that only you can read",
		there ? "the keyring is locked and there is no display to ask on" : why.msg);
	return SECRET_IN_FILE;
}

int daemon_keyring_choose(struct daemon *d, char note[KEYRING_NOTE_MAX], struct err *e)
{
	char setting[SETTINGS_VALUE_MAX];
	enum secret_place place;
	int r = secret_file_place(d->secrets, &place, e);

	note[0] = '\0';
	if (r < 0 || place != SECRET_NOWHERE)
		return r;
	r = settings_get(&d->paths, SETTING_STORE, setting, e);
	if (r < 0)
		return r;
	if (strcmp(setting, "auto") == 0)
		place = choose(d, note);
	else
		place = strcmp(setting, "file") == 0 ? SECRET_IN_FILE : SECRET_IN_KEYRING;
	r = secret_file_move(d->secrets, place, e);
	if (r < 0 && place == SECRET_IN_KEYRING)
		err_hint(e, "unlock the keyring and try again, or: "
			    "sbx settings set secrets.store file");
	return r;
}

int daemon_keyring_follow(struct daemon *d, const char *value, struct err *e)
{
	enum secret_place place, want;
	int r = secret_file_place(d->secrets, &place, e);

	if (r < 0 || !value || strcmp(value, "auto") == 0 || place == SECRET_NOWHERE)
		return r;
	want = strcmp(value, "file") == 0 ? SECRET_IN_FILE : SECRET_IN_KEYRING;
	return secret_file_move(d->secrets, want, e);
}

int daemon_keyring_state(struct daemon *d, struct daemon_keyring_state *ret, struct err *e)
{
	char setting[SETTINGS_VALUE_MAX];
	struct err why = {0};
	int r = secret_file_place(d->secrets, &ret->place, e);

	if (r == 0)
		r = settings_get(&d->paths, SETTING_STORE, setting, e);
	if (r < 0)
		return r;
	(void)snprintf(ret->setting, sizeof(ret->setting), "%.15s", setting);
	ret->usable = usable(d, &ret->locked, &why);
	memcpy(ret->why, why.msg, sizeof(ret->why));
	return 0;
}
