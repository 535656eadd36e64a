/* fuzz_machine_plan.c - plans: what is taken is within its bounds and encodes to the same bytes */
#include "machine/plan.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine_plan p;
	static uint8_t bytes[MACHINE_PLAN_BYTES];
	long n;

	if (machine_plan_decode(data, size, &p) < 0)
		return 0;
	assert(p.n_exports <= MACHINE_EXPORTS_MAX && p.cpus >= 1);
	assert(strlen(p.id) < sizeof(p.id) && strlen(p.qemu) < sizeof(p.qemu));
	assert(p.dir_fd > MACHINE_PLAN_FD && p.scratch_fd > MACHINE_PLAN_FD);
	assert(p.n_masks <= MACHINE_MASKS_MAX);
	n = machine_plan_encode(bytes, sizeof(bytes), &p);
	assert(n == (long)size && memcmp(bytes, data, size) == 0);
	return 0;
}
