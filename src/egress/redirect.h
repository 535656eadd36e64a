/* redirect.h - where tests put their servers: a vetted address is dialled elsewhere, after all checks
 *
 * Two implementations. redirect_none.c is in every program that is installed: a configuration with redirects
 * is refused. redirect_rig.c is in the program that the tests run.
 */
#ifndef EGRESS_REDIRECT_H
#define EGRESS_REDIRECT_H
#include "policy/address.h"
#include "proto/egress_config.h"

/* redirect_supported() - may a configuration hold redirects? */
bool redirect_supported(void);
/* redirect_address() - change @a and @port to where they are to be dialled */
void redirect_address(const struct egress_config *c, struct policy_address *a, uint16_t *port);
#endif
