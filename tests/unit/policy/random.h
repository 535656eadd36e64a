/* random.h - random rules and requests that often meet, from a seed: the same on every machine */
#ifndef TESTS_POLICY_RANDOM_H
#define TESTS_POLICY_RANDOM_H
#include "policy/policy.h"

struct dice {
	uint64_t state;
};
uint32_t dice_roll(struct dice *d, uint32_t sides);

struct random_request {
	struct policy_request r;
	struct policy_host host;
	char path[256];
};
/* random_policy() - an unsealed policy of up to @n rules */
struct policy *random_policy(struct dice *d, unsigned n);
void random_request(struct dice *d, struct random_request *ret);
#endif
