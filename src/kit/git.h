/* git.h - a directory of a commit of a git repository as a kit's tree; runs the host's git
 *
 * One commit is fetched into a bare repository in a temporary directory and its objects are read from there:
 * there is no checkout, so no filter, hook, attribute or link of the repository comes into force. git
 * runs without the user's configuration, credential helpers and prompts, by absolute path, in a
 * session of its own with limits of time, memory of files and processor, and is allowed https and
 * ssh only; redirects are not followed. What it prints is bounded and judged like any source.
 */
#ifndef KIT_GIT_H
#define KIT_GIT_H
#include "kit/tree.h"
#include <stdint.h>

#define KIT_GIT_MS 120000 /* for the whole of it */

struct kit_git {
	const char *url, *ref, *dir; /* checked by kit_ref_parse() */
	const char *tmp; /* where the temporary directory is made */
	struct buf *
		bundle; /* gets kit.sig.bundle beside spec.yaml, if there is one; NULL: not wanted */
	const char *protocols; /* "https:ssh"; tests say "file" */
	int64_t deadline; /* clock_ms(); 0: KIT_GIT_MS from now */
};
/* kit_git_read() - fills and seals @t; ret_commit[65] is the commit's name. -EHOSTUNREACH: the fetch failed
 * (git's last words in @e); -ETIMEDOUT; -EINVAL.
 */
int kit_git_read(
	const struct kit_git *g, struct kit_tree *t, char ret_commit[65], struct err *e) MUST_USE;
#endif
