/* daemon.h - what all parts of sbxd share: places, store, list of sandboxes, limits
 *
 * One struct daemon lives from start to exit. Threads: main (accepts, signals), one per connection,
 * one watcher of links. Locks, outermost first: daemon.lock (the list, reference counts),
 * sandbox.lock (one sandbox's state), the store's own. None is held over I/O to a machine or guest.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H
#include "base/paths.h"
#include "daemon/egress.h"
#include "daemon/plan.h"
#include "store/audit.h"
#include "store/secret_file.h"
#include "store/store.h"
#include <pthread.h>
#include <stdatomic.h>

#define DAEMON_SOCKET	     "sbxd.sock"
#define DAEMON_LOG	     "sbxd.log"
#define DAEMON_BOXES	     "sandboxes"
#define DAEMON_AUDIT	     "audit" /* directory of the audit log */
#define DAEMON_SECRETS	     "secrets" /* directory of the secret file */
#define DAEMON_RESERVE	     "reserve"
#define DAEMON_RESERVE_BYTES (512U << 10)
#define DAEMON_LOG_MAX	     (1 << 20)
#define DAEMON_CONNS	     128
#define DAEMON_STACK	     (256 << 10)
#define DAEMON_BOXES_MAX     4096

struct sandbox;
struct watch;
struct daemon_policy;
struct idle;
struct approvals;

struct daemon {
	struct paths paths;
	struct plan_host host;
	int state_fd; /* the state directory */
	int boxes_fd; /* sandboxes/ in it */
	int lock_fd;
	int listen_fd;
	int stop_fd; /* eventfd: readable when the daemon shall end */
	struct store *store;
	struct audit *audit;
	struct secret_file *secrets;
	atomic_bool refreshing; /* a thread asks commands for secrets again */
	atomic_bool commands; /* as far as is known there are such secrets */
	struct store_report report; /* of opening the store: diagnose shows it */
	char boot_id[37];
	int64_t started_ms;
	atomic_uint connections;
	pthread_mutex_t lock;
	struct sandbox *boxes; /* oldest first; under lock */
	unsigned n_boxes;
	struct watch *watch;
	struct daemon_policy *policy;
	struct approvals *approvals;
	struct egress_watch *egress_watch;
	struct idle *idle;
};

/* setup.c */
/* daemon_open() - directories, lock, log, store; -EBUSY when another daemon has the lock */
int daemon_open(struct daemon *d, bool own_log, struct err *e) MUST_USE;
void daemon_close(struct daemon *d);
/* daemon_log_check() - rotate the log when it is too long; main thread */
void daemon_log_check(struct daemon *d);
/* daemon_listen() - bind the socket; only the holder of the lock does */
int daemon_listen(struct daemon *d, struct err *e) MUST_USE;
/* daemon_stop() - ask the main thread to end; sandboxes go on. Any thread. */
void daemon_stop(struct daemon *d);

/* server.c: accept until asked to stop; 0 or a negative errno */
int server_run(struct daemon *d) MUST_USE;
/* thread_start() - detached, all signals blocked, small stack */
int thread_start(void *(*fn)(void *), void *arg) MUST_USE;
#endif
