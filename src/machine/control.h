/* control.h - the machine's end of the link: one daemon at a time, requests by a permit table
 *
 * Accepts peers of our own uid only; a newer connection replaces the older. A peer that breaks the
 * form of the link, or does not take what we send, is closed: a daemon connects again.
 * Thread: the machine's loop.
 * Spec: docs/protocol/link.md.
 */
#ifndef MACHINE_CONTROL_H
#define MACHINE_CONTROL_H
#include "base/loop.h"
#include "link/link.h"

/* What a request does. @fd: the descriptor that came with it (taken), else -1. Answers by control_reply(), now or
 * later, or not at all when the link's description says so.
 */
typedef void (*control_handler)(void *ctx, const struct link_msg *m, int fd);

struct control_request {
	enum link_op op;
	unsigned states; /* bits 1 << enum link_state in which it is permitted */
	control_handler handler;
};

struct control {
	struct loop *loop;
	const struct control_request *requests;
	size_t n_requests;
	void *ctx;
	struct link_msg hello; /* sent to each new peer; state and text kept up to date */
	int listen_fd, peer_fd; /* owned; peer_fd -1: nobody is connected */
	struct loop_fd *listen_src, *peer_src;
	uint64_t faults;
};

/* control_open() - @listen_fd is taken */
int control_open(struct control *c, struct loop *l, int listen_fd, const struct link_msg *hello,
	const struct control_request *requests, size_t n, void *ctx) MUST_USE;
void control_close(struct control *c); /* copes with never opened */
void control_reply(struct control *c, const struct link_msg *to, int result, const char *text,
	const uint64_t numbers[5]);
/* control_state() - remember and tell; @reason may be NULL */
void control_state(struct control *c, enum link_state state, const char *reason);
/* control_stream() - pass @fd (borrowed) on as a stream the guest opened; -ENOTCONN: nobody
 * there, -ETIMEDOUT: the daemon has no room for it now
 */
int control_stream(struct control *c, uint32_t port, int fd) MUST_USE;
#endif
