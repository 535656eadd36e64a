#include "http/target.h"
#include "http/internal.h"
#include <string.h>

static int hex(char c)
{
	if (!http_is((unsigned char)c, HTTP_C_HEX))
		return -1;
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* decode() - bytes up to one of @ends into @dst; *in then stands at the end; NULL when malformed */
static char *decode(const char **in, const char *ends, char *dst, const char *limit)
{
	const char *s = *in;

	while (*s && !strchr(ends, *s)) {
		unsigned char c = (unsigned char)*s++;

		if (c == '%') {
			int hi = hex(s[0]), lo = hi < 0 ? -1 : hex(s[1]);

			if (lo < 0)
				return NULL;
			c = (unsigned char)(hi * 16 + lo);
			s += 2;
			if (!http_is(c, HTTP_C_SEGMENT))
				return NULL;
		} else if (!http_is(c, HTTP_C_TARGET))
			return NULL;
		if (dst + 1 >= limit)
			return NULL;
		*dst++ = (char)c;
	}
	*dst++ = '\0';
	*in = s;
	return dst;
}

bool http_target_split(struct http_target *t, const char *target)
{
	char *next = t->text, *const limit = t->text + sizeof(t->text);
	const char *s = target;

	t->n_segments = t->n_params = 0;
	while (*s == '/') {
		char *seg = next;

		s++;
		next = decode(&s, "/?", seg, limit);
		if (!next || t->n_segments == HTTP_SEGMENTS_MAX || seg[0] == '\0' ||
			strcmp(seg, ".") == 0 || strcmp(seg, "..") == 0)
			return false;
		t->segment[t->n_segments++] = seg;
	}
	if (t->n_segments == 0 || (*s && *s != '?'))
		return false;
	while (*s == '?' || *s == '&') {
		char *name = next, *value;

		s++;
		if (t->n_params == HTTP_PARAMS_MAX || *s == '\0' || *s == '&' || *s == '=')
			return false;
		next = decode(&s, "=&", name, limit);
		if (!next)
			return false;
		value = next - 1; /* the name's own end: "" */
		if (*s == '=') {
			s++;
			value = next;
			next = decode(&s, "&", value, limit);
			if (!next)
				return false;
		}
		if (http_target_param(t, name))
			return false; /* twice the same: which one counts? */
		t->param[t->n_params].name = name;
		t->param[t->n_params++].value = value;
	}
	return true;
}

const char *http_target_param(const struct http_target *t, const char *name)
{
	for (size_t i = 0; i < t->n_params; i++)
		if (strcmp(t->param[i].name, name) == 0)
			return t->param[i].value;
	return NULL;
}
