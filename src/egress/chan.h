/* chan.h - a channel of the front and the exchange it carries
 *
 * chan.c moves frames, exchange.c is the life of a request (exchange_response.c of its answer), tunnel.c
 * that of a tunnel, names.c of a question. The answer of upstream comes through exchange_head(),
 * exchange_data() and exchange_end(), whichever protocol it spoke; what cannot go on ends by chan_fail()
 * (nothing was answered yet) or chan_close().
 */
#ifndef EGRESS_CHAN_H
#define EGRESS_CHAN_H
#include "egress/cred.h"
#include "egress/up.h"
#include "egress/vault.h"

enum chan_state {
	CHAN_IDLE, /* the next frame begins an exchange */
	CHAN_GATHER, /* a request's body is collected, to be looked into */
	CHAN_WAIT, /* upstream is on its way: frames stay where they are */
	CHAN_BODY, /* an exchange; what comes is its body */
	CHAN_TUNNEL,
	CHAN_NAMES,
	CHAN_DRAIN, /* answered before the front had said everything: the rest is dropped */
};

struct authz;
struct ws_walk;

struct chan {
	struct vault *v;
	struct chan *next, *next_dirty;
	int fd;
	struct loop_fd *src;
	uint32_t events;
	bool dead, dirty;
	bool full; /* the front's socket takes nothing more: what was read waits in out, no more is read */
	enum chan_state state;
	struct buf in, out;
	size_t in_pos, out_pos;
	size_t data_left; /* of a DATA frame whose beginning was taken already */
	bool data_end;
	int64_t moved_ms; /* when something last moved */
	int64_t head_ms; /* when an answer's head began to come; 0: not yet */

	/* the exchange; exchange_clear() forgets it */
	struct vault_config *config; /* counted */
	struct buf frame; /* payload of the frame that began it: texts point here */
	struct egress_request q;
	struct egress_tunnel t;
	struct policy_host host;
	unsigned path_flags;
	unsigned changes; /* of the vault, when credentials were looked for */
	bool front_end; /* the front's direction is over */
	bool up_end; /* a tunnel's other direction is over */
	bool answered; /* a final head was passed on */
	bool upgraded; /* 101: bytes both ways */
	bool retried, retry_ok;
	uint64_t body_left; /* of a declared length */
	bool body_declared;
	struct buf body; /* gathered */
	struct cred cred;
	struct up *up;
	int32_t stream; /* HTTP/2 */
	bool got_head; /* something of the answer has come */
	struct up *awaited; /* a connection being made that may carry this exchange too */
	bool no_wait;
	size_t unconsumed; /* HTTP/2: bytes taken and not yet given back to the window */
	struct authz *authz;
	struct scrub_stream *scrub;
	bool decoded; /* the answer is passed on without its coding */
	bool cut; /* of the masked answer only a piece is passed on */
	uint64_t cut_skip, cut_left;
	struct buf token; /* an answer of a token endpoint, collected */
	int token_status;
	char token_type[64];
	struct resolve_query *query;
	uint64_t bytes_up, bytes_down;
	char key[32]; /* of a WebSocket handshake */
	bool own_key;
	struct ws_walk *ws; /* owned, two: to upstream, to the front; NULL: bytes are not frames */
};

/* chan_new() - takes @fd */
int chan_new(struct vault *v, int fd) MUST_USE;
/* tunnel_break() - its channel closes before both directions have ended: the peer shall see a reset */
void tunnel_break(struct chan *c);
void chan_close(struct chan *c); /* gives the exchange up; freed at the end of the round */
void chan_free(struct chan *c); /* vault_round() only */
void chan_flush(struct chan *c); /* vault_round() only */
void chan_dirty(struct chan *c);
/* chan_room() - may more be passed to the front? */
bool chan_room(const struct chan *c);
/* chan_resume() - frames that were left standing can be taken again */
void chan_resume(struct chan *c);
void chan_put_failed(
	struct chan *c); /* the last chan_put_*() ran out of memory or of its maximum */
/* chan_fail() - FAILED, before anything was answered; then idle (or draining) */
void chan_fail(struct chan *c, int status, const char *code, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* chan_done() - DONE; then idle */
void chan_done(struct chan *c);

/* exchange.c, exchange_response.c: head, data and end */
void exchange_begin(struct chan *c, const struct egress_frame *f);
/* exchange_frame() - DATA or TRAILERS of the front; false: no room, keep it */
bool exchange_frame(struct chan *c, const struct egress_frame *f) MUST_USE;
enum policy_kind exchange_kind(const struct egress_request *q);
void exchange_go(struct chan *c); /* all is decided: to upstream */
void exchange_clear(struct chan *c);
void exchange_head(
	struct chan *c, int status, unsigned version, const struct egress_fields *fields, bool end);
void exchange_data(struct chan *c, const void *p, size_t len);
void exchange_end(struct chan *c, const struct egress_fields *trailers);
/* exchange_broken() - upstream failed: again (when nothing can have happened), FAILED, or closed */
void exchange_broken(struct chan *c, bool untouched, const char *fmt, ...) PRINTF_LIKE(3, 4);
void exchange_tick(struct chan *c, int64_t now);

/* change.c */
/* exchange_recheck() - a new configuration is in force: what it does not allow any more is cut off */
void exchange_recheck(struct chan *c);
/* exchange_revoke() - a secret was taken away: what has it and is not yet sent, or stays open, is cut off */
void exchange_revoke(struct chan *c, const char *name);

/* oauth.c: the answer of a token endpoint is collected; tokens in it stay here */
void token_begin(struct chan *c, int status, const struct egress_response *s, bool end);
void token_data(struct chan *c, const void *p, size_t len);
bool token_end(struct chan *c) MUST_USE; /* false: the exchange is over */

/* egress_fields_drop() - all fields of that name (lower case) */
void egress_fields_drop(struct egress_fields *f, const char *name);

/* h1.c, h2up.c: an exchange over a connection that is ready */
extern const struct up_ops exchange_ops; /* of a connection being made for an exchange */
void h1_start(struct chan *c, struct up *u);
bool h1_send(struct chan *c, const void *p, size_t len, bool end) MUST_USE; /* false: no room */
bool h1_trailers(struct chan *c, const struct egress_fields *f) MUST_USE;
void h1_io(struct up *u);
void h2up_begin(struct up *u); /* the connection speaks HTTP/2 */
void h2up_start(struct chan *c, struct up *u);
bool h2up_send(struct chan *c, const void *p, size_t len, bool end) MUST_USE;
bool h2up_trailers(struct chan *c, const struct egress_fields *f) MUST_USE;
void h2up_cancel(struct chan *c, struct up *u);
void h2up_room(struct chan *c); /* the front took bytes: windows may open */
void h2up_io(struct up *u);
void h2up_drained(struct up *u);

/* tunnel.c */
void tunnel_begin(struct chan *c, const struct egress_frame *f);
bool tunnel_frame(struct chan *c, const struct egress_frame *f) MUST_USE;
/* tunnel_managed() - is a credential for that host? Then nothing may go there unseen. */
bool tunnel_managed(
	const struct vault_config *v, const struct policy_host *host, uint16_t port) MUST_USE;
/* tunnel_upgraded() - an exchange became one; @deflate: compressed messages were agreed on */
void tunnel_upgraded(struct chan *c, bool deflate);
void tunnel_io(struct up *u);
void tunnel_data(struct chan *c, const uint8_t *p, size_t len);
/* tunnel_ended() - @n as of up_read(): 0, or a negative errno */
void tunnel_ended(struct chan *c, ssize_t n);

/* names.c */
void names_begin(struct chan *c, const struct egress_frame *f);

/* authz.c: may it go on, by the organisation's own service? Answers by exchange_go() or chan_fail(). */
void authz_begin(struct chan *c);
void authz_stop(struct chan *c);
void authz_tick(struct chan *c, int64_t now); /* its deadline */
#endif
