/* power.h - the end of the machine: processes, disks, power */
#ifndef GUEST_POWER_H
#define GUEST_POWER_H
#include "guest/guest.h"

/* power_end() - SIGTERM and SIGHUP to everything, up to @grace_ms for it to go (its last output and
 * exit status still reach the host), SIGKILL, disks, off. Only as PID 1.
 */
NORETURN void power_end(struct guest *g, uint32_t grace_ms);
/* power_end_others() - SIGKILL to everything but PID 1; true when nothing was left to be killed. The kernel
 * gives it to all at once: who forks meanwhile is among them. Only as PID 1.
 */
bool power_end_others(void);
/* power_cut() - at once; async-signal-safe */
NORETURN void power_cut(void);
#endif
