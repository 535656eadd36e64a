/* test_gmem.c - guest addresses: what is in, what is out, and that the file cannot shrink */
#include "virtio/gmem.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <cmocka.h>

static uint8_t ram_a[4096], ram_b[4096];

static void two_regions(struct gmem *m)
{
	gmem_init(m);
	assert_int_equal(
		gmem_add(m,
			&(struct gmem_region){
				.gpa = 0x1000, .size = 4096, .user = 0xaaaa0000, .host = ram_a}),
		0);
	assert_int_equal(
		gmem_add(m,
			&(struct gmem_region){
				.gpa = 0x2000, .size = 4096, .user = 0xbbbb0000, .host = ram_b}),
		0);
}

static void test_span(void **state)
{
	struct gmem m;
	uint64_t got;

	(void)state;
	two_regions(&m);
	assert_ptr_equal(gmem_span(&m, (gpa_t){0x1000}, 4096), ram_a);
	assert_ptr_equal(gmem_span(&m, (gpa_t){0x1fff}, 1), ram_a + 4095);
	assert_null(gmem_span(&m, (gpa_t){0x1fff}, 2)); /* not within one region */
	assert_null(gmem_span(&m, (gpa_t){0xfff}, 1));
	assert_null(gmem_span(&m, (gpa_t){0x3000}, 1));
	assert_null(gmem_span(&m, (gpa_t){0x1000}, UINT64_MAX));
	assert_null(gmem_span(&m, (gpa_t){UINT64_MAX}, 2));
	assert_ptr_equal(gmem_span_some(&m, (gpa_t){0x1ffe}, 100, &got), ram_a + 4094);
	assert_int_equal(got, 2);
	assert_ptr_equal(gmem_user_span(&m, 0xbbbb0001, 4095), ram_b + 1);
	assert_null(gmem_user_span(&m, 0xbbbb0001, 4096));
	assert_null(gmem_user_span(&m, 0x1000, 1));
}

static void test_copy(void **state)
{
	struct gmem m;
	char back[5] = "";

	(void)state;
	two_regions(&m);
	assert_true(gmem_write(&m, (gpa_t){0x1ffb}, "abcde", 5));
	assert_true(gmem_read(&m, (gpa_t){0x1ffb}, back, 5));
	assert_memory_equal(back, "abcde", 5);
	memset(back, 'x', 5);
	assert_false(gmem_read(&m, (gpa_t){0x1ffc}, back, 5));
	assert_memory_equal(back, "xxxxx", 5);
	assert_false(gmem_write(&m, (gpa_t){0x1ffc}, "ABCDE", 5));
	assert_memory_equal(ram_a + 4092, "bcde", 4);
}

static void test_add_refuses(void **state)
{
	static const struct gmem_region bad[] = {
		{.gpa = 0x9000, .size = 0, .user = 1, .host = ram_a},
		{.gpa = 0x1fff, .size = 1, .user = 1, .host = ram_a}, /* overlaps */
		{.gpa = 0, .size = 0x1001, .user = 1, .host = ram_a}, /* overlaps */
		{.gpa = 0x9000, .size = 1, .user = 0xaaaa0fff, .host = ram_a}, /* user overlaps */
		{.gpa = UINT64_MAX, .size = 2, .user = 1, .host = ram_a},
		{.gpa = 0x9000, .size = 2, .user = UINT64_MAX, .host = ram_a},
		{.gpa = 0x9000, .size = 1, .user = 1},
	};
	struct gmem m;

	(void)state;
	two_regions(&m);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(gmem_add(&m, &bad[i]), -EINVAL);
	assert_int_equal(m.n, 2);
	for (unsigned i = 2; i < GMEM_REGIONS; i++) {
		struct gmem_region r = {
			.gpa = 0x10000u * i, .size = 1, .user = 0x10000u * i, .host = ram_a};

		assert_int_equal(gmem_add(&m, &r), 0);
	}
	assert_int_equal(
		gmem_add(&m, &(struct gmem_region){.gpa = 1, .size = 1, .user = 1, .host = ram_a}),
		-ENOSPC);
}

static void test_map_seals(void **state)
{
	AUTO_FD fd = memfd_create("ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct gmem m;

	(void)state;
	assert_int_equal(ftruncate(fd, 3 * 4096), 0);
	gmem_init(&m);
	assert_int_equal(gmem_map(&m, 0, 3 * 4096 + 1, 0, fd, 0), -EINVAL);
	assert_int_equal(gmem_map(&m, 0, 4096, 0, fd, 3 * 4096), -EINVAL);
	assert_int_equal(gmem_map(&m, 0, 4096, 0, fd, 1), -EINVAL);
	assert_int_equal(gmem_map(&m, 0, UINT64_MAX, 0, fd, 4096), -EINVAL);
	assert_int_equal(gmem_map(&m, 0x5000, 2 * 4096, 0, fd, 4096), 0);
	assert_int_equal(ftruncate(fd, 4096), -1); /* sealed by us */
	assert_int_equal(errno, EPERM);
	assert_true(gmem_write(&m, (gpa_t){0x5000}, "hi", 2));
	char two[2] = "";
	assert_int_equal(pread(fd, two, 2, 4096), 2);
	assert_memory_equal(two, "hi", 2);
	gmem_fini(&m);
	assert_int_equal(m.n, 0);
}

static void test_map_refuses_what_can_shrink(void **state)
{
	char path[] = "/tmp/gmemXXXXXX";
	AUTO_FD file = mkstemp(path);
	AUTO_FD sealed = memfd_create("ram", MFD_CLOEXEC); /* carries F_SEAL_SEAL */
	struct gmem m;
	int p[2];

	(void)state;
	unlink(path);
	gmem_init(&m);
	assert_int_equal(ftruncate(file, 4096), 0);
	assert_int_equal(gmem_map(&m, 0, 4096, 0, file, 0), -EPERM);
	assert_int_equal(ftruncate(sealed, 4096), 0);
	assert_int_equal(gmem_map(&m, 0, 4096, 0, sealed, 0), -EPERM);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(gmem_map(&m, 0, 4096, 0, p[0], 0), -EPERM);
	close(p[0]);
	close(p[1]);
	assert_int_equal(m.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_span),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_add_refuses),
		cmocka_unit_test(test_map_seals),
		cmocka_unit_test(test_map_refuses_what_can_shrink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
