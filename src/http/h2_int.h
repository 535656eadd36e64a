/* h2_int.h - insides of an HTTP/2 connection: what receiving and sending share
 *
 * h2.c: life and bytes. h2_recv.c: from nghttp2's callbacks to events. h2_send.c: heads and bodies
 * of ours.
 */
#ifndef HTTP_H2_INT_H
#define HTTP_H2_INT_H
#include "http/h2.h"
#include <nghttp2/nghttp2.h>

struct h2_stream {
	struct h2_stream *next; /* of all of the connection */
	int32_t id;
	void *user;
	struct buf out; /* body bytes that wait */
	size_t sent; /* of them; cut off when half are */
	const uint8_t *lent; /* bytes behind those, the caller's: h2_send_to() */
	size_t lent_len;
	bool told; /* its head was given out: events may follow */
	bool final; /* server: the final head was sent; client: was received */
	bool paused; /* nghttp2 was told to wait for more body */
	bool ending, has_trailers; /* nothing follows in out; trailers do */
	bool low; /* drained() is owed */
	struct egress_fields *trailers; /* heap; texts behind it in the same piece */
};

/* A head under construction: there is one at a time, blocks are not interleaved. */
struct h2_collect {
	struct buf text; /* names and values, each terminated */
	uint16_t n;
	struct {
		uint32_t name, value; /* offsets in text */
		uint16_t name_len, value_len;
		bool never_index;
	} at[EGRESS_FIELDS_MAX];
	size_t bytes; /* also of what did not fit */
	const char *why;
	int bad_status;
	/* pseudo-fields as offsets + 1; 0: absent */
	uint32_t method, scheme, authority, path, protocol;
	int status;
};

struct h2 {
	nghttp2_session *ng;
	const struct h2_ops *ops;
	void *ctx;
	enum h2_role role;
	struct h2_stream *streams;
	unsigned n_streams, pongs;
	bool extended, goaway, broken;
	bool busy; /* nghttp2 runs: what it calls must not have it run again */
	bool cut; /* a frame was lost: nothing can follow */
	struct buf *sink; /* of the h2_output() that runs, */
	size_t want; /* which is over when it holds so much */
	int32_t goaway_last;
	struct h2_collect head;
	struct egress_fields fields; /* as given to events */
	/* budgets of the present second */
	int64_t now_ms, second_ms;
	unsigned resets, controls;
};

int h2_callbacks(nghttp2_session_callbacks **ret) MUST_USE;
struct h2_stream *h2_find(const struct h2 *h, int32_t stream); /* NULL: gone */
struct h2_stream *h2_add(struct h2 *h, int32_t stream, void *user); /* NULL: no memory */
void h2_remove(struct h2 *h, struct h2_stream *s);
/* h2_charge() - count against a budget of the second; false: it is used up */
bool h2_charge(struct h2 *h, unsigned *count, unsigned max);
/* h2_pull() - nghttp2 asks how many bytes of a body its next frame has; h2_push() puts them into the sink */
ssize_t h2_pull(nghttp2_session *ng, int32_t stream, uint8_t *dst, size_t len, uint32_t *flags,
	nghttp2_data_source *source, void *ctx);
ssize_t h2_frame_len(nghttp2_session *ng, uint8_t type, int32_t stream, int32_t session_window,
	int32_t stream_window, uint32_t max, void *ctx); /* the most that h2_pull() is asked for */
int h2_push(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t len,
	nghttp2_data_source *source, void *ctx);
#endif
