/* fuzz_service.c - service descriptors: what is taken keeps the promises of service.h */
#include "kit/service.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct service *s = NULL;
	struct err e = {0};

	if (service_parse("f", (const char *)data, size, &s, &e) < 0) {
		assert(!s && e.msg[0]);
		return 0;
	}
	assert(kit_name_ok(s->name) && s->n_slots > 0 && s->env.n > 0 && s->random >= 22);
	for (size_t i = 0; i < s->n_slots; i++) {
		const struct service_slot *x = &s->slots[i];

		assert(x->kind >= EGRESS_SLOT_HEADER && x->kind <= EGRESS_SLOT_SIGV4);
		assert(x->hosts.n > 0);
		if (x->format)
			assert(strstr(x->format, "%s") && !strpbrk(x->format, "\r\n"));
		if (x->header)
			assert(!strpbrk(x->header + (x->header[0] == ':'), "\r\n: "));
	}
	service_free(s);
	return 0;
}
