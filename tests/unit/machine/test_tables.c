/* test_tables.c - the system calls of the machine and of its engine */
#include "check.h"
#include "machine/tables.h"
#include "../jail/tables.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

static void test_machine(void **state)
{
	(void)state;
	tables_check(&machine_table, 75);
	assert_false(tables_allow(&machine_table, SYS_socket));
	assert_false(tables_allow(&machine_table, SYS_connect));
	assert_false(tables_allow(&machine_table, SYS_execveat));
}

static void test_engine(void **state)
{
	(void)state;
	tables_check(&emulated_table, 95);
	assert_false(tables_allow(&emulated_table, SYS_socket));
	assert_false(tables_allow(&emulated_table, SYS_connect));
}

static uint32_t judge(const struct sock_fprog *prog, int nr, uint64_t a, uint64_t b, uint64_t c)
{
	const struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_X86_64, .args = {a, b, c}};

	return tables_run(prog, &d);
}

/* The machine writes to event descriptors that the engine made: none of them can be made to block. */
static void test_engine_makes_nothing_block(void **state)
{
	const uint32_t pretend = SECCOMP_RET_ERRNO;
	struct sock_fprog prog = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(jail_filter_build(&emulated_table, &prog, &e), 0);
	assert_int_equal(judge(&prog, SYS_eventfd2, 0, EFD_NONBLOCK, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(judge(&prog, SYS_eventfd2, 0, EFD_CLOEXEC, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(judge(&prog, SYS_eventfd, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
	assert_int_equal(
		judge(&prog, SYS_fcntl, 5, F_SETFL, O_RDWR | O_NONBLOCK), SECCOMP_RET_ALLOW);
	assert_int_equal(judge(&prog, SYS_fcntl, 5, F_SETFL, O_RDWR), pretend);
	assert_int_equal(judge(&prog, SYS_fcntl, 5, F_SETFL, 0), pretend);
	/* the kernel looks at the low half of the command only */
	assert_int_equal(judge(&prog, SYS_fcntl, 5, 1ull << 32 | F_SETFL, 0), pretend);
	assert_int_equal(
		judge(&prog, SYS_ioctl, 5, FIONBIO, 0), SECCOMP_RET_ERRNO | (uint32_t)ENOTTY);
	free(prog.filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_engine),
		cmocka_unit_test(test_engine_makes_nothing_block),
	};

	return cmocka_run_group_tests_name("machine_tables", tests, NULL, NULL);
}
