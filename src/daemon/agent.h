/* agent.h - the daemon's own requests to a guest: one stream each, with a deadline
 *
 * docs/protocol/agent.md. What comes back is data of a hostile peer: bounded, never believed
 * beyond its form. Thread: any; a stream belongs to one.
 */
#ifndef DAEMON_AGENT_H
#define DAEMON_AGENT_H
#include "daemon/sandbox.h"
#include "proto/agent.h"

struct agent_stream {
	struct sandbox *box; /* borrowed; NULL for a stream that was given (boot) */
	int fd; /* owned, non-blocking */
	int64_t deadline;
	const int *client; /* borrowed: the socket of who asked; NULL: nobody to look after */
	struct frame_decoder in;
};

/* agent_open() - a request stream; agent_adopt(): around a stream that is there already (taken) */
int agent_open(struct agent_stream *a, struct sandbox *s, int64_t deadline, struct err *e) MUST_USE;
int agent_adopt(struct agent_stream *a, int fd, int64_t deadline, struct err *e) MUST_USE;
void agent_stream_fini(struct agent_stream *a);
void agent_stream_auto(struct agent_stream *a);
int agent_send(struct agent_stream *a, const struct buf *frames, struct err *e) MUST_USE;
/* agent_next() - the next frame; the guest's end of file is an error as well, and so is that of
 * a->client (-ECANCELED): what was asked for is not wanted any more
 */
int agent_next(struct agent_stream *a, struct frame *ret, struct err *e) MUST_USE;
/* agent_refused() - an ERROR frame as struct err: "the guest says: …" */
int agent_refused(const struct frame *f, struct err *e);
/* agent_ok() - wait for OK */
int agent_ok(struct agent_stream *a, struct err *e) MUST_USE;

/* agent_number() - SHUTDOWN (u32), CLOCK (u64): one frame, answered by OK */
int agent_shutdown(struct sandbox *s, uint32_t grace_ms, int64_t deadline, struct err *e) MUST_USE;
int agent_clock(struct sandbox *s, int64_t deadline, struct err *e) MUST_USE;
int agent_usage(
	struct sandbox *s, int64_t deadline, struct agent_usage *ret, struct err *e) MUST_USE;
/* agent_put_file() - the tar stream in @tar_fd (from its start) to @dest in the guest; @flags: AGENT_PUT_* */
int agent_put_file(struct sandbox *s, int tar_fd, const char *dest, uint32_t flags, uint32_t uid,
	uint32_t gid, int64_t deadline, struct err *e) MUST_USE;
#endif
