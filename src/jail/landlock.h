/* landlock.h - which files a process may reach, by the kernel's Landlock; raw system calls
 *
 * A second fence behind the empty root: even a descriptor of a directory leads only beneath what is
 * listed. Kernels differ: what an ABI cannot name is not asked for. Without Landlock (ABI 0)
 * everything here succeeds and does nothing; whether a start may go on then is the caller's
 * decision (jail/report.h).
 */
#ifndef JAIL_LANDLOCK_H
#define JAIL_LANDLOCK_H
#include "base/own.h"
#include <stdbool.h>
#include <stddef.h>

struct jail_beneath {
	int fd; /* O_PATH of a directory or file; borrowed */
	bool write;
};

/* jail_landlock_abi() - 0 when the kernel has none or it is switched off */
int jail_landlock_abi(void);
/* jail_landlock_make() - ruleset allowing what is beneath the @n entries; no TCP
 * Returns a descriptor (close-on-exec), or negative errno; -EOPNOTSUPP without Landlock.
 */
int jail_landlock_make(const struct jail_beneath *list, size_t n) MUST_USE;
/* jail_landlock_dialling() - no file at all, no listening by TCP; connections may be made. As above. */
int jail_landlock_dialling(void) MUST_USE;
/* jail_landlock_root() - live under a ruleset that lets the root be read and executed, and @program
 * (a descriptor) too, and nothing be written or made. For a program in a root of its own, before its
 * exec; needs no_new_privs. System calls only. -EOPNOTSUPP without Landlock.
 */
int jail_landlock_root(int program) MUST_USE;
/* jail_landlock_enter() - live under it from now on; needs no_new_privs. System call only. */
int jail_landlock_enter(int ruleset) MUST_USE;
#endif
