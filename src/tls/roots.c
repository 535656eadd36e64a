/* Trusted certificates are read once, at load; each context then gets references to them. */
#include "base/buf.h"
#include "base/io.h"
#include "tls/client.h"
#include "tls/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#define ROOTS_MAX	1024
#define SYSTEM_FILE_MAX (4u << 20)

struct tls_roots {
	X509 *cert[ROOTS_MAX];
	size_t n;
};

struct tls_roots *tls_roots_new(void)
{
	return calloc(1, sizeof(struct tls_roots));
}

void tls_roots_free(struct tls_roots *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++)
		X509_free(r->cert[i]);
	free(r);
}

size_t tls_roots_count(const struct tls_roots *r)
{
	return r->n;
}

int tls_roots_put(const struct tls_roots *r, X509_STORE *store)
{
	for (size_t i = 0; i < r->n; i++)
		if (X509_STORE_add_cert(store, r->cert[i]) != 1)
			return -ENOMEM;
	return 0;
}

/* read_next() - 1 one more, 0 the end, -EINVAL broken, -E2BIG, -ENOMEM */
static int read_next(struct tls_roots *r, BIO *b)
{
	X509 *x;

	if (r->n >= ROOTS_MAX)
		return -E2BIG;
	ERR_clear_error();
	x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	if (x) {
		r->cert[r->n++] = x;
		return 1;
	}
	return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ? 0 : -EINVAL;
}

int tls_roots_add(
	struct tls_roots *r, const void *pem, size_t len, bool strict, size_t *ret_n, struct err *e)
{
	size_t before = r->n;
	BIO *b;
	int got = tls_start(e);

	if (got < 0)
		return got;
	if (len > SYSTEM_FILE_MAX)
		return err_set(e, ERR_LIMIT, -E2BIG, "the certificates are too long");
	b = BIO_new_mem_buf(pem, (int)len);
	if (!b)
		return err_sys(e, -ENOMEM, "read certificates");
	do
		got = read_next(r, b);
	while (got > 0 || (got == -EINVAL && !strict && !BIO_eof(b)));
	BIO_free(b);
	ERR_clear_error();
	if (got < 0 && (strict || got != -EINVAL))
		return err_set(e, ERR_INVALID, got, "certificate %zu is broken or one too many",
			r->n - before + 1);
	if (r->n == before)
		return err_set(e, ERR_INVALID, -EINVAL, "no certificate in PEM form");
	if (ret_n)
		*ret_n = r->n - before;
	return 0;
}

int tls_roots_system(struct tls_roots *r, struct err *e)
{
	static const char *const files[] = {"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};
	AUTO(buf) text = {0};
	int got = -ENOENT;

	buf_init(&text, SYSTEM_FILE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(files) && got == -ENOENT; i++)
		got = io_read_file(AT_FDCWD, files[i], &text);
	if (got < 0) {
		err_sys(e, got, "read the host's trusted certificates");
		err_hint(e, "install the package ca-certificates");
		return got;
	}
	return tls_roots_add(r, text.data, text.len, false, NULL, e);
}
