#include "json/json.h"
#include "json/internal.h"
#include "base/escape.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

/* Keys come from whoever wrote the text: escaped and cut before they stand in a sentence. */
#define KEY(k) escape_str((char[96]){0}, 96, (k))

void js_fault(struct js_reader *rd, const char *key, const char *what)
{
	if (rd->r < 0)
		return;
	rd->r = err_set(rd->e, ERR_INVALID, -EINVAL, "%s%s%s: %s", rd->path,
		rd->path[0] && key[0] ? "." : "", KEY(key), what);
}

void js_read(struct js_reader *rd, const struct js *v, const char *path, struct err *e)
{
	*rd = (struct js_reader){.obj = v, .path = path, .e = e};
	if (!js_is_object(v))
		js_fault(rd, "", path[0] ? "must be an object" : "the body must be an object");
}

/* ask() - the value of @key, NULL when absent, null, or after a fault */
static json_t *ask(struct js_reader *rd, const char *key)
{
	json_t *v;

	if (rd->r < 0)
		return NULL;
	assert(rd->n < JS_KEYS_MAX);
	rd->asked[rd->n++] = key;
	v = json_object_get(js_to(rd->obj), key);
	return json_is_null(v) ? NULL : v;
}

static const char *take_str(
	struct js_reader *rd, const char *key, size_t max, const char *other, bool need)
{
	json_t *v = ask(rd, key);

	if (!v) {
		if (need)
			js_fault(rd, key, "is required");
		return other;
	}
	if (!json_is_string(v))
		js_fault(rd, key, "must be a string");
	else if (json_string_length(v) > max)
		js_fault(rd, key, "is too long");
	else if (strlen(json_string_value(v)) != json_string_length(v))
		js_fault(rd, key, "must not contain a NUL");
	return rd->r < 0 ? other : json_string_value(v);
}

const char *js_take_str(struct js_reader *rd, const char *key, size_t max, const char *other)
{
	return take_str(rd, key, max, other, false);
}

const char *js_want_str(struct js_reader *rd, const char *key, size_t max)
{
	return take_str(rd, key, max, "", true);
}

static int64_t take_int(
	struct js_reader *rd, const char *key, int64_t min, int64_t max, int64_t other, bool need)
{
	json_t *v = ask(rd, key);
	int64_t n;

	if (!v) {
		if (need)
			js_fault(rd, key, "is required");
		return other;
	}
	if (!json_is_integer(v)) {
		js_fault(rd, key, "must be an integer");
		return other;
	}
	n = json_integer_value(v);
	if (n < min || n > max) {
		if (rd->r == 0)
			rd->r = err_set(rd->e, ERR_INVALID, -ERANGE,
				"%s%s%s: %lld is not between %lld and %lld", rd->path,
				rd->path[0] ? "." : "", KEY(key), (long long)n, (long long)min,
				(long long)max);
		return other;
	}
	return n;
}

int64_t js_take_int(struct js_reader *rd, const char *key, int64_t min, int64_t max, int64_t other)
{
	return take_int(rd, key, min, max, other, false);
}

int64_t js_want_int(struct js_reader *rd, const char *key, int64_t min, int64_t max)
{
	return take_int(rd, key, min, max, min, true);
}

bool js_take_bool(struct js_reader *rd, const char *key, bool other)
{
	json_t *v = ask(rd, key);

	if (!v)
		return other;
	if (!json_is_boolean(v)) {
		js_fault(rd, key, "must be true or false");
		return other;
	}
	return json_is_true(v);
}

const struct js *js_take_array(struct js_reader *rd, const char *key, size_t max_items)
{
	json_t *v = ask(rd, key);

	if (!v)
		return NULL;
	if (!json_is_array(v))
		js_fault(rd, key, "must be an array");
	else if (json_array_size(v) > max_items)
		js_fault(rd, key, "has too many items");
	return rd->r < 0 ? NULL : js_of(v);
}

const struct js *js_take_object(struct js_reader *rd, const char *key)
{
	json_t *v = ask(rd, key);

	if (v && !json_is_object(v))
		js_fault(rd, key, "must be an object");
	return rd->r < 0 ? NULL : js_of(v);
}

static bool asked(const struct js_reader *rd, const char *key)
{
	for (size_t i = 0; i < rd->n; i++)
		if (strcmp(rd->asked[i], key) == 0)
			return true;
	return false;
}

int js_done(struct js_reader *rd)
{
	const struct js *v;
	const char *key;
	void *iter = NULL;

	while (rd->r == 0 && js_each(rd->obj, &iter, &key, &v))
		if (!asked(rd, key))
			js_fault(rd, key, "is not known here");
	return rd->r;
}

int js_done_lax(struct js_reader *rd)
{
	return rd->r;
}
