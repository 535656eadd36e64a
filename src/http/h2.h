/* h2.h - one HTTP/2 connection, either role: bytes to events and back, without any I/O
 *
 * nghttp2 behind one door. The owner moves bytes (h2_input(), h2_output()) and is told of heads,
 * data, ends; malformed messages never become a head that looks right. Windows open only by
 * h2_consume(): who does not consume holds the peer back. Budgets by the second on what costs
 * more than it sends: resets, pings, settings, empty frames, continuations. Spec: RFC 9113, 8441.
 * One thread; callbacks run inside h2_input() and h2_output() and may call everything but those
 * two and h2_free(). Peer faults: -EPROTO, then send what h2_output() still has and close.
 */
#ifndef HTTP_H2_H
#define HTTP_H2_H
#include "proto/egress.h"

#define H2_FRAME_BODY                                                                              \
	(16384 - 9) /* bytes of a body in one frame of ours: with its head a whole TLS record */
#define H2_QUEUE_MAX	  131072 /* bytes of a body waiting to be sent, per stream */
#define H2_HEAD_MAX	  65535 /* of names and values of a head, each counted with 2 more */
#define H2_STREAMS_MAX	  100
#define H2_STREAM_WINDOW  262144
#define H2_SESSION_WINDOW 524288
#define H2_RESETS_PER_S	  100 /* streams the peer gave up */
#define H2_CONTROLS_PER_S 500 /* SETTINGS, PING, PRIORITY, CONTINUATION, empty DATA, … */

enum h2_role { H2_SERVER, H2_CLIENT };

enum h2_code { /* RFC 9113 7 */
	H2_NO_ERROR = 0,
	H2_PROTOCOL_ERROR = 1,
	H2_INTERNAL_ERROR = 2,
	H2_FLOW_CONTROL_ERROR = 3,
	H2_REFUSED_STREAM = 7,
	H2_CANCEL = 8,
	H2_CONNECT_ERROR = 10,
	H2_ENHANCE_YOUR_CALM = 11,
	H2_HTTP_1_1_REQUIRED = 13,
};

struct h2_head {
	/* of a request; NULL when absent. @protocol: extended CONNECT */
	const char *method, *scheme, *authority, *path, *protocol;
	int status; /* of a response */
	const struct egress_fields *fields; /* names in lower case, pseudo-fields not among them */
	/* What was wrong with it, or NULL: fixed text; then nothing else of it may be used but to
	 * answer with @bad_status (400 or 431).
	 */
	const char *why;
	int bad_status;
};

struct h2_ops {
	/* A head: of a request (server; the stream is new) or of a response (client; 1xx: another
	 * follows). @end: no body follows. Texts are valid during the call only.
	 */
	void (*head)(void *ctx, int32_t stream, void *user, const struct h2_head *h, bool end);
	/* Bytes of the body; to be counted back by h2_consume() when they are out of our hands. */
	void (*data)(void *ctx, int32_t stream, void *user, const uint8_t *p, size_t len);
	/* The peer's direction is over: with trailers or (NULL) without. Not after @end of a head. */
	void (*end)(void *ctx, int32_t stream, void *user, const struct egress_fields *trailers);
	/* The stream's last event. @code H2_NO_ERROR and both directions ended: all was well. */
	void (*closed)(void *ctx, int32_t stream, void *user, uint32_t code);
	/* h2_send() has room again: less than half of H2_QUEUE_MAX waits. May be NULL. */
	void (*drained)(void *ctx, int32_t stream, void *user);
	/* A message of the peer was refused here (its stream is reset by us). May be NULL. */
	void (*malformed)(void *ctx, int32_t stream, const char *why);
};

struct h2_options {
	enum h2_role role;
	unsigned max_streams; /* the peer may have open; 0: H2_STREAMS_MAX */
	uint32_t stream_window, session_window; /* 0: the above */
	bool extended_connect; /* server: offer RFC 8441 */
	const struct h2_ops *ops; /* borrowed */
	void *ctx;
};

struct h2;

struct h2 *h2_new(const struct h2_options *o) MUST_USE; /* NULL: no memory */
void h2_free(struct h2 *h); /* no events any more; copes with NULL */

/* h2_input() - all of @len bytes are taken; -EPROTO, -ENOMEM: the connection is over */
int h2_input(struct h2 *h, const void *p, size_t len, int64_t now_ms) MUST_USE;
/* h2_output() - append frames that wait to @out while it holds less than @want bytes; *ret_more:
 * there may be others
 */
int h2_output(struct h2 *h, struct buf *out, size_t want, bool *ret_more) MUST_USE;
/* h2_over() - nothing will be read or written any more */
bool h2_over(const struct h2 *h);
unsigned h2_streams(const struct h2 *h); /* open ones, closed() not yet told */
size_t h2_bytes(const struct h2 *h); /* heap of queues and heads, roughly */

/* h2_set_user() - what the stream's events carry; before it they carry NULL */
void h2_set_user(struct h2 *h, int32_t stream, void *user);
/* h2_consume() - @len bytes of data() may come again */
void h2_consume(struct h2 *h, int32_t stream, size_t len);

/* h2_request() - client: open a stream: its number; -EAGAIN: the peer takes no more streams now
 * or ever (h2_refuses()); -EINVAL, -ENOMEM. @q: method, scheme, authority, path, protocol, fields.
 */
int32_t h2_request(struct h2 *h, const struct h2_head *q, bool end, void *user) MUST_USE;
/* h2_refuses() - client: the peer said goodbye; no new stream on this connection */
bool h2_refuses(const struct h2 *h);
/* h2_peer_extended() - client: does the server take extended CONNECT? Known after its SETTINGS. */
bool h2_peer_extended(const struct h2 *h);
/* h2_unprocessed() - client: after closed(): was the request surely not looked at (REFUSED_STREAM,
 * or above the last stream of a GOAWAY)? Then it may be sent again.
 */
bool h2_unprocessed(const struct h2 *h, int32_t stream, uint32_t code);

/* h2_respond() - server: a head, 1xx or final. A final one is sent once. */
int h2_respond(struct h2 *h, int32_t stream, int status, const struct egress_fields *fields,
	bool end) MUST_USE;
/* h2_send() - bytes of our body; all are taken or none: -EAGAIN when @len does not fit into the
 * queue (it always fits into an empty one, @len <= H2_QUEUE_MAX); -ESTALE: the stream is gone.
 */
int h2_send(struct h2 *h, int32_t stream, const void *p, size_t len) MUST_USE;
/* h2_send_to() - h2_send() and h2_output() in one, so that what the windows let through is copied once */
int h2_send_to(struct h2 *h, int32_t stream, const void *p, size_t len, struct buf *out,
	size_t want) MUST_USE;
size_t h2_room(const struct h2 *h, int32_t stream); /* bytes h2_send() takes now; 0: gone or full */
/* h2_end() - our direction is over, with @trailers or (NULL) without */
int h2_end(struct h2 *h, int32_t stream, const struct egress_fields *trailers) MUST_USE;
/* h2_reset() - give a stream up; closed() follows when it was sent */
void h2_reset(struct h2 *h, int32_t stream, enum h2_code code);
/* h2_goodbye() - GOAWAY: streams that are open may end, no new ones. @now: none may end. */
void h2_goodbye(struct h2 *h, enum h2_code code, bool now);
/* h2_ping() - client: a PING, for connections that were idle; h2_pongs() counts answers */
int h2_ping(struct h2 *h) MUST_USE;
unsigned h2_pongs(const struct h2 *h);
#endif
