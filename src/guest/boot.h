/* boot.h - the boot stream: HELLO, SETUP, READY; docs/protocol/agent.md, "Boot"
 *
 * Blocking, before the loop runs. The transport is the caller's.
 */
#ifndef GUEST_BOOT_H
#define GUEST_BOOT_H
#include "base/err.h"
#include "guest/guest.h"

struct boot_ops {
	int (*connect)(void *ctx); /* a connected stream, or -errno: tried again later */
	int (*apply)(void *ctx, const struct agent_setup *m, void (*step)(void *, const char *),
		void *step_ctx, struct err *e);
	int (*refresh)(void *ctx, const struct agent_setup *m, struct err *e);
	void *ctx;
};

/* boot_run() - until the host has been told READY; g->setup is what it sent. With @failed set
 * (something before went wrong) the host is told that instead, and the result is its number; for
 * that and for a failing set-up @e says what. Gives up on reaching the host only when there is
 * nothing but a failure to tell (10 s).
 */
int boot_run(struct guest *g, const struct boot_ops *ops, const struct err *failed,
	struct err *e) MUST_USE;
#endif
