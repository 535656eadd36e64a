/* loop.h - epoll event loop: descriptors and timers, one thread
 *
 * Callbacks run on the thread of loop_run(). A callback may remove any source, its own included;
 * a removed source is not called again, not even for events of the same round. Level-triggered.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H
#include "base/own.h"
#include <stdint.h>

struct loop;
struct loop_fd; /* a watched descriptor */
struct loop_timer; /* a one-shot timer */

typedef void (*loop_fd_fn)(void *ctx, uint32_t events);
typedef void (*loop_timer_fn)(void *ctx);

/* loop_new() - NULL with errno set when the host has no descriptor or memory left */
struct loop *loop_new(void) MUST_USE;
void loop_free(struct loop *l); /* frees sources that are left; their descriptors stay open */

/* loop_add_fd() - watch @fd (borrowed; remove before it is closed) for EPOLL* @events */
int loop_add_fd(struct loop *l, int fd, uint32_t events, loop_fd_fn fn, void *ctx,
	struct loop_fd **ret_src) MUST_USE;
int loop_mod_fd(struct loop_fd *src, uint32_t events) MUST_USE;
void loop_del_fd(struct loop_fd *src); /* NULL is fine */

int loop_add_timer(struct loop *l, int64_t at_ms, loop_timer_fn fn, void *ctx,
	struct loop_timer **ret_timer) MUST_USE;
void loop_del_timer(struct loop_timer *t); /* NULL is fine; gone by itself after it has fired */

/* loop_run() - until loop_stop(); 0, or a negative errno when epoll itself fails */
int loop_run(struct loop *l) MUST_USE;
/* loop_once() - one wait of at most @timeout_ms (-1: until something happens) and its callbacks */
int loop_once(struct loop *l, int timeout_ms) MUST_USE;
void loop_stop(struct loop *l);
#endif
