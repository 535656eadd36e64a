/* path.h - the one canonical path of a request, and patterns over it
 *
 * Pure, idempotent. Escapes of unreserved characters are decoded, the others are written in upper
 * case, dot segments are removed, characters that have no place in a path are escaped. What servers
 * read in different ways is told by flags: such a path is sent as it stands where no rule looks at
 * paths, and refused where one does (policy_decide() sees to it).
 */
#ifndef POLICY_PATH_H
#define POLICY_PATH_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>

#define POLICY_PATH_MAX		8192 /* of a request, canonical, without NUL */
#define POLICY_PATH_PATTERN_MAX 1024
#define POLICY_PATH_SEGMENTS	32 /* of a pattern */

/* why a path is ambiguous */
enum {
	POLICY_PATH_DOTS = 1, /* had "." or ".." segments, plain or escaped */
	POLICY_PATH_SLASHES = 2, /* an empty segment: "//" */
	POLICY_PATH_SEPARATOR = 4, /* an escaped '/' or '\', or a look-alike of them or of '.' */
	POLICY_PATH_PARAMETER = 8, /* ';', plain or escaped */
	POLICY_PATH_DOUBLE = 16, /* escaped twice: %25 and two digits */
	POLICY_PATH_CONTROL = 32, /* an escaped control character */
	POLICY_PATH_ENCODING = 64, /* escapes that are not UTF-8 (overlong ones among them) */
	POLICY_PATH_DELIMITER = 128, /* an escaped '?' or '#' */
};

enum policy_path_result { POLICY_PATH_OK, POLICY_PATH_BAD };

/* policy_path_canon() - @len bytes of a request's path, without its query
 * "*" stays as it is. BAD (answer 400): does not begin with '/', a broken escape, %00, a raw control
 * character, space, '\', '#' or '?', raw bytes that are not UTF-8, longer than @cap - 1.
 * @out may not overlap @in. @ret_flags: 0 when nobody can read it otherwise.
 */
enum policy_path_result policy_path_canon(const char *in, size_t len, char *out, size_t cap,
	size_t *ret_len, unsigned *ret_flags) MUST_USE;
/* policy_path_flag_text() - one flag (the lowest of @flags) for a person: "an escaped separator" */
const char *policy_path_flag_text(unsigned flags);

/* policy_path_pattern_check() - may a rule have that path? Absolute; '*' is any run of characters
 * within a segment; "**" as a segment is any number of segments, none among them, so that at the end
 * it covers a tree and its root. Refused: query, fragment, escapes, ';', characters a path escapes,
 * "//", dot segments, a trailing '/' (but for "/" itself).
 */
int policy_path_pattern_check(const char *pattern, struct err *e) MUST_USE;
/* policy_path_matches() - @path is canonical
 * @wide: as a denial matches: letter case and a trailing '/' make no difference, since to many a
 * server they make none.
 */
bool policy_path_matches(const char *pattern, const char *path, bool wide);
#endif
