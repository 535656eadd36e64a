/* session.h - the client's side of one EXEC or ATTACH: what may come when; no I/O
 *
 * docs/protocol/agent.md. Fed with bytes of the guest, gives events in their order:
 * STARTED (or ERROR), then OUT, ERR and CREDIT in any order, then EXIT (or ERROR), then nothing.
 * Anything else is SESSION_BROKEN for good. Memory is bounded by the frame decoder.
 */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H
#include "proto/agent.h"

enum session_event {
	SESSION_MORE, /* feed more bytes */
	SESSION_STARTED, /* once */
	SESSION_OUT, /* data, data_len: standard output; valid until the next call */
	SESSION_ERR, /* the same for standard error */
	SESSION_EXIT, /* status: 0..255, or 128 + signal */
	SESSION_ERROR, /* error; before SESSION_STARTED: it could not be started */
	SESSION_BROKEN, /* the guest broke a rule: close the stream */
};

struct session {
	const uint8_t *data;
	size_t data_len;
	uint64_t credit; /* bytes of STDIN that may be sent; the caller subtracts */
	bool started;
	int status;
	struct agent_error error;

	/* private */
	struct frame_decoder in;
	bool ended, broken;
};

void session_init(struct session *s);
void session_fini(struct session *s);
void session_auto(struct session *s);
/* session_feed() - only after session_next() said SESSION_MORE; -ENOMEM, -ENOBUFS */
int session_feed(struct session *s, const void *p, size_t len) MUST_USE;
enum session_event session_next(struct session *s) MUST_USE;
/* session_start_status() - exit status for an error number of a command that did not start */
int session_start_status(uint32_t num);
#endif
