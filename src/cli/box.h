/* box.h - a sandbox as the verbs need it: asked of the daemon, started, reached
 *
 * A struct js that holds a Sandbox (docs/api.md) is called a box here. Fields that are absent or of
 * another type read as "" or empty.
 */
#ifndef CLI_BOX_H
#define CLI_BOX_H
#include "cli/api.h"
#include "proto/agent.h"

const char *box_str(const struct js *box, const char *key);
/* box_primary() - path of the first workspace, "" when there is none */
const char *box_primary(const struct js *box);
/* box_get() - a missing one is -ENOENT, "sandbox 'x' not found" */
int box_get(struct api *a, const char *name, struct js **ret_box, struct err *e) MUST_USE;
/* box_list() - *ret_all holds it; *ret_array is borrowed from it */
int box_list(
	struct api *a, struct js **ret_all, const struct js **ret_array, struct err *e) MUST_USE;
/* box_start() - with its steps as progress; *ret_box may be NULL */
int box_start(
	struct api *a, const char *name, bool quiet, struct js **ret_box, struct err *e) MUST_USE;
/* box_stream() - a stream to its agent; starts a sandbox that is stopped */
int box_stream(struct api *a, const char *name, bool quiet, int *ret_fd, struct err *e) MUST_USE;
/* box_strv() - the list of strings at @key as an owned list; absent: empty */
int box_strv(const struct js *box, const char *key, struct agent_strv *ret, struct err *e) MUST_USE;
/* box_tell_notes() - the notes that the daemon made, on stderr */
void box_tell_notes(const struct js *box);
/* box_print() - a value as one line of JSON on stdout */
int box_print(const struct js *v, struct err *e) MUST_USE;
#endif
