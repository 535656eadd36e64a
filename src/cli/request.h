/* request.h - request frames of exec, run and attach */
#ifndef CLI_REQUEST_H
#define CLI_REQUEST_H
#include "cli/env.h"
#include "proto/agent.h"
#include "base/err.h"

#define REQUEST_START_MS 30000 /* how long a guest may take to start a command */
#define REQUEST_SESSION	 "agent" /* the session that `sbx run` shares */

/* request_exec() - append an EXEC frame: @x with @env (may be NULL) as its environment */
int request_exec(struct buf *out, const struct agent_exec *x, const struct env_list *env,
	struct err *e) MUST_USE;
#endif
