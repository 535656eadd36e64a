/* load.h - one connection of the load generator; what load.c (jobs) and load_conn.c (protocols) share */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H
#include "egress.h"

#define LOAD_SLOTS 64 /* requests under way on one connection */
#define LOAD_OUT   16384
#define LOAD_HEAD  8192

enum conn_state { CONN_PROXY, CONN_HANDSHAKE, CONN_OPEN, CONN_CLOSED };

struct slot {
	uint32_t id; /* 0: free */
	int64_t began;
};

struct conn {
	const struct job *j;
	int fd;
	SSL *ssl;
	enum conn_state state;
	uint32_t events; /* what epoll watches */
	bool want_write;
	char host[64];
	struct slot slot[LOAD_SLOTS];
	unsigned busy;
	char out[LOAD_OUT];
	size_t out_len, out_at;
	uint64_t up_left; /* of an upload's body; HTTP/2: that is in no frame yet */
	/* HTTP/2: frames of the body on their way (heap), its stream, and what the peer's windows let through */
	char *up;
	size_t up_len, up_at;
	uint32_t up_id;
	int64_t window, stream_window, initial_window;
	/* the answer: HTTP/1 a head, then its body; HTTP/2 a frame's head, then its payload */
	char head[LOAD_HEAD + 1];
	size_t head_len;
	uint64_t body_left;
	bool in_body;
	uint32_t next_id, frame_id;
	uint8_t frame_type, frame_flags;
	uint64_t unacked; /* bytes not given back to the connection's window */
	bool reading;
};

/* What the connection tells; load.c. */
void load_done(struct conn *c, int64_t began, bool ok, const char *why);
void load_bytes(struct conn *c, size_t n);

/* conn_open() - @number: which connection of the run, for its name */
void conn_open(struct conn *c, const struct job *j, uint64_t number);
void conn_close(struct conn *c);
/* conn_step() - as far as it goes; false: it is broken (c->state CLOSED, load_done() told) */
bool conn_step(struct conn *c);
/* conn_request() - begin one; the bytes go with the next conn_step(). false: no room */
bool conn_request(struct conn *c, int64_t began);
uint32_t conn_wants(const struct conn *c); /* events */
#endif
