/* client.h - small blocking HTTP/1.1 client over a connected unix socket, with deadlines
 *
 * One request after the other. Deadlines are points of clock_ms(). Failures of the transport or
 * of the peer's HTTP are a negative errno with @e; a status of 400 and above is NOT a failure of
 * http_call(): the caller looks at reply.status (json/apierr.h turns such a body into struct err).
 */
#ifndef HTTP_CLIENT_H
#define HTTP_CLIENT_H
#include "base/buf.h"
#include "base/err.h"
#include "http/http1.h"

struct http_client {
	int fd; /* owned; -1 once closed or handed on by an upgrade */
	struct http_parser *parser;
	struct buf in; /* bytes read ahead */
	struct buf pending; /* body bytes beyond the line given out last */
	bool body_open; /* a streamed body is not yet at its end */
};

struct http_ask {
	const char *method, *target;
	const char *accept; /* NULL: none */
	const char *body; /* NULL: no body */
	size_t body_len;
	const char *type; /* of the body; NULL: application/json */
};

struct http_reply {
	int status;
	char type[64]; /* Content-Type, "" when absent */
	struct buf body;
};
void http_reply_fini(struct http_reply *r);
void http_reply_auto(struct http_reply *r);

/* http_client_init() - takes @fd; -ENOMEM leaves it closed */
int http_client_init(struct http_client *c, int fd) MUST_USE;
void http_client_fini(struct http_client *c);
void http_client_auto(struct http_client *c);

/* http_call() - whole exchange; a body beyond @max_body is -EFBIG. @ret is to be _fini()d on
 * success only.
 */
int http_call(struct http_client *c, const struct http_ask *ask, size_t max_body, int64_t deadline,
	struct http_reply *ret, struct err *e) MUST_USE;

/* http_open() - send, and read the head only: ret->status and ret->type are set, the body (empty
 * buffer) is fetched with http_line() or http_drain()
 */
int http_open(struct http_client *c, const struct http_ask *ask, int64_t deadline,
	struct http_reply *ret, struct err *e) MUST_USE;
/* http_line() - next line of a streamed body, without its LF, into @line (cleared first; its max
 * bounds the line): 1; 0 at the end of the body; negative errno
 */
int http_line(struct http_client *c, struct buf *line, int64_t deadline, struct err *e) MUST_USE;
/* http_piece() - what has come of a streamed body, appended to @out: 1; 0 at the end of the body. Not
 * to be mixed with http_line().
 */
int http_piece(struct http_client *c, struct buf *out, int64_t deadline, struct err *e) MUST_USE;
/* http_drain() - append the rest of the body to @out */
int http_drain(struct http_client *c, struct buf *out, int64_t deadline, struct err *e) MUST_USE;

/* http_upgrade() - POST @target with "Upgrade: @protocol"
 * 101: *ret_fd is the stream (the caller's): with @pass_fd the descriptor that came with the answer
 * (if the server sent none: the connection itself), else the connection; @c is then spent.
 * Any other status: *ret_fd is -1 and @ret holds status and body. Bytes of the new protocol that
 * came together with the 101 are -EPROTO: a client of ours speaks first.
 */
int http_upgrade(struct http_client *c, const char *target, const char *protocol, bool pass_fd,
	int64_t deadline, int *ret_fd, struct http_reply *ret, struct err *e) MUST_USE;
#endif
