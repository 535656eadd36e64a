/* engine.h - what runs the virtual machine: one small interface, two engines
 *
 * emulated.c: QEMU/TCG with our devices over vhost-user. kvm: our own monitor (follows).
 * Order of life: open() with all rights → start() → [the jail closes] → pause/resume/stop/stats.
 * Thread: the machine's main loop. After start() an engine opens, connects and executes nothing.
 */
#ifndef MACHINE_ENGINE_H
#define MACHINE_ENGINE_H
#include "base/loop.h"
#include "machine/plan.h"
#include <stdbool.h>

/* What the engine may use beside the guest's memory; spawn.c limits it to that. QEMU keeps the code that
 * it translated until its room for it is full, and left alone it takes a GiB: any guest fills that.
 */
#define ENGINE_CODE_MB	   256u
#define ENGINE_OTHER_BYTES (512ULL << 20) /* tables, stacks, device process, kernel's share */

struct engine;
struct jail_report;

struct engine_stats {
	uint64_t resident_bytes, cpu_ms;
};

/* What the engine connects the machine to; all borrowed, closed by the machine after start().
 * vsock_fd, fs_fd: vhost-user connections whose other end serves the device (fs_fd -1: no shares).
 * console_fd: stream socket that gets what the guest writes to its serial console.
 */
struct engine_ends {
	int vsock_fd, fs_fd, console_fd;
};

struct engine_events {
	/* ended() - the machine is gone. @reason: what happened; @crashed: it was not the guest
	 * that powered off or rebooted. Called once, from the loop.
	 */
	void (*ended)(void *ctx, bool crashed, const char *reason);
	void *ctx;
};

/* engine_done_fn - a pause or resume is over; @result 0 or negative errno */
typedef void (*engine_done_fn)(void *ctx, uint32_t tag, int result);

struct engine_ops {
	const char *name; /* "emulated": shown to users as the isolation tier */
	int (*open)(const struct machine_plan *p, const struct engine_ends *ends,
		struct engine **ret, struct err *e);
	/* start() - begins executing, in its own jail, which is added to @report */
	int (*start)(struct engine *g, struct loop *l, const struct engine_events *ev,
		struct jail_report *report, struct err *e);
	/* pause(), resume() - asked; @done is called once, with @tag, unless ended() comes first */
	int (*pause)(struct engine *g, uint32_t tag, engine_done_fn done, void *ctx);
	int (*resume)(struct engine *g, uint32_t tag, engine_done_fn done, void *ctx);
	int (*power_button)(struct engine *g); /* ask the guest to power off */
	void (*kill)(struct engine *g); /* end now; ended() follows */
	int (*stats)(struct engine *g, struct engine_stats *ret);
	void (*free)(struct engine *g); /* kills what still runs. NULL is fine */
};

extern const struct engine_ops engine_emulated;
#endif
