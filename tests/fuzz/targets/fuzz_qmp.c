/* fuzz_qmp.c - lines of a QEMU that has been taken over */
#include "machine/qmp.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qmp_msg m;
	enum qmp_kind k = qmp_parse((const char *)data, size, &m);

	assert(k == m.kind && k <= QMP_EVENT);
	assert(memchr(m.text, 0, QMP_TEXT_MAX) && memchr(m.detail, 0, QMP_TEXT_MAX));
	assert(k != QMP_BAD || (!m.text[0] && !m.detail[0]));
	return 0;
}
