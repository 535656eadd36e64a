/* setup.h - what the host's SETUP asks for, made true: clock, entropy, name, user, workspaces */
#ifndef GUEST_SETUP_H
#define GUEST_SETUP_H
#include "base/err.h"
#include "proto/agent.h"

/* setup_apply() - all of it, in order; @step is told what comes next (a sentence without verb
 * form of success: "workspaces"). @scratch_fd: guest.scratch_fd. May run again after a break: then what is done stays done.
 */
int setup_apply(const struct agent_setup *m, int scratch_fd,
	void (*step)(void *ctx, const char *what), void *ctx, struct err *e) MUST_USE;
/* setup_refresh() - only what ages: clock and entropy */
int setup_refresh(const struct agent_setup *m, struct err *e) MUST_USE;
int setup_clock(uint64_t ns) MUST_USE;
#endif
