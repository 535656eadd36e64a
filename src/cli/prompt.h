/* prompt.h - questions on a terminal that a program of the guest is using; no I/O
 *
 * A question takes the whole screen (the alternate one), so that nothing the guest has written stands
 * beside it; while it is up the caller writes no output of the guest and passes no key on. What the
 * guest may have switched on and would disfigure or answer a question is switched off before: character
 * sets, colours, mouse and focus reports, encoded keys. An answer is one key by itself, in a read of
 * its own, after PROMPT_QUIET_MS without any byte, and followed by none for PROMPT_ALONE_MS: neither what
 * was typed ahead nor what a terminal reports of itself is one.
 * Time: clock_ms(). Bytes for the terminal are added to a buffer of the caller.
 */
#ifndef CLI_PROMPT_H
#define CLI_PROMPT_H
#include "cli/question.h"
#include "cli/scan.h"
#include "cli/term.h"
#include "base/buf.h"

#define PROMPT_QUIET_MS 1000
#define PROMPT_ALONE_MS 80
#define PROMPT_BEGIN_MS 200 /* for the guest to end a sequence that it has begun */
#define PROMPT_SAID_MS	2000 /* what became of it stays so long */
#define PROMPT_BYTES	(1U << 20) /* a screen of ours, at most */

enum prompt_state { PROMPT_OFF, PROMPT_WANTED, PROMPT_UP, PROMPT_SAID };

struct prompt {
	enum prompt_state state;
	struct ask_news news;
	uint64_t done; /* questions up to this one are dealt with */
	uint64_t shown; /* the one on the screen */
	bool entered, full; /* full: the guest has the alternate screen itself */
	bool fits; /* all of the question is on the screen */
	bool told; /* an answer is on its way to the daemon */
	int64_t wanted_at, quiet_until, until, said_until, key_at, drawn_at;
	char key; /* waits for being alone; 0: none */
	struct scan typed; /* the terminal's sequences are no keys */
	char said[240];
	struct agent_size size;
};

/* prompt_news() - what waits now */
void prompt_news(struct prompt *p, const struct ask_news *news, int64_t now);
/* prompt_enter() - PROMPT_WANTED, and the guest's output is whole (or it was waited for) */
int prompt_enter(struct prompt *p, const struct term_modes *m, struct agent_size size, int64_t now,
	struct buf *out) MUST_USE;
/* prompt_typed() - bytes of the terminal; none of them may go to the guest */
void prompt_typed(struct prompt *p, const void *bytes, size_t len, int64_t now);
/* prompt_turn() - after any of these, and when prompt_next() has come: an answer to *@ret_reply (its
 * answer ASK_NONE: none), the screen as it is now to @out; with PROMPT_OFF afterwards it was left
 */
int prompt_turn(struct prompt *p, const struct term_modes *m, struct agent_size size, int64_t now,
	struct ask_reply *ret_reply, struct buf *out) MUST_USE;
/* prompt_leave() - give the screen back, whatever waits */
int prompt_leave(struct prompt *p, const struct term_modes *m, struct buf *out) MUST_USE;
/* prompt_next() - when prompt_turn() has something to do, -1: not by time */
int64_t prompt_next(const struct prompt *p);
/* prompt_holds() - the screen is not the guest's */
bool prompt_holds(const struct prompt *p);
#endif
