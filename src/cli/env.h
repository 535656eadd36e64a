/* env.h - variables for the sandbox from -e and --env-file
 *
 * NAME=VALUE sets; NAME alone takes the value that sbx itself has, and is left out when it has
 * none. In a file: one a line, '#' begins a comment, blank lines are skipped, nothing is unquoted.
 * -e beats a file, a later one beats an earlier one. Names are printable ASCII without blanks and
 * do not begin with a digit; values are UTF-8 without control characters but tab and newline.
 */
#ifndef CLI_ENV_H
#define CLI_ENV_H
#include "base/err.h"
#include <stddef.h>

#define ENV_VARS_MAX 1024
#define ENV_FILE_MAX (1U << 20)

struct env_var {
	char *text; /* "NAME=VALUE" */
	size_t name_len;
	int rank; /* 0 from a file, 1 from -e */
};

struct env_list {
	struct env_var *v;
	size_t n;
};

void env_fini(struct env_list *l);
/* env_add() - one -e argument */
int env_add(struct env_list *l, const char *text, struct err *e) MUST_USE;
/* env_add_text() - the text of a file; @name is for messages ("x.env: line 3: …") */
int env_add_text(
	struct env_list *l, const char *text, size_t len, const char *name, struct err *e) MUST_USE;
/* env_add_file() - read @path ("-": stdin), at most ENV_FILE_MAX bytes */
int env_add_file(struct env_list *l, const char *path, struct err *e) MUST_USE;
#endif
