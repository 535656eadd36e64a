#include "egress/text.h"
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void text_base64(const void *p, size_t len, char *dst)
{
	const uint8_t *in = p;

	for (; len >= 3; len -= 3, in += 3) {
		uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

		for (unsigned i = 0; i < 4; i++)
			*dst++ = alphabet[v >> (18 - 6 * i) & 63];
	}
	if (len) {
		uint32_t v = (uint32_t)in[0] << 16 | (len > 1 ? (uint32_t)in[1] << 8 : 0);

		*dst++ = alphabet[v >> 18 & 63];
		*dst++ = alphabet[v >> 12 & 63];
		*dst++ = len > 1 ? alphabet[v >> 6 & 63] : '=';
		*dst++ = '=';
	}
	*dst = '\0';
}

static int value(char c)
{
	const char *at;

	if (c == '-')
		c = '+';
	if (c == '_')
		c = '/';
	at = c ? memchr(alphabet, c, 64) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

ssize_t text_unbase64(const char *p, size_t len, void *dst, size_t cap)
{
	uint8_t *out = dst;
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;

	while (len > 0 && p[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++) {
		int v = value(p[i]);

		if (v < 0)
			return -1;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (n == cap)
			return -1;
		out[n++] = (uint8_t)(bits >> have);
	}
	return (ssize_t)n;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t text_unpercent(const char *p, size_t len, char *dst)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (p[i] == '%' && len - i > 2 && hex(p[i + 1]) >= 0 && hex(p[i + 2]) >= 0) {
			dst[n++] = (char)(hex(p[i + 1]) << 4 | hex(p[i + 2]));
			i += 2;
		} else {
			dst[n++] = p[i];
		}
	}
	return n;
}

static const char *digits(bool upper)
{
	return upper ? "0123456789ABCDEF" : "0123456789abcdef";
}

size_t text_percent(const void *p, size_t len, bool upper, char *dst)
{
	const uint8_t *in = p;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = in[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			(c && strchr("-._~", c))) {
			dst[n++] = (char)c;
		} else {
			dst[n++] = '%';
			dst[n++] = digits(upper)[c >> 4];
			dst[n++] = digits(upper)[c & 15];
		}
	}
	dst[n] = '\0';
	return n;
}

void text_hex(const void *p, size_t len, bool upper, char *dst)
{
	const uint8_t *in = p;

	for (size_t i = 0; i < len; i++) {
		*dst++ = digits(upper)[in[i] >> 4];
		*dst++ = digits(upper)[in[i] & 15];
	}
	*dst = '\0';
}

size_t text_jwt(const char *p, size_t len)
{
	size_t part = 0, dots = 0, signature = 0;

	if (len < 4 || memcmp(p, "eyJ", 3) != 0) /* {" */
		return 0;
	for (size_t i = 0; i < len; i++) {
		bool digit = (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= 'a' && p[i] <= 'z') ||
			     (p[i] >= '0' && p[i] <= '9') || p[i] == '-' || p[i] == '_';

		if (digit) {
			part++;
			continue;
		}
		if (p[i] != '.' || part == 0 || ++dots > 2)
			return 0;
		part = 0;
		signature = i + 1;
	}
	return dots == 2 && part >= TEXT_SIGNATURE_MIN ? signature : 0;
}
