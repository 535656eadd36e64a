/* usage.h - what the machine has in use, for USAGE_REPLY */
#ifndef GUEST_USAGE_H
#define GUEST_USAGE_H
#include "proto/agent.h"

/* usage_read() - @scratch_fd: a descriptor on the scratch disk, -1: none. Negative errno. */
int usage_read(int scratch_fd, struct agent_usage *ret_u) MUST_USE;
#endif
