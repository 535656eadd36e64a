/* setup_log.h - what install and startup commands print, in the sandbox's directory
 *
 * One file of at most SETUP_LOG_MAX bytes, anew with each first start, appended to by later starts. When
 * it is full its middle goes: the first quarter stays, and a line says how much is missing. What is in it
 * comes from inside and is escaped by whoever shows it. Thread: any; references keep it open.
 */
#ifndef DAEMON_SETUP_LOG_H
#define DAEMON_SETUP_LOG_H
#include "daemon/sandbox.h"

#define SETUP_LOG_MAX  (1U << 20)
#define SETUP_LINE_MAX 160 /* of a last line */

struct setup_log;

/* setup_log_open() - @anew: what was in it goes */
int setup_log_open(struct sandbox *s, bool anew, struct setup_log **ret, struct err *e) MUST_USE;
struct setup_log *setup_log_get(struct setup_log *l);
void setup_log_put(struct setup_log *l); /* NULL is fine */
void setup_log_putp(struct setup_log **l);
#define AUTO_SETUP_LOG __attribute__((cleanup(setup_log_putp))) struct setup_log

/* setup_log_add() - a disk that is full loses output, and nothing else */
void setup_log_add(struct setup_log *l, const void *p, size_t len);
/* setup_log_say() - a line of our own, at the beginning of a line */
void setup_log_say(struct setup_log *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* setup_log_mark() - from here on setup_log_words() looks */
void setup_log_mark(struct setup_log *l);
/* setup_log_last() - the last line with something in it that was printed; "" when there is none */
void setup_log_last(struct setup_log *l, char dst[SETUP_LINE_MAX]);
/* setup_log_words() - the last lines since the mark as one escaped text, "a / b / c" */
void setup_log_words(struct setup_log *l, char *dst, size_t cap);
#endif
