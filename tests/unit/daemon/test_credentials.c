/* test_credentials.c - commands that print secrets: their deadline, their first line, when they are due again */
#include "check.h"
#include "base/clock.h"
#include "daemon/credentials.h"
#include <errno.h>
#include <string.h>

static int run(const char *command, int64_t ms, struct buf *out, struct err *e)
{
	buf_init(out, 1024);
	*e = (struct err){0};
	return credentials_run(command, clock_ms() + ms, out, e);
}

static void first_line(void **state)
{
	struct buf out;
	struct err e;
	(void)state;

	assert_int_equal(run("printf 'one\\r\\ntwo\\n'", 20000, &out, &e), 0);
	assert_string_equal(buf_str(&out), "one");
	buf_fini(&out);
	assert_int_equal(run("printf one", 20000, &out, &e), 0);
	assert_string_equal(buf_str(&out), "one");
	buf_fini(&out);
	assert_true(run("echo x; exit 3", 20000, &out, &e) < 0);
	assert_non_null(strstr(e.msg, "status 3"));
	buf_fini(&out);
	assert_true(run("head -c 100000 /dev/zero", 20000, &out, &e) < 0);
	buf_fini(&out);
}

/* What it started ends with it, and nobody waits for it any longer than was said. */
static void deadline(void **state)
{
	int64_t from = clock_ms();
	struct buf out;
	struct err e;
	(void)state;

	assert_int_equal(run("sleep 600 & sleep 600; echo late", 300, &out, &e), -ETIMEDOUT);
	assert_true(clock_ms() - from < 20000);
	assert_int_equal(out.len, 0);
	buf_fini(&out);
}

static void due(void **state)
{
	struct secret_entry *x = calloc(1, sizeof(*x));
	int64_t at = 1000000, minute = 60000;
	unsigned n = 0;
	(void)state;

	assert_non_null(x);
	x->created_ms = at;
	x->refresh_s = 120;
	assert_false(credentials_due(x, at, at + 10 * minute)); /* a value does not grow old */
	x->command[0] = 'x';
	assert_false(credentials_due(x, at, at + 2 * minute - 1));
	assert_true(credentials_due(x, at, at + 2 * minute));
	/* rounds of any length: each period once, none missed */
	for (int64_t now = at, step = 1; now < at + 200 * minute; step = step * 7 % 90001 + 1) {
		n += credentials_due(x, now, now + step);
		now += step;
	}
	assert_int_equal(n, 100);
	/* a clock that was set back asks nothing anew by itself */
	assert_false(credentials_due(x, at - minute, at - 1));
	x->refresh_s = 0; /* never more often than once a minute */
	assert_false(credentials_due(x, at, at + minute - 1));
	assert_true(credentials_due(x, at, at + minute));
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_line),
		cmocka_unit_test(deadline),
		cmocka_unit_test(due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
