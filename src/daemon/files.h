/* files.h - names of the files in a sandbox's directory
 *
 * machine/ adds link.sock, jail and exit (machine/spawn.h, link/link.h).
 */
#ifndef DAEMON_FILES_H
#define DAEMON_FILES_H

/* the Create that it was made by; kits that are being added to it; kits were, and the next start installs them */
#define FILE_ASKED  "asked.json"
#define FILE_ADDING "kits-adding.json"
#define FILE_ADDED  "kits-added"

#define FILE_PLAN    "plan.json"
#define FILE_SCRATCH "scratch.img"
/* what kits put in: struct plan_files; a file that is not there has nothing to put */
#define FILE_HOME_TAR	   "kit-home.tar"
#define FILE_SETUP_TAR	   "kit-setup.tar"
#define FILE_MISSING_TAR   "kit-missing.tar"
#define FILE_WORKSPACE_TAR "kit-workspace.tar"
#define FILE_MEMORY_TAR	   "kit-memory.tar"
#define FILE_FIRST	   "first-start" /* a mark: it has begun, and has not come to its end */
#define FILE_SETUP_LOG	   "setup.log"
#define FILE_CONSOLE	   "console.log"
#define FILE_MACHINE_LOG   "machine.log"
#define FILE_FRONT_LOG	   "front.log"
#define FILE_VAULT_LOG	   "vault.log"
#define FILE_PORTS	   "ports.json" /* what is published, once it differs from the plan */
#define FILE_LOCK	   "machine.lock" /* flock'ed as long as machine or engine lives */

#define CONSOLE_MAX	(1U << 20)
#define MACHINE_LOG_MAX (64U << 10)
#endif
