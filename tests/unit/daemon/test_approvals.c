/* test_approvals.c - questions wait, are answered once, and are bounded */
#include "check.h"
#include "daemon/approvals.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct daemon *d;
static unsigned told, allowed;
static uint64_t last_ask;

static void tell(struct daemon *dd, const struct approval *a, bool allow)
{
	assert_ptr_equal(dd, d);
	told++;
	allowed += allow;
	last_ask = a->ask;
}

static int setup(void **state)
{
	(void)state;
	d = calloc(1, sizeof(*d));
	assert_non_null(approvals_new(d));
	approvals_hook(d, tell);
	told = allowed = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(d->approvals);
	free(d);
	return 0;
}

static int add(const char *box, uint64_t ask, uint64_t *ret_id)
{
	struct approval a = {.ask = ask, .port = 443};
	int r;

	snprintf(a.box, sizeof(a.box), "%s", box);
	snprintf(a.host, sizeof(a.host), "x.com");
	r = approvals_add(d, &a);
	*ret_id = a.id;
	return r;
}

static size_t waiting(void)
{
	struct approval *all;
	size_t n;

	assert_int_equal(approvals_list(d, &all, &n), 0);
	for (size_t i = 1; i < n; i++)
		assert_true(all[i].id > all[i - 1].id);
	free(all);
	return n;
}

static void test_answered_once(void **state)
{
	struct approval a;
	uint64_t one, two;

	(void)state;
	assert_int_equal(add("b1", 11, &one), 0);
	assert_int_equal(add("b1", 12, &two), 0);
	assert_int_equal(waiting(), 2);
	assert_int_equal(approvals_answer(d, one, true, &a), 0);
	assert_int_equal(last_ask, 11);
	assert_int_equal(approvals_answer(d, one, false, &a), -ENOENT);
	assert_int_equal(approvals_answer(d, two, false, &a), 0);
	assert_int_equal(told, 2);
	assert_int_equal(allowed, 1);
	assert_int_equal(waiting(), 0);
	assert_int_equal(approvals_answer(d, 99, true, &a), -ENOENT);
}

static void test_bounded(void **state)
{
	uint64_t id;
	unsigned all = 0;
	char box[8];

	(void)state;
	for (unsigned i = 0; i < APPROVALS_BOX_MAX; i++)
		assert_int_equal(add("b1", i, &id), 0);
	assert_int_equal(add("b1", 99, &id), -EAGAIN);
	assert_int_equal(add("b2", 1, &id), 0); /* one does not take another's room */
	for (unsigned i = 0; i < 2 * APPROVALS_MAX; i++) {
		snprintf(box, sizeof(box), "c%u", i / 10);
		all += add(box, i, &id) == 0;
	}
	assert_int_equal(all, APPROVALS_MAX - APPROVALS_BOX_MAX - 1);
	approvals_drop(d, "b1");
	assert_int_equal(waiting(), APPROVALS_MAX - APPROVALS_BOX_MAX);
	assert_int_equal(told, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answered_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
