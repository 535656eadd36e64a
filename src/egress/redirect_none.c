#include "egress/redirect.h"

bool redirect_supported(void)
{
	return false;
}

void redirect_address(const struct egress_config *c, struct policy_address *a, uint16_t *port)
{
	(void)c;
	(void)a;
	(void)port;
}
