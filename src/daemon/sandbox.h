/* sandbox.h - one sandbox as the daemon knows it, and the operations on it, one file a step
 *
 * Found in the list by name or id with a reference (sandbox_find, sandbox_put). An operation that
 * changes the state owns the sandbox from sandbox_begin() to sandbox_end(): one at a time, others
 * wait up to a deadline. Status changes go through sandbox_move(), which checks the table of
 * status.h and writes the row before anybody sees it.
 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H
#include "daemon/daemon.h"
#include "daemon/egress.h"
#include "daemon/status.h"
#include "link/link.h"

struct ports;

#define SANDBOX_REPLIES	 16 /* questions to one machine at a time */
#define SANDBOX_START_MS 60000
#define SANDBOX_FORMER	 16 /* times that kits can be added before the daemon begins anew */
#define SANDBOX_BUSY_MS	 120000 /* longer than any operation: waiting ends by itself */

/* A question on the link and where its answer goes. */
struct link_question {
	uint32_t seq; /* 0: free */
	bool answered;
	struct link_msg reply;
};

struct sandbox {
	struct daemon *d;
	/* Another one only by kit_add.c, while nothing runs; the former live on until the sandbox goes, since
	 * who only shows it asks nobody.
	 */
	struct plan *plan;
	struct plan *former[SANDBOX_FORMER];
	size_t n_former;
	char id[STORE_ID_LEN + 1], name[NAME_MAX_LEN + 1];
	/* under d->lock */
	struct sandbox *next;
	unsigned refs;
	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* of anything below; CLOCK_MONOTONIC */
	struct store_sandbox row; /* row.plan is NULL: the plan above is it */
	enum status status;
	const char *busy; /* operation that owns it; NULL: none */
	bool gone; /* removed; the list does not have it any more */
	bool silent; /* the machine or the guest missed a deadline: shown as unresponsive */
	/* the machine, under lock; link_fd and pidfd are closed by the watcher alone */
	int link_fd; /* -1: no machine is connected */
	int pidfd; /* -1: unknown */
	pid_t pid;
	bool child; /* it is ours to wait for */
	enum link_state machine; /* what it said last; 0 before HELLO */
	char why[LINK_TEXT]; /* reason that came with STOPPED or CRASHED */
	char trouble
		[LINK_TEXT]; /* what it said is broken when it was last inspected; "": nothing */
	bool want_boot; /* somebody waits for the boot stream */
	int boot_fd; /* it, until that somebody takes it; -1 */
	uint32_t next_seq;
	struct link_question questions[SANDBOX_REPLIES];
	int64_t ending_since; /* its end was noticed, its lock is not free yet; 0: not so */
	bool killed; /* SIGKILL was sent because it did not end */
	bool asked_to_end; /* the end that comes is no crash */
	bool abort_start; /* whoever starts it shall give up */
	/* The window of the install commands is open: network rules and credentials of phase "install"
	 * hold, those of phase "runtime" do not. Policy and credentials are put together by it.
	 */
	bool installing;
	bool providing; /* install commands are to run, run or have run, and it is not up yet */
	uint64_t run; /* grows with each start */
	char progress[512]; /* what its start says, for others who wait for it */
	uint64_t progress_seq;
	char startup_note[320]; /* the first startup command that failed; "": none did */
	char end_reason[256]; /* what to write down at its end instead of what it says itself */
	struct {
		int64_t since; /* clock_ms(); 0: not idle, as far as is known */
		int64_t at, used_ms; /* of the last look; at 0: none */
		uint64_t moved, cpu_ms;
	} idle; /* idle.c */
	struct ports *ports; /* published; with a lock of its own */
	struct egress egress; /* front and vault */
	int log_fd; /* memfd with the machine's stderr; -1 */
};

/* ---- list.c ---- */
struct sandbox *sandbox_new(struct daemon *d, struct plan *plan, const struct store_sandbox *row);
/* sandbox_list_add() - takes @s into the list (with one reference for it); -EEXIST, -ENOSPC */
int sandbox_list_add(struct sandbox *s, struct err *e) MUST_USE;
void sandbox_list_remove(struct sandbox *s);
/* sandbox_find() - with a reference, or NULL with @e "sandbox 'x' not found" */
struct sandbox *sandbox_find(struct daemon *d, const char *name_or_id, struct err *e) MUST_USE;
/* sandbox_all() - references to all, oldest first; free() the array after putting each */
int sandbox_all(struct daemon *d, struct sandbox ***ret, size_t *ret_n) MUST_USE;
struct sandbox *sandbox_get(struct sandbox *s);
void sandbox_put(struct sandbox *s); /* NULL is fine */
void sandbox_putp(struct sandbox **s);
#define AUTO_BOX __attribute__((cleanup(sandbox_putp))) struct sandbox *

/* ---- sandbox.c ---- */
int sandbox_begin(struct sandbox *s, const char *what, int64_t deadline, struct err *e) MUST_USE;
void sandbox_end(struct sandbox *s);
/* sandbox_move() - to status @to with @reason ("" for none), written down first
 * sandbox_settle(): the same for what has happened anyway: memory follows even if the disk is full.
 */
int sandbox_move(struct sandbox *s, enum status to, const char *reason, struct err *e) MUST_USE;
void sandbox_settle(struct sandbox *s, enum status to, const char *reason);
enum status sandbox_status(struct sandbox *s);
bool sandbox_installing(struct sandbox *s);
/* sandbox_wait() - on s->changed, with s->lock held; -ETIMEDOUT */
int sandbox_wait(struct sandbox *s, int64_t deadline) MUST_USE;
/* sandbox_dir() - open its directory; -1 with @e */
int sandbox_dir(const struct sandbox *s, struct err *e) MUST_USE;
/* sandbox_touch() - it was used now; written with the next change of status */
void sandbox_touch(struct sandbox *s);
/* sandbox_save() - write the row as it is */
int sandbox_save(struct sandbox *s, struct err *e) MUST_USE;

/* ---- the steps ---- */
/* create.c: a sandbox from a resolved plan; *ret with a reference */
int sandbox_create(struct daemon *d, struct plan *plan, const struct plan_files *files,
	struct sandbox **ret, struct err *e) MUST_USE; /* takes @plan, also on failure */
/* remove.c: @force stops it first. Succeeds again when it is gone. */
int sandbox_remove(struct sandbox *s, bool force, struct err *e) MUST_USE;
/* sandbox_sweep() - delete a directory of sandboxes/ by name, whatever is in it */
int sandbox_sweep(struct daemon *d, const char *id) MUST_USE;
/* start.c: until the guest is ready; already running is fine. @step may be NULL. */
/* @step: what is being done; behind a line's end, what the command that does it printed last */
typedef void (*sandbox_step_fn)(void *ctx, const char *step);
int sandbox_start(struct sandbox *s, sandbox_step_fn step, void *ctx, struct err *e) MUST_USE;
/* stop.c */
int sandbox_stop(struct sandbox *s, int64_t timeout_ms, struct err *e) MUST_USE;
/* sandbox_stop_owned() - the same by who has begun an operation on it */
int sandbox_stop_owned(struct sandbox *s, int64_t timeout_ms, struct err *e) MUST_USE;
int sandbox_pause(struct sandbox *s, bool pause, struct err *e) MUST_USE;
/* sandbox_abandon_installs() - the daemon ends: nobody would close the window of an installation */
void sandbox_abandon_installs(struct daemon *d);
/* recover.c: once at start, before the first request */
int recover(struct daemon *d, struct err *e) MUST_USE;

/* ---- view.c: the API's Sandbox ---- */
struct js *sandbox_view(struct sandbox *s, bool with_plan) MUST_USE; /* NULL: no memory */
#endif
