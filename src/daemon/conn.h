/* conn.h - one client connection: requests in, answers out, everything with a deadline
 *
 * Thread: the connection's own. A handler answers exactly once: conn_json(), conn_fail(),
 * conn_text(), conn_empty(), or the lines of a stream; after conn_hand_over() the socket speaks
 * another protocol.
 */
#ifndef DAEMON_CONN_H
#define DAEMON_CONN_H
#include "base/buf.h"
#include "daemon/daemon.h"
#include "http/http1.h"
#include "http/target.h"
#include "json/json.h"

#define CONN_HEAD_MS   10000 /* from the first byte of a request to its last */
#define CONN_IDLE_MS   30000 /* between requests */
#define CONN_SEND_MS   10000 /* a client that does not read is cut off */
#define CONN_FOLLOW_MS 600000 /* the same where a person may have stopped the output */

struct conn {
	int fd; /* owned */
	struct daemon *d;
	struct http_parser *parser;
	struct buf in; /* bytes beyond the present request */
	struct buf body; /* of the present request */
	struct http_target target;
	bool answered, keep_alive, handed_over;
};

/* conn_main() - thread function; takes a struct conn with fd and d set, from calloc() */
void *conn_main(void *conn);

/* All return 0, or a negative errno after which the connection is closed. @v is taken. */
int conn_json(struct conn *c, int status, struct js *v) MUST_USE;
int conn_fail(struct conn *c, const struct err *e) MUST_USE;
int conn_text(struct conn *c, const void *p, size_t len) MUST_USE;
int conn_ndjson(struct conn *c, const void *p, size_t len) MUST_USE; /* whole lines, at once */
int conn_empty(struct conn *c, int status) MUST_USE;
/* conn_wipe() - the request's body was a secret: what the connection has of it becomes zeros */
void conn_wipe(struct conn *c);
/* lines of application/x-ndjson, chunked; conn_lines_end() closes the body */
int conn_lines_begin(struct conn *c) MUST_USE;
int conn_line(struct conn *c, struct js *v) MUST_USE;
int conn_lines_end(struct conn *c) MUST_USE;
/* text in pieces, chunked, as they come: a client that reads slowly is given CONN_FOLLOW_MS;
 * conn_lines_end() closes the body
 */
int conn_text_begin(struct conn *c) MUST_USE;
int conn_piece(struct conn *c, const void *p, size_t len) MUST_USE;
/* conn_switch() - 101 with "Upgrade: @protocol"; @pass_fd (borrowed, or -1) goes with its bytes */
int conn_switch(struct conn *c, const char *protocol, int pass_fd) MUST_USE;
#endif
