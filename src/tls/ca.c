#include "tls/x509.h"
#include "base/buf.h"
#include "base/io.h"
#include "tls/internal.h"
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define DAY 86400

EVP_PKEY *x509_new_key(void)
{
	return EVP_EC_gen("P-256");
}

int x509_set_serial(X509 *x)
{
	unsigned char bytes[16];
	BIGNUM *n = NULL;
	int ok = 0;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return -EIO;
	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and always 16 bytes */
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	if (n)
		ok = BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
	BN_free(n);
	return ok ? 0 : -ENOMEM;
}

int x509_set_times(X509 *x, int64_t from_s, int64_t until_s)
{
	return ASN1_TIME_set(X509_getm_notBefore(x), from_s) &&
			       ASN1_TIME_set(X509_getm_notAfter(x), until_s)
		       ? 0
		       : -ENOMEM;
}

int x509_add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	int ok;

	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!ext)
		return -EINVAL;
	ok = X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	return ok ? 0 : -ENOMEM;
}

static int add_text(X509_NAME *n, const char *field, const char *text)
{
	return X509_NAME_add_entry_by_txt(
		       n, field, MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0) == 1
		       ? 0
		       : -EINVAL;
}

static int fill_ca(X509 *x, EVP_PKEY *key, const char *name, int64_t now_s)
{
	X509_NAME *subject = X509_get_subject_name(x);
	char cn[65];

	(void)snprintf(cn, sizeof(cn), "sbx sandbox %.50s", name);
	/* An hour back: the guest's clock may be behind. */
	if (X509_set_version(x, X509_VERSION_3) != 1 || x509_set_serial(x) < 0 ||
		x509_set_times(x, now_s - 3600, now_s + TLS_CA_DAYS * DAY) < 0 ||
		X509_set_pubkey(x, key) != 1 || add_text(subject, "O", "sbx") < 0 ||
		add_text(subject, "CN", cn) < 0 || X509_set_issuer_name(x, subject) != 1)
		return -ENOMEM;
	if (x509_add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") < 0 ||
		x509_add_ext(x, x, NID_key_usage, "critical,keyCertSign") < 0 ||
		x509_add_ext(x, x, NID_subject_key_identifier, "hash") < 0 ||
		X509_sign(x, key, EVP_sha256()) <= 0)
		return -EINVAL;
	return 0;
}

void tls_ca_free(struct tls_ca *ca)
{
	if (!ca)
		return;
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca);
}

/* finish() - what is derived from key and certificate: the text, the end */
static int finish(struct tls_ca *ca)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	struct tm tm;
	long len = 0;
	int r = -ENOMEM;

	if (b && PEM_write_bio_X509(b, ca->cert) == 1)
		len = BIO_get_mem_data(b, &text);
	if (len > 0 && (size_t)len < sizeof(ca->pem) &&
		ASN1_TIME_to_tm(X509_get0_notAfter(ca->cert), &tm) == 1) {
		memcpy(ca->pem, text, (size_t)len);
		ca->pem[len] = '\0';
		ca->until_s = timegm(&tm);
		r = 0;
	}
	BIO_free(b);
	return r;
}

int tls_ca_make(const char *name, int64_t now_s, struct tls_ca **ret_ca, struct err *e)
{
	struct tls_ca *ca;
	int r = tls_start(e);

	if (r < 0)
		return r;
	ca = calloc(1, sizeof(*ca));
	if (!ca)
		return err_sys(e, -ENOMEM, "make the sandbox's CA");
	ca->key = x509_new_key();
	ca->cert = X509_new();
	if (!ca->key || !ca->cert || fill_ca(ca->cert, ca->key, name, now_s) < 0 ||
		finish(ca) < 0) {
		tls_ca_free(ca);
		return tls_err(e, "make the sandbox's CA");
	}
	*ret_ca = ca;
	return 0;
}

/* ---- the two files ---- */

static int read_pem(int fd, struct buf *out)
{
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return io_read_fd(fd, out);
}

/* is_ca() - a certificate of ours: its own issuer, for this key, allowed to sign leaves */
static bool is_ca(X509 *x, EVP_PKEY *key)
{
	return X509_check_private_key(x, key) == 1 && X509_check_ca(x) == 1 &&
	       X509_get_pathlen(x) == 0 && X509_verify(x, key) == 1 &&
	       EVP_PKEY_get_id(key) == EVP_PKEY_EC;
}

static void wipe(struct buf *b)
{
	if (b->data)
		OPENSSL_cleanse(b->data, b->cap);
}

/* load() - NULL when the files do not hold a CA that can still be used for half of its days */
static struct tls_ca *load(int key_fd, int cert_fd, int64_t now_s)
{
	AUTO(buf) key_text = {0}, cert_text = {0};
	struct tls_ca *ca = calloc(1, sizeof(*ca));
	BIO *k = NULL, *c = NULL;
	bool ok;

	if (!ca)
		return NULL;
	buf_init(&key_text, TLS_CA_PEM_MAX);
	buf_init(&cert_text, TLS_CA_PEM_MAX);
	if (read_pem(key_fd, &key_text) == 0 && key_text.len &&
		read_pem(cert_fd, &cert_text) == 0 && cert_text.len) {
		k = BIO_new_mem_buf(key_text.data, (int)key_text.len);
		c = BIO_new_mem_buf(cert_text.data, (int)cert_text.len);
	}
	if (k && c) {
		ca->key = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL);
		ca->cert = PEM_read_bio_X509(c, NULL, NULL, NULL);
	}
	ok = ca->key && ca->cert && is_ca(ca->cert, ca->key) && finish(ca) == 0 &&
	     ca->until_s - now_s > TLS_CA_DAYS * DAY / 2 &&
	     ca->until_s - now_s <= TLS_CA_DAYS * DAY;
	BIO_free(k);
	BIO_free(c);
	wipe(&key_text);
	ERR_clear_error();
	if (!ok) {
		tls_ca_free(ca);
		return NULL;
	}
	return ca;
}

static int put(int fd, const void *p, size_t len)
{
	if (ftruncate(fd, 0) < 0 || pwrite(fd, p, len, 0) != (ssize_t)len || fsync(fd) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

/* save() - a crash between the two leaves files that do not belong together: made anew next time */
static int save(const struct tls_ca *ca, int key_fd, int cert_fd)
{
	BIO *b = BIO_new(BIO_s_secmem());
	char *text = NULL;
	long len = 0;
	int r = -ENOMEM;

	if (b && PEM_write_bio_PKCS8PrivateKey(b, ca->key, NULL, NULL, 0, NULL, NULL) == 1)
		len = BIO_get_mem_data(b, &text);
	if (len > 0)
		r = put(key_fd, text, (size_t)len);
	if (len > 0)
		OPENSSL_cleanse(text, (size_t)len);
	BIO_free(b);
	return r < 0 ? r : put(cert_fd, ca->pem, strlen(ca->pem));
}

int tls_ca_open(int key_fd, int cert_fd, const char *name, int64_t now_s, struct tls_ca **ret_ca,
	bool *ret_made, struct err *e)
{
	struct tls_ca *ca;
	int r = tls_start(e);

	if (r < 0)
		return r;
	ca = load(key_fd, cert_fd, now_s);
	*ret_made = !ca;
	if (!ca) {
		r = tls_ca_make(name, now_s, &ca, e);
		if (r < 0)
			return r;
		r = save(ca, key_fd, cert_fd);
		if (r < 0) {
			tls_ca_free(ca);
			return err_sys(e, r, "keep the sandbox's CA");
		}
	}
	*ret_ca = ca;
	return 0;
}

const char *tls_ca_pem(const struct tls_ca *ca)
{
	return ca->pem;
}

int64_t tls_ca_until(const struct tls_ca *ca)
{
	return ca->until_s;
}
