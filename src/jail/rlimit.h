/* rlimit.h - resource limits of a jailed program
 *
 * Soft and hard limit alike. Usable between clone and exec.
 */
#ifndef JAIL_RLIMIT_H
#define JAIL_RLIMIT_H
#include "base/own.h"
#include <stddef.h>
#include <stdint.h>

struct jail_rlimit {
	int resource; /* RLIMIT_* */
	uint64_t value;
};

/* jail_rlimit_set() - never raises a hard limit: a value above it takes the hard limit */
int jail_rlimit_set(const struct jail_rlimit *l, size_t n) MUST_USE;
#endif
