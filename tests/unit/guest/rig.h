/* rig.h - the request server in this very process, and a host that talks to it over a socket pair
 *
 * Nothing runs by itself: rig_* and peer_* turn the server's loop until they have what they want,
 * for RIG_WAIT_MS at most; then the test fails.
 */
#ifndef RIG_H
#define RIG_H
#include "guest/guest.h"
#include "guest/server.h"

#define RIG_WAIT_MS 20000

struct rig {
	struct guest g;
	unsigned fds; /* open at the start */
};

/* A connection of the host. */
struct peer {
	struct rig *rig;
	int fd;
	struct frame_decoder in;
	struct buf out; /* for encoders */
	bool ended; /* the server has said end */
};

/* What a whole command gave. */
struct result {
	struct buf out, err;
	uint32_t pid;
	int error; /* errno of an ERROR, 0: none */
	char text[256];
	struct agent_exit exit;
	bool exited;
};

int rig_start(void **state);
int rig_stop(void **state); /* fails when descriptors or children are left */
unsigned rig_count_fds(void);
void rig_turn(struct rig *r, int ms);
extern uint64_t rig_clock_ns;
extern uint32_t rig_off_ms;
extern unsigned rig_offs;
extern unsigned rig_ends; /* how often all processes were to end */
extern unsigned rig_end_looks; /* so many times some were left */

void peer_open(struct rig *r, struct peer *p);
void peer_close(struct peer *p);
/* peer_flush() - send what encoders put into p->out */
void peer_flush(struct peer *p);
/* peer_next() - the next frame; false at the end of the stream */
bool peer_next(struct peer *p, struct frame *ret_f);
/* peer_expect() - the next frame, which must be of this type */
struct frame peer_expect(struct peer *p, enum frame_type type);
void peer_expect_end(struct peer *p);
void peer_exec(struct peer *p, const char *const *argv, uint32_t flags, const char *session);
/* peer_collect() - until EXIT, ERROR or the end; @input (or NULL) is sent within credit, then end
 * of input
 */
void peer_collect(struct peer *p, const char *input, size_t len, struct result *ret);
void result_fini(struct result *r);
/* rig_run() - one command by "sh -c" from start to end */
void rig_run(
	struct rig *r, const char *script, uint32_t flags, const char *input, struct result *ret);
#endif
