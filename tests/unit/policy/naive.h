/* naive.h - the meaning of a policy written down a second time, as plainly as can be */
#ifndef TESTS_POLICY_NAIVE_H
#define TESTS_POLICY_NAIVE_H
#include "policy/policy.h"

/* naive_decide() - decision, reason, rule, inspect; no bypass */
struct policy_verdict naive_decide(const struct policy *p, const struct policy_request *r);
#endif
