/* guest.h - what the parts of sbx-guest share: the loop, the host's set-up, the few open doors
 *
 * One thread, one loop. Everything that must still work after "rm -rf /" inside is held open
 * here: /dev/null, the pts file system. What would change the machine (clock, power) goes through
 * function pointers, so that tests run the request server as an ordinary process.
 */
#ifndef GUEST_GUEST_H
#define GUEST_GUEST_H
#include "base/loop.h"
#include "proto/agent.h"

#define GUEST_STREAMS_MAX  256
#define GUEST_SESSIONS_MAX 48
#define GUEST_WATCHERS_MAX 8 /* of a session */
#define GUEST_RING_BYTES   262144 /* replayed to who attaches */
#define GUEST_DRAIN_MS	   200 /* for output of what a command left behind */
#define GUEST_HANGUP_MS	   5000 /* from SIGHUP to SIGKILL */
#define GUEST_REQUEST_MS   30000 /* for the frame that names the request */
#define GUEST_LINGER_MS	   5000 /* for the host to close after the last frame */
#define GUEST_STDIN_STEP   16384 /* credit is renewed in such steps */

struct proc;
struct reaper;
struct server;

struct guest {
	struct loop *loop; /* owned by main */
	struct reaper *reaper;
	struct server *server;
	struct proc *procs; /* every command and every session: proc.c */
	struct agent_setup setup; /* empty before the host has sent it */
	int null_fd; /* /dev/null, read and write */
	int pts_fd; /* directory of the pts file system; -1: no terminals */
	int scratch_fd; /* root of the scratch disk's file system; -1 in tests */
	int (*set_clock)(uint64_t ns);
	/* dial() - connect @stream (borrowed) to a port inside; whoever does so answers on it */
	int (*dial)(uint16_t port, int stream);
	/* end_all() - SIGKILL to every process but this one; true when there was none any more */
	bool (*end_all)(void);
	/* power_off() - called once the answer to SHUTDOWN is on its way */
	void (*power_off)(struct guest *g, uint32_t grace_ms);
};
#endif
