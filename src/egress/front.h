/* front.h - sbx-front: parses what one sandbox sends, judges it, hands canonical requests to the vault
 *
 * docs/protocol/egress.md. Started as `sbx-front ID` with the descriptors of egress/spawn.h, in namespaces of
 * its own (the network's empty). Stages: front_open() (socket in the directory, CA), front_load(),
 * front_drop() (no files, no rights), front_run(). One thread; nothing below ever waits.
 *
 * The parts: a stream of the guest (front_stream.c) is found out to be TLS, HTTP or neither
 * (front_sniff.c), gets TLS (front_tls.c), HTTP/1 (front_h1.c) or HTTP/2 (front_h2.c), which make
 * exchanges (front_exchange.c), each with a channel to the vault (front_channel.c); or it becomes a tunnel
 * (front_tunnel.c). Names are answered by front_dns.c and remembered by front_pins.c. The daemon talks
 * to front_control.c; questions and records go there by front_ask.c and front_audit.c.
 * What is to be written is collected and written once at the end of a round of the loop
 * (front_round()); what is to be freed is marked dead and freed there.
 */
#ifndef EGRESS_FRONT_H
#define EGRESS_FRONT_H
#include "base/err.h"
#include "base/loop.h"
#include "egress/front_pins.h"
#include "http/canon.h"
#include "http/ws.h"
#include "jail/report.h"
#include "policy/policy.h"
#include "proto/dns.h"
#include "proto/egress_config.h"
#include "tls/leaf.h"
#include "tls/server.h"

#define FRONT_STREAMS_MAX  1024
#define FRONT_CHANNELS_MAX 256
#define FRONT_IDLE_MAX	   64 /* channels kept for the next exchange */
#define FRONT_QUEUE_MAX	   (128U << 10) /* bytes that wait in one direction before reading stops */
#define FRONT_SCRATCH	   (2 * (EGRESS_FRAME_HEAD + EGRESS_FRAME_MAX)) /* whole frames */
#define FRONT_INPUT_MAX	   (256U << 10) /* bytes of the guest that are not parsed yet */
#define FRONT_DIRECT	   16384 /* so many bytes are worth a system call of their own */
#define FRONT_MEMORY_MAX   (32U << 20) /* buffers of all streams and channels together */
#define FRONT_TLS_BYTES	   24576 /* what a session costs, roughly */
#define FRONT_DNS_MAX	   64 /* questions outstanding on one stream */

#define FRONT_OPEN_MS	   5000 /* a stream's header */
#define FRONT_HEAD_MS	   10000 /* a request's head, a handshake */
#define FRONT_SILENT_MS	   300 /* a client that lets the server speak first */
#define FRONT_KEEPALIVE_MS 60000
#define FRONT_IDLE_MS	   3600000 /* an exchange in which nothing moves */
#define FRONT_ANSWER_MS	   120000 /* the vault's first word; it has deadlines of its own */
#define FRONT_LINGER_MS	   5000 /* the last bytes to the guest */

/* front_silent_ms() - how long a client of that port may say nothing. On those of the web the client
 * always speaks first: one that is slow to begin its TLS is not taken for another protocol.
 */
static inline int front_silent_ms(uint16_t port)
{
	return port == 443 || port == 80 || port == 8443 || port == 8080 ? FRONT_HEAD_MS
									 : FRONT_SILENT_MS;
}

struct front;
struct front_stream;
struct front_exchange;
struct front_channel;

/* ---- streams ---- */

enum front_state {
	FRONT_HEAD, /* the header of port 2 */
	FRONT_SNIFF,
	FRONT_TLS, /* handshake */
	FRONT_H1,
	FRONT_H2,
	FRONT_TUNNEL,
	FRONT_DNS,
	FRONT_LAST, /* what is in out goes to the guest, then the end */
};

struct front_stream {
	struct front *f;
	struct front_stream *next, *next_dirty;
	bool dirty, dead;
	bool eof; /* the guest sends nothing more */
	bool held; /* not read: too much waits behind */
	bool pushed; /* bytes came while it was held */
	bool again; /* bytes may wait where epoll does not see them */
	bool shut; /* our direction was closed */
	bool half; /* RDHUP was seen */
	bool gone; /* the guest's end is closed: nothing can be written */
	bool torn; /* and that without an end of its bytes before: a reset */
	bool blocked; /* out waits for the descriptor */
	size_t charged;
	int fd;
	struct loop_fd *src;
	uint32_t events;
	enum front_state state;
	struct egress_stream to;
	/* who the connection is with: by CONNECT or TLS; kind NONE: only its address is known */
	struct policy_host host;
	uint16_t port;
	enum egress_scheme scheme;
	bool proxy, connected; /* the explicit proxy; after a CONNECT */
	bool mismatch; /* TLS names another server than CONNECT did: every request is refused */
	struct buf in, out;
	size_t out_at; /* bytes of out that are gone */
	struct tls *tls;
	char alpn[12];
	struct http_parser *h1;
	struct h2 *h2;
	struct front_exchange *exchanges; /* HTTP/1, tunnels: at most one */
	unsigned n_exchanges;
	int64_t deadline, began; /* of the present state; 0: none */
	bool heard; /* a byte of this message has come */
	bool unspoken; /* TUNNEL: opened because nobody spoke, and nobody has yet */
};

int front_stream_open(struct front *f, int fd, uint32_t port); /* takes @fd in any case */
/* front_stream_read() - bytes of the guest, out of TLS when there is one: as tls_read() tells */
ssize_t front_stream_read(struct front_stream *s, void *p, size_t cap) MUST_USE;
/* front_stream_ahead() - were bytes read that TLS has not yet given out? */
bool front_stream_ahead(const struct front_stream *s);
/* front_stream_send() - as if added to out; at once when nothing waits there. -EPIPE: killed */
int front_stream_send(struct front_stream *s, const void *p, size_t len) MUST_USE;
void front_stream_dirty(struct front_stream *s); /* look after it at the end of the round */
void front_stream_kill(struct front_stream *s); /* close at once; its exchanges are given up */
void front_stream_last(struct front_stream *s); /* close when out is empty */
void front_stream_deadline(struct front_stream *s, int64_t ms_from_now);
bool front_stream_full(const struct front_stream *s); /* no more into out now */
size_t front_stream_waiting(const struct front_stream *s); /* bytes in out */
void front_stream_go_on(struct front_stream *s); /* it was held; what it waited for has room */
/* front_stream_fill() - read into s->in, which holds at most @max then: as front_stream_read();
 * -ENOBUFS: it does already
 */
ssize_t front_stream_fill(struct front_stream *s, size_t max) MUST_USE;
void front_stream_input(struct front_stream *s); /* the state's parser gets what is there */
bool front_stream_flush(struct front_stream *s); /* false: dead */
/* front_stream_flush_records() - only what fills TLS records: more is about to come behind it */
bool front_stream_flush_records(struct front_stream *s);
void front_stream_round(struct front_stream *s);
void front_stream_free(struct front_stream *s);

void front_sniff(struct front_stream *s);
void front_sniff_silent(struct front_stream *s); /* nothing came for FRONT_SILENT_MS */
/* front_sniff_late() - the first bytes came after that: are they what is looked into? Then the tunnel that
 * was opened meanwhile is given up. True: it is a tunnel no more (or dead).
 */
bool front_sniff_late(struct front_stream *s);
void front_tls_begin(struct front_stream *s, const char *name, bool h2, bool http);
void front_tls_step(struct front_stream *s);
void front_h1_begin(struct front_stream *s);
void front_h1_input(struct front_stream *s);
void front_h2_begin(struct front_stream *s);
void front_h2_input(struct front_stream *s);
void front_h2_output(struct front_stream *s);
void front_dns_fail(struct front_exchange *x); /* SERVFAIL */
void front_dns_input(struct front_stream *s);
/* front_dns_answer() - ANSWER of the vault to x->query; false: malformed */
bool front_dns_answer(struct front_exchange *x, const struct egress_frame *fr) MUST_USE;
void front_tunnel_input(struct front_stream *s);
/* front_tunnel_begin() - judge and open; false: not allowed, nothing was done but the record */
bool front_tunnel_begin(struct front_stream *s, enum egress_tunnel_kind kind);
/* front_tunnel_verdict() - which of the names behind the connection may be tunnelled to */
enum policy_decision front_tunnel_verdict(
	struct front_stream *s, struct policy_host *ret_host, struct policy_verdict *ret_v);

/* ---- exchanges ---- */

enum front_what { FRONT_HTTP, FRONT_BYTES, FRONT_NAME };

struct front_exchange {
	struct front *f;
	struct front_stream *s; /* NULL once it is gone */
	struct front_exchange *next; /* of the stream */
	struct front_channel *ch; /* NULL: held, or over */
	enum front_what what;
	int32_t id; /* HTTP/2's stream; 0 */
	uint64_t question; /* id of the ASK; 0: none */
	bool approved;
	bool is_tls; /* BYTES: TLS that is not looked into */
	bool bypasses; /* only since its host is in `bypass` */
	/* what was judged */
	enum policy_kind kind;
	struct policy_host host;
	struct policy_address address;
	uint16_t port;
	char method[HTTP_METHOD_MAX + 1];
	char *path;
	unsigned path_flags;
	char rule[POLICY_ID_MAX + 1];
	/* where it stands */
	bool has_body, up_over, head_sent, down_over, finished;
	bool continue_100, closes; /* HTTP/1: a word is owed; the connection ends after it */
	bool no_body, chunked, old; /* HTTP/1: HEAD asked; framing; HTTP/1.0 */
	bool plain_text; /* the client takes no JSON */
	uint64_t left; /* of a response with a length; UINT64_MAX: unknown */
	uint16_t status;
	uint64_t up, down;
	size_t owed; /* HTTP/2: bytes not yet given back to the window */
	bool recorded;
	int64_t deadline;
	struct buf request; /* the first frame, while it is held, and what came after it */
	char ws_key[WS_KEY_CAP];
	struct ws_walk *ws; /* [0] up, [1] down */
	struct dns_query *query; /* NAME */
};

struct front_exchange *front_exchange_new(struct front_stream *s, enum front_what what) MUST_USE;
/* front_exchange_request() - judge the request in f->canon and send it, hold it or refuse it */
void front_exchange_request(struct front_exchange *x, bool end);
void front_exchange_start(struct front_exchange *x); /* x->request goes to a channel */
/* front_exchange_room() - bytes of body the vault's side takes now */
size_t front_exchange_room(const struct front_exchange *x);
void front_exchange_up(struct front_exchange *x, const void *p, size_t len);
void front_exchange_up_end(struct front_exchange *x, const struct egress_fields *trailers);
/* front_exchange_frame() - one frame of the vault; false: not now (the guest's side is full) */
bool front_exchange_frame(struct front_exchange *x, const struct egress_frame *fr);
/* front_exchange_cut() - the vault or the policy ended it: an answer if there can be one, else a cut */
void front_exchange_cut(struct front_exchange *x, int status, const char *code, const char *why);
/* front_exchange_over() - all is said: record, channel back, memory */
void front_exchange_over(struct front_exchange *x);
void front_exchange_drop(struct front_exchange *x); /* given up: the channel is closed */
void front_exchange_verdict(struct front_exchange *x, bool allow);
void front_exchange_judge_again(struct front_exchange *x); /* a new policy is in force */
/* front_belongs() - may the address that the stream claims be one of that host's? By the explicit proxy
 * none is claimed.
 */
bool front_belongs(const struct front_stream *s, const struct policy_host *h,
	struct policy_address *ret_a) MUST_USE;
/* front_judge() - the policy's word on it; fills x->rule */
void front_judge(struct front_exchange *x, struct policy_verdict *ret_v);

/* ---- the guest's side of HTTP, by version ---- */

void front_h1_head(struct front_exchange *x, int status, const struct egress_fields *f, bool end);
void front_h1_data(struct front_exchange *x, const void *p, size_t len, bool end);
void front_h1_trailers(struct front_exchange *x, const struct egress_fields *f);
void front_h1_done(struct front_stream *s, bool closes); /* the exchange is over */
void front_h2_head(struct front_exchange *x, int status, const struct egress_fields *f, bool end);
bool front_h2_data(struct front_exchange *x, const void *p, size_t len, bool end);
void front_h2_trailers(struct front_exchange *x, const struct egress_fields *f);
void front_h2_cut(struct front_exchange *x, bool refused);
void front_h2_room(struct front_exchange *x); /* the vault's side takes bytes again */

/* front_deny() - a whole answer of ours. @x->s has had no head yet. */
void front_deny(struct front_exchange *x, int status, const char *code, const char *why,
	const struct policy_rule *rule);
/* front_deny_text() - its body; returns its length */
size_t front_deny_text(const struct front_exchange *x, const char *code, const char *why,
	const char *rule, const char *hint, char *dst, size_t cap);

/* ---- channels ---- */

struct front_channel {
	struct front *f;
	struct front_channel *next, *next_dirty, *next_idle;
	bool dirty, dead, held, again;
	bool full; /* the vault's socket takes nothing more: what was read waits in out, no more is read */
	int fd;
	struct loop_fd *src;
	uint32_t events;
	struct front_exchange *x; /* NULL: idle */
	struct buf in, out;
	size_t out_at, charged;
	size_t data_left; /* of a DATA frame whose beginning was taken already */
	bool data_end;
	int64_t idle_since;
};

struct front_channel *front_channel_get(struct front *f, struct front_exchange *x) MUST_USE;
void front_channel_put(struct front_channel *ch); /* idle again */
/* front_channel_send() - DATA, as if added to out; at once when nothing waits there. -ENOBUFS, -ENOMEM */
int front_channel_send(struct front_channel *ch, const void *p, size_t len) MUST_USE;
void front_channel_kill(struct front_channel *ch);
void front_channel_dirty(struct front_channel *ch);
void front_channel_go_on(struct front_channel *ch); /* it was held; the guest's side has room */
void front_channel_flush(struct front_channel *ch);
void front_channel_push(struct front_channel *ch); /* what waits, as far as it goes at once */
void front_channel_free(struct front_channel *ch);
/* front_channel_peer() - a new vault: all channels to the former end */
void front_channel_peer(struct front *f, int fd);

/* ---- the daemon ---- */

int front_control_start(struct front *f, struct err *e) MUST_USE;
int front_control_take(struct front *f, int fd); /* a daemon connected; takes @fd */
void front_control_stop(struct front *f);
int front_control_send(struct front *f, const struct egress_msg *m); /* -ENOTCONN, -EAGAIN */
void front_drained(struct front *f); /* answer a DRAIN, once every record is written */
int front_streams_set(struct front *f, int fd); /* takes @fd */
void front_streams_stop(struct front *f);
/* front_configure() - put the bytes of a CONFIG in force and judge what is open again */
int front_configure(struct front *f, const void *bytes, size_t len, struct err *e) MUST_USE;

/* front_ask() - false: no one can be asked (nobody listens, or too many wait) */
bool front_ask(struct front_exchange *x, const struct policy_rule *rule);
void front_ask_drop(struct front_exchange *x);
void front_ask_answer(struct front *f, uint64_t id, bool allow);

/* front_audit() - queue a record; front_audit_full(): requests are refused until some are written */
void front_audit(struct front *f, const struct egress_record *r);
bool front_audit_full(const struct front *f);
void front_audit_send(struct front *f); /* what waits, when nothing is on its way */
void front_audit_answer(struct front *f, uint32_t seq, int result);
void front_audit_reset(struct front *f); /* the daemon went: send again */
/* front_record() - of an exchange; once, whatever is called how often */
void front_record(struct front_exchange *x, enum egress_decision d, const char *reason,
	const struct egress_done *done);
/* front_record_stream() - of a stream that came to no exchange */
void front_record_stream(struct front_stream *s, enum egress_event ev, enum egress_decision d,
	const char *host, uint16_t port, const char *rule, const char *reason, uint16_t status);

/* ---- the process ---- */

struct front_audit {
	struct buf waiting; /* encoded records, those on their way first */
	unsigned n_waiting, n_flying;
	size_t flying_bytes;
	uint32_t seq; /* of the AUDIT on its way; 0: none */
	uint64_t lost; /* refusals for which there was no room: one record tells how many */
	int delay_ms; /* a record waits so long for others to go with it */
	int64_t since_ms; /* when the first that waits came */
	int64_t guesses_ms; /* since when credentials that are none were counted; 0: not */
	unsigned guesses;
};

struct front {
	struct loop *loop;
	char id[128];
	int dir_fd, listen_fd, control_fd, streams_fd, peer_fd;
	struct loop_fd *listen_src, *control_src, *streams_src, *peer_src;
	struct loop_timer *tick;
	int64_t tick_at, now;
	struct egress_config config;
	struct policy *policy; /* NULL until the first CONFIG: every stream is refused */
	struct tls_ca *ca;
	struct tls_leaves *leaves;
	struct tls_server *tls;
	struct front_pins *pins;
	struct front_stream *streams, *dirty_streams;
	struct front_channel *channels, *dirty_channels, *idle; /* idle: the last used first */
	struct front_exchange *over; /* to be freed */
	unsigned n_streams, n_channels, n_idle, n_asking;
	bool any_dead, stop;
	uint32_t seq;
	uint32_t draining; /* seq of a DRAIN that is not answered yet; 0: none */
	uint64_t question;
	size_t memory; /* charged to streams and channels */
	struct egress_stats stats;
	struct front_audit audit;
	struct http_canon canon;
	struct egress_fields fields; /* of the frame being looked at */
	struct buf text, ws; /* scratch */
	struct jail_report report;
	uint8_t scratch[FRONT_SCRATCH];
};

int front_open(struct front *f, const char *id, struct err *e) MUST_USE;
int front_load(struct front *f, struct err *e) MUST_USE;
int front_drop(struct front *f, struct err *e) MUST_USE;
int front_run(struct front *f, struct err *e) MUST_USE;
void front_close(struct front *f);
/* front_start() - what front_open() leaves to do but for files: for tests too */
int front_start(struct front *f, struct err *e) MUST_USE;
/* front_round() - after each round of the loop: writes, frees. True: do not wait in the next. */
bool front_round(struct front *f);
void front_charge(struct front *f, size_t *charged, size_t now); /* memory accounting */
void front_tick_at(struct front *f, int64_t at_ms); /* deadlines are looked at then, or before */
/* front_buf_rest() - an empty buffer that has grown gives its memory back */
void front_buf_rest(struct buf *b);
/* front_buf_spare() - so does this, unless it is about to grow again and there is plenty */
void front_buf_spare(const struct front *f, struct buf *b, bool busy);
#endif
