/* spawn.h - start a program in new namespaces, with exactly the descriptors it is given
 *
 * The child is cloned straight into its namespaces, waits until its parent has written the id maps
 * and put it into its cgroup, then gives up rights in this order: root, limits, capabilities,
 * no_new_privs, seccomp, exec. Each step that fails stops the start and is named in the error.
 * The parent may have threads: between clone and exec the child makes system calls only.
 * The program is PID 1 of its pid namespace: when it ends, the kernel kills all that is in it.
 * Spec: docs/security.md, "Jail".
 */
#ifndef JAIL_SPAWN_H
#define JAIL_SPAWN_H
#include "base/err.h"
#include "jail/cgroup.h"
#include "jail/rlimit.h"
#include "jail/root.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct sock_fprog;

#define JAIL_FDS_MAX  128
#define JAIL_EXEC_FD  1000 /* the program while it is being started; above any limit set later */
#define JAIL_MAPS_MAX 2

/* One id of the new user namespace: @inside is what the program sees, @outside what we see. */
struct jail_map {
	uid_t inside_uid, outside_uid;
	gid_t inside_gid, outside_gid;
};

struct jail_child {
	const char *path; /* the program; absolute */
	char *const *argv; /* NULL-terminated */
	char *const *envp; /* NULL: empty */
	/* Descriptor i of the program is fds[i] of ours (borrowed); -1: /dev/null for 0..2, else
	 * none. All others are closed.
	 */
	const int *fds;
	size_t n_fds;
	/* map[0] is what the program runs as; nothing else exists inside but the rest of the list */
	struct jail_map map[JAIL_MAPS_MAX];
	size_t n_maps;
	const struct jail_root *root; /* NULL: keeps seeing our files (it leaves them by itself) */
	const struct jail_rlimit *limit; /* may be NULL */
	size_t n_limits;
	const struct jail_cgroup *cgroup; /* may be NULL */
	/* true: it keeps capabilities, valid in its own user namespace only, to build its own jail */
	bool keep_caps;
	const struct sock_fprog *filter; /* seccomp; may be NULL when keep_caps */
	bool host_net; /* it keeps our network instead of an empty one: for who dials out */
	bool landlock; /* it may only read and execute, and only what is in its root; where the kernel can */
};

/* jail_spawn() - *ret_pid is our child to wait for, *ret_pidfd its pidfd (close-on-exec)
 * Returns when the program was executed. -ENOSYS, -EPERM: a primitive is missing (hint in @e).
 */
int jail_spawn(const struct jail_child *c, pid_t *ret_pid, int *ret_pidfd, struct err *e) MUST_USE;
/* jail_proc_pid() - the number of the process behind @pidfd in the /proc that is mounted here, which
 * need not be of our own pid namespace; negative errno
 */
int jail_proc_pid(int pidfd) MUST_USE;
#endif
