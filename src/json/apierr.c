#include "json/apierr.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	enum err_code code;
	int status, num;
} table[] = {
	{ERR_INVALID, 400, -EINVAL},
	{ERR_DENIED, 403, -EACCES},
	{ERR_NOT_FOUND, 404, -ENOENT},
	{ERR_CONFLICT, 409, -EEXIST},
	{ERR_LIMIT, 429, -ENOSPC},
	{ERR_TIMEOUT, 504, -ETIMEDOUT},
	{ERR_UNAVAILABLE, 503, -ECONNREFUSED},
	{ERR_INTERNAL, 500, -EIO},
};

int apierr_status(enum err_code code)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].code == code)
			return table[i].status;
	return 500;
}

static int code_num(enum err_code code)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].code == code)
			return table[i].num;
	return -EIO;
}

struct js *apierr_json(const struct err *e)
{
	AUTO_JS inner = js_object();
	AUTO_JS outer = js_object();
	bool bad = false;

	bad |= js_set_str(inner, "code", err_code_name(e->code));
	bad |= js_set_str(inner, "message", e->msg);
	if (e->hint[0])
		bad |= js_set_str(inner, "hint", e->hint);
	bad |= js_set(outer, "error", TAKE(inner));
	return bad ? NULL : TAKE(outer);
}

int apierr_print(const struct err *e, struct buf *out)
{
	AUTO_JS v = apierr_json(e);

	if (v && js_print(v, out) == 0)
		return 0;
	return buf_addf(out, "{\"error\":{\"code\":\"limit\",\"message\":\"out of memory\"}}");
}

int apierr_from(const struct js *error, struct err *e)
{
	const char *code = js_str(js_get(error, "code")), *msg = js_str(js_get(error, "message")),
		   *hint = js_str(js_get(error, "hint"));
	enum err_code c;

	if (!code || !msg)
		return err_set(e, ERR_INTERNAL, -EBADMSG, "the daemon's error makes no sense");
	c = err_code_from_name(code);
	(void)err_set(e, c, code_num(c), "%s", msg);
	if (hint)
		err_hint(e, "%s", hint);
	return code_num(c);
}

int apierr_read(const char *body, size_t len, int status, struct err *e)
{
	struct js *v = NULL;
	int r;

	if (js_parse(body, len, JS_TEXT_MAX, &v, NULL) < 0 || !js_get(v, "error"))
		r = err_set(
			e, ERR_INTERNAL, -EBADMSG, "the daemon answered with status %d", status);
	else
		r = apierr_from(js_get(v, "error"), e);
	js_free(v);
	return r;
}
