/* join.h - the agent's session of a running sandbox: begin it, or join it */
#ifndef CLI_JOIN_H
#define CLI_JOIN_H
#include "cli/box.h"
#include "cli/env.h"
#include "cli/keys.h"

struct join {
	struct api *api;
	const struct js *box; /* with argv and argv_interactive */
	struct keys keys;
	const struct env_list *env; /* for a session that begins; may be NULL */
	char **args; /* for a session that begins: see join_argv() */
	size_t n_args;
	bool detached; /* leave once it runs */
	bool quiet;
	bool only_join; /* never begin it */
	bool no_approve; /* what waits for an answer is not shown here */
};
/* join_agent() - the exit status; faults are told */
int join_agent(struct join *j);
/* join_argv() - pure: the agent's command: @usual, with @args appended when the first begins with
 * '-', else @args instead. *ret owns copies.
 */
int join_argv(const struct agent_strv *usual, char **args, size_t n_args, struct agent_strv *ret,
	struct err *e) MUST_USE;
#endif
