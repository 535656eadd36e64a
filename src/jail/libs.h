/* libs.h - the shared libraries a program will load: asked of its own dynamic loader
 *
 * Runs the loader in its listing mode (what ldd does), so only before the jail closes, and only on
 * a program of the host's own installation.
 * Thread: one without siblings (it forks).
 */
#ifndef JAIL_LIBS_H
#define JAIL_LIBS_H
#include "base/err.h"
#include <stddef.h>

#define JAIL_LIBS_MAX 80

struct jail_libs {
	char *text; /* owned: the paths, each terminated */
	const char *path[JAIL_LIBS_MAX]; /* absolute; the loader itself included */
	size_t n;
};

int jail_libs_find(const char *program, struct jail_libs *ret_libs, struct err *e) MUST_USE;
void jail_libs_auto(struct jail_libs *l);
#endif
