/* values.h - the values that stand on a command line: sizes, counts, workspaces, copy sides
 *
 * Pure but for workspace_resolve(), which asks the file system. All fail with -EINVAL and @e.
 */
#ifndef CLI_VALUES_H
#define CLI_VALUES_H
#include "base/err.h"
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define VALUES_CPUS_MAX	      1024
#define VALUES_SIZE_MAX	      (1ULL << 50) /* bytes: 1 PiB */
#define VALUES_WORKSPACES_MAX 32

/* value_size() - "4g", "512m", "1.5g", "1048576": bytes; k, m, g, t are powers of 1024, with an
 * optional "b" or "ib". Zero, negative, absurd and malformed ones are refused. @what: "--memory"
 */
int value_size(const char *text, const char *what, int64_t *ret_bytes, struct err *e) MUST_USE;
/* value_count() - a plain decimal number from @min to @max */
int value_count(const char *text, const char *what, long min, long max, long *ret_count,
	struct err *e) MUST_USE;
/* value_isolation() - is it one of the tiers that can be asked for? */
int value_isolation(const char *text, struct err *e) MUST_USE;

struct workspace {
	char path[PATH_MAX]; /* as given at first, absolute after workspace_resolve() */
	bool read_only;
};
/* workspace_parse() - "PATH" or "PATH:ro"; a folder whose name ends so is given as "NAME:ro/" */
int workspace_parse(const char *text, struct workspace *ret_ws, struct err *e) MUST_USE;
/* workspace_resolve() - make the path absolute and free of links; it must be there and readable */
int workspace_resolve(struct workspace *ws, struct err *e) MUST_USE;

/* One side of `sbx cp`: a path of the host, or NAME:/path of a sandbox. */
struct copy_side {
	char box[64]; /* "" for the host */
	char path[PATH_MAX];
};
/* copy_side_parse() - what has a '/' before its first ':' is a path of the host ("./a:b"); "-" is
 * not special
 */
int copy_side_parse(const char *text, struct copy_side *ret_side, struct err *e) MUST_USE;

/* value_is_kit_path() - is the agent word a local kit ("./x", "../x", "/x", ".", "..")? */
bool value_is_kit_path(const char *text);
#endif
