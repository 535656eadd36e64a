/* The name by which OpenSSL finds a certificate in a directory: SHA-1 over the canonical form of its
 * subject (X509_NAME_hash): every text in UTF-8, lower case, without blanks at its ends and with one
 * where there were several.
 */
#include "guest/trust.h"
#include "guest/der.h"
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END   "-----END CERTIFICATE-----"

static uint32_t rotate(uint32_t v, unsigned by)
{
	return v << by | v >> (32 - by);
}

static void sha1_block(uint32_t h[5], const uint8_t p[64])
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

	for (unsigned i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		       (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (unsigned i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (unsigned i = 0; i < 80; i++) {
		uint32_t f = i < 20   ? (b & c) | (~b & d)
			     : i < 40 ? b ^ c ^ d
			     : i < 60 ? (b & c) | (b & d) | (c & d)
				      : b ^ c ^ d;
		uint32_t k = i < 20   ? 0x5a827999
			     : i < 40 ? 0x6ed9eba1
			     : i < 60 ? 0x8f1bbcdc
				      : 0xca62c1d6;
		uint32_t next = rotate(a, 5) + f + e + k + w[i];

		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = next;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

void trust_sha1(const void *bytes, size_t len, uint8_t dst[20])
{
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	const uint8_t *p = bytes;
	uint8_t last[128] = {0};
	uint64_t bits = (uint64_t)len * 8;
	size_t left = len % 64, end = left < 56 ? 64 : 128;

	for (size_t at = 0; at + 64 <= len; at += 64)
		sha1_block(h, p + at);
	if (left)
		memcpy(last, p + len - left, left);
	last[left] = 0x80;
	for (unsigned i = 0; i < 8; i++)
		last[end - 1 - i] = (uint8_t)(bits >> (8 * i));
	sha1_block(h, last);
	if (end == 128)
		sha1_block(h, last + 64);
	for (unsigned i = 0; i < 20; i++)
		dst[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static int digit64(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

int trust_der(const char *pem, uint8_t dst[TRUST_DER_MAX], size_t *ret_len)
{
	const char *at = strstr(pem, BEGIN), *end = at ? strstr(at, END) : NULL;
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;

	if (!end)
		return -EBADMSG;
	for (at += strlen(BEGIN); at < end; at++) {
		int v = digit64(*at);

		if (v < 0)
			continue;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (n == TRUST_DER_MAX)
			return -EBADMSG;
		dst[n++] = (uint8_t)(bits >> have);
	}
	*ret_len = n;
	return 0;
}

/* subject_of() - Certificate → TBSCertificate → version, serial, algorithm, issuer, validity, subject */
static bool subject_of(struct der cert, struct der *ret)
{
	struct der inner, tbs, skipped;
	uint8_t tag;

	if (!der_enter(&cert, DER_SEQUENCE, &inner) || !der_enter(&inner, DER_SEQUENCE, &tbs))
		return false;
	if (tbs.len > 0 && tbs.p[0] == DER_CONTEXT0 && !der_next(&tbs, &tag, &skipped))
		return false;
	for (unsigned i = 0; i < 4; i++)
		if (!der_next(&tbs, &tag, &skipped))
			return false;
	return der_enter(&tbs, DER_SEQUENCE, ret);
}

/* put() - one element; what is in a name is short */
static size_t put(uint8_t *dst, uint8_t tag, const uint8_t *p, size_t len)
{
	dst[0] = tag;
	dst[1] = (uint8_t)len;
	memmove(dst + 2, p, len);
	return 2 + len;
}

static size_t canonical_text(uint8_t *dst, struct der text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.p[i];
		bool blank = c == ' ' || (c >= '\t' && c <= '\r');

		if (blank && (n == 0 || dst[n - 1] == ' '))
			continue;
		dst[n++] = blank ? ' ' : c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
	}
	return n > 0 && dst[n - 1] == ' ' ? n - 1 : n;
}

/* canonical_part() - a SET of one attribute; 0: of a kind that our authority's name does not have */
static size_t canonical_part(struct der set, uint8_t *dst, size_t cap)
{
	uint8_t inner[128], text[128];
	struct der attr, oid, value;
	uint8_t tag;
	size_t n;

	if (!der_enter(&set, DER_SEQUENCE, &attr) || set.len > 0 ||
		!der_enter(&attr, DER_OID, &oid) || !der_next(&attr, &tag, &value) ||
		(tag != DER_UTF8 && tag != DER_PRINTED && tag != DER_IA5) || value.len > 80 ||
		oid.len > 20 || cap < 128)
		return 0;
	n = canonical_text(text, value);
	value.len = put(inner, DER_OID, oid.p, oid.len);
	value.len += put(inner + value.len, DER_UTF8, text, n);
	n = put(text, DER_SEQUENCE, inner, value.len);
	return put(dst, DER_SET, text, n);
}

int trust_hash(const char *pem, char dst[9])
{
	uint8_t der[TRUST_DER_MAX], name[1024], hash[20];
	struct der cert = {.p = der}, subject, set;
	size_t n = 0;

	if (trust_der(pem, der, &cert.len) < 0 || !subject_of(cert, &subject))
		return -EBADMSG;
	while (subject.len > 0) {
		size_t more = der_enter(&subject, DER_SET, &set)
				      ? canonical_part(set, name + n, sizeof(name) - n)
				      : 0;

		if (more == 0)
			return -EBADMSG;
		n += more;
	}
	trust_sha1(name, n, hash);
	(void)snprintf(dst, 9, "%02x%02x%02x%02x", hash[3], hash[2], hash[1], hash[0]);
	return 0;
}
