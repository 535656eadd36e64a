/* test_status.c - the table of moves holds what the life of a sandbox needs, and nothing unsafe */
#include "check.h"
#include "daemon/status.h"
#include "base/own.h"
#include <string.h>

static const struct {
	enum status from, to;
} allowed[] = {
	{STATUS_CREATING, STATUS_STOPPED},
	{STATUS_CREATING, STATUS_REMOVING},
	{STATUS_STOPPED, STATUS_STARTING},
	{STATUS_STOPPED, STATUS_REMOVING},
	{STATUS_STARTING, STATUS_RUNNING},
	{STATUS_STARTING, STATUS_STOPPED},
	{STATUS_STARTING, STATUS_CRASHED},
	{STATUS_STARTING, STATUS_STOPPING},
	{STATUS_RUNNING, STATUS_PAUSED},
	{STATUS_RUNNING, STATUS_STOPPING},
	{STATUS_RUNNING, STATUS_STOPPED},
	{STATUS_RUNNING, STATUS_CRASHED},
	{STATUS_PAUSED, STATUS_RUNNING},
	{STATUS_PAUSED, STATUS_STOPPING},
	{STATUS_PAUSED, STATUS_STOPPED},
	{STATUS_PAUSED, STATUS_CRASHED},
	{STATUS_STOPPING, STATUS_STOPPED},
	{STATUS_STOPPING, STATUS_CRASHED},
	{STATUS_CRASHED, STATUS_STARTING},
	{STATUS_CRASHED, STATUS_REMOVING},
};

static void test_every_pair(void **state)
{
	(void)state;
	for (int from = 0; from < STATUS_COUNT; from++)
		for (int to = 0; to < STATUS_COUNT; to++) {
			bool want = false;

			for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
				want |= (int)allowed[i].from == from && (int)allowed[i].to == to;
			assert_int_equal(status_moves((enum status)from, (enum status)to), want);
		}
}

static void test_what_may_have_a_machine_is_never_removed(void **state)
{
	(void)state;
	for (int s = 0; s < STATUS_COUNT; s++)
		if (status_has_machine((enum status)s))
			assert_false(status_moves((enum status)s, STATUS_REMOVING));
}

static void test_names(void **state)
{
	(void)state;
	for (int s = 0; s < STATUS_COUNT; s++)
		assert_int_equal(status_from_name(status_name((enum status)s)), s);
	assert_int_equal(status_from_name("unresponsive"), STATUS_COUNT);
	assert_int_equal(status_from_name(""), STATUS_COUNT);
	assert_string_equal(status_name((enum status)77), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_pair),
		cmocka_unit_test(test_what_may_have_a_machine_is_never_removed),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
