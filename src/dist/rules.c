#include "dist/rules.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX (256U << 10)

void dist_rules_fini(struct dist_rules *r)
{
	if (r)
		dist_signers_fini(&r->signers);
}

void dist_rules_auto(struct dist_rules *r)
{
	dist_rules_fini(r);
}

int dist_signers_add(struct dist_signers *s, const char *path, struct err *e)
{
	AUTO(buf) text;
	int r;

	buf_init(&text, DIST_KEY_FILE_MAX);
	if (s->n == DIST_SIGNERS_MAX)
		return err_set(e, ERR_LIMIT, -E2BIG, "more than %d keys", DIST_SIGNERS_MAX);
	r = io_read_file(AT_FDCWD, path, &text);
	if (r < 0)
		return err_sys(e, r, "read the key '%.200s'", path);
	r = dist_key_public(path, buf_str(&text), text.len, &s->v[s->n], e);
	if (r < 0)
		return r;
	r = dist_key_hint(s->v[s->n], s->hints[s->n]);
	s->n++;
	return r < 0 ? err_sys(e, r, "read the key '%.200s'", path) : 0;
}

/* signers_parse() - each entry in turn to @s (NULL: only looked at) */
static const char *signers_parse(
	const char *value, struct dist_signers *s, int *ret_failed, struct err *e)
{
	AUTO_JS v = NULL;

	if (js_parse(value, strlen(value), DIST_VALUE_MAX, &v, NULL) < 0 || !js_is_array(v))
		return "must be a list such as [{\"key\": \"/path/key.pub\"}]";
	if (js_len(v) > DIST_SIGNERS_MAX)
		return "has too many keys";
	for (size_t i = 0; i < js_len(v); i++) {
		const struct js *one = js_at(v, i);
		const char *path = js_str(js_get(one, "key"));

		if (js_get(one, "identity") || js_get(one, "issuer"))
			return "cannot have identities (signatures without keys are not verified): "
			       "only keys";
		if (!path || js_len(one) != 1)
			return "must be a list such as [{\"key\": \"/path/key.pub\"}]";
		if (path[0] != '/')
			return "must name its keys by absolute paths";
		if (s)
			*ret_failed = dist_signers_add(s, path, e);
		if (s && *ret_failed < 0)
			return "";
	}
	return NULL;
}

const char *dist_signers_fault(const char *value)
{
	return signers_parse(value, NULL, NULL, NULL);
}

/* value_of() - the variable, else what was set, else the default; as settings.c of the daemon has it */
static const char *value_of(
	const struct js *file, const char *key, const char *variable, const char *other)
{
	const char *v = getenv(variable);

	if (v && *v)
		return v;
	v = js_str(js_get(file, key));
	return v ? v : other;
}

static int take_flag(const struct js *file, const char *key, const char *variable,
	const char *other, bool *ret, struct err *e)
{
	const char *v = value_of(file, key, variable, other);

	*ret = strcmp(v, "true") == 0;
	return *ret || strcmp(v, "false") == 0
		       ? 0
		       : err_set(e, ERR_INVALID, -EINVAL, "the setting %s must be true or false",
				 key);
}

static int read_settings(const struct paths *p, struct js **ret, struct err *e)
{
	char path[PATH_MAX];
	AUTO(buf) text;
	int r = paths_join(path, p->config, "settings.json");

	buf_init(&text, FILE_MAX);
	if (r == 0)
		r = io_read_file(AT_FDCWD, path, &text);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_sys(e, r, "read the settings");
	r = js_parse(buf_str(&text), text.len, FILE_MAX, ret, e);
	return r < 0 ? err_wrap(e, r, "read '%s'", path) : 0;
}

int dist_rules_load(const struct paths *p, struct dist_rules *ret_rules, struct err *e)
{
	AUTO(dist_rules) rules = {0};
	AUTO_JS file = NULL;
	const char *v, *fault;
	int r = read_settings(p, &file, e), failed = 0;

	if (r == 0)
		r = take_flag(file, DIST_SETTING_REQUIRE, "SBX_KIT_REQUIRE_SIGNATURE", "false",
			&rules.require_signature, e);
	if (r == 0)
		r = take_flag(file, DIST_SETTING_LOCAL, "SBX_KIT_ALLOW_LOCAL_KITS", "true",
			&rules.allow_local, e);
	if (r < 0)
		return r;
	v = value_of(file, DIST_SETTING_SOURCES, "SBX_KIT_ALLOWED_SOURCES", DIST_DEFAULT_SOURCES);
	if (strlen(v) >= sizeof(rules.sources))
		return err_set(e, ERR_INVALID, -EINVAL,
			"the setting " DIST_SETTING_SOURCES " is too long");
	r = dist_places_check(v, e);
	if (r < 0)
		return err_wrap(e, r, "the setting " DIST_SETTING_SOURCES);
	(void)snprintf(rules.sources, sizeof(rules.sources), "%s", v);
	v = value_of(file, DIST_SETTING_SIGNERS, "SBX_KIT_TRUSTED_SIGNERS", "[]");
	fault = signers_parse(v, &rules.signers, &failed, e);
	if (failed < 0)
		return err_wrap(e, failed, "the setting " DIST_SETTING_SIGNERS);
	if (fault)
		return err_set(
			e, ERR_INVALID, -EINVAL, "the setting " DIST_SETTING_SIGNERS " %s", fault);
	*ret_rules = rules;
	rules.signers.n = 0; /* they are the caller's now */
	return 0;
}
