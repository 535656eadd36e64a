/* spawn.h - how the daemon starts sbx-machine for one sandbox
 *
 * The machine outlives the daemon: it has its own session and namespaces, is ended by its link
 * (LINK_KILL, LINK_STOP) or by SIGKILL to its pid, and takes its engine with it. It answers on
 * LINK_SOCKET in the sandbox's directory once machine_spawn() has returned and it has bound it.
 * In that directory it writes MACHINE_JAIL_FILE (what is in force) and, at its end,
 * MACHINE_EXIT_FILE (two lines: "stopped" or "crashed", and the reason).
 * Thread: any thread of the daemon.
 */
#ifndef MACHINE_SPAWN_H
#define MACHINE_SPAWN_H
#include "base/err.h"
#include "jail/spawn.h"
#include "machine/plan.h"
#include <sys/types.h>

#define MACHINE_JAIL_FILE "jail"
#define MACHINE_EXIT_FILE "exit"

/* machine_spawn() - encode @p, start @program under the sandbox's limits
 * @program: absolute path of libexec's sbx-machine
 * @p: its descriptors are the caller's own numbers (borrowed); the machine gets duplicates under
 *     numbers chosen here. Close yours afterwards, lock_fd above all: the lock is free only when
 *     the last one is closed, and the machine's and engine's close when they end.
 * @log_fd: stderr of the machine and its engine (borrowed); the caller caps its size
 * @ret_note: cgroup limits that are not in force and why, "" when all are; may be NULL
 * @ret_pid is a child of this process (wait for it, or leave it to init)
 */
int machine_spawn(const struct machine_plan *p, const char *program, int log_fd, char ret_note[160],
	pid_t *ret_pid, int *ret_pidfd, struct err *e) MUST_USE;
/* machine_users() - the users of the machine's user namespace; returns how many */
size_t machine_users(const char *id, struct jail_map map[JAIL_MAPS_MAX]);
/* machine_starved() - was a process of it killed because all together wanted more memory than they may
 * have? Known until machine_forget(), and where the limit is in force.
 */
bool machine_starved(const char *id);
/* machine_forget() - after its end: remove what of it is outside its directory (its cgroup) */
void machine_forget(const char *id);
#endif
