/* agent_run.h - a command inside from start to end, for the daemon itself
 *
 * No terminal, no input. It is followed until it exits, the deadline is over (then it is hung up on), the
 * sandbox ends, or the caller's tick() says that it is enough. Thread: any, one for each call.
 */
#ifndef DAEMON_AGENT_RUN_H
#define DAEMON_AGENT_RUN_H
#include "daemon/sandbox.h"
#include "proto/agent.h"

#define AGENT_TICK_MS 1000

struct agent_watcher {
	/* output() - both streams, as they come */
	void (*output)(void *ctx, const void *p, size_t len);
	/* tick() - at least once each AGENT_TICK_MS; negative: give up with this error. NULL: never */
	int (*tick)(void *ctx, struct err *e);
	void *ctx;
};

/* agent_run() - 0 when it exited, whatever its status; what the guest says of a command that cannot be
 * started is an error, as are -ETIMEDOUT and -ECONNRESET
 */
int agent_run(struct sandbox *s, const struct agent_exec *m, int64_t deadline,
	const struct agent_watcher *w, struct agent_exit *ret, struct err *e) MUST_USE;
/* agent_settle() - @flags: AGENT_SETTLE_* */
int agent_settle(struct sandbox *s, uint32_t flags, int64_t deadline, struct err *e) MUST_USE;
/* agent_get_file() - one regular file inside, or what a link leads to; -ENOENT, -EFBIG beyond @out's
 * maximum, -EINVAL for what is no file
 */
int agent_get_file(struct sandbox *s, const char *path, struct buf *out, int64_t deadline,
	struct err *e) MUST_USE;
#endif
