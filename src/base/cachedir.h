/* cachedir.h - keep a directory small whose files can all be made again
 *
 * A file is made under a name of its own, which ends in the maker's process id and ".tmp", and
 * renamed when it is whole. What a killed maker left is told by that number. Thread: any; makers of
 * one process that want the same file must take turns. Faults: what cannot be removed stays.
 */
#ifndef BASE_CACHEDIR_H
#define BASE_CACHEDIR_H
#include <limits.h>
#include <stddef.h>

#define CACHEDIR_TMP_MS 60000 /* so long an unfinished file stays, whoever made it */

/* cachedir_tmp() - the name under which this process makes @path; -ENAMETOOLONG */
int cachedir_tmp(char dst[PATH_MAX], const char *path) __attribute__((warn_unused_result));
/* cachedir_prune() - remove unfinished files whose maker is gone, and of the others all but @keep
 * (a name in @dir, or NULL) and the @newest by time of change. Open ones live on with who has them.
 */
void cachedir_prune(const char *dir, const char *keep, size_t newest);
#endif
