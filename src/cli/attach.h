/* attach.h - the own terminal or pipes on one side, a command's stream on the other
 *
 * Runs one EXEC or ATTACH whose request frame is given, until the command ends, the keys detach,
 * the terminal goes, or a signal ends us. Streams are byte-exact and separate; input is sent within
 * the guest's credit; a reader that does not read slows the command down and nothing is lost.
 * Questions take a terminal's screen for as long as they wait (cli/prompt.h); without one they are a
 * line on stderr that says how to answer.
 * Blocks the signals it handles for as long as it runs, and restores the terminal on every way out.
 */
#ifndef CLI_ATTACH_H
#define CLI_ATTACH_H
#include "cli/keys.h"
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>

struct attach {
	int stream; /* borrowed: a unix stream socket */
	int in, out, err; /* borrowed: 0, 1, 2 */
	bool want_stdin; /* send what comes on @in */
	bool tty; /* the command has a terminal: @in goes raw, sizes are sent */
	bool only_start; /* leave as soon as the command has started (detached) */
	struct keys keys; /* looked for when @tty */
	int start_ms; /* how long the guest may take to start the command */
	int questions; /* borrowed: where questions come from (cli/question.h); 0: nobody is asked here */
};

enum attach_end {
	ATTACH_EXIT, /* status is the command's */
	ATTACH_REFUSED, /* not started: error_num, and @e has the guest's words */
	ATTACH_DETACHED, /* the keys, or only_start */
	ATTACH_SIGNAL, /* a signal or a hang-up ended us: status is 128 + its number */
	ATTACH_TAKEN, /* another client took the session over */
	ATTACH_FAILED, /* lost, protocol broken, output not writable: see @e */
};

struct attach_result {
	enum attach_end end;
	int status; /* what sbx should exit with */
	unsigned error_num; /* ATTACH_REFUSED: errno of the guest */
};

/* attach_run() - @request: bytes of the request frame, sent first. @e is set for REFUSED, TAKEN,
 * and FAILED.
 */
struct attach_result attach_run(const struct attach *a, const struct buf *request, struct err *e);
#endif
