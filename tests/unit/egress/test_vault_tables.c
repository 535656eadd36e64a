/* test_vault_tables.c - the system calls of the vault and its resolver: they dial, and open nothing */
#include "check.h"
#include "egress/vault_jail.h"
#include "../jail/tables.h"
#include <linux/audit.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define OURS (SOCK_NONBLOCK | SOCK_CLOEXEC)

static const int never[] = {
	SYS_openat, SYS_openat2, SYS_execveat, SYS_clone, SYS_clone3, SYS_ioctl};

static void test_vault(void **state)
{
	(void)state;
	tables_check(&vault_table, 40);
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		assert_false(tables_allow(&vault_table, never[i]));
}

static void test_resolver(void **state)
{
	static const int none[] = {SYS_sendmsg, SYS_recvmsg, SYS_accept4, SYS_fcntl};

	(void)state;
	tables_check(&resolver_table, 30);
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		assert_false(tables_allow(&resolver_table, never[i]));
	/* it takes no descriptors, and nobody connects to it */
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_false(tables_allow(&resolver_table, none[i]));
}

static bool may_open(const struct jail_table *t, unsigned family, unsigned type)
{
	const struct seccomp_data d = {
		.nr = SYS_socket, .arch = AUDIT_ARCH_X86_64, .args = {family, type}};
	struct sock_fprog prog = {0};
	struct err e = {0};
	uint32_t said;

	assert_int_equal(jail_filter_build(t, &prog, &e), 0);
	said = tables_run(&prog, &d);
	free(prog.filter);
	return said == SECCOMP_RET_ALLOW;
}

static void test_sockets(void **state)
{
	(void)state;
	assert_true(may_open(&vault_table, AF_INET6, SOCK_STREAM | OURS));
	assert_false(may_open(&vault_table, AF_INET, SOCK_DGRAM | OURS));
	assert_true(may_open(&resolver_table, AF_INET, SOCK_DGRAM | OURS));
	assert_false(may_open(&vault_table, AF_INET, SOCK_STREAM));
	assert_false(may_open(&vault_table, AF_UNIX, SOCK_STREAM | OURS));
	assert_false(may_open(&resolver_table, AF_NETLINK, SOCK_DGRAM | OURS));
	assert_false(may_open(&resolver_table, AF_INET, SOCK_RAW | OURS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_vault),
		cmocka_unit_test(test_resolver), cmocka_unit_test(test_sockets)};

	return cmocka_run_group_tests_name("egress_vault_tables", tests, NULL, NULL);
}
