/* settings.h - what a user may choose for all sandboxes: a table of keys, one JSON file of values
 *
 * CONFIG/settings.json holds what was set; a variable of the daemon's environment goes before it, a
 * default comes last. Unknown keys and values that do not fit are refused when they are set; a file
 * that somebody broke by hand is an error of everything that needs it, never silence.
 * Thread: any; nothing is cached.
 */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H
#include "base/buf.h"
#include "base/err.h"
#include "base/paths.h"
#include "json/json.h"

#define SETTINGS_FILE	   "settings.json"
#define SETTINGS_VALUE_MAX 4096
#define SETTINGS_CA_MAX	   (1U << 20)
#define SETTINGS_STORE	   "secrets.store"

enum settings_key {
	SETTING_EXTRA_CA, /* tls.extraCA: absolute path of a PEM file */
	SETTING_PROXY, /* egress.proxy: URL, "direct", or "" : the host's variables */
	SETTING_NO_PROXY, /* egress.noProxy: host patterns, comma list */
	SETTING_AUTHZ, /* egress.authz: URL of an ext_authz HTTP service */
	SETTING_AUTHZ_MS, /* egress.authzTimeout */
	SETTING_STORE, /* secrets.store: auto, keyring or file */
	SETTING_DNS, /* dns.servers: addresses with or without :port, comma list */
	SETTING_APPROVE, /* approve.terminal: "on" or "off" */
	SETTING_IDLE_STOP, /* idle.stop: minutes, or seconds with an s; "": never */
	SETTING_KIT_SOURCES, /* kit.allowedSources: JSON list of places (dist/ref.h) */
	SETTING_KIT_LOCAL, /* kit.allowLocalKits: "true" or "false" */
	SETTING_KIT_SIGNED, /* kit.requireSignature: "true" or "false" */
	SETTING_KIT_SIGNERS, /* kit.trustedSigners: JSON list of {"key": path} */
	SETTING_ENV_REMEMBER, /* env.rememberHostCommands: "true" or "false" */
	SETTINGS_COUNT
};

/* settings_get() - the value in force, terminated in @dst */
int settings_get(const struct paths *p, enum settings_key key, char dst[SETTINGS_VALUE_MAX],
	struct err *e) MUST_USE;
/* settings_check() - may it have that value? -ENOENT, -EINVAL */
int settings_check(const char *name, const char *value, struct err *e) MUST_USE;
/* settings_read_ca() - the certificates of the file @path, appended to @out; what is none is told with its line */
int settings_read_ca(const char *path, struct buf *out, struct err *e) MUST_USE;
/* settings_set() - by name; NULL @value: back to the default. -ENOENT: no such key; -EINVAL */
int settings_set(
	const struct paths *p, const char *name, const char *value, struct err *e) MUST_USE;
/* settings_idle_ms() - a value of idle.stop; 0: never (or no value of it) */
int64_t settings_idle_ms(const char *value);
/* settings_view() - {"settings":[{"key","value","default","source","variable","description","now"}]}; @store:
 * where the key of the secrets is now, since the setting alone does not say it
 */
int settings_view(
	const struct paths *p, const char *store, struct js **ret, struct err *e) MUST_USE;
#endif
