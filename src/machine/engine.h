/* engine.h - what runs the virtual machine: one small interface, two engines
 *
 * emulated.c: QEMU/TCG with our devices over vhost-user. kvm: our own monitor (follows).
 * Order of life: open() with all rights → start() → [the jail closes] → pause/resume/stop/stats.
 * Thread: the machine's main loop. After open() an engine opens, connects and executes nothing.
 */
#ifndef MACHINE_ENGINE_H
#define MACHINE_ENGINE_H
#include "base/loop.h"
#include "machine/plan.h"

struct engine;

struct engine_stats {
	uint64_t resident_bytes, cpu_ms;
};

struct engine_events {
	/* ended() - the machine is gone. @reason: NULL when the guest powered off, else what happened */
	void (*ended)(void *ctx, const char *reason);
	void *ctx;
};

struct engine_ops {
	const char *name; /* "emulated": shown to users as the isolation tier */
	int (*open)(const struct machine_plan *p, struct engine **ret, struct err *e);
	/* start() - begins executing; devices are connected through @l from then on */
	int (*start)(
		struct engine *g, struct loop *l, const struct engine_events *ev, struct err *e);
	int (*pause)(struct engine *g);
	int (*resume)(struct engine *g);
	int (*power_button)(struct engine *g); /* ask the guest to power off */
	int (*kill)(struct engine *g); /* end now; ended() follows */
	int (*stats)(struct engine *g, struct engine_stats *ret);
	void (*free)(struct engine *g);
};

extern const struct engine_ops engine_emulated;
#endif
