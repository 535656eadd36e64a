/* up.h - an upstream connection: from a host that policy allows to bytes that go both ways
 *
 * up_new() sets out to reach a goal: name → addresses, each judged by policy → connection (RFC 8305) →
 * proxy, if one is meant for the host → verified TLS, if the goal has it. Then ops->ready(), or ops->failed() with
 * what to tell the client. Both come from the loop, never from within up_new(). From then on ops->io() is called
 * when there may be something to read (want_in) or room to write.
 * Idle connections are kept by what makes them interchangeable: scheme, host, port, proxy and credential.
 */
#ifndef EGRESS_UP_H
#define EGRESS_UP_H
#include "base/buf.h"
#include "egress/vault.h"
#include "http/h2.h"
#include "http/http1.h"

#define UP_ADDRESSES 12
#define UP_ROOM	     (128u << 10) /* bytes waiting: no more is taken then */
#define UP_DIRECT    16384 /* so many bytes are worth a system call of their own */
#define UP_ATTEMPTS  3 /* connections tried at the same time */

struct up_goal {
	struct policy_request judge; /* how each address is judged; host is set by up_new() */
	struct policy_host host;
	uint16_t port;
	bool tls, http, h2; /* h2: may be spoken when the server wants it */
	const char *credential; /* its name, "" for none; part of what makes connections alike */
	const char *method, *path; /* of judge; copied */
	bool no_proxy, trusted; /* trusted: named by the operator, its addresses are not judged */
};

enum up_state { UP_NAMES, UP_DIAL, UP_PROXY, UP_TLS, UP_READY };

struct up_ops {
	void (*ready)(struct up *u);
	void (*failed)(struct up *u, int status, const char *code, const char *text);
	void (*io)(struct up *u);
	void (*drained)(struct up *u); /* less than half of the queue waits; may be NULL */
	void (*given_up)(struct up *u); /* closed before it was ready; may be NULL */
};

struct up_attempt {
	struct up *up;
	int fd;
	struct loop_fd *src;
	struct policy_address address;
};

struct up {
	struct vault *v;
	struct up *next, *next_dirty;
	struct vault_config *config; /* counted */
	enum up_state state;
	bool dead, dirty, kick;
	bool want_in, was_full, broken_write;
	bool shut_after; /* when all is written: no more bytes will be sent */
	int fd;
	struct loop_fd *src;
	uint32_t events;
	struct tls *tls, *outer; /* outer: to a proxy that is spoken to by TLS */
	struct buf out;
	size_t out_pos;
	const struct up_ops *ops;
	/* who uses it */
	struct chan *chan;
	/* the goal */
	struct policy_host host;
	uint16_t port;
	bool is_tls, offer_http, offer_h2, trusted;
	enum policy_kind kind;
	char *method, *path; /* owned; of the request that it was dialled for */
	unsigned path_flags;
	char credential[128];
	const struct proxy *proxy; /* in config; NULL: direct */
	/* dialling */
	int64_t deadline;
	struct resolve_query *query[2];
	struct loop_timer *timer;
	struct policy_address address[UP_ADDRESSES];
	size_t n_address, next_address;
	bool any_judged; /* an address was refused by policy */
	struct up_attempt attempt[UP_ATTEMPTS];
	int last_error;
	struct policy_address peer;
	unsigned proxy_step;
	bool absolute; /* requests go to the proxy itself, with the whole URL */
	bool target_first; /* the host's own address is looked up, before the proxy's */
	struct policy_address target; /* what a SOCKS proxy is told; family 0: the name */
	struct buf proxy_in;
	/* use */
	unsigned uses;
	int64_t idle_since; /* 0: in use */
	struct http_parser *parser; /* HTTP/1 */
	struct h2 *h2;
	unsigned n_streams;
	int64_t done_ms; /* HTTP/2: when the last stream ended */
	bool lost;
	bool stale; /* its credential was changed or taken away: not for another exchange */
};

/* up_new() - NULL: too many, or no memory */
struct up *up_new(struct vault *v, const struct up_goal *g, const struct up_ops *ops,
	struct chan *chan) MUST_USE;
/* up_find() - one that can be used at once for that goal: an idle HTTP/1 one, or an HTTP/2 one with room */
struct up *up_find(struct vault *v, const struct up_goal *g) MUST_USE;
/* up_coming() - one for that goal that is being made and may speak HTTP/2 */
struct up *up_coming(struct vault *v, const struct up_goal *g) MUST_USE;
void up_close(struct up *u); /* freed at the end of the round; NULL is fine */
void up_free(struct up *u); /* vault_round() only */
/* up_idle() - nobody uses it: keep it for another, or close it when there are enough */
void up_idle(struct up *u);

/* up_forget() - a credential was changed or taken away: connections that had it are not used again */
void up_forget(struct vault *v, const char *credential);

/* up_read() - bytes, 0 at a proper end, -EAGAIN, other negative errno */
ssize_t up_read(struct up *u, void *p, size_t cap) MUST_USE;
/* up_send() - bytes of a body, as if added to out; at once when nothing waits there. -ENOBUFS, -ENOMEM */
int up_send(struct up *u, const void *p, size_t len) MUST_USE;
/* up_want() - call ops->io() when there may be something to read */
void up_want(struct up *u, bool want);
void up_dirty(struct up *u); /* something stands in out: write it at the end of the round */
void up_flush(struct up *u); /* vault_round() only */
size_t up_queued(const struct up *u);
/* up_shut() - no more bytes will be sent (a tunnel's half-close) */
void up_shut(struct up *u);

/* the steps, in order */
void dial_start(struct up *u);
void dial_stop(struct up *u); /* what is under way is given up */
void up_connected(struct up *u, int fd, const struct policy_address *peer);
void proxy_start(struct up *u);
void proxy_step(struct up *u);
/* up_put_proxy_auth() - the field that a proxy with a password wants; nothing for one without */
int up_put_proxy_auth(const struct proxy *p, struct buf *out) MUST_USE;
void up_secure(struct up *u); /* TLS to the host itself, or straight to ready */
/* up_fail() - ops->failed(), then closed */
void up_fail(struct up *u, int status, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* up_allowed() - may that address be used for the goal? */
bool up_allowed(const struct up *u, const struct policy_address *a);
#endif
