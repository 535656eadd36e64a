#include "cli/needs.h"
#include "base/io.h"
#include "cli/report.h"
#include "cli/secret.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SOURCE_FILE_MAX (256U << 10)

bool needs_has(const struct js *secrets, const char *service, const char *box)
{
	const struct js *list = js_get(secrets, "secrets");
	char login[160];

	(void)snprintf(login, sizeof(login), "%s.oauth", service);
	for (size_t i = 0; i < js_len(list); i++) {
		const struct js *one = js_at(list, i);
		const char *name = box_str(one, "name"), *scope = box_str(one, "sandbox");

		if ((strcmp(name, service) == 0 || strcmp(name, login) == 0) &&
			(scope[0] == '\0' || strcmp(scope, box) == 0))
			return true;
	}
	return false;
}

/* ---- sources of schema 1 ---- */

static int take(struct buf *out, const char *p, size_t len, const char *what, struct err *e)
{
	while (len && strchr(" \t\r\n", p[len - 1]))
		len--;
	while (len && strchr(" \t\r\n", *p)) {
		p++;
		len--;
	}
	if (len == 0 || len > SECRET_VALUE_MAX || memchr(p, '\n', len) || memchr(p, '\0', len))
		return err_set(e, ERR_INVALID, -EINVAL, "%s holds no value that can be used", what);
	return buf_add(out, p, len) < 0 ? err_sys(e, -ENOMEM, "read %s", what) : 1;
}

static int from_env(const struct js *names, struct buf *out, struct err *e)
{
	for (size_t i = 0; i < js_len(names); i++) {
		const char *name = js_str(js_at(names, i)), *value = name ? getenv(name) : NULL;

		if (value && *value)
			return take(out, value, strlen(value), name, e);
	}
	return 0;
}

/* from_json() - "a.b": keys of objects, no lists; a string, a number or a truth */
static int from_json(
	const struct buf *text, const char *path, const char *file, struct buf *out, struct err *e)
{
	AUTO_JS all = NULL;
	AUTO_JS one = js_object();
	struct err why = {0};
	const struct js *v;
	AUTO(buf) shown;
	char key[256];

	buf_init(&shown, SOURCE_FILE_MAX);
	if (js_parse(buf_str(text), text->len, SOURCE_FILE_MAX, &all, &why) < 0)
		return err_set(e, ERR_INVALID, -EINVAL, "%s: %s", file, why.msg);
	v = all;
	for (const char *at = path; v && at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL) {
		(void)snprintf(key, sizeof(key), "%.*s", (int)strcspn(at, "."), at);
		v = js_get(v, key);
	}
	if (!v)
		return err_set(e, ERR_INVALID, -EINVAL, "%s: field '%.128s' not found in JSON",
			file, path);
	if (js_str(v))
		return take(out, js_str(v), strlen(js_str(v)), file, e);
	if (js_is_object(v) || js_is_array(v) || js_set_copy(one, "v", v) ||
		js_print(one, &shown) < 0 || strcmp(buf_str(&shown), "{\"v\":null}") == 0)
		return err_set(e, ERR_INVALID, -EINVAL,
			"%s: field '%.128s' is neither text, number nor truth", file, path);
	/* a number stands as it is written in JSON: between {"v": and } */
	return take(out, buf_str(&shown) + 5, shown.len - 6, file, e);
}

static int read_source(const char *path, struct buf *out, struct err *e)
{
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0
							   : err_sys(e, -errno, "open '%s'", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, -EINVAL, "'%s' is no regular file", path);
	r = io_read_fd(fd, out);
	return r < 0 ? err_sys(e, r, "read '%s'", path) : 1;
}

static int from_file(const struct js *c, const char *home, struct buf *out, struct err *e)
{
	const char *file = box_str(c, "file"), *parser = box_str(c, "parser");
	char path[PATH_MAX];
	AUTO(buf) text;
	int r;

	buf_init(&text, SOURCE_FILE_MAX);
	if (!file[0])
		return 0;
	if (strncmp(file, "~/", 2) == 0)
		r = snprintf(path, sizeof(path), "%s%s", home, file + 1);
	else
		r = snprintf(path, sizeof(path), "%s", file);
	if (r < 0 || r >= (int)sizeof(path) || path[0] != '/')
		return err_set(e, ERR_INVALID, -EINVAL, "'%.200s' is no absolute path", file);
	r = read_source(path, &text, e);
	if (r <= 0)
		return r;
	if (parser[0] == '\0')
		r = take(out, buf_str(&text), text.len, path, e);
	else if (strncmp(parser, "json:", 5) == 0)
		r = from_json(&text, parser + 5, path, out, e);
	else
		r = err_set(e, ERR_INVALID, -EINVAL, "unknown parser '%.64s'", parser);
	if (text.data)
		explicit_bzero(text.data, text.len);
	return r;
}

int needs_source(const struct js *c, const char *home, struct buf *out, struct err *e)
{
	bool file_first = js_bool(js_get(c, "file_first"));
	int r = file_first ? from_file(c, home, out, e) : from_env(js_get(c, "env"), out, e);

	if (r != 0)
		return r;
	return file_first ? from_env(js_get(c, "env"), out, e) : from_file(c, home, out, e);
}

/* ---- a sandbox ---- */

typedef void (*need_fn)(struct api *api, const struct js *credential, const char *box);

/* each() - the credentials of @plan that have no secret which sandbox @name could use */
static void each(struct api *api, const struct js *plan, const char *name, need_fn fn)
{
	const struct js *list = js_get(plan, "credentials");
	AUTO_JS secrets = NULL;
	struct err silent = {0};

	if (js_len(list) == 0 ||
		api_call(api, "GET", "/v1/secrets", NULL, API_CALL_MS, &secrets, &silent) < 0)
		return;
	for (size_t i = 0; i < js_len(list); i++)
		if (!needs_has(secrets, box_str(js_at(list, i), "service"), name))
			fn(api, js_at(list, i), name);
}

static void read_one(struct api *api, const struct js *c, const char *box)
{
	const struct secret_source to = {
		.service = box_str(c, "service"), .sandbox = box, .refresh_s = -1};
	const char *home = getenv("HOME");
	struct err e = {0};
	AUTO(buf) value;
	int r;

	buf_init(&value, SECRET_VALUE_MAX);
	r = needs_source(c, home && *home == '/' ? home : "", &value, &e);
	if (r > 0)
		r = secret_send(api, &to, buf_str(&value), value.len, &e);
	else if (r == 0)
		return;
	if (r < 0)
		report_note("credential '%s' of kit %s: %s", to.service, box_str(c, "kit"), e.msg);
	else
		report_note(
			"credential '%s' of kit %s was read from this host, for sandbox '%s' alone",
			to.service, box_str(c, "kit"), box);
	if (value.data)
		explicit_bzero(value.data, value.len);
}

void needs_read(struct api *api, const struct js *box)
{
	each(api, js_get(box, "plan"), box_str(box, "name"), read_one);
}

static void tell_one(struct api *api, const struct js *c, const char *box)
{
	const char *about = box_str(c, "description"), *service = box_str(c, "service");
	const struct js *variables = js_get(c, "variables");
	bool login = js_get(c, "oauth") != NULL;

	(void)api;
	(void)box;
	report_note("credential '%s'%s%s%s is missing%s: sbx secret set %s%s", service,
		about[0] ? " (" : "", about, about[0] ? ")" : "",
		js_bool(js_get(c, "required")) ? ", and its kit requires it" : "", service,
		login ? ", or log in inside" : "");
	for (size_t i = 0; i < js_len(variables); i++) {
		const char *name = js_str(js_at(variables, i)), *value = name ? getenv(name) : NULL;

		if (value && *value) {
			report_note("this host has it as %s: sbx secret set --from-env %s %s", name,
				name, service);
			return;
		}
	}
}

void needs_tell(struct api *api, const struct js *box)
{
	each(api, js_get(box, "plan"), box_str(box, "name"), tell_one);
}

void needs_tell_plan(struct api *api, const struct js *plan)
{
	each(api, plan, "", tell_one);
}
