#include "daemon/settings.h"
#include "base/io.h"
#include "dist/rules.h"
#include "tls/pem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (256U << 10)

/* ---- what a value may be: NULL, or what is wrong ---- */

static const char *check_path(const char *v)
{
	struct stat st;

	if (v[0] == '\0')
		return NULL;
	if (v[0] != '/')
		return "must be an absolute path";
	return stat(v, &st) == 0 && S_ISREG(st.st_mode) ? NULL : "is no file that is there";
}

static bool is_url(const char *v, const char *const *schemes)
{
	for (; *schemes; schemes++) {
		size_t n = strlen(*schemes);

		if (strncmp(v, *schemes, n) == 0 && v[n] && !strpbrk(v, " \t\r\n\"\\"))
			return true;
	}
	return false;
}

static const char *check_proxy(const char *v)
{
	static const char *const schemes[] = {
		"http://", "https://", "socks5://", "socks5h://", NULL};

	return v[0] == '\0' || strcmp(v, "direct") == 0 || is_url(v, schemes)
		       ? NULL
		       : "must be http://, https://, socks5:// or socks5h://HOST:PORT, or direct";
}

static const char *check_authz(const char *v)
{
	static const char *const schemes[] = {"http://", "https://", NULL};

	return v[0] == '\0' || is_url(v, schemes) ? NULL : "must be an http:// or https:// URL";
}

static const char *check_list(const char *v)
{
	return strpbrk(v, " \t\r\n") ? "must be a list separated by commas, without blanks" : NULL;
}

static const char *check_ms(const char *v)
{
	char *end;
	unsigned long n = strtoul(v, &end, 10);

	return *v >= '0' && *v <= '9' && *end == '\0' && n >= 10 && n <= 60000
		       ? NULL
		       : "must be 10 to 60000 milliseconds";
}

static const char *check_switch(const char *v)
{
	return strcmp(v, "on") == 0 || strcmp(v, "off") == 0 ? NULL : "must be on or off";
}

#define IDLE_MAX_S (30 * 86400L)

int64_t settings_idle_ms(const char *v)
{
	char *end;
	long n = strtol(v, &end, 10), unit = 60;

	if (*v < '0' || *v > '9')
		return 0;
	if (*end == 's') {
		unit = 1;
		end++;
	}
	return *end == '\0' && n > 0 && n <= IDLE_MAX_S / unit ? (int64_t)n * unit * 1000 : 0;
}

static const char *check_idle(const char *v)
{
	return v[0] == '\0' || settings_idle_ms(v)
		       ? NULL
		       : "must be 1 to 43200 minutes, or seconds as in 90s";
}

static const char *check_store(const char *v)
{
	return strcmp(v, "auto") == 0 || strcmp(v, "keyring") == 0 || strcmp(v, "file") == 0
		       ? NULL
		       : "must be auto, keyring or file";
}

static const char *check_flag(const char *v)
{
	return strcmp(v, "true") == 0 || strcmp(v, "false") == 0 ? NULL : "must be true or false";
}

static const char *check_sources(const char *v)
{
	return dist_places_check(v, NULL) == 0
		       ? NULL
		       : "must be a list of registries, git servers and paths of them, such as "
			 "[\"docker.io/\", \"github.com/acme\"], or [\"*\"]";
}

static const struct key {
	const char *name, *variable, *other, *doc;
	const char *(*check)(const char *v);
} keys[SETTINGS_COUNT] = {
	[SETTING_EXTRA_CA] = {"tls.extraCA", "SBX_TLS_EXTRA_CA", "",
		"PEM file of further authorities that servers are verified by", check_path},
	[SETTING_PROXY] = {"egress.proxy", "SBX_PROXY", "",
		"proxy that the way out goes through; empty: the host's variables", check_proxy},
	[SETTING_NO_PROXY] = {"egress.noProxy", "SBX_NO_PROXY", "",
		"hosts that are reached without it", check_list},
	[SETTING_AUTHZ] = {"egress.authz", "SBX_AUTHZ", "",
		"ext_authz HTTP service that must allow each request, too", check_authz},
	[SETTING_AUTHZ_MS] = {"egress.authzTimeout", "SBX_AUTHZ_TIMEOUT", "1000",
		"milliseconds that it has; no answer is a no", check_ms},
	[SETTING_IDLE_STOP] = {"idle.stop", "SBX_IDLE_STOP", "",
		"minutes without command, session and traffic until a sandbox is stopped; empty: "
		"never",
		check_idle},
	[SETTING_STORE] = {SETTINGS_STORE, "SBX_SECRETS_STORE", "auto",
		"where the key of the stored secrets is: keyring, file, or what is there",
		check_store},
	[SETTING_DNS] = {"dns.servers", "SBX_DNS_SERVERS", "",
		"name servers that are asked; empty: the host's", check_list},
	[SETTING_APPROVE] = {"approve.terminal", "SBX_APPROVE_TERMINAL", "on",
		"does the terminal of an agent show what waits for an answer?", check_switch},
	[SETTING_KIT_SOURCES] = {DIST_SETTING_SOURCES, "SBX_KIT_ALLOWED_SOURCES",
		DIST_DEFAULT_SOURCES, "registries and git servers that kits may come from",
		check_sources},
	[SETTING_KIT_LOCAL] = {DIST_SETTING_LOCAL, "SBX_KIT_ALLOW_LOCAL_KITS", "true",
		"may kits come from directories and ZIP files?", check_flag},
	[SETTING_KIT_SIGNED] = {DIST_SETTING_REQUIRE, "SBX_KIT_REQUIRE_SIGNATURE", "false",
		"must kits that are not built in be signed by a key that is trusted?", check_flag},
	[SETTING_KIT_SIGNERS] = {DIST_SETTING_SIGNERS, "SBX_KIT_TRUSTED_SIGNERS", "[]",
		"public keys whose signatures count: [{\"key\": \"/path/key.pub\"}]",
		dist_signers_fault},
	[SETTING_ENV_REMEMBER] = {"env.rememberHostCommands", "SBX_ENV_REMEMBER_HOST_COMMANDS",
		"false",
		"are a project's commands on the host, once approved, run again while its files "
		"stay the same?",
		check_flag},
};

int settings_read_ca(const char *path, struct buf *out, struct err *e)
{
	size_t from = out->len, n;
	int r = io_read_file(AT_FDCWD, path, out);

	if (r < 0)
		return err_sys(e, r, "read the certificates in '%s'", path);
	return tls_pem_check(path, buf_str(out) + from, out->len - from, &n, e);
}

/* ---- the file ---- */

static int read_file(const struct paths *p, struct js **ret, struct err *e)
{
	char path[PATH_MAX];
	AUTO(buf) b = {0};
	int r = paths_join(path, p->config, SETTINGS_FILE);

	buf_init(&b, FILE_MAX);
	if (r == 0)
		r = io_read_file(AT_FDCWD, path, &b);
	if (r == -ENOENT) {
		*ret = js_object();
		return *ret ? 0 : err_sys(e, -ENOMEM, "read the settings");
	}
	if (r < 0)
		return err_sys(e, r, "read '%s'", path);
	r = js_parse(buf_str(&b), b.len, FILE_MAX, ret, e);
	if (r < 0)
		return err_wrap(e, r, "read '%s'", path);
	return 0;
}

static const char *in_force(const struct key *k, const struct js *file, const char **ret_source)
{
	const char *v = getenv(k->variable);

	*ret_source = "variable";
	if (v && *v)
		return v;
	*ret_source = "set";
	v = js_str(js_get(file, k->name));
	if (v)
		return v;
	*ret_source = "default";
	return k->other;
}

int settings_get(
	const struct paths *p, enum settings_key key, char dst[SETTINGS_VALUE_MAX], struct err *e)
{
	const struct key *k = &keys[key];
	const char *source, *v, *why;
	AUTO_JS file = NULL;
	int r = read_file(p, &file, e);

	if (r < 0)
		return r;
	v = in_force(k, file, &source);
	why = strlen(v) >= SETTINGS_VALUE_MAX ? "is too long" : k->check(v);
	if (why)
		return err_set(e, ERR_INVALID, -EINVAL, "the setting %s %s", k->name, why);
	(void)snprintf(dst, SETTINGS_VALUE_MAX, "%s", v);
	return 0;
}

static const struct key *find(const char *name, struct err *e)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	(void)err_set(e, ERR_NOT_FOUND, -ENOENT, "there is no setting '%s'", name);
	err_hint(e, "sbx settings list shows what there is");
	return NULL;
}

int settings_check(const char *name, const char *value, struct err *e)
{
	const struct key *k = find(name, e);
	const char *why;

	if (!k)
		return -ENOENT;
	why = !value ? NULL : strlen(value) >= SETTINGS_VALUE_MAX ? "is too long" : k->check(value);
	if (why)
		return err_set(e, ERR_INVALID, -EINVAL, "%s %s", name, why);
	/* Found out now, not when no sandbox can be told what it trusts. */
	if (k == &keys[SETTING_EXTRA_CA] && value && value[0]) {
		AUTO(buf) ignored = {0};

		buf_init(&ignored, SETTINGS_CA_MAX);
		return settings_read_ca(value, &ignored, e);
	}
	return 0;
}

int settings_set(const struct paths *p, const char *name, const char *value, struct err *e)
{
	AUTO_JS file = NULL;
	AUTO(buf) text = {0};
	AUTO_FD dir = -1;
	int r = settings_check(name, value, e);

	if (r == 0)
		r = read_file(p, &file, e);
	if (r == 0)
		r = paths_mkdir(p->config, e);
	if (r < 0)
		return r;
	js_del(file, name);
	buf_init(&text, FILE_MAX);
	if (value && js_set_str(file, name, value))
		return err_sys(e, -ENOMEM, "write the settings");
	r = js_canonical(file, &text);
	if (r == 0)
		r = buf_add(&text, "\n", 1);
	dir = open(p->config, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && dir < 0)
		r = -errno;
	if (r == 0)
		r = io_replace_file(dir, SETTINGS_FILE, text.data, text.len, 0600);
	return r < 0 ? err_sys(e, r, "write the settings") : 0;
}

int settings_view(const struct paths *p, const char *store, struct js **ret, struct err *e)
{
	AUTO_JS file = NULL;
	AUTO_JS o = js_object();
	AUTO_JS list = js_array();
	bool bad = false;
	int r = read_file(p, &file, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct key *k = &keys[i];
		struct js *x = js_object();
		const char *source;

		bad |= js_set_str(x, "key", k->name);
		bad |= js_set_str(x, "value", in_force(k, file, &source));
		bad |= js_set_str(x, "source", source);
		bad |= js_set_str(x, "default", k->other);
		bad |= js_set_str(x, "variable", k->variable);
		bad |= js_set_str(x, "description", k->doc);
		bad |= js_set_str(x, "now", i == SETTING_STORE ? store : NULL);
		bad |= js_add(list, x);
	}
	bad |= js_set(o, "settings", TAKE(list));
	if (bad)
		return err_sys(e, -ENOMEM, "list the settings");
	*ret = TAKE(o);
	return 0;
}
