#include "tls/hello.h"
#include <string.h>

#define RECORD_HEAD	 5
#define RECORD_MAX	 16384
#define RECORD_HANDSHAKE 22
#define CLIENT_HELLO	 1
#define EXT_SERVER_NAME	 0
#define EXT_ALPN	 16
#define EXT_EARLY_DATA	 42
#define EXT_VERSIONS	 43
#define EXT_ECH		 0xfe0d
#define EXTENSIONS_MAX	 64
#define VERSION_12	 0x0303

/* A cursor over big-endian bytes; base/wire.h is little-endian. */
struct cursor {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || n > c->left) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	c->left -= n;
	return p;
}

/* number() - of @bytes bytes, at most 3 */
static uint32_t number(struct cursor *c, size_t bytes)
{
	const uint8_t *p = take(c, bytes);
	uint32_t v = 0;

	for (size_t i = 0; p && i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

/* vector() - what follows a length of @bytes bytes */
static struct cursor vector(struct cursor *c, size_t bytes)
{
	size_t n = number(c, bytes);
	const uint8_t *p = take(c, n);

	return (struct cursor){.p = p, .left = p ? n : 0, .bad = !p};
}

static bool used_up(const struct cursor *c)
{
	return !c->bad && c->left == 0;
}

static bool get_sni(struct cursor c, struct tls_hello *h)
{
	struct cursor list = vector(&c, 2), name;
	uint32_t type = number(&list, 1);

	name = vector(&list, 2);
	/* RFC 6066: one name per type, and there is one type only */
	if (!used_up(&c) || !used_up(&list) || name.bad || type != 0 || name.left == 0 ||
		name.left > TLS_SNI_MAX || memchr(name.p, '\0', name.left))
		return false;
	memcpy(h->sni, name.p, name.left);
	h->sni[name.left] = '\0';
	return true;
}

static bool get_alpn(struct cursor c, struct tls_hello *h)
{
	struct cursor list = vector(&c, 2);

	h->alpn = true;
	if (!used_up(&c) || list.bad || list.left == 0)
		return false;
	while (list.left > 0) {
		struct cursor proto = vector(&list, 1);

		if (proto.bad || proto.left == 0)
			return false;
		if (proto.left == 2 && memcmp(proto.p, "h2", 2) == 0)
			h->alpn_h2 = true;
		else if (proto.left == 8 && memcmp(proto.p, "http/1.1", 8) == 0)
			h->alpn_http11 = true;
		else
			h->alpn_other = true;
	}
	return true;
}

static bool get_versions(struct cursor c, struct tls_hello *h)
{
	struct cursor list = vector(&c, 1);

	if (!used_up(&c) || list.bad || list.left == 0 || list.left % 2 != 0)
		return false;
	h->version = 0;
	while (list.left > 0) {
		uint16_t v = (uint16_t)number(&list, 2);

		/* 0x?a?a are placeholders that mean nothing (RFC 8701) */
		if ((v & 0x0f0f) != 0x0a0a && v > h->version)
			h->version = v;
	}
	return true;
}

static bool get_extension(uint16_t type, struct cursor body, struct tls_hello *h)
{
	switch (type) {
	case EXT_SERVER_NAME:
		return get_sni(body, h);
	case EXT_ALPN:
		return get_alpn(body, h);
	case EXT_VERSIONS:
		return get_versions(body, h);
	case EXT_ECH:
		h->ech = true;
		return true;
	case EXT_EARLY_DATA:
		h->early_data = true;
		return true;
	default:
		return true;
	}
}

static bool get_extensions(struct cursor c, struct tls_hello *h)
{
	uint16_t seen[EXTENSIONS_MAX];
	size_t n = 0;

	while (c.left > 0) {
		uint16_t type = (uint16_t)number(&c, 2);
		struct cursor body = vector(&c, 2);

		if (body.bad || n == EXTENSIONS_MAX)
			return false;
		for (size_t i = 0; i < n; i++)
			if (seen[i] == type)
				return false;
		seen[n++] = type;
		if (!get_extension(type, body, h))
			return false;
	}
	return !c.bad;
}

static bool get_hello(struct cursor c, struct tls_hello *h)
{
	struct cursor session, suites, compression, extensions;
	uint32_t legacy = number(&c, 2);

	(void)take(&c, 32); /* random */
	session = vector(&c, 1);
	suites = vector(&c, 2);
	compression = vector(&c, 1);
	if (c.bad || session.bad || session.left > 32 || suites.bad || suites.left == 0 ||
		suites.left % 2 != 0 || compression.bad || compression.left == 0)
		return false;
	h->version = (uint16_t)(legacy > VERSION_12 ? VERSION_12 : legacy);
	if (c.left == 0)
		return true; /* TLS 1.2 without extensions */
	extensions = vector(&c, 2);
	return used_up(&c) && !extensions.bad && get_extensions(extensions, h);
}

/* join() - the handshake bytes of the records at @p into @dst
 * TLS_HELLO_OK: *ret_len of them, a whole ClientHello and nothing else.
 */
static enum tls_hello_result join(
	const uint8_t *p, size_t len, uint8_t dst[TLS_HELLO_MAX], size_t *ret_len)
{
	size_t got = 0, need = 4;

	while (got < need) {
		size_t n, whole;

		if ((len > 0 && p[0] != RECORD_HANDSHAKE) || (len > 1 && p[1] != 3) ||
			(len > 2 && p[2] > 4))
			return got == 0 ? TLS_HELLO_OTHER : TLS_HELLO_BAD;
		if (len < RECORD_HEAD)
			return TLS_HELLO_MORE;
		whole = (size_t)p[3] << 8 | p[4];
		if (whole == 0 || whole > RECORD_MAX || whole > TLS_HELLO_MAX - got)
			return TLS_HELLO_BAD;
		n = whole < len - RECORD_HEAD ? whole : len - RECORD_HEAD;
		memcpy(dst + got, p + RECORD_HEAD, n);
		got += n;
		if (got > 0 && dst[0] != CLIENT_HELLO)
			return TLS_HELLO_BAD;
		if (got >= 4)
			need = 4 + ((size_t)dst[1] << 16 | (size_t)dst[2] << 8 | dst[3]);
		/* nothing may follow the message in its last record */
		if (need > TLS_HELLO_MAX || (got >= 4 && got - n + whole > need))
			return TLS_HELLO_BAD;
		if (n < whole)
			return TLS_HELLO_MORE;
		p += RECORD_HEAD + n;
		len -= RECORD_HEAD + n;
	}
	*ret_len = got;
	return got == need ? TLS_HELLO_OK : TLS_HELLO_BAD;
}

enum tls_hello_result tls_hello_parse(const void *p, size_t len, struct tls_hello *ret_hello)
{
	uint8_t bytes[TLS_HELLO_MAX];
	struct tls_hello h = {0};
	enum tls_hello_result r;
	size_t n = 0;

	*ret_hello = h;
	r = join(p, len, bytes, &n);
	if (r == TLS_HELLO_MORE && len >= TLS_HELLO_BYTES)
		return TLS_HELLO_BAD;
	if (r != TLS_HELLO_OK)
		return r;
	if (!get_hello((struct cursor){.p = bytes + 4, .left = n - 4}, &h))
		return TLS_HELLO_BAD;
	*ret_hello = h;
	return TLS_HELLO_OK;
}
