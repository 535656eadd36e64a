/* test_tables.c - the system calls of sbx-image: it opens what lies beneath the layout, and dials nowhere */
#include "check.h"
#include "image/worker.h"
#include "../jail/tables.h"
#include <sys/syscall.h>

static void test_image(void **state)
{
	static const int never[] = {SYS_openat, SYS_open, SYS_execve, SYS_execveat, SYS_clone,
		SYS_clone3, SYS_fork, SYS_ioctl, SYS_socket, SYS_connect, SYS_unlinkat,
		SYS_renameat2, SYS_linkat, SYS_mount, SYS_ptrace, SYS_kill};

	(void)state;
	tables_check(&image_table, 30);
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		assert_false(tables_allow(&image_table, never[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_image)};

	return cmocka_run_group_tests_name("image_tables", tests, NULL, NULL);
}
