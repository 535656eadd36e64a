/* envfile.h - a project's sbxenv.yaml: strict YAML to one environment; pure, no I/O
 *
 * Several files make one environment: later ones win, mappings are merged deeply, lists are joined (an equal
 * entry is once). A file is untrusted: whoever works in the project can change it. So what is resolved here is
 * only a wish; envfile_lines() says what of it opens something of the host, for an approval.
 *
 * Placeholders in values: ${{ env.args.NAME }}, ${{ env.projectDir }}, ${{ env.fileDir }}; "$${{" is a literal
 * "${{". They are put in after the document was read, so that a value cannot become structure. Errors are
 * FILE:LINE:COLUMN. Docs: docs/env.md.
 */
#ifndef KIT_ENVFILE_H
#define KIT_ENVFILE_H
#include "json/json.h"
#include "kit/spec.h"

#define ENVFILE_BYTES	  (256U << 10)
#define ENVFILES_MAX	  16
#define ENVFILE_ARGS_MAX  64
#define ENVFILE_VALUE_MAX 8192 /* of one scalar, placeholders put in */

struct envfile {
	const char *file; /* how errors name it */
	const char *dir; /* absolute: what its paths are relative to */
	const char *text;
	size_t len;
};

struct envfile_request {
	const struct envfile *files; /* the base first */
	size_t n;
	const char *project; /* absolute */
	const struct kit_pair *args; /* a name that no file has is an error */
	size_t n_args;
};

/* envfile_resolve() - *ret is the caller's: {"name"?, "agent", "workspace"?: {"path","read_only"},
 * "additional": [the same], "kits": [{"source","args":{}}], "env": {}, "template"?, "memory"?, "cpus"?, "disk"?, "pull"?,
 * "secrets": {SERVICE: {"value" | "command", "refresh_s"?}}, "ports": ["[IP:][HOST:]PORT[/PROTOCOL]"],
 * "initialize", "postCreate", "preRemove": [{"name"?, "command", "workdir", "timeout_s"}]}.
 * Paths are absolute, but neither looked at nor free of links. What is known and not built is -ENOTSUP.
 */
int envfile_resolve(const struct envfile_request *q, struct js **ret, struct err *e) MUST_USE;

/* envfile_lines() - [{"text", "opens", "host", "field", "key"}] of a resolved environment, a line for each
 * thing that it does. opens: it gives something of the host to the sandbox or to whoever reaches it, beyond
 * @project; host: a command that runs on the host, word for word. A secret's value is in no line. field and
 * key: what of the environment it is. What kits open is not among it: that is asked for where they are used.
 */
int envfile_lines(const struct js *env, const char *project, struct js **ret) MUST_USE;
/* envfile_withhold() - @env without what these of its lines open; the workspace cannot be left out */
int envfile_withhold(struct js *env, const struct js *lines) MUST_USE;
/* envfile_inside() - is @path that folder or in it? Both absolute, without links and dots. */
bool envfile_inside(const char *path, const char *dir);
#endif
