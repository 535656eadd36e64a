/* transfer.h - one PUT or GET over a stream: frames with a tar inside, deadlines, interruption
 *
 * The peer is the guest's agent and not trusted: frames are bounded by the decoder, anything that
 * does not belong ends the transfer. A peer that moves nothing for TRANSFER_STALL_MS has failed.
 * SIGINT and SIGTERM end a transfer with -EINTR, so that nothing half-made is left.
 */
#ifndef CLI_TRANSFER_H
#define CLI_TRANSFER_H
#include "cli/progress.h"
#include "base/err.h"
#include "proto/agent.h"

#define TRANSFER_STALL_MS 60000

struct transfer {
	int fd; /* borrowed: the stream */
	struct frame_decoder in;
	struct progress *progress; /* borrowed */
	const char *what; /* "copied" */
	uint64_t bytes; /* of DATA, both ways */
	size_t used; /* payload bytes in out */
	uint8_t out[FRAME_HEADER + FRAME_DATA_MAX];
};

void transfer_init(struct transfer *t, int fd, struct progress *progress);
void transfer_fini(struct transfer *t);
/* transfer_ask() - send the request frame in @request */
int transfer_ask(struct transfer *t, const struct buf *request, struct err *e) MUST_USE;
/* transfer_put() - bytes of the tar; an ERROR of the guest that has come is returned at once */
int transfer_put(struct transfer *t, const void *p, size_t len, struct err *e) MUST_USE;
/* transfer_finish() - the rest, END, and the guest's OK */
int transfer_finish(struct transfer *t, struct err *e) MUST_USE;
/* transfer_answer() - the guest's OK to a request without data */
int transfer_answer(struct transfer *t, struct err *e) MUST_USE;
/* transfer_get() - 1 with the next bytes of the tar (valid until the next call), 0 at END */
int transfer_get(
	struct transfer *t, const uint8_t **ret_p, size_t *ret_len, struct err *e) MUST_USE;
/* transfer_catch() - SIGINT and SIGTERM set a flag from now on; transfer_caught(): the signal, 0 */
void transfer_catch(void);
int transfer_caught(void);
#endif
