/* user.h - who a command runs as, from the image's own /etc/passwd and /etc/group, without NSS
 *
 * The files belong to the guest: they may be missing, huge or nonsense, which ends in "no such
 * user", never in more. Read anew each time: commands inside change them.
 */
#ifndef GUEST_USER_H
#define GUEST_USER_H
#include "base/err.h"
#include "guest/spawn.h"
#include "proto/agent.h"

struct user {
	char name[64]; /* "" when the number has no name */
	char home[256];
	char shell[128];
	uid_t uid;
	gid_t gid;
	gid_t groups[SPAWN_GROUPS_MAX];
	size_t n_groups;
};

/* user_find() - @spec: "" (the set-up's user), a name, "uid" or "uid:gid"
 * A number needs no entry: then home is "/" and the group has the same number. The set-up's user
 * is known even when the files are gone. -ENOENT, -EINVAL.
 * @etc: directory with passwd and group ("/etc").
 */
int user_find(const char *etc, const char *spec, const struct agent_setup *setup,
	struct user *ret_u, struct err *e) MUST_USE;
/* user_add() - make sure that the set-up's user exists, with home and sudo where there is sudo */
int user_add(const struct agent_setup *setup, struct err *e) MUST_USE;
#endif
