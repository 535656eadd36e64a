#include "base/escape.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

size_t utf8_decode(const char *s, size_t len, unsigned *ret_cp)
{
	const unsigned char *u = (const unsigned char *)s;
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned cp;
	size_t n;

	if (len == 0)
		return 0;
	if (u[0] < 0x80) {
		*ret_cp = u[0];
		return 1;
	}
	if ((u[0] & 0xe0) == 0xc0) {
		n = 2;
		cp = u[0] & 0x1f;
	} else if ((u[0] & 0xf0) == 0xe0) {
		n = 3;
		cp = u[0] & 0x0f;
	} else if ((u[0] & 0xf8) == 0xf0) {
		n = 4;
		cp = u[0] & 0x07;
	} else {
		return 0;
	}
	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (u[i] & 0x3f);
	}
	if (cp < least[n] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0;
	*ret_cp = cp;
	return n;
}

static bool is_shown(unsigned cp)
{
	if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == '\\')
		return false;
	if (cp == 0xad || cp == 0x61c || cp == 0x180e || cp == 0xfeff)
		return false; /* soft hyphen, Arabic letter mark, zero-width */
	if ((cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
		(cp >= 0x2060 && cp <= 0x206f))
		return false; /* zero-width, separators, bidi controls */
	if (cp >= 0xfff9 && cp <= 0xfffb)
		return false; /* interlinear annotation */
	return cp < 0xe0000 || cp > 0xe0fff; /* tags */
}

static int one(char *out, size_t cap, const char *s, size_t n, unsigned cp)
{
	if (n == 0)
		return snprintf(out, cap, "\\x%02x", (unsigned char)s[0]);
	if (is_shown(cp))
		return snprintf(out, cap, "%.*s", (int)n, s);
	switch (cp) {
	case '\n':
		return snprintf(out, cap, "\\n");
	case '\t':
		return snprintf(out, cap, "\\t");
	case '\r':
		return snprintf(out, cap, "\\r");
	case '\\':
		return snprintf(out, cap, "\\\\");
	default:
		return snprintf(out, cap, cp < 0x80 ? "\\x%02x" : "\\u{%x}", cp);
	}
}

/* escape() - @again: what was a backslash before stays one */
static char *escape(char *dst, size_t cap, const char *src, size_t len, bool again)
{
	size_t pos = 0, cut = 0; /* cut: the last place where "..." has room */

	if (cap == 0)
		return dst;
	dst[0] = '\0';
	for (size_t i = 0; i < len;) {
		unsigned cp = 0;
		size_t n = utf8_decode(src + i, len - i, &cp);
		char piece[16];
		size_t k = (size_t)one(piece, sizeof(piece), src + i, n, cp);

		if (again && cp == '\\')
			piece[k = 1] = '\0';

		if (pos + 4 <= cap)
			cut = pos;
		if (pos + k + 1 > cap) {
			(void)snprintf(dst + cut, cap - cut, "...");
			return dst;
		}
		memcpy(dst + pos, piece, k + 1);
		pos += k;
		i += n ? n : 1;
	}
	return dst;
}

char *escape_text(char *dst, size_t cap, const char *src, size_t len)
{
	return escape(dst, cap, src, len, false);
}

char *escape_str(char *dst, size_t cap, const char *src)
{
	return escape_text(dst, cap, src ? src : "", src ? strlen(src) : 0);
}

char *escape_again(char *dst, size_t cap, const char *src)
{
	return escape(dst, cap, src ? src : "", src ? strlen(src) : 0, true);
}
