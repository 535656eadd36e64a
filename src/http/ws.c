/* Frames of WebSocket, one direction: each header is judged whole, payloads pass in pieces. */
#include "http/ws.h"
#include <errno.h>
#include <string.h>

enum { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };
enum { FIN = 0x80, RSV1 = 0x40, RSV23 = 0x30, OPCODE = 0x0f, MASK = 0x80, LEN = 0x7f };

static int bad(struct ws_walk *w, const char *why)
{
	w->why = why;
	return -EPROTO;
}

/* head_len() - from the first two bytes on it is known how long the header is */
static uint8_t head_len(const struct ws_walk *w)
{
	uint8_t len = w->head[1] & LEN;

	return (uint8_t)(2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (w->masked_in ? 4 : 0));
}

static int judge_bits(struct ws_walk *w)
{
	uint8_t a = w->head[0], op = a & OPCODE, len = w->head[1] & LEN;

	if (w->closed)
		return bad(w, "a frame after the close");
	if (((w->head[1] & MASK) != 0) != w->masked_in)
		return bad(w, w->masked_in ? "a frame without mask" : "a masked frame");
	if (a & RSV23)
		return bad(w, "reserved bits");
	if ((a & RSV1) && (!w->deflate || (op != OP_TEXT && op != OP_BINARY)))
		return bad(w, "a compressed frame that was not agreed on");
	if (op & 8) {
		if (op > OP_PONG)
			return bad(w, "unknown opcode");
		if (!(a & FIN) || len > 125)
			return bad(w, "a control frame in pieces");
		if (op == OP_CLOSE && len == 1)
			return bad(w, "malformed close");
		return 0;
	}
	if (op > OP_BINARY)
		return bad(w, "unknown opcode");
	if ((op == OP_MORE) != w->fragmented)
		return bad(w, "a message within a message");
	return 0;
}

static int judge_length(struct ws_walk *w)
{
	uint8_t len = w->head[1] & LEN;
	unsigned n = len == 126 ? 2 : len == 127 ? 8 : 0;
	uint64_t v = n ? 0 : len;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | w->head[2 + i];
	if ((len == 126 && v < 126) || (len == 127 && v < 65536))
		return bad(w, "a length that is longer than it must be");
	if (v > WS_FRAME_MAX)
		return bad(w, "frame too large");
	w->left = v;
	return 0;
}

static int put_head(struct ws_walk *w, struct buf *out)
{
	uint8_t h[14];
	size_t n = 0;

	h[n++] = w->head[0];
	if (w->left < 126) {
		h[n++] = (uint8_t)w->left;
	} else if (w->left < 65536) {
		h[n++] = 126;
		h[n++] = (uint8_t)(w->left >> 8);
		h[n++] = (uint8_t)w->left;
	} else {
		h[n++] = 127;
		for (int i = 56; i >= 0; i -= 8)
			h[n++] = (uint8_t)(w->left >> i);
	}
	memset(w->out_key, 0, sizeof(w->out_key));
	if (w->masked_out) {
		uint32_t key = w->mask(w->ctx);

		h[1] |= MASK;
		memcpy(w->out_key, &key, sizeof(key));
		memcpy(h + n, &key, sizeof(key));
		n += sizeof(key);
	}
	return buf_add(out, h, n);
}

static int head_done(struct ws_walk *w, struct buf *out)
{
	int r = judge_length(w);

	if (r < 0)
		return r;
	w->opcode = w->head[0] & OPCODE;
	if (!(w->opcode & 8))
		w->fragmented = !(w->head[0] & FIN);
	memset(w->in_key, 0, sizeof(w->in_key));
	if (w->masked_in)
		memcpy(w->in_key, w->head + w->have - 4, sizeof(w->in_key));
	w->at = 0;
	w->frames++;
	w->have = 0;
	if (w->opcode == OP_CLOSE)
		w->closed = true;
	return put_head(w, out);
}

static bool close_code_ok(const uint8_t code[2])
{
	unsigned v = (unsigned)code[0] << 8 | code[1];

	return (v >= 1000 && v <= 1014 && v != 1004 && v != 1005 && v != 1006) ||
	       (v >= 3000 && v <= 4999);
}

/* payload() - from one mask to the other in one go: the key is their difference */
static int payload(struct ws_walk *w, const uint8_t *in, size_t len, struct buf *out)
{
	uint8_t key[4], *to;
	char *room;
	int r = buf_room(out, len, &room);

	if (r < 0)
		return r;
	to = (uint8_t *)room;
	for (unsigned i = 0; i < 4; i++) {
		unsigned k = (unsigned)((w->at + i) & 3);

		key[i] = w->in_key[k] ^ w->out_key[k];
	}
	if ((key[0] | key[1] | key[2] | key[3]) == 0) {
		memcpy(to, in, len);
	} else {
		uint32_t k32, v;
		size_t i = 0;

		memcpy(&k32, key, sizeof(k32));
		for (; i + 4 <= len; i += 4) {
			memcpy(&v, in + i, sizeof(v));
			v ^= k32;
			memcpy(to + i, &v, sizeof(v));
		}
		for (; i < len; i++)
			to[i] = in[i] ^ key[i & 3];
	}
	for (size_t i = 0; w->opcode == OP_CLOSE && i < len && w->at + i < 2; i++)
		w->close[w->at + i] = in[i] ^ w->in_key[(w->at + i) & 3];
	buf_grew(out, len);
	w->at += len;
	w->left -= len;
	w->bytes += len;
	if (w->opcode == OP_CLOSE && w->left == 0 && w->at >= 2 && !close_code_ok(w->close))
		return bad(w, "malformed close");
	return 0;
}

int ws_walk(struct ws_walk *w, const void *in, size_t len, struct buf *out)
{
	const uint8_t *p = in;
	int r = 0;

	if (w->why)
		return -EPROTO;
	while (len > 0 && r == 0) {
		size_t n;

		if (w->left > 0) {
			n = w->left < len ? (size_t)w->left : len;
			r = payload(w, p, n, out);
			p += n;
			len -= n;
			continue;
		}
		w->head[w->have++] = *p++;
		len--;
		if (w->have == 2) {
			r = judge_bits(w);
			w->need = head_len(w);
		}
		if (r == 0 && w->have >= 2 && w->have == w->need)
			r = head_done(w, out);
	}
	return r;
}

bool ws_whole(const struct ws_walk *w)
{
	return w->have == 0 && w->left == 0 && !w->fragmented && !w->why;
}

int ws_put_close(struct buf *out, uint16_t code)
{
	const uint8_t f[] = {FIN | OP_CLOSE, 2, (uint8_t)(code >> 8), (uint8_t)code};

	return buf_add(out, f, sizeof(f));
}
