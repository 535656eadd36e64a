/* secrets.h - values of credentials by name, each in memory of its own (arena.h)
 *
 * A value has no CR, LF or NUL and at most EGRESS_SECRET_MAX bytes. It leaves this table only by
 * secrets_get(), and what is got is valid until the next secrets_put() of that name.
 */
#ifndef EGRESS_SECRETS_H
#define EGRESS_SECRETS_H
#include "base/own.h"
#include <stddef.h>
#include <stdint.h>

#define SECRETS_MAX 256

struct scrub;

struct secret {
	const char *value; /* terminated */
	size_t len;
	struct scrub *scrub; /* its forms; scrub_ref() to keep them */
	struct scrub
		*signature; /* of a JWT, its header and claims are no secret to some; else NULL */
};

struct secrets;
struct secrets *secrets_new(void) MUST_USE; /* NULL: no memory */
void secrets_free(struct secrets *s); /* wipes all; NULL is fine */
/* secrets_put() - set or replace; -EINVAL: a byte that must not stand in a header, or empty, or too long;
 * -ENOSPC: too many; -ENOMEM
 */
int secrets_put(struct secrets *s, const char *name, const void *value, size_t len) MUST_USE;
void secrets_drop(struct secrets *s, const char *name);
const struct secret *secrets_get(const struct secrets *s, const char *name); /* NULL: not set */
#endif
