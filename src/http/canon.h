/* canon.h - from what a client sent to the one request that is judged and sent: or a refusal
 *
 * Pure. Every authority a client can name (TLS server name or CONNECT, Host, :authority, absolute
 * target) must be the same host and port; the path is made canonical (policy/path.h), the query kept;
 * fields lose what concerns one hop, and what decides routing or length is not among them any more.
 * HTTP/1 and HTTP/2 come out alike. What could be read in two ways is refused, never repaired.
 * Spec: docs/protocol/egress.md, "Canonical request".
 */
#ifndef HTTP_CANON_H
#define HTTP_CANON_H
#include "http/h2.h"
#include "http/http1.h"
#include "policy/host.h"

/* What the connection is, as far as it is known before the request. */
struct http_conn {
	enum egress_scheme scheme;
	bool proxy; /* the explicit proxy itself: absolute targets only */
	/* who the connection is with, by TLS or CONNECT; NULL: only the request says it */
	const struct policy_host *host;
	uint16_t port; /* 0 with @proxy: the request says it */
	struct egress_addr to;
};

/* The request, borrowing from the head it was made of: valid as long as that one, and until the
 * next use of this struct. One struct may serve any number of requests, one after the other.
 */
struct http_canon {
	struct egress_request q;
	struct policy_host host; /* q.host points into it */
	unsigned path_flags; /* of policy_path_canon() */
	bool has_body; /* DATA may follow */
	bool continue_100; /* the client waits for a word before it sends its body */
	bool overrides; /* fields or a parameter that make servers use another method or path */
	/* WebSocket: the client's key, and which form of handshake is due */
	char ws_key[25];
	/* refused: the answer's status, a code for records, a sentence */
	int status;
	const char *code, *why;
	struct buf text; /* names in lower case, path, joined cookies */
};

void http_canon_init(struct http_canon *c);
void http_canon_fini(struct http_canon *c);

/* http_canon_h1(), http_canon_h2() - true: c->q is the request; false: status, code and why say
 * what is wrong. @end: (h2) no body follows. An Upgrade to anything but WebSocket is not answered:
 * the request comes out as an ordinary one, as RFC 9110 7.8 allows.
 */
bool http_canon_h1(
	struct http_canon *c, const struct http_conn *conn, const struct http_head *h) MUST_USE;
bool http_canon_h2(struct http_canon *c, const struct http_conn *conn, const struct h2_head *h,
	bool end) MUST_USE;
/* http_canon_no_overrides() - where rules look at methods or paths: fields that override them are
 * taken out; false (status and why are set) when a parameter of the query does
 */
bool http_canon_no_overrides(struct http_canon *c) MUST_USE;

/* http_authority() - "host[:port]" as in Host and CONNECT to its canonical form; @port 0: one must
 * be there, else the default. False: malformed.
 */
bool http_authority(const char *text, size_t len, uint16_t port, struct policy_host *ret_host,
	uint16_t *ret_port) MUST_USE;
/* http_hop_field() - does a field (lower case) concern one hop only, so that it is not passed on? */
bool http_hop_field(const char *name);
#endif
