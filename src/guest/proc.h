/* proc.h - a command: its process, its pipes or terminal, and the stream that follows it
 *
 * Life: proc_start() → output, signals → the process ends → what is left of its output → EXIT.
 * A command frees itself after EXIT; a persistent one stays as a session that can be attached to,
 * and after its end keeps exit status and replay until its name is used again (session.h).
 */
#ifndef GUEST_PROC_H
#define GUEST_PROC_H
#include "guest/guest.h"
#include "guest/stream.h"

struct proc;

/* proc_start() - run what @m asks for and answer on @s, which it takes over in every case */
void proc_start(struct guest *g, struct stream *s, const struct agent_exec *m);
/* proc_attach() - the same for ATTACH */
void proc_attach(struct guest *g, struct stream *s, const struct agent_attach *m);
/* proc_count() - commands and sessions that have not ended, services left out */
unsigned proc_count(const struct guest *g);
/* proc_free_all() - forget every command, kill what runs; for tests and power-off */
void proc_free_all(struct guest *g);
#endif
