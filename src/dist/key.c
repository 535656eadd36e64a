#include "dist/key.h"
#include <errno.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 600000 /* of PBKDF2 over SHA-256, for new private keys */

struct dist_key {
	EVP_PKEY *p;
	bool is_private;
};

void dist_key_free(struct dist_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->p);
	free(k);
}

void dist_key_freep(struct dist_key **k)
{
	dist_key_free(*k);
}

static int nomem(struct err *e)
{
	return err_sys(e, -ENOMEM, "use a key");
}

/* take() - @p as a key, if it is one on P-256; @p is ours or gone */
static int take(
	const char *name, EVP_PKEY *p, bool is_private, struct dist_key **ret, struct err *e)
{
	char group[32] = "";
	struct dist_key *k;

	if (EVP_PKEY_get_base_id(p) != EVP_PKEY_EC ||
		EVP_PKEY_get_group_name(p, group, sizeof(group), NULL) != 1 ||
		strcmp(group, "prime256v1") != 0) {
		EVP_PKEY_free(p);
		return err_set(e, ERR_INVALID, -EINVAL,
			"'%.200s' is no key for ECDSA on P-256: others are not taken", name);
	}
	k = calloc(1, sizeof(*k));
	if (!k) {
		EVP_PKEY_free(p);
		return nomem(e);
	}
	*k = (struct dist_key){.p = p, .is_private = is_private};
	*ret = k;
	return 0;
}

int dist_key_public(
	const char *name, const char *text, size_t len, struct dist_key **ret, struct err *e)
{
	BIO *in = len <= DIST_KEY_FILE_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
	EVP_PKEY *p = in ? PEM_read_bio_PUBKEY(in, NULL, NULL, NULL) : NULL;

	BIO_free(in);
	if (!p)
		return err_set(e, ERR_INVALID, -EINVAL,
			"'%.200s' is no public key in PEM form (BEGIN PUBLIC KEY)", name);
	return take(name, p, false, ret, e);
}

struct asked {
	const char *password;
	bool was;
};

static int give_password(char *dst, int cap, int writing, void *arg)
{
	struct asked *a = arg;
	size_t n = a->password ? strlen(a->password) : 0;

	(void)writing;
	a->was = true;
	if (!a->password || n > (size_t)cap)
		return -1;
	memcpy(dst, a->password, n);
	return (int)n;
}

int dist_key_private(const char *name, const char *text, size_t len, const char *password,
	struct dist_key **ret, struct err *e)
{
	struct asked asked = {.password = password};
	BIO *in = len <= DIST_KEY_FILE_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
	EVP_PKEY *p = in ? PEM_read_bio_PrivateKey(in, NULL, give_password, &asked) : NULL;

	BIO_free(in);
	if (p)
		return take(name, p, true, ret, e);
	if (strstr(text, "SIGSTORE PRIVATE KEY") || strstr(text, "COSIGN PRIVATE KEY")) {
		int r = err_set(e, ERR_INVALID, -EINVAL,
			"'%.200s' is a private key in cosign's own form, which is not read", name);

		err_hint(e,
			"sbx kit keygen makes one in PKCS#8, which cosign import-key-pair takes");
		return r;
	}
	if (asked.was && !password)
		return err_set(e, ERR_DENIED, -ENOKEY, "'%.200s' needs a password", name);
	if (asked.was)
		return err_set(e, ERR_DENIED, -EKEYREJECTED,
			"'%.200s': the password is wrong, or the file is damaged", name);
	return err_set(e, ERR_INVALID, -EINVAL, "'%.200s' is no private key in PEM form", name);
}

/* ---- making ---- */

static int add_bio(BIO *bio, struct buf *out)
{
	char *bytes = NULL;
	long n = BIO_get_mem_data(bio, &bytes);

	return n > 0 ? buf_add(out, bytes, (size_t)n) : -ENOMEM;
}

/* put_private() - PKCS#8, encrypted when there is a password */
static int put_private(EVP_PKEY *p, const char *password, BIO *out)
{
	PKCS8_PRIV_KEY_INFO *plain;
	X509_SIG *sealed = NULL;
	int ok;

	if (!password || !password[0])
		return PEM_write_bio_PKCS8PrivateKey(out, p, NULL, NULL, 0, NULL, NULL);
	plain = EVP_PKEY2PKCS8(p);
	if (plain)
		sealed = PKCS8_encrypt(-1, EVP_aes_256_cbc(), password, (int)strlen(password), NULL,
			16, ROUNDS, plain);
	ok = sealed && PEM_write_bio_PKCS8(out, sealed);
	X509_SIG_free(sealed);
	PKCS8_PRIV_KEY_INFO_free(plain);
	return ok;
}

int dist_key_make(
	const char *password, struct buf *private_pem, struct buf *public_pem, struct err *e)
{
	EVP_PKEY *p = EVP_EC_gen("P-256");
	BIO *secret = BIO_new(BIO_s_secmem()), *open = BIO_new(BIO_s_mem());
	int r = -ENOMEM;

	if (password && strlen(password) > DIST_PASSWORD_MAX)
		r = -EINVAL;
	else if (p && secret && open && put_private(p, password, secret) == 1 &&
		 PEM_write_bio_PUBKEY(open, p) == 1)
		r = add_bio(secret, private_pem);
	if (r == 0)
		r = add_bio(open, public_pem);
	BIO_free(secret);
	BIO_free(open);
	EVP_PKEY_free(p);
	return r < 0 ? err_sys(e, r, "make a key") : 0;
}

/* ---- signing ---- */

void dist_base64(const void *p, size_t len, char *dst)
{
	(void)EVP_EncodeBlock((unsigned char *)dst, p, (int)len);
}

int dist_unbase64(const char *text, unsigned char *dst, size_t cap)
{
	unsigned char all[DIST_SIG_MAX];
	size_t n = strlen(text), pad = 0;
	int len;

	if (n == 0 || n % 4 || n > sizeof(all))
		return -1;
	if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != n)
		return -1;
	while (pad < 2 && text[n - 1 - pad] == '=')
		pad++;
	if (memchr(text, '=', n - pad))
		return -1;
	len = EVP_DecodeBlock(all, (const unsigned char *)text, (int)n);
	if (len < 0 || (size_t)len < pad || (size_t)len - pad > cap)
		return -1;
	memcpy(dst, all, (size_t)len - pad);
	return len - (int)pad;
}

bool dist_sha256(const void *p, size_t len, char ret_hex[65])
{
	unsigned char md[32];
	unsigned n = sizeof(md);

	if (EVP_Digest(p, len, md, &n, EVP_sha256(), NULL) != 1)
		return false;
	for (size_t i = 0; i < sizeof(md); i++)
		(void)snprintf(ret_hex + 2 * i, 3, "%02x", md[i]);
	return true;
}

int dist_key_hint(const struct dist_key *k, char ret[DIST_HINT_MAX])
{
	unsigned char *der = NULL, md[32];
	int n = i2d_PUBKEY(k->p, &der);
	unsigned len = sizeof(md);
	int ok = n > 0 && EVP_Digest(der, (size_t)n, md, &len, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	if (!ok)
		return -ENOMEM;
	dist_base64(md, sizeof(md), ret);
	return 0;
}

int dist_sign(
	const struct dist_key *k, const void *p, size_t len, char ret[DIST_SIG_MAX], struct err *e)
{
	unsigned char der[128];
	size_t n = sizeof(der);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	int ok = c && k->is_private && EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, k->p) == 1 &&
		 EVP_DigestSign(c, der, &n, p, len) == 1;

	EVP_MD_CTX_free(c);
	if (!ok)
		return err_set(e, ERR_INTERNAL, -EIO, "libcrypto could not sign");
	dist_base64(der, n, ret);
	return 0;
}

bool dist_signed(const struct dist_key *k, const void *p, size_t len, const char *signature)
{
	unsigned char der[128];
	int n = dist_unbase64(signature, der, sizeof(der));
	EVP_MD_CTX *c;
	bool ok;

	if (n <= 0)
		return false;
	c = EVP_MD_CTX_new();
	ok = c && EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, k->p) == 1 &&
	     EVP_DigestVerify(c, der, (size_t)n, p, len) == 1;
	EVP_MD_CTX_free(c);
	return ok;
}
