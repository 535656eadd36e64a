#include "json/json.h"
#include "json/internal.h"
#include "base/escape.h"
#include <errno.h>
#include <string.h>

/* js_shape() - levels and values of a text before jansson sees it
 * jansson recurses per level (its own limit is 2,048) and a value costs up to a hundred times its
 * text: both are bounded here, on bytes, whatever their meaning. Inside strings nothing counts.
 */
static int js_shape(const char *s, size_t len, struct err *e)
{
	unsigned depth = 0, values = 1;
	bool text = false;

	for (size_t i = 0; i < len; i++) {
		if (text) {
			if (s[i] == '\\')
				i++;
			else if (s[i] == '"')
				text = false;
			continue;
		}
		if (s[i] == '"')
			text = true;
		else if (s[i] == ',')
			values++;
		else if (s[i] == '[' || s[i] == '{') {
			values++;
			depth++;
		} else if ((s[i] == ']' || s[i] == '}') && depth > 0)
			depth--;
		if (depth > JS_DEPTH_MAX)
			return err_set(e, ERR_INVALID, -EFBIG, "JSON nests deeper than %d levels",
				JS_DEPTH_MAX);
		if (values > JS_VALUES_MAX)
			return err_set(e, ERR_INVALID, -EFBIG, "JSON has more than %d values",
				JS_VALUES_MAX);
	}
	return 0;
}

int js_parse(const char *text, size_t len, size_t max, struct js **ret, struct err *e)
{
	json_error_t je;
	json_t *v;
	int r;

	if (len > max)
		return err_set(e, ERR_LIMIT, -EFBIG, "JSON of %zu bytes, at most %zu", len, max);
	r = js_shape(text, len, e);
	if (r < 0)
		return r;
	v = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (!v)
		return err_set(e, ERR_INVALID, -EINVAL, "malformed JSON at line %d, column %d: %s",
			je.line, je.column, je.text);
	*ret = js_of(v);
	return 0;
}

void js_free(struct js *v)
{
	json_decref(js_to(v));
}

struct js *js_ref(struct js *v)
{
	return js_of(json_incref(js_to(v)));
}

void js_auto_free(struct js **v)
{
	js_free(*v);
	*v = NULL;
}

bool js_is_object(const struct js *v)
{
	return json_is_object(js_to(v));
}

bool js_is_array(const struct js *v)
{
	return json_is_array(js_to(v));
}

size_t js_len(const struct js *v)
{
	return js_is_array(v) ? json_array_size(js_to(v)) : json_object_size(js_to(v));
}

const struct js *js_at(const struct js *v, size_t i)
{
	return js_of(json_array_get(js_to(v), i));
}

const struct js *js_get(const struct js *v, const char *key)
{
	return js_of(json_object_get(js_to(v), key));
}

const char *js_str(const struct js *v)
{
	return json_string_value(js_to(v));
}

int64_t js_int(const struct js *v, int64_t other)
{
	return json_is_integer(js_to(v)) ? json_integer_value(js_to(v)) : other;
}

bool js_bool(const struct js *v)
{
	return json_is_true(js_to(v));
}

bool js_each(const struct js *v, void **iter, const char **ret_key, const struct js **ret_value)
{
	json_t *o = js_to(v);

	*iter = *iter ? json_object_iter_next(o, *iter) : json_object_iter(o);
	if (!*iter)
		return false;
	*ret_key = json_object_iter_key(*iter);
	*ret_value = js_of(json_object_iter_value(*iter));
	return true;
}

static int add_text(const char *p, size_t len, void *out)
{
	return buf_add(out, p, len) < 0 ? -1 : 0;
}

static int print(const struct js *v, size_t flags, struct buf *out)
{
	size_t before = out->len;

	if (!v)
		return -ENOMEM;
	if (json_dump_callback(js_to(v), add_text, out, flags) == 0)
		return 0;
	out->len = before;
	return -ENOBUFS;
}

int js_print(const struct js *v, struct buf *out)
{
	return print(v, JSON_COMPACT, out);
}

int js_canonical(const struct js *v, struct buf *out)
{
	return print(v, JSON_COMPACT | JSON_SORT_KEYS, out);
}

int js_utf8(struct buf *out, const void *p, size_t len)
{
	const char *s = p;
	size_t i = 0, from = 0;

	while (i < len) {
		unsigned cp;
		size_t n = utf8_decode(s + i, len - i, &cp);
		int r;

		if (n > 0) {
			i += n;
			continue;
		}
		r = buf_add(out, s + from, i - from);
		if (r == 0)
			r = buf_add(out, "\xef\xbf\xbd", 3);
		if (r < 0)
			return r;
		from = ++i;
	}
	return buf_add(out, s + from, len - from);
}
