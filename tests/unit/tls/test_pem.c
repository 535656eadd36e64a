/* test_pem.c - files of certificates: what is none is said, with its line */
#include "check.h"
#include "tls/ca.h"
#include "tls/pem.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static char pem[TLS_CA_PEM_MAX];

static int setup(void **state)
{
	struct tls_ca *ca;
	struct err e = {0};
	(void)state;

	assert_int_equal(tls_ca_make("x", time(NULL), &ca, &e), 0);
	(void)snprintf(pem, sizeof(pem), "%s", tls_ca_pem(ca));
	tls_ca_free(ca);
	return 0;
}

static int check(const char *text, size_t *ret_n, struct err *e)
{
	*e = (struct err){0};
	return tls_pem_check("f.pem", text, strlen(text), ret_n, e);
}

static void taken(void **state)
{
	char text[3 * TLS_CA_PEM_MAX];
	struct err e;
	size_t n = 0;
	(void)state;

	assert_int_equal(check(pem, &n, &e), 0);
	assert_int_equal(n, 1);
	(void)snprintf(text, sizeof(text), "# a comment\n%s\nSubject: other\n%s", pem, pem);
	assert_int_equal(check(text, &n, &e), 0);
	assert_int_equal(n, 2);
}

static void refused(void **state)
{
	char text[3 * TLS_CA_PEM_MAX], *mid;
	struct err e;
	size_t n;
	(void)state;

	assert_int_equal(check("", &n, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "f.pem: no certificate"));
	assert_int_equal(check("hello\n", &n, &e), -EINVAL);
	(void)snprintf(text, sizeof(text), "one\n%s-----BEGIN EC PRIVATE KEY-----\nAA==\n", pem);
	assert_int_equal(check(text, &n, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "a private key"));
	(void)snprintf(text, sizeof(text), "one\ntwo\n-----BEGIN PGP MESSAGE-----\n%s", pem);
	assert_int_equal(check(text, &n, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "f.pem:3: "));
	/* cut off, at every length */
	for (size_t i = strlen(pem) - 30; i > 30; i -= 7) {
		(void)snprintf(text, sizeof(text), "one\n%.*s", (int)i, pem);
		assert_int_equal(check(text, &n, &e), -EINVAL);
		assert_non_null(strstr(e.msg, "f.pem:2: "));
	}
	/* a letter that is none, in the second of two */
	(void)snprintf(text, sizeof(text), "%s%s", pem, pem);
	text[strlen(pem) + 60] = '*';
	assert_int_equal(check(text, &n, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "a broken certificate"));
	/* one that ends with the beginning of the next */
	mid = strstr(pem, "-----END");
	(void)snprintf(text, sizeof(text), "%.*s%s", (int)(mid - pem), pem, pem);
	assert_int_equal(check(text, &n, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "f.pem:1: "));
	assert_int_equal(tls_pem_check("f.pem", "a\0b", 3, &n, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
