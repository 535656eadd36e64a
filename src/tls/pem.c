#include "tls/pem.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BEGIN "-----BEGIN "
#define END   "-----END "

struct line {
	const char *p;
	size_t len;
	unsigned number;
};

static bool next_line(const char *text, size_t len, size_t *at, struct line *l)
{
	const char *nl;

	if (*at >= len)
		return false;
	l->p = text + *at;
	nl = memchr(l->p, '\n', len - *at);
	l->len = nl ? (size_t)(nl - l->p) : len - *at;
	*at += l->len + (nl != NULL);
	l->number++;
	return true;
}

static bool begins(const struct line *l, const char *word)
{
	return l->len >= strlen(word) && memcmp(l->p, word, strlen(word)) == 0;
}

/* readable() - one certificate, from its first line to its last, and nothing behind it in there */
static bool readable(const char *from, size_t len)
{
	BIO *b = BIO_new_mem_buf(from, (int)len);
	X509 *x = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;

	X509_free(x);
	BIO_free(b);
	ERR_clear_error();
	return x != NULL;
}

/* check_block() - @l is its first line, and its last one afterwards */
static int check_block(
	const char *file, const char *text, size_t len, size_t *at, struct line *l, struct err *e)
{
	static const char *const kinds[] = {BEGIN "CERTIFICATE-----", BEGIN "X509 CERTIFICATE-----",
		BEGIN "TRUSTED CERTIFICATE-----"};
	const struct line first = *l;
	bool known = false, ended = false;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		known |= begins(l, kinds[i]);
	if (memmem(l->p, l->len, "PRIVATE KEY", 11))
		return err_set(e, ERR_INVALID, -EINVAL,
			"%s:%u: a private key, which has no business there", file, l->number);
	if (!known)
		return err_set(
			e, ERR_INVALID, -EINVAL, "%s:%u: this is no certificate", file, l->number);
	while (!ended && next_line(text, len, at, l) && !begins(l, BEGIN))
		ended = begins(l, END);
	if (!ended)
		return err_set(e, ERR_INVALID, -EINVAL, "%s:%u: a certificate that does not end",
			file, first.number);
	if (!readable(first.p, (size_t)(l->p + l->len - first.p)))
		return err_set(
			e, ERR_INVALID, -EINVAL, "%s:%u: a broken certificate", file, first.number);
	return 0;
}

int tls_pem_check(const char *file, const char *text, size_t len, size_t *ret_n, struct err *e)
{
	struct line l = {.number = 0};
	size_t at = 0, n = 0;
	int r = 0;

	if (len > INT32_MAX)
		return err_set(e, ERR_LIMIT, -E2BIG, "%s: too long", file);
	if (memchr(text, '\0', len))
		return err_set(e, ERR_INVALID, -EINVAL, "%s: not text in PEM form", file);
	while (r == 0 && next_line(text, len, &at, &l)) {
		if (!begins(&l, BEGIN))
			continue;
		if (n++ == TLS_PEM_CERTS_MAX)
			return err_set(e, ERR_LIMIT, -E2BIG, "%s:%u: more than %d certificates",
				file, l.number, TLS_PEM_CERTS_MAX);
		r = check_block(file, text, len, &at, &l, e);
	}
	if (r == 0 && n == 0)
		r = err_set(e, ERR_INVALID, -EINVAL, "%s: no certificate in PEM form", file);
	if (r == 0)
		*ret_n = n;
	return r;
}
