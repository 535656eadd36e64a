/* fuzz_age.c - age files: no input gets past its tags, none does harm */
#include "store/age.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct age_identity id, parsed;
	char text[AGE_TEXT_BYTES + 1];
	struct buf out;
	size_t n = size < AGE_TEXT_BYTES ? size : AGE_TEXT_BYTES;

	memcpy(text, data, n);
	text[n] = '\0';
	if (age_identity_parse(text, &parsed) == 0)
		age_identity_wipe(&parsed);
	if (age_identity_new(&id) < 0)
		return 0;
	buf_init(&out, AGE_FILE_MAX);
	assert(age_open(&id, data, size, &out) < 0 && out.len == 0);
	buf_fini(&out);
	return 0;
}
