/* reap.h - children: every one is reaped, those that somebody waits for are told
 *
 * As PID 1 this collects the orphans of the whole machine. SIGCHLD must be blocked by the caller;
 * it is taken from a signalfd of the loop. Waits are removed by themselves once they were told.
 */
#ifndef GUEST_REAP_H
#define GUEST_REAP_H
#include "base/loop.h"
#include <sys/types.h>

struct reaper;
typedef void (*reap_fn)(void *ctx, int status); /* status as from waitpid() */

int reaper_new(struct loop *l, struct reaper **ret_r) MUST_USE;
void reaper_free(struct reaper *r);
int reaper_watch(struct reaper *r, pid_t pid, reap_fn fn, void *ctx) MUST_USE;
void reaper_forget(struct reaper *r, pid_t pid);
/* reaper_collect() - reap whoever has ended; called by the loop, and while shutting down */
void reaper_collect(struct reaper *r);
#endif
