/* spawn.h - how the daemon starts sbx-front and sbx-vault of one sandbox
 *
 * Both outlive the daemon, as sbx-machine does: a session and namespaces of their own, the front's
 * network empty, the vault's the host's. They bind their control sockets (proto/egress.h) in the
 * sandbox's directory before they close their jails, and write what is in force to
 * EGRESS_*_JAIL_FILE there. They hold EGRESS_LOCK_FILE as long as they live: whoever gets its lock
 * knows that both are gone.
 * Thread: any thread of the daemon.
 */
#ifndef EGRESS_SPAWN_H
#define EGRESS_SPAWN_H
#include "base/err.h"
#include "proto/egress.h"
#include <sys/types.h>

#define EGRESS_DIR_FD  3 /* both: the sandbox's directory */
#define EGRESS_KEY_FD  4 /* front: EGRESS_KEY_FILE, read and write */
#define EGRESS_CERT_FD 5 /* front: EGRESS_CERT_FILE, read and write */

#define EGRESS_KEY_FILE	       "ca.key"
#define EGRESS_CERT_FILE       "ca.crt"
#define EGRESS_PINS_FILE       "front.pins" /* of this run of the sandbox: removed when one begins */
#define EGRESS_LOCK_FILE       "egress.lock"
#define EGRESS_FRONT_JAIL_FILE "front.jail"
#define EGRESS_VAULT_JAIL_FILE "vault.jail"

/* egress_spawn() - start @program (libexec's sbx-front or sbx-vault) for sandbox @id
 * @dir_fd: the sandbox's directory; @log_fd: stderr, the caller caps its size (both borrowed)
 * *ret_pid is a child of this process. -EBUSY: processes of an earlier run hold the lock in a way that
 * is not shared, which only a broken directory does.
 */
int egress_spawn(enum egress_who who, const char *id, const char *program, int dir_fd, int log_fd,
	pid_t *ret_pid, int *ret_pidfd, struct err *e) MUST_USE;
/* egress_all_gone() - is the lock free? True also when there is no such file. */
bool egress_all_gone(int dir_fd);
#endif
