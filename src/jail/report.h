/* report.h - what is in force: filled while rights are given up, shown by `sbx inspect`
 *
 * One line for each primitive: its name, "yes" or "no", and what it is or why not. A primitive that
 * is missing stops the start unless the operator named it in SBX_JAIL_ALLOW_MISSING (a list of
 * names, separated by commas).
 */
#ifndef JAIL_REPORT_H
#define JAIL_REPORT_H
#include "base/err.h"
#include <stdbool.h>

#define JAIL_REPORT_LINES 32
#define JAIL_REPORT_TEXT  120

struct jail_report_line {
	const char *program; /* "machine", "engine"; borrowed for ever */
	const char *what; /* "seccomp"; borrowed for ever */
	bool in_force;
	char text[JAIL_REPORT_TEXT];
};

struct jail_report {
	struct jail_report_line line[JAIL_REPORT_LINES];
	unsigned n;
};

void jail_report_add(struct jail_report *r, const char *program, const char *what, bool in_force,
	const char *fmt, ...) PRINTF_LIKE(5, 6);
/* jail_may_miss() - did the operator allow a start without @what? "landlock" is always allowed: an
 * old kernel or one that was built without it is no choice of the sandbox, and every path it would
 * forbid is already out of reach by the empty root; it stays visible in the report.
 */
bool jail_may_miss(const char *what);
/* jail_report_print() - the lines as text, "machine seccomp yes 61 system calls\n"... */
void jail_report_print(const struct jail_report *r, char *dst, size_t cap);
#endif
