/* ws.h - WebSocket: the handshake from both sides, and frames walked so that nothing unseen passes
 *
 * RFC 6455. Pure. Each direction of a connection is walked by a struct ws_walk: frames come in, the
 * same frames go out, masked or not as the next hop wants it. Payloads are not collected: a message
 * may be of any length. On a channel (docs/protocol/egress.md) frames are unmasked in both directions.
 */
#ifndef HTTP_WS_H
#define HTTP_WS_H
#include "proto/egress.h"

#define WS_KEY_CAP    25 /* texts with their NUL */
#define WS_ACCEPT_CAP 29
#define WS_FRAME_MAX  (1ULL << 30) /* payload of one frame */

enum ws_handshake {
	WS_HANDSHAKE_OK,
	WS_HANDSHAKE_BAD,
	WS_HANDSHAKE_VERSION, /* not version 13: answer 426 with Sec-WebSocket-Version: 13 */
};

/* ws_check_request() - texts may be NULL; @minor of HTTP/1. (Upgrade and Connection were judged.) */
enum ws_handshake ws_check_request(
	const char *method, unsigned minor, const char *key, const char *version) MUST_USE;
enum ws_handshake ws_check_version(const char *version) MUST_USE;
/* ws_accept() - what the server answers to a client's key */
void ws_accept(const char *key, char dst[WS_ACCEPT_CAP]);
/* ws_key() - a client's key of 16 random bytes */
void ws_key(const uint8_t random[16], char dst[WS_KEY_CAP]);
/* ws_check_response() - client: does a 101 (its Upgrade was judged) answer what was asked?
 * @asked: fields of the request, @got: of the answer, names in lower case; @key NULL: extended
 * CONNECT, which has none. False: drop the connection.
 */
bool ws_check_response(const char *key, const struct egress_fields *asked,
	const struct egress_fields *got) MUST_USE;
/* ws_deflates() - was permessage-deflate agreed on, by the server's fields? */
bool ws_deflates(const struct egress_fields *got);

struct ws_walk {
	/* set by the caller */
	bool masked_in; /* frames must be masked (from a client), else must not be */
	bool masked_out;
	bool deflate; /* RSV1 may be set */
	/* mask() - masked_out: four unpredictable bytes; never NULL then */
	uint32_t (*mask)(void *ctx);
	void *ctx;
	/* told */
	const char *why; /* what was wrong; fixed text, NULL: nothing */
	bool closed; /* a close frame went through: nothing may follow */
	uint64_t frames, bytes; /* bytes of payload */
	/* its own */
	uint8_t head[14];
	uint8_t have, need; /* bytes of head[] */
	uint64_t left; /* of the payload */
	uint64_t at; /* position in the payload, for masks */
	uint8_t in_key[4], out_key[4];
	uint8_t opcode;
	bool fragmented; /* a message is not yet at its end */
	uint8_t close[2];
};

/* ws_walk() - all of @in is taken, what it becomes is appended to @out: 0; -EPROTO (see why): close the
 * connection; -ENOBUFS, -ENOMEM. @out gets at most @len + 14 bytes for each 2 bytes of @in.
 */
int ws_walk(struct ws_walk *w, const void *in, size_t len, struct buf *out) MUST_USE;
/* ws_whole() - no frame is half way through and no message unfinished: the connection may end here */
bool ws_whole(const struct ws_walk *w);
/* ws_put_close() - a close frame of ours, unmasked */
int ws_put_close(struct buf *out, uint16_t code) MUST_USE;
#endif
