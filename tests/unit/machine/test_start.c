/* test_start.c - which guests that are not up yet get more time */
#include "check.h"
#include "machine/machine.h"

static void test_more_time(void **state)
{
	(void)state;
	/* starved by a busy host: it goes on, however slowly */
	assert_true(machine_start_goes_on(20000, 900, 0));
	assert_true(machine_start_goes_on(25000, 1200, 900));
	assert_true(machine_start_goes_on(60000, 9999, 9000));
	/* it had what a start takes several times, and says nothing: it loops */
	assert_false(machine_start_goes_on(20000, 10000, 0));
	assert_false(machine_start_goes_on(20000, 19000, 0));
	/* it waits for something that does not come, and uses nothing: the sooner it is begun anew the better */
	assert_false(machine_start_goes_on(25000, 2110, 2100));
	assert_false(machine_start_goes_on(25000, 2100, 2100));
	/* and at some time it is enough */
	assert_false(machine_start_goes_on(180000, 9000, 8000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_more_time)};

	return cmocka_run_group_tests_name("machine_start", tests, NULL, NULL);
}
