/* fuzz_frames.c - a stream of frames from a hostile peer, at either end
 *
 * Input: one byte that sets the size of the pieces, then the stream. What decodes must encode to
 * the same bytes: the two ends cannot disagree about a message.
 */
#include "proto/agent.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HOLDS(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void same(const struct frame *f, int r, const struct buf *out)
{
	HOLDS(r == 0 && out->len == FRAME_HEADER + f->len);
	HOLDS(memcmp(out->data + FRAME_HEADER, f->body, f->len) == 0);
}

static void big_messages(const struct frame *f, struct buf *out)
{
	static struct agent_setup setup;
	struct agent_exec exec;

	if (f->type == FRAME_SETUP) {
		if (agent_get_setup(f, &setup) == PROTO_OK)
			same(f, agent_put_setup(out, &setup), out);
		agent_setup_fini(&setup);
	} else {
		if (agent_get_exec(f, &exec) == PROTO_OK)
			same(f, agent_put_exec(out, &exec), out);
		agent_exec_fini(&exec);
	}
}

static void file_messages(const struct frame *f, struct buf *out)
{
	struct agent_put put;
	struct agent_get get;
	struct agent_attach attach;

	if (f->type == FRAME_PUT && agent_get_put(f, &put) == PROTO_OK)
		same(f, agent_put_put(out, &put), out);
	if (f->type == FRAME_GET && agent_get_get(f, &get) == PROTO_OK)
		same(f, agent_put_get(out, &get), out);
	if (f->type == FRAME_ATTACH && agent_get_attach(f, &attach) == PROTO_OK)
		same(f, agent_put_attach(out, &attach), out);
}

static void reports(const struct frame *f, struct buf *out)
{
	struct agent_hello hello;
	struct agent_error error;
	struct agent_exit ended;
	struct agent_usage usage;
	struct agent_size size;
	char text[256];

	if (f->type == FRAME_HELLO && agent_get_hello(f, &hello) == PROTO_OK)
		same(f, agent_put_hello(out, &hello), out);
	if (f->type == FRAME_ERROR && agent_get_error(f, &error) == PROTO_OK)
		same(f, agent_put_error(out, (int)error.num, "%s", error.text), out);
	if (f->type == FRAME_EXIT && agent_get_exit(f, &ended) == PROTO_OK)
		same(f, agent_put_exit(out, ended), out);
	if (f->type == FRAME_USAGE_REPLY && agent_get_usage(f, &usage) == PROTO_OK)
		same(f, agent_put_usage(out, &usage), out);
	if (f->type == FRAME_RESIZE && agent_get_resize(f, &size) == PROTO_OK)
		same(f, agent_put_resize(out, size), out);
	if (f->type == FRAME_STEP && agent_get_text(f, text, sizeof(text)) == PROTO_OK)
		same(f, agent_put_text(out, f->type, text), out);
}

static void numbers(const struct frame *f)
{
	uint8_t small;
	uint16_t port;
	uint32_t middle;
	uint64_t large;

	HOLDS((agent_get_u8(f, &small) == PROTO_OK) == (f->len == 1));
	HOLDS((agent_get_u16(f, &port) == PROTO_OK) == (f->len == 2));
	HOLDS((agent_get_u32(f, &middle) == PROTO_OK) == (f->len == 4));
	HOLDS((agent_get_u64(f, &large) == PROTO_OK) == (f->len == 8));
}

static void judge(const struct frame *f)
{
	AUTO(buf) out;

	HOLDS(frame_max(f->type) >= 0 && f->len <= (size_t)frame_max(f->type));
	buf_init(&out, FRAME_HEADER + FRAME_BIG_MAX);
	if (f->type == FRAME_SETUP || f->type == FRAME_EXEC)
		big_messages(f, &out);
	file_messages(f, &out);
	reports(f, &out);
	numbers(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_decoder d;
	size_t piece = size && data[0] ? data[0] : SIZE_MAX;

	frame_decoder_init(&d);
	for (size_t at = 1; at < size;) {
		size_t n = size - at < piece ? size - at : piece;
		struct frame f;
		enum frame_result r;

		if (frame_feed(&d, data + at, n) < 0)
			break;
		at += n;
		while ((r = frame_next(&d, &f)) == FRAME_GOT)
			judge(&f);
		if (r == FRAME_BAD)
			break;
	}
	frame_decoder_fini(&d);
	return 0;
}
