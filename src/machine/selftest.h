/* selftest.h - sbx-machine --selftest-jail: enter the jails and try what must not be possible
 *
 * The same code closes the jails as for a sandbox. Every attempt is made by a process of its own,
 * which ends in it (killed by the seccomp list), or says how the kernel refused. One line each, in
 * the form of TAP; exit status 1 when anything got through.
 */
#ifndef MACHINE_SELFTEST_H
#define MACHINE_SELFTEST_H
#include <stdbool.h>
#include <stddef.h>

enum {
	IN_MACHINE = 1,
	IN_ENGINE = 2,
	IN_BOTH = 3,
};

#define ATTEMPT_ERRORS 4

/* One forbidden call. @call returns >= 0 when it got through, else the negative errno. */
struct attempt {
	const char *name;
	long (*call)(void);
	unsigned where;
	int refused[ATTEMPT_ERRORS]; /* errnos that count as refused, besides the kill; 0 ends */
	bool control; /* a call the list allows: it must get through, or the others prove nothing */
};

extern const struct attempt selftest_attempts[];
extern const size_t selftest_n_attempts;
/* set before the attempts: a process outside of the jail, as a number that would be its there */
extern int selftest_outside_pid;
extern int selftest_share; /* a shared directory, or a negative errno */

/* selftest_main() - called first of all; -1: the arguments ask for no self-test */
int selftest_main(int argc, char **argv);
#endif
