/* arena.h - memory for secrets: fenced by guard pages, never swapped, dumped or inherited, wiped when given back
 *
 * Each piece stands in pages of its own between two that may not be touched, at their end, so that
 * reading on beyond it faults. Where the host's limit of locked memory is reached the piece is still given, and
 * arena_unlocked() counts it: it may then be swapped, which the start reports.
 * Thread: one at a time.
 */
#ifndef EGRESS_ARENA_H
#define EGRESS_ARENA_H
#include "base/own.h"
#include <stddef.h>

/* arena_new() - @len bytes of zeroes, NULL without memory. arena_free() takes the same pointer. */
void *arena_new(size_t len) MUST_USE;
void arena_free(void *p); /* NULL is fine */
size_t arena_len(const void *p);
unsigned arena_unlocked(void); /* pieces given that could not be locked, since the start */
#endif
