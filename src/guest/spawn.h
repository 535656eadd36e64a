/* spawn.h - start one program as some user: a child that shares our memory until it has exec'd
 *
 * clone(CLONE_VM | CLONE_VFORK): no page table is copied, and the child's failure is simply a
 * variable here when the call returns. The caller stands still meanwhile, for the time of a PATH
 * search and one exec.
 */
#ifndef GUEST_SPAWN_H
#define GUEST_SPAWN_H
#include "base/own.h"
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SPAWN_GROUPS_MAX 64

enum spawn_stage { SPAWN_CLONE, SPAWN_TTY, SPAWN_USER, SPAWN_CWD, SPAWN_EXEC };

struct spawn {
	char *const *argv; /* argv[0] is looked for in the PATH of env when it has no slash */
	char *const *env;
	const char *cwd; /* NULL: stay */
	const char *cwd_or[2]; /* tried when cwd is not there; NULL: none */
	uid_t uid;
	gid_t gid;
	gid_t groups[SPAWN_GROUPS_MAX];
	size_t n_groups;
	int fds[3]; /* become 0, 1, 2; all above 2, borrowed */
	bool tty; /* fds[0] becomes the controlling terminal */
};

/* spawn_run() - 0 and the pid, or negative errno and where it failed. The child leads a session. */
int spawn_run(const struct spawn *s, pid_t *ret_pid, enum spawn_stage *ret_stage) MUST_USE;
#endif
