#include "egress/redirect.h"
#include <string.h>

bool redirect_supported(void)
{
	return true;
}

void redirect_address(const struct egress_config *c, struct policy_address *a, uint16_t *port)
{
	for (uint32_t i = 0; i < c->n_redirects; i++) {
		const struct egress_redirect *r = &c->redirects[i];

		if (r->from.family != a->family || memcmp(r->from.bytes, a->byte, 16) != 0 ||
			(r->from_port != 0 && r->from_port != *port))
			continue;
		*port = (uint16_t)(r->from_port ? r->to_port : *port + r->to_port);
		a->family = r->to.family;
		memcpy(a->byte, r->to.bytes, 16);
		return;
	}
}
