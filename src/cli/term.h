/* term.h - the own terminal in raw mode, and back on every way out
 *
 * One terminal per process. It is restored by term_restore(), by exit(), and by a handler for
 * every signal that would end the process, our own faults included; only SIGKILL is not covered.
 */
#ifndef CLI_TERM_H
#define CLI_TERM_H
#include "proto/agent.h"
#include <stdbool.h>

/* term_raw() - put the terminal @fd into raw mode; again after a stop is fine. Negative errno. */
int term_raw(int fd) MUST_USE;
/* term_restore() - as it was before term_raw(); does nothing when it is not raw. Async-signal-safe. */
void term_restore(void);
/* term_size() - rows and columns of @fd; 24 x 80 when it has none */
struct agent_size term_size(int fd);

/* What the programs behind a terminal switched on, so that leaving them can switch it off. */
struct term_modes {
	unsigned on; /* bits of the table in term.c */
	unsigned char state;
	unsigned number;
	unsigned pending; /* modes named in the sequence that is being read */
};
/* term_modes_watch() - look at output on its way to the terminal */
void term_modes_watch(struct term_modes *m, const unsigned char *p, size_t len);
/* term_modes_undo() - the sequences that switch off what is on; dst of @cap >= 128 bytes, returns
 * the length
 */
size_t term_modes_undo(struct term_modes *m, char *dst, size_t cap);
/* term_modes_redo() - the sequences that switch on again what is on, but for the screen; as undo */
size_t term_modes_redo(const struct term_modes *m, char *dst, size_t cap);
/* term_modes_alternate() - is it on the alternate screen? */
bool term_modes_alternate(const struct term_modes *m);
#endif
