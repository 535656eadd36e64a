/* egress.h - messages of the way out: structs ⇄ bytes, no I/O
 *
 * docs/protocol/egress.md. Three conversations: the head of a guest's stream, frames of a channel
 * between front and vault, control messages between the daemon and both. (The configuration they
 * carry is proto/egress_config.h.)
 * Decoders return PROTO_OK, or PROTO_MALFORMED and then the struct is empty; what they give out
 * points into the bytes they were given (texts are NUL-terminated there). Encoders append to @out:
 * 0, -EMSGSIZE, -ENOBUFS, -ENOMEM; after a failure @out is as before.
 */
#ifndef PROTO_EGRESS_H
#define PROTO_EGRESS_H
#include "proto/agent.h"

/* ---- streams: guest → front ---- */

#define EGRESS_PORT_TCP	   2
#define EGRESS_PORT_DNS	   3
#define EGRESS_STREAM_HEAD 32

enum egress_way { EGRESS_REDIRECTED = 0, EGRESS_PROXY = 1 };

struct egress_addr {
	uint8_t family; /* 0: none, 4, 6 */
	uint8_t bytes[16]; /* IPv4: the first four, the rest zero */
};

struct egress_stream {
	struct egress_addr to; /* family 4 or 6; a mapped IPv4 address is given out as IPv4 */
	uint16_t port;
	enum egress_way way;
};

void egress_put_stream(uint8_t dst[EGRESS_STREAM_HEAD], const struct egress_stream *s);
enum proto_result egress_get_stream(
	const uint8_t src[EGRESS_STREAM_HEAD], struct egress_stream *ret_s) MUST_USE;

/* ---- channels: front ⇄ vault ---- */

#define EGRESS_FRAME_HEAD     8
#define EGRESS_FRAME_MAX      65536 /* payload */
#define EGRESS_FIELDS_MAX     128
#define EGRESS_LENGTH_UNKNOWN UINT64_MAX

enum egress_type {
	EGRESS_REQUEST = 0x01,
	EGRESS_TUNNEL = 0x02,
	EGRESS_RESOLVE = 0x03,
	EGRESS_DATA = 0x04,
	EGRESS_TRAILERS = 0x05,
	EGRESS_RESPONSE = 0x06,
	EGRESS_OPEN = 0x07,
	EGRESS_ANSWER = 0x08,
	EGRESS_FAILED = 0x09,
	EGRESS_DONE = 0x0a,
};

enum { EGRESS_END = 1 }; /* flag of a frame: nothing more follows in this direction */

struct egress_frame {
	enum egress_type type;
	bool end;
	const uint8_t *body; /* borrowed from the bytes given */
	size_t len;
};

/* egress_next_frame() - the first frame of @len bytes at @p: FRAME_GOT and *ret_used bytes are its;
 * FRAME_MORE: they are no whole frame yet (at most EGRESS_FRAME_HEAD + EGRESS_FRAME_MAX are needed)
 */
enum frame_result egress_next_frame(
	const void *p, size_t len, size_t *ret_used, struct egress_frame *ret_f) MUST_USE;
/* egress_next_data() - where the first frame is DATA: FRAME_GOT and *ret_f is what is there of its payload
 * (its head is EGRESS_FRAME_HEAD bytes), *ret_left what is still to come, after which *ret_end tells; a boundary of such frames
 * means nothing, so who gets many bytes need not wait for the last. FRAME_MORE: it is another, or too little of it is here.
 */
enum frame_result egress_next_data(const void *p, size_t len, struct egress_frame *ret_f,
	size_t *ret_left, bool *ret_end) MUST_USE;
/* egress_frame_head() - header of a frame with @len bytes of payload (len <= EGRESS_FRAME_MAX) */
void egress_frame_head(uint8_t dst[EGRESS_FRAME_HEAD], enum egress_type type, bool end, size_t len);
/* egress_put_data() - DATA; @len 0 only with @end */
int egress_put_data(struct buf *out, const void *p, size_t len, bool end) MUST_USE;

struct egress_field {
	const char *name, *value; /* the name in lower case */
	uint16_t name_len, value_len;
	bool never_index; /* HTTP/2: RFC 7541 7.1.3 */
};

struct egress_fields {
	uint16_t n;
	struct egress_field v[EGRESS_FIELDS_MAX];
};
/* egress_field() - value of the first field @name (lower case), or NULL */
const char *egress_field(const struct egress_fields *f, const char *name);

enum egress_scheme { EGRESS_HTTPS = 1, EGRESS_HTTP = 2 };
enum egress_kind { EGRESS_PLAIN = 1, EGRESS_WEBSOCKET = 2, EGRESS_GRPC = 3 };

/* The canonical request: what was judged, what is sent. */
struct egress_request {
	enum egress_scheme scheme;
	enum egress_kind kind;
	const char *method, *host; /* host: lower case, no trailing dot; or an address in text */
	uint16_t port;
	const char *path, *query; /* query with its '?', or "" */
	uint64_t length; /* of the body; EGRESS_LENGTH_UNKNOWN */
	struct egress_addr to; /* the claimed address; family 0 by the explicit proxy */
	struct egress_fields fields;
};
int egress_put_request(struct buf *out, const struct egress_request *q, bool end) MUST_USE;
enum proto_result egress_get_request(
	const struct egress_frame *f, struct egress_request *ret_q) MUST_USE;

enum egress_tunnel_kind { EGRESS_RAW = 1, EGRESS_TLS = 2 };

struct egress_tunnel {
	enum egress_tunnel_kind kind;
	const char *host;
	uint16_t port;
	struct egress_addr to;
};
int egress_put_tunnel(struct buf *out, const struct egress_tunnel *t) MUST_USE;
enum proto_result egress_get_tunnel(
	const struct egress_frame *f, struct egress_tunnel *ret_t) MUST_USE;

int egress_put_resolve(struct buf *out, uint16_t qtype, const char *name) MUST_USE;
enum proto_result egress_get_resolve(
	const struct egress_frame *f, uint16_t *ret_qtype, const char **ret_name) MUST_USE;

struct egress_response {
	uint16_t status; /* 100..599 */
	uint8_t version; /* the peer's: 1 or 2 */
	struct egress_fields fields;
};
int egress_put_response(struct buf *out, const struct egress_response *s, bool end) MUST_USE;
enum proto_result egress_get_response(
	const struct egress_frame *f, struct egress_response *ret_s) MUST_USE;

int egress_put_trailers(struct buf *out, const struct egress_fields *f) MUST_USE;
enum proto_result egress_get_trailers(
	const struct egress_frame *f, struct egress_fields *ret_f) MUST_USE;

int egress_put_open(struct buf *out, const struct egress_addr *a, uint16_t port) MUST_USE;
enum proto_result egress_get_open(
	const struct egress_frame *f, struct egress_addr *ret_a, uint16_t *ret_port) MUST_USE;

#define EGRESS_RECORDS_MAX 64

struct egress_answer {
	uint8_t rcode;
	uint32_t ttl_s;
	uint16_t n;
	struct {
		uint16_t type;
		uint32_t len;
		const uint8_t *rdata; /* names in it uncompressed */
	} v[EGRESS_RECORDS_MAX];
};
int egress_put_answer(struct buf *out, const struct egress_answer *a) MUST_USE;
enum proto_result egress_get_answer(
	const struct egress_frame *f, struct egress_answer *ret_a) MUST_USE;

struct egress_failed {
	uint16_t status; /* 400..599 */
	const char *code, *text;
};
int egress_put_failed(struct buf *out, const struct egress_failed *x) MUST_USE;
enum proto_result egress_get_failed(
	const struct egress_frame *f, struct egress_failed *ret_x) MUST_USE;

struct egress_done {
	uint64_t bytes_up, bytes_down;
	const char *credential, *note;
};
int egress_put_done(struct buf *out, const struct egress_done *d) MUST_USE;
enum proto_result egress_get_done(const struct egress_frame *f, struct egress_done *ret_d) MUST_USE;

/* ---- control: sbxd ⇄ front, vault ---- */

#define EGRESS_CONTROL_MAX  16384
#define EGRESS_CONTROL_HEAD 16
#define EGRESS_FRONT_SOCKET "front.sock" /* in the sandbox's directory */
#define EGRESS_VAULT_SOCKET "vault.sock"
#define EGRESS_SECRET_MAX   8192

enum egress_op {
	EGRESS_OP_HELLO = 1,
	EGRESS_OP_CONFIG,
	EGRESS_OP_PEER,
	EGRESS_OP_STREAMS,
	EGRESS_OP_SECRET,
	EGRESS_OP_ASK,
	EGRESS_OP_VERDICT,
	EGRESS_OP_AUDIT,
	EGRESS_OP_CAUGHT,
	EGRESS_OP_STATS,
	EGRESS_OP_REPLY,
	EGRESS_OP_DRAIN,
};

enum egress_who { EGRESS_FRONT = 1, EGRESS_VAULT = 2 };

struct egress_stats {
	uint32_t streams, channels;
	uint64_t requests, denials, faults;
};

/* One struct for all: an operation uses the members of its line in the table of egress.md. */
struct egress_msg {
	enum egress_op op;
	uint32_t seq;
	enum egress_who who; /* HELLO */
	uint32_t pid; /* HELLO */
	uint64_t id; /* HELLO: generation; ASK, VERDICT: which question */
	bool yes; /* SECRET: set, VERDICT: allow */
	uint16_t port; /* ASK */
	int32_t result; /* REPLY */
	const char *name; /* HELLO: sandbox id; SECRET, CAUGHT: credential; ASK: host */
	const char *method, *path, *rule; /* ASK */
	const char *text; /* REPLY; never NULL after decoding */
	const uint8_t
		*blob; /* SECRET, CAUGHT: value; AUDIT: the records, see egress_next_record() */
	size_t blob_len;
	struct egress_stats stats; /* REPLY to STATS carries it as its blob */
};

int egress_put_msg(struct buf *out, const struct egress_msg *m) MUST_USE;
/* egress_get_msg() - @has_fd: did a descriptor come with it? Wrong for the operation: malformed */
enum proto_result egress_get_msg(
	const void *p, size_t len, bool has_fd, struct egress_msg *ret_m) MUST_USE;
bool egress_op_takes_fd(enum egress_op op);
int egress_put_stats(
	struct buf *out, const struct egress_stats *s) MUST_USE; /* as a blob's bytes */
enum proto_result egress_get_stats(const void *p, size_t len, struct egress_stats *ret_s) MUST_USE;

/* ---- audit records ---- */

enum egress_event { /* what was decided on */
	EGRESS_ON_DNS = 1,
	EGRESS_ON_TCP,
	EGRESS_ON_TLS,
	EGRESS_ON_HTTP,
	EGRESS_ON_WEBSOCKET,
	EGRESS_ON_GRPC,
};
enum egress_decision { EGRESS_ALLOW = 1, EGRESS_DENY, EGRESS_REFUSED /* malformed, not judged */ };

/* Never holds a value of a credential, a body, or a query. */
struct egress_record {
	uint64_t time_ms; /* since 1970 */
	enum egress_event event;
	enum egress_decision decision;
	enum egress_way way;
	const char *host; /* name or address as judged; escaped by whoever shows it */
	uint16_t port;
	const char *method, *path; /* "" where there is none; DNS: method is the type's name */
	const char *rule; /* id of the deciding rule; "" for the default */
	const char *reason; /* code: "default-deny", "rule", "authority", "malformed", … */
	uint16_t status; /* sent to the client; 0 none */
	uint64_t bytes_up, bytes_down;
	const char *credential; /* its name, "" for none */
	const char *note;
};
int egress_put_record(struct buf *out, const struct egress_record *r) MUST_USE;
/* egress_next_record() - the first record of the @len bytes at @p of an AUDIT's blob */
enum proto_result egress_next_record(
	const uint8_t *p, size_t len, size_t *ret_used, struct egress_record *ret_r) MUST_USE;
#endif
