/* hardlinks.h - files in a workspace that have another name outside of it
 *
 * Such a file is one file: what the sandbox writes to it changes it everywhere. Nothing can be
 * enforced about that, but it can be said.
 */
#ifndef DAEMON_HARDLINKS_H
#define DAEMON_HARDLINKS_H
#include <stddef.h>

/* hardlinks_note() - a sentence into @dst, "" when none was seen. Looks at 20,000 entries and for
 * 200 ms at most; @dir is an absolute path without symbolic links.
 */
void hardlinks_note(const char *dir, char *dst, size_t cap);
#endif
