/* api_logs.h - what the two ways of GET …/logs share: as it is (api_logs.c), and going on (api_follow.c) */
#ifndef DAEMON_API_LOGS_H
#define DAEMON_API_LOGS_H
#include "daemon/api.h"

#define LOGS_REPLAY_MAX (512U << 10)
#define LOGS_FILE_MAX	(1U << 20) /* of the console, and of the setup log */
#define LOGS_SESSION	"agent" /* the name of the session that sbx run attaches to */

/* logs_last() - where the last @lines lines of @raw begin; SIZE_MAX: all of them */
const char *logs_last(const struct buf *raw, size_t lines);
/* logs_file() - the file @name of its directory appended to @raw; nothing when it is not there */
int logs_file(struct sandbox *s, const char *name, struct buf *raw, struct err *e) MUST_USE;

/* follow_file(), follow_agent() - the last @lines lines, then what comes, until the sandbox ends or
 * the client goes. A failure before the first byte is the answer; later ones end the body early.
 */
int follow_file(struct api_call *a, const char *name, size_t lines, struct err *e) MUST_USE;
int follow_agent(struct api_call *a, size_t lines, struct err *e) MUST_USE;
#endif
