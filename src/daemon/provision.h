/* provision.h - what happens inside at the first start, and after each: docs/kits.md, "What happens when"
 *
 * First start: files/home → the install commands, in a window of their own → every process of theirs is
 * ended and the window closed → setup files → files/workspace → texts for the agent. Every start: the
 * startup commands, beside the agent. One that fails or is cut off in the middle begins anew on an empty
 * scratch disk: provision_begin() finds the mark that provision_done() takes away.
 */
#ifndef DAEMON_PROVISION_H
#define DAEMON_PROVISION_H
#include "daemon/sandbox.h"
#include "proto/agent.h"

#define PROVISION_PUT_MS     60000 /* for one set of files */
#define PROVISION_COMMAND_MS (30 * 60000) /* for one install command */
#define PROVISION_SETTLE_MS  120000 /* for processes to end, and the disk to be written */

struct setup_log;

/* provision_begin() - before the machine: a mark, and a new disk when there was one already */
int provision_begin(struct sandbox *s, int dir, struct err *e) MUST_USE;
/* provision() - once the guest is ready; nothing when it was done before. @dir: of the sandbox. */
int provision(struct sandbox *s, int dir, sandbox_step_fn step, void *ctx, struct err *e) MUST_USE;
/* provision_done() - the row says that it is done */
void provision_done(int dir);
/* provision_pending() - by a directory alone: was its first start never finished? */
bool provision_pending(int dir);

/* ---- provision_install.c ---- */
/* provision_install() - the commands and their window; closed when it returns 0 */
int provision_install(struct sandbox *s, int dir, struct setup_log *log, sandbox_step_fn step,
	void *ctx, struct err *e) MUST_USE;

/* ---- provision_memory.c ---- */
/* provision_memory() - the agent's file of instructions keeps what the image has around our marks */
int provision_memory(struct sandbox *s, int dir, struct setup_log *log, struct err *e) MUST_USE;

/* ---- provision_env.c: variables of install and startup commands beside the sandbox's ---- */
struct provision_env {
	char **v; /* owned, as are the texts: NAME=value, or NAME to be without it */
	size_t n, cap;
};
int provision_env_add(struct provision_env *v, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_USE;
/* provision_env_usual() - WORKSPACE_DIR, SBX_CRED_<SERVICE>_MODE */
int provision_env_usual(struct sandbox *s, struct provision_env *v, struct err *e) MUST_USE;
void provision_env_fini(struct provision_env *v);
void provision_env_auto(struct provision_env *v);

/* ---- start_wait.c: who wants a start that somebody else has begun ---- */
/* start_wait_turn() - while that installs its progress is ours, too, and we wait for as long as it takes;
 * false: there was none
 */
bool start_wait_turn(struct sandbox *s, sandbox_step_fn step, void *ctx);
/* start_did_not() - what was waited for has failed, or was stopped: to begin anew is for a person to say */
int start_did_not(struct sandbox *s, struct err *e);

/* ---- startup.c ---- */
/* startup_run() - by a thread of its own; the sandbox has just begun to run */
void startup_run(struct sandbox *s);
#endif
