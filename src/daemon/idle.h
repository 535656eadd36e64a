/* idle.h - sandboxes in which nothing happens are stopped after a while (setting idle.stop; off at first)
 *
 * Nothing happens while no command or session of a request runs, no byte moves in any stream of the
 * sandbox (commands, copies, its network), it is asked for nothing, and its engine uses less than a
 * tenth of a processor: what runs in the background inside and works is not stopped. What is paused
 * or being started, stopped or removed is left alone. A guest can keep itself running by lying; that
 * costs its own host nothing that a busy loop would not. The state is kept as by `sbx stop`.
 * Thread: one of its own, which sleeps for good while the setting is off.
 */
#ifndef DAEMON_IDLE_H
#define DAEMON_IDLE_H
#include "daemon/sandbox.h"

/* idle_new() - once, after recovery */
int idle_new(struct daemon *d, struct err *e) MUST_USE;
/* idle_poke() - the setting may have changed */
void idle_poke(struct daemon *d);
/* idle_view() - "idle_since" and "idle_stop_at" of @s into the API's Sandbox; true: no memory */
bool idle_view(struct sandbox *s, struct js *o) MUST_USE;
#endif
