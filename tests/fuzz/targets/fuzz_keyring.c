/* What sbx-keyring is asked and answers: whatever was taken can be written again, and is the same bytes */
#include "keyring/wire.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	for (int answer = 0; answer < 2; answer++) {
		uint8_t again[KEYRING_BYTES_MAX];
		struct keyring_message m;

		if (!keyring_get(p, len, answer, &m))
			continue;
		assert(keyring_put(&m, answer, again) == len);
		assert(memcmp(again, p, len) == 0);
	}
	return 0;
}
