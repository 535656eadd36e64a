#include "store/age.h"
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FIRST_LINE "age-encryption.org/v1\n"
#define STANZA	   "-> X25519 "
#define FILE_KEY   16
#define TAG	   16
#define NONCE	   16
#define MAC	   32
#define CHUNK	   65536
#define B64_32	   43 /* characters of 32 bytes, without padding */
#define HEADER_MAX 8192

/* ---- text forms ---- */

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void b64_put32(const unsigned char p[32], char dst[B64_32 + 1])
{
	unsigned acc = 0, bits = 0, n = 0;

	for (unsigned i = 0; i < 32; i++) {
		acc = acc << 8 | p[i];
		for (bits += 8; bits >= 6; bits -= 6)
			dst[n++] = b64[acc >> (bits - 6) & 63];
	}
	dst[n++] = b64[acc << (6 - bits) & 63];
	dst[n] = '\0';
}

/* b64_get32() - exactly 43 characters, the unused bits zero: one text for one value */
static bool b64_get32(const char *s, size_t len, unsigned char dst[32])
{
	unsigned acc = 0, bits = 0, n = 0;

	if (len != B64_32)
		return false;
	for (size_t i = 0; i < len; i++) {
		const char *at = s[i] ? strchr(b64, s[i]) : NULL;

		if (!at)
			return false;
		acc = acc << 6 | (unsigned)(at - b64);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			dst[n++] = (unsigned char)(acc >> bits);
		}
	}
	return n == 32 && (acc & ((1U << bits) - 1)) == 0;
}

/* Bech32 (BIP 173) for 32 bytes under the prefix of secret keys. */
#define HRP	   "age-secret-key-"
#define BECH_DATA  52
#define BECH_CHECK 6
static const char bech[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t bech_step(uint32_t c, unsigned v)
{
	static const uint32_t g[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
	uint32_t top = c >> 25;

	c = (c & 0x1ffffff) << 5 ^ v;
	for (unsigned i = 0; i < 5; i++)
		if (top >> i & 1)
			c ^= g[i];
	return c;
}

static uint32_t bech_start(void)
{
	uint32_t c = 1;

	for (const char *s = HRP; *s; s++)
		c = bech_step(c, (unsigned)*s >> 5);
	c = bech_step(c, 0);
	for (const char *s = HRP; *s; s++)
		c = bech_step(c, (unsigned)*s & 31);
	return c;
}

void age_identity_print(const struct age_identity *id, char dst[AGE_TEXT_BYTES])
{
	unsigned acc = 0, bits = 0, n = 0;
	char data[BECH_DATA + BECH_CHECK + 1];
	uint32_t c = bech_start();

	for (unsigned i = 0; i < AGE_KEY_BYTES || bits > 0; i++) {
		acc = acc << 8 | (i < AGE_KEY_BYTES ? id->secret[i] : 0);
		bits = i < AGE_KEY_BYTES ? bits + 8 : 5;
		if (i >= AGE_KEY_BYTES)
			acc >>= 8 - (5 - (AGE_KEY_BYTES * 8) % 5);
		for (; bits >= 5; bits -= 5) {
			unsigned v = acc >> (bits - 5) & 31;

			c = bech_step(c, v);
			data[n++] = bech[v];
		}
	}
	for (unsigned i = 0; i < BECH_CHECK; i++)
		c = bech_step(c, 0);
	c ^= 1;
	for (unsigned i = 0; i < BECH_CHECK; i++)
		data[n++] = bech[c >> (5 * (5 - i)) & 31];
	data[n] = '\0';
	(void)snprintf(dst, AGE_TEXT_BYTES, "%s1%s", HRP, data);
	for (char *s = dst; *s; s++)
		if (*s >= 'a' && *s <= 'z')
			*s = (char)(*s - 32);
	explicit_bzero(data, sizeof(data));
}

static int derive_recipient(struct age_identity *id)
{
	EVP_PKEY *key =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, id->secret, AGE_KEY_BYTES);
	size_t n = AGE_KEY_BYTES;
	int r = key && EVP_PKEY_get_raw_public_key(key, id->recipient, &n) == 1 ? 0 : -ENOMEM;

	EVP_PKEY_free(key);
	return r;
}

int age_identity_parse(const char *text, struct age_identity *ret_id)
{
	unsigned acc = 0, bits = 0, n = 0;
	size_t len = strlen(text), skip = sizeof(HRP); /* the prefix and its '1' */
	struct age_identity id;
	uint32_t c = bech_start();

	if (len != skip + BECH_DATA + BECH_CHECK || strncasecmp(text, HRP "1", skip) != 0)
		return -EINVAL;
	for (size_t i = skip; i < len; i++) {
		char low = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
		const char *at = strchr(bech, low);

		if (!at)
			return -EINVAL;
		c = bech_step(c, (unsigned)(at - bech));
		if (i >= len - BECH_CHECK)
			continue;
		acc = acc << 5 | (unsigned)(at - bech);
		bits += 5;
		if (bits >= 8 && n < AGE_KEY_BYTES) {
			bits -= 8;
			id.secret[n++] = (unsigned char)(acc >> bits);
		}
	}
	if (c != 1 || n != AGE_KEY_BYTES || (acc & ((1U << bits) - 1)) != 0 ||
		derive_recipient(&id) < 0) {
		age_identity_wipe(&id);
		return -EINVAL;
	}
	*ret_id = id;
	age_identity_wipe(&id);
	return 0;
}

int age_identity_new(struct age_identity *ret_id)
{
	if (RAND_priv_bytes(ret_id->secret, AGE_KEY_BYTES) != 1)
		return -EIO;
	return derive_recipient(ret_id);
}

void age_identity_wipe(struct age_identity *id)
{
	explicit_bzero(id, sizeof(*id));
}

/* ---- arithmetic ---- */

static bool hkdf(const void *key, size_t key_len, const void *salt, size_t salt_len,
	const char *info, unsigned char ret[32])
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM p[5], *at = p;
	bool ok;

	*at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0);
	*at++ = OSSL_PARAM_construct_octet_string(
		OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key, key_len);
	*at++ = OSSL_PARAM_construct_octet_string(
		OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, strlen(info));
	if (salt_len > 0)
		*at++ = OSSL_PARAM_construct_octet_string(
			OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, salt_len);
	*at = OSSL_PARAM_construct_end();
	ok = ctx && EVP_KDF_derive(ctx, ret, 32, p) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

static bool agree(
	const unsigned char secret[32], const unsigned char peer[32], unsigned char ret[32])
{
	EVP_PKEY *a = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, secret, 32);
	EVP_PKEY *b = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, 32);
	EVP_PKEY_CTX *ctx = a ? EVP_PKEY_CTX_new(a, NULL) : NULL;
	size_t n = 32;
	/* libcrypto refuses a result of all zeros, as the format asks */
	bool ok = b && ctx && EVP_PKEY_derive_init(ctx) == 1 &&
		  EVP_PKEY_derive_set_peer(ctx, b) == 1 && EVP_PKEY_derive(ctx, ret, &n) == 1;

	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
	return ok;
}

/* chacha() - one message: @len bytes and the tag, one way or the other; false: the tag is wrong */
static bool chacha(bool seal, const unsigned char key[32], const unsigned char nonce[12],
	const unsigned char *in, size_t len, unsigned char *out, unsigned char tag[TAG])
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	unsigned char rest[TAG];
	int n = 0;
	bool ok = c &&
		  EVP_CipherInit_ex2(c, EVP_chacha20_poly1305(), key, nonce, seal, NULL) == 1 &&
		  (seal || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1) &&
		  (len == 0 || EVP_CipherUpdate(c, out, &n, in, (int)len) == 1) &&
		  EVP_CipherFinal_ex(c, rest, &n) == 1 &&
		  (!seal || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, tag) == 1);

	EVP_CIPHER_CTX_free(c);
	return ok;
}

static bool header_mac(const unsigned char file_key[FILE_KEY], const char *header, size_t len,
	unsigned char ret[MAC])
{
	unsigned char key[32];
	size_t n = 0;
	bool ok = hkdf(file_key, FILE_KEY, NULL, 0, "header", key) &&
		  EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, sizeof(key),
			  (const unsigned char *)header, len, ret, MAC, &n) &&
		  n == MAC;

	explicit_bzero(key, sizeof(key));
	return ok;
}

/* wrap_key() - what the file key is sealed with, from either side of the agreement */
static bool wrap_key(const unsigned char secret[32], const unsigned char peer[32],
	const unsigned char share[32], const unsigned char recipient[32], unsigned char ret[32])
{
	unsigned char shared[32], salt[64];
	bool ok;

	memcpy(salt, share, 32);
	memcpy(salt + 32, recipient, 32);
	ok = agree(secret, peer, shared) &&
	     hkdf(shared, 32, salt, 64, "age-encryption.org/v1/X25519", ret);
	explicit_bzero(shared, sizeof(shared));
	return ok;
}

static void chunk_nonce(unsigned char dst[12], uint64_t n, bool last)
{
	memset(dst, 0, 12);
	for (unsigned i = 0; i < 8; i++)
		dst[10 - i] = (unsigned char)(n >> (8 * i));
	dst[11] = last;
}

/* ---- seal ---- */

/* put_stanza() - the file key, for one recipient */
static int put_stanza(const unsigned char recipient[AGE_KEY_BYTES],
	const unsigned char file_key[FILE_KEY], struct buf *out)
{
	static const unsigned char zero[12];
	struct age_identity once;
	unsigned char key[32], body[32];
	char share[B64_32 + 1], text[B64_32 + 1];
	bool ok;
	int r = age_identity_new(&once);

	if (r < 0)
		return r;
	ok = wrap_key(once.secret, recipient, once.recipient, recipient, key) &&
	     chacha(true, key, zero, file_key, FILE_KEY, body, body + FILE_KEY);
	b64_put32(once.recipient, share);
	b64_put32(body, text);
	age_identity_wipe(&once);
	explicit_bzero(key, sizeof(key));
	return ok ? buf_addf(out, STANZA "%s\n%s\n", share, text) : -EIO;
}

static int put_header(const unsigned char *const *recipients, size_t n,
	const unsigned char file_key[FILE_KEY], struct buf *out)
{
	unsigned char mac[MAC];
	char text[B64_32 + 1];
	size_t start = out->len;
	int r = n == 0 || n > AGE_RECIPIENTS_MAX ? -EINVAL
						 : buf_add(out, FIRST_LINE, strlen(FIRST_LINE));

	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_stanza(recipients[i], file_key, out);
	if (r == 0)
		r = buf_add(out, "---", 3);
	if (r == 0 && !header_mac(file_key, out->data + start, out->len - start, mac))
		r = -EIO;
	if (r == 0) {
		b64_put32(mac, text);
		r = buf_addf(out, " %s\n", text);
	}
	return r;
}

static int put_payload(
	const unsigned char file_key[FILE_KEY], const unsigned char *p, size_t len, struct buf *out)
{
	unsigned char nonce[NONCE], key[32], n12[12], tag[TAG];
	uint64_t count = 0;
	int r;

	if (RAND_bytes(nonce, NONCE) != 1 ||
		!hkdf(file_key, FILE_KEY, nonce, NONCE, "payload", key))
		return -EIO;
	r = buf_add(out, nonce, NONCE);
	do {
		size_t n = len < CHUNK ? len : CHUNK;
		char *room;

		if (r == 0)
			r = buf_room(out, n + TAG, &room);
		if (r < 0)
			break;
		chunk_nonce(n12, count++, n == len);
		if (!chacha(true, key, n12, p, n, (unsigned char *)room, tag)) {
			r = -EIO;
			break;
		}
		memcpy(room + n, tag, TAG);
		buf_grew(out, n + TAG);
		p += n;
		len -= n;
	} while (len > 0);
	explicit_bzero(key, sizeof(key));
	return r;
}

int age_seal(const unsigned char *const *recipients, size_t n, const void *p, size_t len,
	struct buf *out)
{
	unsigned char file_key[FILE_KEY];
	size_t start = out->len;
	int r = RAND_priv_bytes(file_key, FILE_KEY) == 1 ? 0 : -EIO;

	if (r == 0)
		r = put_header(recipients, n, file_key, out);
	if (r == 0)
		r = put_payload(file_key, p, len, out);
	explicit_bzero(file_key, sizeof(file_key));
	if (r < 0)
		out->len = start;
	return r;
}

/* ---- open ---- */

/* line() - the next line of the header, without its LF; NULL: none within the limits */
static const char *line(const char **at, const char *end, size_t *ret_len)
{
	const char *start = *at, *nl = memchr(start, '\n', (size_t)(end - start));

	if (!nl)
		return NULL;
	*ret_len = (size_t)(nl - start);
	*at = nl + 1;
	return start;
}

static bool try_stanza(const struct age_identity *id, const char *share_text, size_t share_len,
	const char *body_text, size_t body_len, unsigned char file_key[FILE_KEY])
{
	static const unsigned char zero[12];
	unsigned char share[32], body[32], key[32];
	bool ok;

	if (!b64_get32(share_text, share_len, share) || !b64_get32(body_text, body_len, body))
		return false;
	ok = wrap_key(id->secret, share, share, id->recipient, key) &&
	     chacha(false, key, zero, body, FILE_KEY, file_key, body + FILE_KEY);
	explicit_bzero(key, sizeof(key));
	return ok;
}

/* get_header() - *ret_used bytes are the header's */
static int get_header(const struct age_identity *id, const char *p, size_t len,
	unsigned char file_key[FILE_KEY], size_t *ret_used)
{
	const char *end = p + (len < HEADER_MAX ? len : HEADER_MAX), *at = p, *s;
	unsigned char mac[MAC], want[MAC];
	bool found = false;
	size_t n;

	s = line(&at, end, &n);
	if (!s || n + 1 != sizeof(FIRST_LINE) - 1 || memcmp(s, FIRST_LINE, n) != 0)
		return -EBADMSG;
	while ((s = line(&at, end, &n))) {
		if (n == 4 + B64_32 && memcmp(s, "--- ", 4) == 0) {
			if (!found)
				return -EKEYREJECTED;
			if (!b64_get32(s + 4, B64_32, want) ||
				!header_mac(file_key, p, (size_t)(s - p) + 3, mac) ||
				CRYPTO_memcmp(mac, want, MAC) != 0)
				return -EBADMSG;
			*ret_used = (size_t)(at - p);
			return 0;
		}
		if (n > sizeof(STANZA) - 1 && memcmp(s, STANZA, sizeof(STANZA) - 1) == 0 &&
			!found) {
			const char *share = s + sizeof(STANZA) - 1;
			size_t share_len = n - (sizeof(STANZA) - 1);

			s = line(&at, end, &n);
			found = s && try_stanza(id, share, share_len, s, n, file_key);
		}
	}
	return -EBADMSG;
}

static int get_payload(
	const unsigned char file_key[FILE_KEY], const unsigned char *p, size_t len, struct buf *out)
{
	unsigned char key[32], n12[12], tag[TAG];
	uint64_t count = 0;
	bool last;
	int r = 0;

	if (len < NONCE + TAG || !hkdf(file_key, FILE_KEY, p, NONCE, "payload", key))
		return -EBADMSG;
	p += NONCE;
	len -= NONCE;
	{
		char *all; /* taken at once: growing would leave copies behind */

		r = buf_room(out, len, &all);
		if (r < 0)
			return r;
	}
	do {
		size_t n = len < CHUNK + TAG ? len : CHUNK + TAG;
		char *room;

		last = n == len;
		/* an empty last chunk stands alone only */
		r = n < TAG || (n == TAG && count > 0) ? -EBADMSG : buf_room(out, n, &room);
		if (r < 0)
			break;
		memcpy(tag, p + n - TAG, TAG);
		chunk_nonce(n12, count++, last);
		if (!chacha(false, key, n12, p, n - TAG, (unsigned char *)room, tag)) {
			r = -EBADMSG;
			break;
		}
		buf_grew(out, n - TAG);
		p += n;
		len -= n;
	} while (!last);
	explicit_bzero(key, sizeof(key));
	return r;
}

int age_open(const struct age_identity *id, const void *p, size_t len, struct buf *out)
{
	unsigned char file_key[FILE_KEY] = {0};
	size_t start = out->len, used = 0;
	int r = len > AGE_FILE_MAX ? -EBADMSG : get_header(id, p, len, file_key, &used);

	if (r == 0)
		r = get_payload(file_key, (const unsigned char *)p + used, len - used, out);
	explicit_bzero(file_key, sizeof(file_key));
	if (r < 0 && out->data) {
		explicit_bzero(out->data + start, out->len - start);
		out->len = start;
	}
	return r;
}
