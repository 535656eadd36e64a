/* share.h - the file server and its device, on a thread of their own
 *
 * The server blocks on the host's files; streams must not wait for that. share_open() prepares
 * everything while /proc and the exports can be reached, share_start() makes the thread when the
 * process has given up its rights, so that the thread has none either.
 */
#ifndef MACHINE_SHARE_H
#define MACHINE_SHARE_H
#include "base/err.h"
#include "base/loop.h"
#include "machine/plan.h"
#include "virtio/fs.h"

struct share;

/* share_broken_fn - on the loop given to share_open(). @why NULL: the engine broke the rules of the
 * connection; else the guest broke queue @queue of the device, @why is static text
 */
typedef void (*share_broken_fn)(void *ctx, unsigned queue, const char *why);

/* share_open() - *ret_fd: the engine's end (owned by the caller) */
int share_open(const struct machine_plan *p, struct loop *main_loop, share_broken_fn broken,
	void *ctx, struct share **ret_share, int *ret_fd, struct err *e) MUST_USE;
int share_start(struct share *s, struct err *e) MUST_USE;
/* share_faults() - rules broken by the guest so far */
uint64_t share_faults(const struct share *s);
/* share_broken() - queues that the guest broke and has not set up anew, one bit each */
unsigned share_broken(const struct share *s);
void share_free(struct share *s); /* ends the thread. NULL is fine */
#endif
