/* birth.h - `run` and `create`: find the sandbox that is meant, or have it made
 *
 * What is meant: --name; else the sandbox of this agent whose primary workspace is this folder; else
 * a new one, named AGENT-FOLDER, with a number behind it when another folder has that name.
 */
#ifndef CLI_BIRTH_H
#define CLI_BIRTH_H
#include "base/name.h"
#include "cli/args.h"
#include "cli/box.h"

/* birth_prepare() - make the workspaces (and a kit's path) absolute; `run` without PATH gets the
 * current folder when it has an agent
 */
int birth_prepare(
	struct run_args *a, bool create, char ret_agent[PATH_MAX], struct err *e) MUST_USE;
/* birth_here() - `run` without PATH that makes a sandbox: it works on the current folder */
int birth_here(struct run_args *a, struct err *e) MUST_USE;
/* birth_find() - the box that `run` means, or NULL in *ret_box; @ret_name is what a new one is
 * to be called. Faults: flags that are for new sandboxes only, a name that is taken.
 */
int birth_find(struct api *api, const struct run_args *a, const char *agent, struct js **ret_box,
	char ret_name[NAME_MAX_LEN + 1], struct err *e) MUST_USE;
/* birth_create() - POST /v1/sandboxes; with a->plan *ret_box is the plan and nothing is made. The
 * default image is built first when there is none.
 */
int birth_create(struct api *api, const struct run_args *a, const char *agent, const char *name,
	struct js **ret_box, struct err *e) MUST_USE;

/* birth_compare() - kits were given for a sandbox that is there: are they those it was made with? */
int birth_compare(struct api *api, const struct run_args *a, const char *agent,
	const struct js *box, struct err *e) MUST_USE;

/* birth_choose() - pure: the index in @boxes of the sandbox of @agent on @primary, or -1 and in
 * @ret_name a free name. @is_kit: @agent is the path of a kit, whose own name is not known here.
 */
int birth_choose(const struct js *boxes, const char *agent, bool is_kit, const char *primary,
	char ret_name[NAME_MAX_LEN + 1], struct err *e) MUST_USE;
#endif
