/* machine.h - one sandbox's machine process: open → load → drop → run
 *
 * open:  its plan, and everything that needs a path or a listener
 * load:  devices, console, engine
 * drop:  the jail closes: empty root, no capabilities, system calls by list
 * run:   moves streams and messages until the engine ends
 * Thread: main, but for the file server's own.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H
#include "jail/report.h"
#include "machine/console.h"
#include "machine/control.h"
#include "machine/devices.h"
#include "machine/engine.h"

/* A guest that is not up by then is given up, unless the host was too busy to let it run: then as
 * soon as it had its share of processor time, and in any case at the last deadline.
 */
#define MACHINE_START_DEADLINE_MS 20000 /* a start takes about 4 s of an idle host */
#define MACHINE_START_CPU_MS	  10000 /* what took less was waiting for the host: more time */
#define MACHINE_START_LAST_MS	  180000
#define MACHINE_START_LOOK_MS	  5000 /* between looks at one that gets more time */
#define MACHINE_START_STEP_MS                                                                      \
	200 /* less processor between two looks: it waits for what never comes */
/* How long a queue that the guest broke may stay so. Nothing tells the guest, and what waits on the
 * queue waits for ever: then the machine is ended, which ends every wait.
 */
#define MACHINE_MEND_MS 30000

struct machine {
	struct machine_plan plan;
	struct loop *loop;
	struct control control;
	struct console console;
	struct devices devices;
	const struct engine_ops *ops;
	struct engine *engine;
	struct jail_report report;
	enum link_state state;
	int listen_fd; /* until the control takes it */
	int exit_fd, jail_fd; /* result files, opened while there was a directory */
	int statm_fd; /* our own /proc/self/statm */
	int egress_fd; /* where streams of the way out go; -1: they are refused */
	pid_t host_pid; /* ours, as the daemon sees it */
	struct loop_timer *start_timer, *stop_timer, *mend_timer;
	char broken[LINK_TEXT]; /* the queue that broke last and why; "": none did */
	bool given_up; /* it was not set up anew in time */
	int64_t started_ms; /* clock_ms() */
	uint64_t start_cpu_ms; /* of the engine at the last look at its start; 0: none yet */
	bool start_failed; /* the deadline has passed */
	const char *asked_to_end; /* who told us; NULL: nobody */
};

/* Each stage fails with a reason; machine_close() copes with whatever was done before. */
int machine_open(struct machine *m, struct err *e) MUST_USE;
int machine_load(struct machine *m, struct err *e) MUST_USE;
int machine_drop(struct machine *m, struct err *e) MUST_USE;
int machine_run(struct machine *m, struct err *e) MUST_USE;
void machine_close(struct machine *m);

/* machine_move() - the only way to another state: checked, written down, told to the daemon */
void machine_move(struct machine *m, enum link_state to, const char *reason);

/* machine_start_goes_on() - is a guest that is not up after @elapsed_ms given more time? Yes, while a busy
 * host starves it: it had little of the processor, but had some since the last look (@before_ms; 0: none).
 */
bool machine_start_goes_on(int64_t elapsed_ms, uint64_t used_ms, uint64_t before_ms);

/* machine_broken() - the queue that the guest broke and has not set up anew, or NULL */
const char *machine_broken(const struct machine *m);

/* requests.c: what the daemon may ask, by state */
extern const struct control_request machine_requests[];
extern const size_t machine_n_requests;
#endif
