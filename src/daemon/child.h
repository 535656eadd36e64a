/* child.h - run a helper program of the host to its end, with a deadline
 *
 * No shell, absolute path, a clean environment (PATH, LANG=C), nothing inherited but a null stdin
 * and what it prints. Thread: any.
 */
#ifndef DAEMON_CHILD_H
#define DAEMON_CHILD_H
#include "base/buf.h"
#include "base/err.h"

/* child_find() - absolute path of @program in the usual system directories; -ENOENT */
int child_find(const char *program, char dst[256]) MUST_USE;
/* child_run() - argv[0] is looked for with child_find(); exit status 0 is success. On failure @e
 * ends with the last line it printed. @output (may be NULL) gets stdout and stderr, cut at its max.
 */
int child_run(
	const char *const *argv, int64_t deadline, struct buf *output, struct err *e) MUST_USE;
#endif
