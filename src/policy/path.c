#include "policy/path.h"
#include "base/escape.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-._~", c));
}

/* plain() - may stand in a path as it is (RFC 3986 pchar and '/') */
static bool plain(unsigned char c)
{
	return unreserved(c) || (c != '\0' && strchr("!$&'()*+,;=:@/", c));
}

struct out {
	char *s;
	size_t cap, n;
	bool full;
};

static void put(struct out *o, char c)
{
	if (o->n + 1 < o->cap)
		o->s[o->n++] = c;
	else
		o->full = true;
}

static void put_escape(struct out *o, unsigned char c)
{
	static const char digits[] = "0123456789ABCDEF";

	put(o, '%');
	put(o, digits[c >> 4]);
	put(o, digits[c & 15]);
}

/* normalise() - every byte in its one spelling; false: nothing that may be sent */
static bool normalise(const char *in, size_t len, struct out *o)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)in[i];

		if (c == '%') {
			int hi = i + 2 < len ? hex(in[i + 1]) : -1,
			    lo = hi < 0 ? -1 : hex(in[i + 2]);

			if (lo < 0)
				return false;
			c = (unsigned char)(hi * 16 + lo);
			i += 2;
			if (c == 0)
				return false;
			if (unreserved(c))
				put(o, (char)c);
			else
				put_escape(o, c);
		} else if (plain(c))
			put(o, (char)c);
		else if (c <= ' ' || c == 0x7f || c == '\\' || c == '#' || c == '?')
			return false;
		else if (c < 0x80)
			put_escape(o, c);
		else {
			unsigned cp;
			size_t n = utf8_decode(in + i, len - i, &cp);

			if (n < 2)
				return false;
			while (n-- > 0)
				put_escape(o, (unsigned char)in[i++]);
			i--;
		}
	}
	return !o->full;
}

/* look_alike() - characters that servers have been seen to take for '/', '\' or '.' */
static bool look_alike(unsigned cp)
{
	static const unsigned all[] = {
		0x2024, 0x2044, 0x2215, 0x2216, 0x29f8, 0x3002, 0xff0e, 0xff0f, 0xff3c, 0xff61};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i] == cp)
			return true;
	return false;
}

/* escape_run() - the escapes beginning at @s: bytes into @ret, how many; at most 4 */
static size_t escape_run(const char *s, size_t len, char ret[4])
{
	size_t n = 0;

	while (n < 4 && 3 * n + 2 < len && s[3 * n] == '%') {
		ret[n] = (char)(hex(s[3 * n + 1]) * 16 + hex(s[3 * n + 2]));
		n++;
	}
	return n;
}

/* escape_flags() - of the escaped character at @s; *ret_len bytes of text */
static unsigned escape_flags(const char *s, size_t len, size_t *ret_len)
{
	char byte[4];
	size_t n = escape_run(s, len, byte), used;
	unsigned char c = (unsigned char)byte[0];
	unsigned cp = 0;

	*ret_len = 3;
	if (c >= 0x80) {
		used = utf8_decode(byte, n, &cp);
		if (used < 2)
			return POLICY_PATH_ENCODING;
		*ret_len = 3 * used;
		if (cp < 0xa0)
			return POLICY_PATH_CONTROL;
		return look_alike(cp) ? POLICY_PATH_SEPARATOR : 0;
	}
	if (c < 0x20 || c == 0x7f)
		return POLICY_PATH_CONTROL;
	if (c == '/' || c == '\\')
		return POLICY_PATH_SEPARATOR;
	if (c == ';')
		return POLICY_PATH_PARAMETER;
	if (c == '?' || c == '#')
		return POLICY_PATH_DELIMITER;
	if (c == '%' && len >= 5 && hex(s[3]) >= 0 && hex(s[4]) >= 0)
		return POLICY_PATH_DOUBLE;
	return 0;
}

static unsigned scan_flags(const char *s, size_t len)
{
	unsigned flags = 0;
	size_t used;

	for (size_t i = 0; i < len; i += used) {
		used = 1;
		if (s[i] == '%')
			flags |= escape_flags(s + i, len - i, &used);
		else if (s[i] == ';')
			flags |= POLICY_PATH_PARAMETER;
		else if (s[i] == '/' && i + 1 < len && s[i + 1] == '/')
			flags |= POLICY_PATH_SLASHES;
	}
	return flags;
}

/* remove_dots() - RFC 3986 5.2.4, in place; returns the new length */
static size_t remove_dots(char *s, size_t len, unsigned *flags)
{
	size_t out = 0, i = 0;

	while (i < len) { /* s[i] is the '/' of a segment */
		size_t end = i + 1;
		bool one, two;

		while (end < len && s[end] != '/')
			end++;
		one = end - i == 2 && s[i + 1] == '.';
		two = end - i == 3 && s[i + 1] == '.' && s[i + 2] == '.';
		if (one || two) {
			*flags |= POLICY_PATH_DOTS;
			while (two && out > 0 && s[--out] != '/')
				;
			if (end == len)
				s[out++] = '/';
		} else {
			memmove(s + out, s + i, end - i);
			out += end - i;
		}
		i = end;
	}
	return out;
}

enum policy_path_result policy_path_canon(
	const char *in, size_t len, char *out, size_t cap, size_t *ret_len, unsigned *ret_flags)
{
	struct out o = {out, cap, 0, false};
	unsigned flags = 0;

	if (len == 1 && in[0] == '*' && cap >= 2) {
		memcpy(out, "*", 2);
		*ret_len = 1;
		*ret_flags = 0;
		return POLICY_PATH_OK;
	}
	if (len == 0 || in[0] != '/' || !normalise(in, len, &o))
		return POLICY_PATH_BAD;
	flags = scan_flags(out, o.n);
	o.n = remove_dots(out, o.n, &flags);
	out[o.n] = '\0';
	*ret_len = o.n;
	*ret_flags = flags | scan_flags(out, o.n);
	return POLICY_PATH_OK;
}

const char *policy_path_flag_text(unsigned flags)
{
	static const char *const texts[] = {"dot segments", "an empty segment",
		"an escaped separator", "';'", "a double escape", "an escaped control character",
		"escapes that are not UTF-8", "an escaped '?' or '#'"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (flags & 1U << i)
			return texts[i];
	return "nothing odd";
}

static int bad_pattern(struct err *e, const char *pattern, const char *why)
{
	return err_set(e, ERR_INVALID, -EINVAL, "path '%.120s' %s", pattern, why);
}

int policy_path_pattern_check(const char *pattern, struct err *e)
{
	size_t len = strlen(pattern), segments = 0;

	if (pattern[0] != '/')
		return bad_pattern(e, pattern, "does not begin with '/'");
	if (len > POLICY_PATH_PATTERN_MAX)
		return bad_pattern(e, pattern, "is too long");
	for (size_t i = 0; i < len; i++)
		if (!plain((unsigned char)pattern[i]) || pattern[i] == ';')
			return bad_pattern(e, pattern,
				"has '?', '#', '%', ';', '\\', spaces or other characters that a "
				"canonical path has not");
	for (const char *s = pattern; *s;) {
		size_t n = strcspn(++s, "/");

		if (n == 0 && len > 1)
			return bad_pattern(e, pattern, "has '//' or ends in '/'");
		if ((n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return bad_pattern(e, pattern, "has dot segments");
		if (n > 2 && memmem(s, n, "**", 2))
			return bad_pattern(e, pattern, "has '**' within a segment");
		if (++segments > POLICY_PATH_SEGMENTS)
			return bad_pattern(e, pattern, "has too many segments");
		s += n;
	}
	return 0;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* segment_matches() - '*' is any run of characters */
static bool segment_matches(const char *p, size_t pn, const char *s, size_t sn, bool wide)
{
	size_t i = 0, at = 0, star = SIZE_MAX, from = 0;

	if (pn == 1 && *p == '*')
		return sn > 0;
	while (at < sn) {
		if (i < pn && p[i] == '*') {
			star = ++i;
			from = at;
		} else if (i < pn && (p[i] == s[at] || (wide && lower(p[i]) == lower(s[at])))) {
			i++;
			at++;
		} else if (star != SIZE_MAX) {
			i = star;
			at = ++from;
		} else
			return false;
	}
	while (i < pn && p[i] == '*')
		i++;
	return i == pn;
}

/* next() - the segment that follows the '/' at *s; false at the end */
static bool next(const char **s, const char *end, const char **ret_seg, size_t *ret_len)
{
	const char *slash;

	if (*s >= end)
		return false;
	*ret_seg = *s + 1;
	slash = memchr(*ret_seg, '/', (size_t)(end - *ret_seg));
	*s = slash ? slash : end;
	*ret_len = (size_t)(*s - *ret_seg);
	return true;
}

bool policy_path_matches(const char *pattern, const char *path, bool wide)
{
	const char *pend = pattern + strlen(pattern), *send = path + strlen(path);
	const char *p = pattern, *s = path, *back_p = NULL, *back_s = NULL;
	const char *pseg = NULL, *sseg = NULL;
	size_t pn = 0, sn = 0;

	if (path[0] != '/')
		return false;
	if (wide && send - path > 1 && send[-1] == '/')
		send--;
	for (;;) {
		const char *s_before = s;
		bool have_p = next(&p, pend, &pseg, &pn), have_s;

		if (have_p && pn == 2 && memcmp(pseg, "**", 2) == 0) {
			back_p = p;
			back_s = s_before;
			s = s_before;
			continue;
		}
		have_s = next(&s, send, &sseg, &sn);
		if (!have_p && !have_s)
			return true;
		if (have_p && have_s && segment_matches(pseg, pn, sseg, sn, wide))
			continue;
		/* let the last "**" take one segment more */
		if (!back_p || !next(&back_s, send, &sseg, &sn))
			return false;
		p = back_p;
		s = back_s;
	}
}
