/* api_logs.h - what the two ways of GET …/logs share: as it is (api_logs.c), and going on (api_follow.c) */
#ifndef DAEMON_API_LOGS_H
#define DAEMON_API_LOGS_H
#include "daemon/api.h"

#define LOGS_REPLAY_MAX (512U << 10)
#define LOGS_SESSION	"agent" /* the name of the session that sbx run attaches to */

/* logs_last() - where the last @lines lines of @raw begin; SIZE_MAX: all of them */
const char *logs_last(const struct buf *raw, size_t lines);
/* logs_console() - the console's file appended to @raw; nothing when it never ran */
int logs_console(struct sandbox *s, struct buf *raw, struct err *e) MUST_USE;

/* follow_console(), follow_agent() - the last @lines lines, then what comes, until the sandbox ends or
 * the client goes. A failure before the first byte is the answer; later ones end the body early.
 */
int follow_console(struct api_call *a, size_t lines, struct err *e) MUST_USE;
int follow_agent(struct api_call *a, size_t lines, struct err *e) MUST_USE;
#endif
