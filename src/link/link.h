/* link.h - messages of a link: fixed form, at most one descriptor each
 *
 * docs/protocol/link.md. link_decode() judges bytes from the peer; link_send()/link_recv() move
 * them with their descriptor. Both ends are programs of ours, but the machine's end belongs to a
 * process that may have been taken over: everything it says is checked and is data.
 */
#ifndef LINK_LINK_H
#define LINK_LINK_H
#include "base/own.h"
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>

#define LINK_BYTES     192
#define LINK_TEXT      128
#define LINK_GUEST_CID 3
#define LINK_SOCKET    "link.sock" /* in the sandbox's directory */

enum link_op {
	LINK_HELLO = 1,
	LINK_OPEN,
	LINK_STREAM,
	LINK_PAUSE,
	LINK_RESUME,
	LINK_STOP,
	LINK_KILL,
	LINK_STATS,
	LINK_STATE,
	LINK_REPLY,
	LINK_EGRESS,
};

/* STATS with this `a`: REPLY has in `a` and `b` the bytes that all streams moved to and from the guest */
#define LINK_STATS_MOVED 1

enum link_state {
	LINK_STARTING = 1,
	LINK_RUNNING,
	LINK_PAUSED,
	LINK_STOPPED,
	LINK_CRASHED,
};

struct link_msg {
	enum link_op op;
	uint32_t seq, port;
	int32_t result;
	enum link_state state; /* HELLO, STATE; 0 elsewhere */
	uint64_t n[5]; /* a..e */
	char text[LINK_TEXT]; /* terminated */
};

enum link_result { LINK_OK, LINK_MALFORMED };

void link_encode(uint8_t dst[LINK_BYTES], const struct link_msg *m);
/* link_decode() - @has_fd: did a descriptor come with it? Wrong for the operation: malformed */
enum link_result link_decode(
	const uint8_t *p, size_t len, bool has_fd, struct link_msg *ret_m) MUST_USE;
/* link_op_takes_fd() - OPEN, STREAM and EGRESS do */
bool link_op_takes_fd(enum link_op op);

/* link_send() - @fd is borrowed (duplicated by the kernel), -1 for none; 0 or negative errno */
int link_send(int sock, const struct link_msg *m, int fd, int64_t deadline) MUST_USE;
/* link_recv() - 1: a message, *ret_fd is the caller's (or -1); 0: the peer closed; -EBADMSG: it
 * broke the rules, close; -ETIMEDOUT; -EAGAIN is never returned: use a past deadline to poll
 */
int link_recv(int sock, struct link_msg *ret_m, int *ret_fd, int64_t deadline) MUST_USE;

/* link_listen()/link_connect() - SEQPACKET socket @name in the directory @dirfd, of any path
 * length (through /proc/self/fd). link_listen() removes a stale socket first, mode 0600.
 * Both return a descriptor (close-on-exec) or a negative errno.
 */
int link_listen(int dirfd, const char *name) MUST_USE;
int link_connect(int dirfd, const char *name) MUST_USE;
/* link_peer_is_us() - does SO_PEERCRED name our own effective uid? */
bool link_peer_is_us(int sock);
/* link_pair() - a unix stream socket pair, close-on-exec; [0] non-blocking for the machine's side */
int link_pair(int ret_fds[2]) MUST_USE;
#endif
