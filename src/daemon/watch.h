/* watch.h - the thread that listens to all machines, and the daemon's end of a link
 *
 * The watcher reads every link, hands answers to those who asked, keeps the boot stream for whoever
 * starts the sandbox, and notices the end of a machine: by the link's end of file, then by the free
 * lock. It alone settles the status then (sandbox_settle), so that no end is told twice.
 * Nobody here waits for a machine with a lock held.
 */
#ifndef DAEMON_WATCH_H
#define DAEMON_WATCH_H
#include "daemon/sandbox.h"

#define WATCH_KILL_MS	 2000 /* from the link's end to SIGKILL */
#define WATCH_GIVE_UP_MS 15000 /* then the status is settled although something holds the lock */

#define START_FAILED "start failed: " /* how the reason of a sandbox that never ran begins */

int watch_new(struct daemon *d, struct watch **ret, struct err *e) MUST_USE;

/* watch_add() - from now on @link_fd (taken, also on failure) is the sandbox's link */
int watch_add(struct sandbox *s, int link_fd, struct err *e) MUST_USE;
/* watch_end() - no (usable) link, but a machine may live: kill it and settle the status.
 * @reason: for the row; NULL keeps what is known.
 */
void watch_end(struct sandbox *s, const char *reason);
/* watch_over() - its machine has ended already: settle the status by what it wrote down */
void watch_over(struct sandbox *s);
/* watch_settled() - wait until no machine of it is alive any more; -ETIMEDOUT */
int watch_settled(struct sandbox *s, int64_t deadline) MUST_USE;

/* link_end.c: the daemon's half of the link. All fail with -ENOTCONN when there is no machine. */
/* box_open_stream() - a stream to guest port @port, blocking, the caller's */
int box_open_stream(struct sandbox *s, uint32_t port, struct err *e) MUST_USE;
/* box_ask() - a question that is answered by REPLY; its negative result is returned as an error */
int box_ask(struct sandbox *s, enum link_op op, uint64_t n0, int64_t deadline,
	struct link_msg *ret_reply, struct err *e) MUST_USE;
/* box_give() - the same with a descriptor (borrowed) */
int box_give(struct sandbox *s, enum link_op op, int fd, int64_t deadline, struct err *e) MUST_USE;
/* box_kill() - LINK_KILL, or SIGKILL when the link does not take it */
void box_kill(struct sandbox *s);
#endif
