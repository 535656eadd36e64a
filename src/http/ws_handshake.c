/* The handshake of WebSocket. SHA-1 is part of it by RFC 6455; nothing is kept safe by it. */
#include "http/http1.h"
#include "http/ws.h"
#include <string.h>
#include <strings.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static uint32_t rol(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (unsigned i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		       (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (unsigned i = 16; i < 80; i++)
		w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (unsigned i = 0; i < 80; i++) {
		uint32_t f, k, t;

		if (i < 20) {
			f = (b & c) | (~b & d);
			k = 0x5a827999;
		} else if (i < 40 || i >= 60) {
			f = b ^ c ^ d;
			k = i < 40 ? 0x6ed9eba1 : 0xca62c1d6;
		} else {
			f = (b & c) | (b & d) | (c & d);
			k = 0x8f1bbcdc;
		}
		t = rol(a, 5) + f + e + k + w[i];
		e = d;
		d = c;
		c = rol(b, 30);
		b = a;
		a = t;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

/* sha1() - of at most 119 bytes: two blocks */
static void sha1(const void *p, size_t len, uint8_t md[20])
{
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	uint8_t block[128] = {0};
	size_t n = len + 9 <= 64 ? 64 : 128;

	memcpy(block, p, len);
	block[len] = 0x80;
	block[n - 2] = (uint8_t)(len * 8 >> 8);
	block[n - 1] = (uint8_t)(len * 8);
	sha1_block(h, block);
	if (n == 128)
		sha1_block(h, block + 64);
	for (unsigned i = 0; i < 20; i++)
		md[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const uint8_t *p, size_t len, char *dst)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0) |
			     (i + 2 < len ? p[i + 2] : 0);

		*dst++ = set[v >> 18];
		*dst++ = set[v >> 12 & 63];
		*dst++ = i + 1 < len ? set[v >> 6 & 63] : '=';
		*dst++ = i + 2 < len ? set[v & 63] : '=';
	}
	*dst = '\0';
}

/* key_ok() - 16 bytes in base64: 22 letters, the last of which has four bits to spare, and "==" */
static bool key_ok(const char *key)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	return key && strlen(key) == 24 && strspn(key, set) == 22 && strchr("AQgw", key[21]) &&
	       strcmp(key + 22, "==") == 0;
}

enum ws_handshake ws_check_version(const char *version)
{
	return version && strcmp(version, "13") == 0 ? WS_HANDSHAKE_OK : WS_HANDSHAKE_VERSION;
}

enum ws_handshake ws_check_request(
	const char *method, unsigned minor, const char *key, const char *version)
{
	if (strcmp(method, "GET") != 0 || minor == 0 || !key_ok(key))
		return WS_HANDSHAKE_BAD;
	return ws_check_version(version);
}

void ws_accept(const char *key, char dst[WS_ACCEPT_CAP])
{
	char text[WS_KEY_CAP + sizeof(GUID)];
	uint8_t md[20];
	size_t n = strnlen(key, WS_KEY_CAP - 1);

	memcpy(text, key, n);
	memcpy(text + n, GUID, sizeof(GUID) - 1);
	sha1(text, n + sizeof(GUID) - 1, md);
	base64(md, sizeof(md), dst);
}

void ws_key(const uint8_t random[16], char dst[WS_KEY_CAP])
{
	base64(random, 16, dst);
}

/* one() - the only field @name; false when there are several */
static bool one(const struct egress_fields *f, const char *name, const char **ret_value)
{
	*ret_value = NULL;
	for (uint16_t i = 0; i < f->n; i++) {
		if (strcmp(f->v[i].name, name) != 0)
			continue;
		if (*ret_value)
			return false;
		*ret_value = f->v[i].value;
	}
	return true;
}

/* offered() - is @token in any field @name of what was asked? */
static bool offered(const struct egress_fields *f, const char *name, const char *token)
{
	for (uint16_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].name, name) == 0 && http_has_token(f->v[i].value, token))
			return true;
	return false;
}

/* extension_ok() - at most one, permessage-deflate, and only when it was offered */
static bool extension_ok(const struct egress_fields *asked, const char *got)
{
	static const char word[] = "permessage-deflate";
	size_t n = strcspn(got, "; \t");

	if (n != sizeof(word) - 1 || strncasecmp(got, word, n) != 0 || strchr(got, ','))
		return false;
	for (uint16_t i = 0; i < asked->n; i++)
		if (strcmp(asked->v[i].name, "sec-websocket-extensions") == 0 &&
			strcasestr(asked->v[i].value, word))
			return true;
	return false;
}

bool ws_check_response(
	const char *key, const struct egress_fields *asked, const struct egress_fields *got)
{
	char want[WS_ACCEPT_CAP];
	const char *accept, *protocol, *extension;

	if (!one(got, "sec-websocket-accept", &accept) ||
		!one(got, "sec-websocket-protocol", &protocol) ||
		!one(got, "sec-websocket-extensions", &extension))
		return false;
	if (key) {
		ws_accept(key, want);
		if (!accept || strcmp(accept, want) != 0)
			return false;
	}
	if (protocol && (!protocol[0] || strpbrk(protocol, ", \t") ||
				!offered(asked, "sec-websocket-protocol", protocol)))
		return false;
	return !extension || extension_ok(asked, extension);
}

bool ws_deflates(const struct egress_fields *got)
{
	const char *e = egress_field(got, "sec-websocket-extensions");

	return e && strncasecmp(e, "permessage-deflate", 18) == 0;
}
