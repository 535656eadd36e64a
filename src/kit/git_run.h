/* git_run.h - one run of git: arguments, a little input, bounded output, a deadline */
#ifndef KIT_GIT_RUN_H
#define KIT_GIT_RUN_H
#include "base/buf.h"
#include "base/err.h"
#include <stdint.h>

#define GIT_ARGS_MAX 40

struct git_run {
	const char *home; /* a directory of its own: HOME, and all it may write */
	const char *protocols; /* GIT_ALLOW_PROTOCOL */
	const char *args[GIT_ARGS_MAX]; /* behind "git" and its -c options; NULL-terminated */
	const struct buf *input; /* may be NULL; at most 1 MiB */
	struct buf *output; /* its maximum is the bound */
	int64_t deadline; /* clock_ms() */
};
/* git_run() - 0 when git ends with 0; else -EHOSTUNREACH with the last line it said, -ETIMEDOUT,
 * -EFBIG: more output than allowed, -ENOENT: no git. The whole session of the child is dead on return.
 */
int git_run(const struct git_run *g, struct err *e) MUST_USE;
#endif
