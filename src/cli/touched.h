/* touched.h - telling what a sandbox changed of the files that the host's tools execute or obey
 *
 * Read from a box with its "touched" (docs/api.md). Everything is escaped; lists are bounded.
 */
#ifndef CLI_TOUCHED_H
#define CLI_TOUCHED_H
#include "cli/api.h"

/* touched_print() - all of it, on stdout, as a part of sbx inspect */
void touched_print(const struct js *box);
/* touched_tell() - after a session: what was changed since @since_ms (clock_real_ms()), a few
 * lines on stderr; nothing when nothing was
 */
void touched_tell(struct api *api, const char *name, int64_t since_ms);
#endif
