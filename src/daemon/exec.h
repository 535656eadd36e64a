/* exec.h - a command in the guest, from the API's JSON to its collected output */
#ifndef DAEMON_EXEC_H
#define DAEMON_EXEC_H
#include "daemon/sandbox.h"

#define EXEC_OUTPUT_MAX (1U << 20) /* of each of stdout and stderr; the rest is dropped */
#define EXEC_MS_DEFAULT 60000
#define EXEC_MS_MAX	3600000

struct exec_result {
	int code, signal;
	bool truncated;
	struct buf out, err;
};
void exec_result_init(struct exec_result *r);
void exec_result_auto(struct exec_result *r);

/* exec_run() - @body: {"argv","env","cwd","user","stdin","timeout_ms"}; when the time is over the
 * stream is closed, which ends the command in the guest; so it is when @client, the socket of who
 * asked, is closed at its other end (-ECANCELED)
 */
int exec_run(struct sandbox *s, const struct js *body, int client, struct exec_result *ret,
	struct err *e) MUST_USE;
#endif
