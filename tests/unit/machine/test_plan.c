/* test_plan.c - the machine's plan survives its wire form, and only a plausible one is taken */
#include "check.h"
#include "machine/plan.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>

static struct machine_plan sample(void)
{
	struct machine_plan p = {.engine = MACHINE_EMULATED,
		.cpus = 2,
		.memory_bytes = 1ULL << 30,
		.guest_uid = 1000,
		.guest_gid = 1001,
		.dir_fd = 4,
		.lock_fd = 5,
		.kernel_fd = 6,
		.initrd_fd = 7,
		.root_fd = 8,
		.scratch_fd = 9,
		.console_fd = 10,
		.console_max_bytes = 1 << 20,
		.max_open_files = 4096,
		.n_exports = 2};

	(void)snprintf(p.id, sizeof(p.id), "%s", "0123456789abcdef0123456789abcdef");
	(void)snprintf(p.qemu, sizeof(p.qemu), "%s", "/usr/bin/qemu");
	p.exports[0] = (struct machine_export){.fd = 11, .read_only = true};
	p.exports[1] = (struct machine_export){.fd = 12, .is_file = true, .tail = "a/b"};
	memcpy(p.masks[0], ".env", 5);
	p.n_masks = 1;
	return p;
}

static void test_round_trip(void **state)
{
	struct machine_plan p = sample(), q;
	static uint8_t bytes[MACHINE_PLAN_BYTES];
	long n;

	(void)state;
	n = machine_plan_encode(bytes, sizeof(bytes), &p);
	assert_true(n > 0);
	assert_int_equal(machine_plan_decode(bytes, (size_t)n, &q), 0);
	assert_string_equal(q.id, p.id);
	assert_string_equal(q.qemu, p.qemu);
	assert_int_equal(q.memory_bytes, p.memory_bytes);
	assert_int_equal(q.console_fd, 10);
	assert_int_equal(q.guest_gid, 1001);
	assert_int_equal(q.n_exports, 2);
	assert_true(q.exports[0].read_only && !q.exports[0].is_file);
	assert_true(!q.exports[1].read_only && q.exports[1].is_file);
	assert_int_equal(q.exports[1].fd, 12);
	assert_string_equal(q.exports[1].tail, "a/b");
	assert_int_equal(q.n_masks, 1);
	assert_string_equal(q.masks[0], ".env");
}

static void test_full_table(void **state)
{
	struct machine_plan p = sample(), q;
	static uint8_t bytes[MACHINE_PLAN_BYTES];
	long n;

	(void)state;
	p.n_exports = MACHINE_EXPORTS_MAX;
	for (int i = 0; i < MACHINE_EXPORTS_MAX; i++)
		p.exports[i] = (struct machine_export){.fd = 11 + i};
	memset(p.qemu, 'q', sizeof(p.qemu) - 1);
	p.qemu[0] = '/';
	n = machine_plan_encode(bytes, sizeof(bytes), &p);
	assert_true(n > 0);
	assert_int_equal(machine_plan_decode(bytes, (size_t)n, &q), 0);
	assert_int_equal(q.exports[MACHINE_EXPORTS_MAX - 1].fd, 11 + MACHINE_EXPORTS_MAX - 1);
	p.n_exports++;
	assert_int_equal(machine_plan_encode(bytes, sizeof(bytes), &p), -ENOSPC);
}

static void test_too_short_or_long(void **state)
{
	struct machine_plan p = sample(), q;
	uint8_t bytes[4096] = {0};
	long n;

	(void)state;
	n = machine_plan_encode(bytes, sizeof(bytes), &p);
	assert_true(n > 0);
	for (long cut = 0; cut < n; cut++)
		assert_int_equal(machine_plan_decode(bytes, (size_t)cut, &q), -EBADMSG);
	assert_int_equal(machine_plan_decode(bytes, (size_t)n + 1, &q), -EBADMSG);
	for (size_t cap = 0; cap < (size_t)n; cap++)
		assert_int_equal(machine_plan_encode(bytes, cap, &p), -ENOSPC);
}

static void refused(const struct machine_plan *p)
{
	static uint8_t bytes[MACHINE_PLAN_BYTES];
	struct machine_plan q = {.cpus = 77};
	long n = machine_plan_encode(bytes, sizeof(bytes), p);

	assert_true(n > 0);
	assert_int_equal(machine_plan_decode(bytes, (size_t)n, &q), -EBADMSG);
	assert_int_equal(q.cpus, 77); /* written on success only */
}

#define REFUSED(change)                                                                            \
	do {                                                                                       \
		struct machine_plan p_ = sample();                                                 \
		p_.change;                                                                         \
		refused(&p_);                                                                      \
	} while (0)

static void test_implausible(void **state)
{
	(void)state;
	REFUSED(engine = 9);
	REFUSED(id[0] = 0);
	REFUSED(cpus = 0);
	REFUSED(cpus = 65);
	REFUSED(memory_bytes = 0);
	REFUSED(memory_bytes = (1ULL << 30) + 1);
	REFUSED(memory_bytes = UINT64_MAX);
	REFUSED(dir_fd = -1);
	REFUSED(lock_fd = 3);
	REFUSED(root_fd = 0);
	REFUSED(scratch_fd = -7);
	REFUSED(exports[1].fd = -1);
	REFUSED(qemu[0] = 'q');
	REFUSED(console_max_bytes = UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_full_table),
		cmocka_unit_test(test_too_short_or_long),
		cmocka_unit_test(test_implausible),
	};

	return cmocka_run_group_tests_name("machine_plan", tests, NULL, NULL);
}
