#include "json/json.h"
#include "json/internal.h"
#include <string.h>
#include <sys/random.h>

void js_seed(void)
{
	size_t seed = 1; /* 0 would mean: look for some yourself */

	(void)!getrandom(&seed, sizeof(seed), 0);
	json_object_seed(seed ? seed : 1);
}

struct js *js_object(void)
{
	return js_of(json_object());
}

struct js *js_array(void)
{
	return js_of(json_array());
}

/* text() - a string value; what is not UTF-8 is replaced, because JSON cannot carry it */
static json_t *text(const void *p, size_t len)
{
	json_t *v = json_stringn(p, len);
	AUTO(buf) b = {0};

	if (v || len > SIZE_MAX / 3 - 1)
		return v;
	buf_init(&b, 3 * len + 1);
	return js_utf8(&b, p, len) < 0 ? NULL : json_stringn(buf_str(&b), b.len);
}

bool js_set(struct js *o, const char *key, struct js *v)
{
	return json_object_set_new(js_to(o), key, js_to(v)) != 0;
}

bool js_set_str(struct js *o, const char *key, const char *s)
{
	return s ? js_set_strn(o, key, s, strlen(s)) : js_set_null(o, key);
}

bool js_set_strn(struct js *o, const char *key, const void *p, size_t len)
{
	return js_set(o, key, js_of(text(p, len)));
}

bool js_set_int(struct js *o, const char *key, int64_t v)
{
	return js_set(o, key, js_of(json_integer(v)));
}

bool js_set_bool(struct js *o, const char *key, bool v)
{
	return js_set(o, key, js_of(json_boolean(v)));
}

bool js_set_null(struct js *o, const char *key)
{
	return js_set(o, key, js_of(json_null()));
}

bool js_set_copy(struct js *o, const char *key, const struct js *v)
{
	return v ? js_set(o, key, js_of(json_deep_copy(js_to(v)))) : js_set_null(o, key);
}

bool js_add(struct js *a, struct js *v)
{
	return json_array_append_new(js_to(a), js_to(v)) != 0;
}

bool js_add_str(struct js *a, const char *s)
{
	return js_add(a, js_of(text(s, strlen(s))));
}

void js_del(struct js *o, const char *key)
{
	(void)json_object_del(js_to(o), key);
}
