/* cgroup.h - what all processes of one sandbox together may use: CPU, memory, number of processes
 *
 * Version 2 where a delegated tree is writable, version 1 where its controllers are, else nothing:
 * then jail_cgroup_make() says so in a note that users see, and the sandbox starts without (its
 * memory is still bounded by the machine's size, its processes by the pid namespace's seccomp list).
 * Thread: any. The tree is found by /proc/self/mountinfo and /proc/self/cgroup.
 */
#ifndef JAIL_CGROUP_H
#define JAIL_CGROUP_H
#include "base/err.h"
#include <stdint.h>
#include <sys/types.h>

#define JAIL_CGROUP_DIRS 3 /* v2: one; v1: cpu, memory, pids */

struct jail_cgroup {
	int version; /* 0: none, 1, 2 */
	char dir[JAIL_CGROUP_DIRS][256];
	unsigned n_dirs;
	char note[160]; /* what is not limited and why; "" when all is */
};

struct jail_cgroup_limits {
	uint32_t cpu_percent; /* of one CPU; 0: unlimited */
	uint64_t memory_bytes;
	uint32_t pids;
};

/* jail_cgroup_make() - group @name (letters, digits, '-') with @l; an existing one is reused
 * Never fails for lack of a controller; -errno only when a found one refuses its limit.
 */
int jail_cgroup_make(const char *name, const struct jail_cgroup_limits *l,
	struct jail_cgroup *ret_group, struct err *e) MUST_USE;
/* jail_cgroup_find() - the group made earlier under @name, to remove it after a restart */
void jail_cgroup_find(const char *name, struct jail_cgroup *ret_group);
int jail_cgroup_attach(const struct jail_cgroup *g, pid_t pid) MUST_USE;
/* jail_cgroup_oom_kills() - how many of its processes the kernel killed at the memory limit */
unsigned jail_cgroup_oom_kills(const struct jail_cgroup *g);
/* jail_cgroup_remove() - once all its processes are gone; -EBUSY before. A missing one is fine. */
int jail_cgroup_remove(const struct jail_cgroup *g);
#endif
