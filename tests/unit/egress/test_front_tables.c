/* test_front_tables.c - the system calls of the front: it opens, dials and starts nothing */
#include "check.h"
#include "egress/front_drop.h"
#include "../jail/tables.h"
#include <sys/syscall.h>

static void test_front(void **state)
{
	static const int never[] = {SYS_socket, SYS_connect, SYS_openat, SYS_openat2, SYS_execveat,
		SYS_clone, SYS_clone3, SYS_ioctl};

	(void)state;
	tables_check(&front_table, 30);
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		assert_false(tables_allow(&front_table, never[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_front)};

	return cmocka_run_group_tests_name("egress_front_tables", tests, NULL, NULL);
}
