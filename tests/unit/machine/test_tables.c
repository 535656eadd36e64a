/* test_tables.c - the compiled seccomp filters say exactly what their tables say
 *
 * A small interpreter of classic BPF runs each filter over every system call number, with arguments
 * on and around every tested value, and is compared with a plain reading of the table.
 */
#include "check.h"
#include "machine/tables.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define NUMBERS 1024

/* The interpreter: what seccomp filters may contain, and an assertion for the rest. */
static uint32_t run(const struct sock_fprog *prog, const struct seccomp_data *data)
{
	uint32_t acc = 0, mem[BPF_MEMWORDS] = {0};

	for (unsigned pc = 0; pc < prog->len; pc++) {
		const struct sock_filter *f = &prog->filter[pc];
		bool yes = false;

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(f->k % 4 == 0 && f->k + 4 <= sizeof(*data));
			memcpy(&acc, (const char *)data + f->k, 4);
			break;
		case BPF_LD | BPF_MEM:
			assert_true(f->k < BPF_MEMWORDS);
			acc = mem[f->k];
			break;
		case BPF_ST:
			assert_true(f->k < BPF_MEMWORDS);
			mem[f->k] = acc;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			acc &= f->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += f->k;
			break;
		case BPF_RET | BPF_K:
			return f->k;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = acc == f->k;
			pc += yes ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = acc > f->k;
			pc += yes ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = acc >= f->k;
			pc += yes ? f->jt : f->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = (acc & f->k) != 0;
			pc += yes ? f->jt : f->jf;
			break;
		default:
			fail_msg("instruction %#x", f->code);
		}
	}
	fail_msg("ran off the end");
	return 0;
}

/* What the table says, read row by row. */
static uint32_t expected(const struct jail_table *t, const struct seccomp_data *d)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct jail_rule *r = &t->rule[i];
		bool holds = r->nr == d->nr;

		for (unsigned j = 0; j < JAIL_TESTS_MAX; j++)
			holds &= (d->args[r->test[j].arg] & r->test[j].mask) == r->test[j].value;
		if (holds)
			return r->error == 0
				       ? SECCOMP_RET_ALLOW
				       : SECCOMP_RET_ERRNO |
						 (r->error == JAIL_PRETEND ? 0
									   : (uint32_t)r->error);
	}
	return SECCOMP_RET_KILL_PROCESS;
}

static void compare(
	const struct jail_table *t, const struct sock_fprog *prog, const struct seccomp_data *d)
{
	uint32_t got = run(prog, d), want = expected(t, d);

	if (got != want)
		fail_msg("%s: call %d (%llx, %llx, %llx): filter %#x, table %#x", t->name, d->nr,
			(unsigned long long)d->args[0], (unsigned long long)d->args[1],
			(unsigned long long)d->args[2], got, want);
}

/* around() - the tested value, and each neighbour that differs in one bit of 64 */
static void around(const struct jail_table *t, const struct sock_fprog *prog,
	struct seccomp_data *d, const struct jail_test *test)
{
	uint64_t keep = d->args[test->arg];

	for (unsigned bit = 0; bit < 64; bit++) {
		d->args[test->arg] = test->value ^ (1ULL << bit);
		compare(t, prog, d);
	}
	for (unsigned bit = 0; bit < 64; bit++) {
		d->args[test->arg] = UINT64_MAX ^ (1ULL << bit);
		compare(t, prog, d);
	}
	d->args[test->arg] = keep;
}

static void check_table(const struct jail_table *t)
{
	struct sock_fprog prog = {0};
	struct err e = {0};

	assert_int_equal(jail_filter_build(t, &prog, &e), 0);
	for (int nr = 0; nr < NUMBERS; nr++) {
		struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_X86_64};

		compare(t, &prog, &d);
		memset(d.args, 0xff, sizeof(d.args));
		compare(t, &prog, &d);
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct jail_rule *r = &t->rule[i];
		struct seccomp_data d = {.nr = r->nr, .arch = AUDIT_ARCH_X86_64};

		for (unsigned j = 0; j < JAIL_TESTS_MAX; j++)
			d.args[r->test[j].arg] |= r->test[j].value;
		compare(t, &prog, &d);
		for (unsigned j = 0; j < JAIL_TESTS_MAX; j++)
			if (r->test[j].mask)
				around(t, &prog, &d, &r->test[j]);
	}
	free(prog.filter);
}

static void test_filters_are_their_tables(void **state)
{
	(void)state;
	check_table(&machine_table);
	check_table(&emulated_table);
}

static void check_other_abis(const struct jail_table *t)
{
	const uint32_t others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, UINT32_MAX};
	struct sock_fprog prog = {0};
	struct err e = {0};

	assert_int_equal(jail_filter_build(t, &prog, &e), 0);
	for (int nr = 0; nr < NUMBERS; nr++) {
		for (size_t i = 0; i < ARRAY_LEN(others); i++) {
			struct seccomp_data d = {.nr = nr, .arch = others[i]};

			assert_int_equal(run(&prog, &d), SECCOMP_RET_KILL_PROCESS);
		}
		struct seccomp_data x32 = {.nr = nr | 0x40000000, .arch = AUDIT_ARCH_X86_64};

		assert_int_equal(run(&prog, &x32), SECCOMP_RET_KILL_PROCESS);
	}
	free(prog.filter);
}

static void test_other_abis_are_killed(void **state)
{
	(void)state;
	check_other_abis(&machine_table);
	check_other_abis(&emulated_table);
}

static void check_rows(const struct jail_table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct jail_rule *r = &t->rule[i];

		assert_true(r->why && r->why[0]);
		assert_true(r->error >= JAIL_PRETEND && r->error < 4096);
		for (unsigned j = 0; j < JAIL_TESTS_MAX; j++)
			assert_true((r->test[j].value & ~r->test[j].mask) == 0);
		/* Rows of one call are alternatives: the same row twice is a mistake. */
		for (size_t k = i + 1; k < t->n; k++)
			assert_false(t->rule[k].nr == r->nr &&
				     memcmp(t->rule[k].test, r->test, sizeof(r->test)) == 0);
	}
}

static void test_every_row_has_a_reason(void **state)
{
	(void)state;
	check_rows(&machine_table);
	check_rows(&emulated_table);
}

/* What no row may ever allow, whatever else changes in the tables. */
static void check_never(const struct jail_table *t)
{
	static const int never[] = {SYS_execve, SYS_fork, SYS_vfork, SYS_socket, SYS_connect,
		SYS_bind, SYS_listen, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
		SYS_mount, SYS_umount2, SYS_unshare, SYS_setns, SYS_kill, SYS_bpf, SYS_userfaultfd,
		SYS_keyctl, SYS_add_key, SYS_perf_event_open, SYS_kexec_load, SYS_init_module,
		SYS_finit_module, SYS_pivot_root, SYS_chroot, SYS_open_tree, SYS_move_mount,
		SYS_fsopen, SYS_setuid, SYS_capset, SYS_personality, SYS_io_uring_enter,
		SYS_open_by_handle_at, SYS_pidfd_getfd, SYS_chmod, SYS_chown, SYS_mknod,
		SYS_mknodat};

	for (size_t i = 0; i < t->n; i++)
		for (size_t j = 0; j < ARRAY_LEN(never); j++)
			assert_false(t->rule[i].nr == never[j] && !t->rule[i].error);
}

static void test_some_calls_are_never_allowed(void **state)
{
	(void)state;
	check_never(&machine_table);
	check_never(&emulated_table);
	assert_true(jail_filter_calls(&machine_table) <= 75);
	assert_true(jail_filter_calls(&emulated_table) <= 95);
}

static uint32_t judge(const struct sock_fprog *prog, int nr, uint64_t a, uint64_t b, uint64_t c)
{
	const struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_X86_64, .args = {a, b, c}};

	return run(prog, &d);
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
		cmocka_unit_test(test_filters_are_their_tables),
		cmocka_unit_test(test_other_abis_are_killed),
		cmocka_unit_test(test_every_row_has_a_reason),
		cmocka_unit_test(test_some_calls_are_never_allowed),
		cmocka_unit_test(test_engine_makes_nothing_block),
	};

	return cmocka_run_group_tests_name("machine_tables", tests, NULL, NULL);
}
