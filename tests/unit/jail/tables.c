#include "tables.h"
#include "check.h"
#include "jail/rows.h"
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define NUMBERS		1024
#define SANITIZER_CALLS 6

/* The interpreter: what seccomp filters may contain, and an assertion for the rest. */
uint32_t tables_run(const struct sock_fprog *prog, const struct seccomp_data *data)
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
	const struct jail_rule *r;

	for (size_t i = 0; (r = jail_table_row(t, i)); i++) {
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
	uint32_t got = tables_run(prog, d), want = expected(t, d);

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

static void check_filter(const struct jail_table *t)
{
	const struct jail_rule *r;
	struct sock_fprog prog = {0};
	struct err e = {0};

	assert_int_equal(jail_filter_build(t, &prog, &e), 0);
	for (int nr = 0; nr < NUMBERS; nr++) {
		struct seccomp_data d = {.nr = nr, .arch = AUDIT_ARCH_X86_64};

		compare(t, &prog, &d);
		memset(d.args, 0xff, sizeof(d.args));
		compare(t, &prog, &d);
	}
	for (size_t i = 0; (r = jail_table_row(t, i)); i++) {
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

static void check_other_abis(const struct jail_table *t)
{
	const uint32_t others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, UINT32_MAX};
	struct sock_fprog prog = {0};
	struct err e = {0};

	assert_int_equal(jail_filter_build(t, &prog, &e), 0);
	for (int nr = 0; nr < NUMBERS; nr++) {
		for (size_t i = 0; i < ARRAY_LEN(others); i++) {
			struct seccomp_data d = {.nr = nr, .arch = others[i]};

			assert_int_equal(tables_run(&prog, &d), SECCOMP_RET_KILL_PROCESS);
		}
		struct seccomp_data x32 = {.nr = nr | 0x40000000, .arch = AUDIT_ARCH_X86_64};

		assert_int_equal(tables_run(&prog, &x32), SECCOMP_RET_KILL_PROCESS);
	}
	free(prog.filter);
}

static void check_rows(const struct jail_table *t)
{
	const struct jail_rule *r, *other;

	for (size_t i = 0; (r = jail_table_row(t, i)); i++) {
		assert_true(r->why && r->why[0]);
		assert_true(r->error >= JAIL_PRETEND && r->error < 4096);
		for (unsigned j = 0; j < JAIL_TESTS_MAX; j++)
			assert_true((r->test[j].value & ~r->test[j].mask) == 0);
		/* Rows of one call are alternatives: the same row twice is a mistake. */
		for (size_t k = i + 1; (other = jail_table_row(t, k)); k++)
			assert_false(other->nr == r->nr &&
				     memcmp(other->test, r->test, sizeof(r->test)) == 0);
	}
}

/* What no row may ever allow, whatever else changes in the tables. */
static void check_never(const struct jail_table *t)
{
	static const int never[] = {SYS_execve, SYS_fork, SYS_vfork, SYS_bind, SYS_listen,
		SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_mount, SYS_umount2,
		SYS_unshare, SYS_setns, SYS_kill, SYS_bpf, SYS_userfaultfd, SYS_keyctl, SYS_add_key,
		SYS_perf_event_open, SYS_kexec_load, SYS_init_module, SYS_finit_module,
		SYS_pivot_root, SYS_chroot, SYS_open_tree, SYS_move_mount, SYS_fsopen, SYS_setuid,
		SYS_capset, SYS_personality, SYS_io_uring_enter, SYS_open_by_handle_at,
		SYS_pidfd_getfd, SYS_chmod, SYS_chown, SYS_mknod, SYS_mknodat};

	const struct jail_rule *r;

	for (size_t i = 0; (r = jail_table_row(t, i)); i++)
		for (size_t j = 0; j < ARRAY_LEN(never); j++)
			assert_false(r->nr == never[j] && !r->error);
}

/* ---- the effective list, as a text ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *row_text(const struct jail_rule *r)
{
	char line[256], *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, r->nr);
	int n = snprintf(line, sizeof(line), "%s", name);

	assert_non_null(name);
	free(name);
	for (unsigned i = 0; i < JAIL_TESTS_MAX; i++)
		if (r->test[i].mask)
			n += snprintf(line + n, sizeof(line) - (size_t)n, " arg%u&%#llx=%#llx",
				r->test[i].arg, (unsigned long long)r->test[i].mask,
				(unsigned long long)r->test[i].value);
	if (r->error)
		(void)snprintf(line + n, sizeof(line) - (size_t)n,
			r->error == JAIL_PRETEND ? " does nothing" : " fails with %d", r->error);
	return strdup(line);
}

/* check_list() - what is allowed in the end stands in lists/NAME.txt, so that a change of shared rows
 * shows in each program that has them
 */
static void check_list(const struct jail_table *t)
{
	const struct jail_rule *r;
	char path[512], line[256], *rows[256];
	size_t n = 0, i = 0;
	FILE *f;

	for (size_t k = 0; (r = jail_table_row(t, k)); k++) {
		if (strncmp(r->why, "the sanitizer", 13) == 0)
			continue;
		assert_true(n < ARRAY_LEN(rows));
		rows[n++] = row_text(r);
	}
	qsort(rows, n, sizeof(rows[0]), by_text);
	(void)snprintf(path, sizeof(path), TABLES_LISTS "/%s.txt", t->name);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (i >= n)
			fail_msg("%s: '%s' is not in the table", path, line);
		assert_string_equal(line, rows[i]);
		free(rows[i++]);
	}
	fclose(f);
	if (i < n)
		fail_msg("%s does not have '%s'", path, rows[i]);
}

void tables_check(const struct jail_table *t, unsigned calls_max)
{
	check_filter(t);
	check_other_abis(t);
	check_rows(t);
	check_never(t);
	check_list(t);
	/* a sanitizer's own calls come on top */
	assert_true(jail_filter_calls(t) <= calls_max + (JAIL_SANITIZED ? SANITIZER_CALLS : 0));
}

bool tables_allow(const struct jail_table *t, int nr)
{
	const struct jail_rule *r;

	for (size_t i = 0; (r = jail_table_row(t, i)); i++)
		if (r->nr == nr && !r->error)
			return true;
	return false;
}
