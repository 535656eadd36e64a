/* boot.h - the guest's boot stream: HELLO, SETUP, STEP…, READY
 *
 * docs/protocol/agent.md, "Boot".
 */
#ifndef DAEMON_BOOT_H
#define DAEMON_BOOT_H
#include "daemon/sandbox.h"

#define BOOT_STEPS_MAX 64

/* boot_guest() - on the boot stream @fd (taken) until READY or @deadline; -ETIMEDOUT, or what the
 * guest said
 */
int boot_guest(struct sandbox *s, int fd, int64_t deadline, sandbox_step_fn step, void *ctx,
	struct err *e) MUST_USE;
#endif
