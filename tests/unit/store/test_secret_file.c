/* test_secret_file.c - secrets at rest: kept, replaced, masked, removed; never readable in the file */
#include "check.h"
#include "base/io.h"
#include "store/secret_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define VALUE "canary-5f1d0c9e7a-value"

struct place {
	char dir[64];
	struct secret_file *s;
};

static struct place make(void)
{
	struct place p = {.dir = "/tmp/sbx-secrets-XXXXXX"};
	struct err e = {0};

	assert_non_null(mkdtemp(p.dir));
	assert_int_equal(secret_file_open(p.dir, NULL, &p.s, &e), 0);
	return p;
}

static void clean(struct place *p)
{
	char cmd[128];

	secret_file_close(p->s);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf %s", p->dir);
	assert_int_equal(system(cmd), 0);
}

static int set(struct place *p, const char *scope, const char *name, const char *value)
{
	struct secret_entry *x = calloc(1, sizeof(*x));
	struct err e = {0};
	int r;

	assert_non_null(x);
	(void)snprintf(x->scope, sizeof(x->scope), "%s", scope);
	(void)snprintf(x->name, sizeof(x->name), "%s", name);
	x->value_len = strlen(value);
	memcpy(x->value, value, x->value_len < sizeof(x->value) ? x->value_len : 0);
	r = secret_file_set(p->s, x, &e);
	free(x);
	return r;
}

static int get(struct place *p, const char *scope, const char *name, struct secret_entry *ret)
{
	struct err e = {0};

	return secret_file_get(p->s, scope, name, ret, &e);
}

static void kept_and_replaced(void **state)
{
	struct place p = make();
	struct secret_entry *x = calloc(1, sizeof(*x));
	struct err e = {0};
	(void)state;

	assert_int_equal(set(&p, "", "github", "first-value"), 0);
	assert_int_equal(set(&p, "", "github", VALUE), 0);
	secret_file_close(p.s);
	assert_int_equal(secret_file_open(p.dir, NULL, &p.s, &e), 0);
	assert_int_equal(get(&p, "0123456789abcdef", "github", x), 0); /* the global one */
	assert_string_equal(x->value, VALUE);
	assert_int_equal(set(&p, "0123456789abcdef", "github", "its own"), 0);
	assert_int_equal(get(&p, "0123456789abcdef", "github", x), 0);
	assert_string_equal(x->value, "its own");
	assert_int_equal(get(&p, "", "github", x), 0);
	assert_string_equal(x->value, VALUE);
	assert_int_equal(get(&p, "", "gitlab", x), -ENOENT);
	free(x);
	clean(&p);
}

static void not_in_the_files(void **state)
{
	static const char *const files[] = {"secrets.age", "identity"};
	struct place p = make();
	(void)state;

	assert_int_equal(set(&p, "", "github", VALUE), 0);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char path[128];
		struct stat sb;
		struct buf b;

		(void)snprintf(path, sizeof(path), "%s/%s", p.dir, files[i]);
		assert_int_equal(stat(path, &sb), 0);
		assert_int_equal(sb.st_mode & 0777, 0600);
		buf_init(&b, 1 << 20);
		assert_int_equal(io_read_file(AT_FDCWD, path, &b), 0);
		assert_null(memmem(b.data, b.len, VALUE, strlen(VALUE)));
		assert_null(memmem(b.data, b.len, "github", 6));
		buf_fini(&b);
	}
	clean(&p);
}

static void halves_of_a_killed_writer_go(void **state)
{
	static const char *const left[] = {"secrets.age.4242.tmp", "identity.17.tmp"};
	struct place p = make();
	struct err e = {0};
	char path[128];
	(void)state;

	assert_int_equal(set(&p, "", "github", VALUE), 0);
	secret_file_close(p.s);
	for (size_t i = 0; i < ARRAY_LEN(left); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", p.dir, left[i]);
		assert_int_equal(io_replace_file(AT_FDCWD, path, "x", 1, 0600), 0);
	}
	assert_int_equal(secret_file_open(p.dir, NULL, &p.s, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(left); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", p.dir, left[i]);
		assert_int_equal(access(path, F_OK), -1);
	}
	(void)snprintf(path, sizeof(path), "%s/secrets.age", p.dir);
	assert_int_equal(access(path, F_OK), 0);
	clean(&p);
}

static void refused_when_set(void **state)
{
	static const char *const names[] = {"", "../x", "-x", "a b", "a\n", ".x"};
	struct place p = make();
	char *big = malloc(EGRESS_SECRET_MAX + 2);
	(void)state;

	assert_non_null(big);
	memset(big, 'a', EGRESS_SECRET_MAX + 1);
	big[EGRESS_SECRET_MAX + 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_int_equal(set(&p, "", names[i], "v"), -EINVAL);
	assert_int_equal(set(&p, "", "x", ""), -EINVAL);
	assert_int_equal(set(&p, "", "x", "a\r\nHost: evil"), -EINVAL);
	assert_int_equal(set(&p, "", "x", "a\n"), -EINVAL);
	assert_int_equal(set(&p, "", "x", big), -EINVAL);
	free(big);
	clean(&p);
}

static int count(void *ctx, const struct secret_entry *x)
{
	unsigned *n = ctx;

	assert_int_equal(x->value_len, 0);
	assert_int_equal(x->value[0], '\0');
	assert_true(strlen(x->mask) > 0 && !strstr(x->mask, VALUE));
	(*n)++;
	return 0;
}

static void removed(void **state)
{
	struct place p = make();
	struct err e = {0};
	unsigned n = 0;
	bool was;
	(void)state;

	assert_int_equal(set(&p, "", "a", VALUE), 0);
	assert_int_equal(set(&p, "", "b", VALUE), 0);
	assert_int_equal(set(&p, "0123456789abcdef", "a", VALUE), 0);
	assert_int_equal(secret_file_each(p.s, count, &n, &e), 0);
	assert_int_equal(n, 3);
	assert_int_equal(secret_file_remove(p.s, "", "a", &was, &e), 0);
	assert_true(was);
	assert_int_equal(secret_file_remove(p.s, "", "a", &was, &e), 0);
	assert_false(was);
	assert_int_equal(secret_file_forget(p.s, "0123456789abcdef", &e), 0);
	n = 0;
	assert_int_equal(secret_file_each(p.s, count, &n, &e), 0);
	assert_int_equal(n, 1);
	clean(&p);
}

static void masks(void **state)
{
	static const struct {
		const char *value, *mask;
	} t[] = {{"abc", "***"}, {"abcdef", "******"}, {"abcdefg", "abcdef*"},
		{"abcdefghijklmnopqrs", "abcdef*************"},
		{"abcdefghijklmnopqrst", "abcdef**********qrst"},
		{"abcdefghijklmnopqrstuvwxyz0123456789", "abcdef***************6789"}};
	char m[26];
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		secret_mask(t[i].value, strlen(t[i].value), m);
		assert_string_equal(m, t[i].mask);
	}
}

static void damage_loses_nothing(void **state)
{
	struct place p = make();
	struct secret_entry *x = calloc(1, sizeof(*x));
	char path[128], saved[128];
	struct err e = {0};
	struct stat sb;
	(void)state;

	assert_int_equal(set(&p, "", "a", VALUE), 0);
	(void)snprintf(path, sizeof(path), "%s/identity", p.dir);
	(void)snprintf(saved, sizeof(saved), "%s/saved", p.dir);
	assert_int_equal(rename(path, saved), 0);
	assert_true(
		set(&p, "", "b", "other") < 0); /* not overwritten with one that opens nothing */
	secret_file_close(p.s);
	p.s = NULL;
	assert_int_equal(secret_file_open(p.dir, NULL, &p.s, &e), -ENOKEY);
	assert_int_equal(rename(saved, path), 0);
	assert_int_equal(secret_file_open(p.dir, NULL, &p.s, &e), 0);
	assert_int_equal(get(&p, "", "a", x), 0);
	assert_string_equal(x->value, VALUE);
	secret_file_close(p.s);
	assert_int_equal(chmod(p.dir, 0755), 0); /* others may look into it: refused */
	p.s = NULL;
	assert_int_equal(secret_file_open(p.dir, NULL, &p.s, &e), -EPERM);
	assert_int_equal(stat(p.dir, &sb), 0);
	free(x);
	clean(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(halves_of_a_killed_writer_go),
		cmocka_unit_test(kept_and_replaced),
		cmocka_unit_test(not_in_the_files),
		cmocka_unit_test(refused_when_set),
		cmocka_unit_test(removed),
		cmocka_unit_test(masks),
		cmocka_unit_test(damage_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
