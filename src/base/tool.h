/* tool.h - one run of a program of the host: a little input, bounded output, a deadline
 *
 * For tools that talk to strangers (git, skopeo): by absolute path, with the environment that is
 * given and no other, in a session of its own, without new privileges, with limits of processor,
 * descriptors and bytes of a file, no descriptor of ours but the three. The whole session is dead on
 * return. Thread: any.
 */
#ifndef BASE_TOOL_H
#define BASE_TOOL_H
#include "base/buf.h"
#include <limits.h>
#include <stdint.h>

#define TOOL_ENV_MAX   32
#define TOOL_INPUT_MAX (1U << 20)

struct tool_env {
	char text[TOOL_ENV_MAX][PATH_MAX];
	char *v[TOOL_ENV_MAX + 1];
	size_t n;
};
/* tool_env_put() - "NAME=VALUE"; @value NULL, or one that does not fit: nothing */
void tool_env_put(struct tool_env *env, const char *name, const char *value);
/* tool_env_keep() - as it is here */
void tool_env_keep(struct tool_env *env, const char *const *names, size_t n);

struct tool {
	const char *program;
	const char *const *argv; /* NULL-terminated, argv[0] included */
	const struct tool_env *env;
	const char *dir; /* its working directory */
	uint64_t file_bytes; /* of one file that it writes */
	uint32_t cpu_s;
	const struct buf *input; /* may be NULL; at most TOOL_INPUT_MAX */
	struct buf *output; /* its maximum is the bound */
	struct buf *words; /* what it says on stderr; what is beyond the maximum is dropped */
	int64_t deadline; /* clock_ms() */
};
/* tool_run() - 0 when it has ended, *ret_status as of waitpid(); -ETIMEDOUT; -EFBIG: more output than
 * allowed; other negative errno
 */
int tool_run(const struct tool *c, int *ret_status) MUST_USE;
/* tool_find() - the first of @paths that can be executed; NULL */
const char *tool_find(const char *const *paths, size_t n);
/* tool_last_line() - of what a program said, without its end of line; "it failed" when it was silent */
const char *tool_last_line(struct buf *words);
#endif
