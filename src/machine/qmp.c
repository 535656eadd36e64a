#include "machine/qmp.h"
#include <stdbool.h>
#include <string.h>

/* Cursor over the line; bad sticks. */
struct scan {
	const char *p, *end;
	bool bad;
};

struct text {
	const char *p;
	size_t len;
};

static char peek(struct scan *s)
{
	while (s->p < s->end && strchr(" \t\r\n", *s->p) && *s->p)
		s->p++;
	return s->p < s->end ? *s->p : 0;
}

static void expect(struct scan *s, char c)
{
	if (s->bad || peek(s) != c)
		s->bad = true;
	else
		s->p++;
}

/* string() - a string in place, without its quotes; escapes stay */
static struct text string(struct scan *s)
{
	struct text t = {s->p, 0};

	expect(s, '"');
	if (s->bad)
		return t;
	t.p = s->p;
	for (; s->p < s->end && *s->p != '"'; s->p++) {
		if ((unsigned char)*s->p < 0x20)
			break;
		if (*s->p == '\\' && ++s->p == s->end)
			break;
	}
	if (s->p >= s->end || *s->p != '"') {
		s->bad = true;
		return t;
	}
	t.len = (size_t)(s->p - t.p);
	s->p++;
	return t;
}

/* skip_value() - past one value; brackets are counted, not recursed into */
static void skip_value(struct scan *s)
{
	unsigned depth = 0;

	do {
		char c = peek(s);

		if (c == '"') {
			(void)string(s);
		} else if (c == '{' || c == '[') {
			s->bad |= ++depth > QMP_DEPTH_MAX;
			s->p++;
		} else if (c == '}' || c == ']' || c == ',' || c == ':') {
			if (depth == 0) { /* a value is missing */
				s->bad = true;
				break;
			}
			depth -= c == '}' || c == ']';
			s->p++;
		} else {
			const char *from = s->p;

			while (s->p < s->end && *s->p &&
				strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", *s->p))
				s->p++;
			s->bad |= s->p == from;
		}
	} while (!s->bad && depth > 0);
}

static bool is(struct text t, const char *word)
{
	return t.len == strlen(word) && memcmp(t.p, word, t.len) == 0;
}

static void keep(char dst[QMP_TEXT_MAX], struct text t)
{
	size_t n = t.len < QMP_TEXT_MAX - 1 ? t.len : QMP_TEXT_MAX - 1;

	memcpy(dst, t.p, n);
	dst[n] = 0;
}

/* next_member() - next key of an object, the cursor then at its value; false after the last */
static bool next_member(struct scan *s, bool first, struct text *ret_key)
{
	if (s->bad)
		return false;
	if (peek(s) == '}') {
		s->p++;
		return false;
	}
	if (!first)
		expect(s, ',');
	*ret_key = string(s);
	expect(s, ':');
	return !s->bad;
}

/* find_text() - the string called @name in the object that follows, if there is one */
static void find_text(struct scan *s, const char *name, char dst[QMP_TEXT_MAX])
{
	struct text key;

	expect(s, '{');
	for (bool first = true; next_member(s, first, &key); first = false) {
		if (is(key, name) && peek(s) == '"')
			keep(dst, string(s));
		else
			skip_value(s);
	}
}

enum qmp_kind qmp_parse(const char *line, size_t len, struct qmp_msg *ret_m)
{
	struct scan s = {.p = line, .end = line + len, .bad = len > QMP_LINE_MAX};
	struct qmp_msg m = {.kind = QMP_BAD};
	unsigned kinds = 0;
	struct text key;

	expect(&s, '{');
	for (bool first = true; next_member(&s, first, &key); first = false) {
		if (is(key, "event")) {
			m.kind = QMP_EVENT;
			kinds++;
			keep(m.text, string(&s));
		} else if (is(key, "error")) {
			m.kind = QMP_ERROR;
			kinds++;
			find_text(&s, "desc", m.text);
		} else if (is(key, "data")) {
			find_text(&s, "reason", m.detail);
		} else {
			if (is(key, "return") || is(key, "QMP")) {
				m.kind = key.len == 3 ? QMP_GREETING : QMP_RETURN;
				kinds++;
			}
			skip_value(&s);
		}
	}
	if (s.bad || peek(&s) != 0 || s.p != s.end || kinds != 1)
		m = (struct qmp_msg){.kind = QMP_BAD};
	*ret_m = m;
	return m.kind;
}
