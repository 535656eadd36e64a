/* report.h - what sbx says to a person or a script when something fails or needs a word
 *
 * An error is one line "sbx: what on what: why" on stderr and, where there is one, a line
 * "hint: …"; with --json it is the API's error object on stdout instead. Every text is escaped
 * here, so that a name or a message of a sandbox cannot reach the terminal as a control sequence.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H
#include "base/err.h"
#include <stdbool.h>

enum {
	CLI_OK = 0,
	CLI_FAIL = 1, /* it was tried and failed */
	CLI_USAGE = 2, /* the command line is wrong */
	CLI_OWN = 125, /* run, exec, attach: sbx failed, not the command */
};

/* report_json() - errors go to stdout as an object from now on (--json was given) */
void report_json(bool on);
/* report_err() - tell @e; returns @status for `return report_err(...)` */
int report_err(const struct err *e, int status);
/* report_note() - "sbx: text" on stderr, escaped; never an error */
void report_note(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* report_quiet() - notes are not printed from now on */
void report_quiet(bool on);
/* report_flush() - flush stdout; CLI_OK, or CLI_FAIL when it could not be written (told) */
int report_flush(void);
/* report_colour() - may colours and redrawn lines be used on @fd? A terminal, TERM is not "dumb",
 * and NO_COLOR is empty.
 */
bool report_colour(int fd);
#endif
