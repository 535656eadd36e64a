/* paths.h - where state, cache, programs and data are
 *
 * state    $SBX_STATE_DIR, else $XDG_STATE_HOME/sbx, else ~/.local/state/sbx
 * cache    $SBX_CACHE_DIR, else $XDG_CACHE_HOME/sbx, else ~/.cache/sbx   (images, kernels)
 * config   $SBX_CONFIG_DIR, else $XDG_CONFIG_HOME/sbx, else ~/.config/sbx   (services of the user's own)
 * programs $SBX_LIBEXEC_DIR, else the directory of the running program if sbxd is in it (a build
 *          tree), else ../libexec/sbx from it
 * data     $SBX_DATA_DIR, else the source tree of a build tree, else ../share/sbx
 * The daemon's socket is sbxd.sock in the state directory; paths longer than sun_path are reached
 * by a directory descriptor (link/unix.h). Nothing here comes from a workspace.
 */
#ifndef BASE_PATHS_H
#define BASE_PATHS_H
#include "base/err.h"
#include <limits.h>

/* In the state directory: a record lock (fcntl) on it is held as long as a daemon lives. */
#define PATHS_LOCK "sbxd.lock"

struct paths {
	char state[PATH_MAX];
	char cache[PATH_MAX];
	char config[PATH_MAX];
	char libexec[PATH_MAX];
	char data[PATH_MAX];
};

/* paths_find() - fill all five; creates nothing */
int paths_find(struct paths *ret_paths, struct err *e) MUST_USE;
/* paths_mkdir() - make @path and its parents (0700 each new one); refuses a last component that
 * is a symbolic link, is not owned by this user, or is writable for others
 */
int paths_mkdir(const char *path, struct err *e) MUST_USE;
/* paths_join() - "a/b" into dst[PATH_MAX]; -ENAMETOOLONG */
int paths_join(char dst[PATH_MAX], const char *a, const char *b) MUST_USE;
#endif
