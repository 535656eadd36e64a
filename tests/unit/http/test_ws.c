/* test_ws.c - handshakes of both sides, and frames in one piece and byte by byte */
#include "check.h"
#include "http/ws.h"
#include <errno.h>
#include <string.h>

#define FIELD(n, v)                                                                                \
	{                                                                                          \
		(n), (v), sizeof(n) - 1, sizeof(v) - 1, false                                      \
	}
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

static void test_request(void **state)
{
	static const char *const keys[] = {"",
		"dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25jZQ===",
		"dGhlIHNhbXBsZSBub25j Q=="};
	char accept[WS_ACCEPT_CAP], key[WS_KEY_CAP];

	(void)state;
	assert_int_equal(ws_check_request("GET", 1, KEY, "13"), WS_HANDSHAKE_OK);
	assert_int_equal(ws_check_request("POST", 1, KEY, "13"), WS_HANDSHAKE_BAD);
	assert_int_equal(ws_check_request("GET", 0, KEY, "13"), WS_HANDSHAKE_BAD);
	assert_int_equal(ws_check_request("GET", 1, NULL, "13"), WS_HANDSHAKE_BAD);
	assert_int_equal(ws_check_request("GET", 1, KEY, "8"), WS_HANDSHAKE_VERSION);
	assert_int_equal(ws_check_request("GET", 1, KEY, NULL), WS_HANDSHAKE_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_int_equal(ws_check_request("GET", 1, keys[i], "13"), WS_HANDSHAKE_BAD);
	ws_accept(KEY, accept); /* RFC 6455 1.3 */
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	ws_key((const uint8_t *)"the sample nonce", key);
	assert_string_equal(key, KEY);
}

static void test_response(void **state)
{
	static const struct egress_fields asked = {.n = 2,
		.v = {FIELD("sec-websocket-protocol", "chat, superchat"),
			FIELD("sec-websocket-extensions",
				"permessage-deflate; client_max_window_bits")}};
	static const struct egress_fields plain = {.n = 0};
	static const struct {
		bool ok, with;
		struct egress_fields f;
	} cases[] = {
#define ACCEPT FIELD("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
		{true, true, {.n = 1, .v = {ACCEPT}}},
		{false, true, {.n = 0}},
		{false, true, {.n = 1, .v = {FIELD("sec-websocket-accept", "s3pP")}}},
		{false, true, {.n = 2, .v = {ACCEPT, ACCEPT}}},
		{true, true, {.n = 2, .v = {ACCEPT, FIELD("sec-websocket-protocol", "chat")}}},
		{false, true, {.n = 2, .v = {ACCEPT, FIELD("sec-websocket-protocol", "rpc")}}},
		{false, true,
			{.n = 2,
				.v = {ACCEPT, FIELD("sec-websocket-protocol", "chat, superchat")}}},
		{false, false, {.n = 2, .v = {ACCEPT, FIELD("sec-websocket-protocol", "chat")}}},
		{true, true,
			{.n = 2,
				.v = {ACCEPT, FIELD("sec-websocket-extensions",
						      "permessage-deflate; "
						      "server_no_context_takeover")}}},
		{false, false,
			{.n = 2,
				.v = {ACCEPT,
					FIELD("sec-websocket-extensions", "permessage-deflate")}}},
		{false, true, {.n = 2, .v = {ACCEPT, FIELD("sec-websocket-extensions", "x-mux")}}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(
			ws_check_response(KEY, cases[i].with ? &asked : &plain, &cases[i].f),
			cases[i].ok);
	assert_true(ws_deflates(&cases[8].f));
	assert_false(ws_deflates(&cases[0].f));
}

static uint32_t mask(void *ctx)
{
	return *(uint32_t *)ctx;
}

/* walk() - @in in pieces; the result of the last call */
static int walk(struct ws_walk *w, const char *in, size_t len, size_t piece, struct buf *out)
{
	int r = 0;

	for (size_t at = 0; at < len && r == 0; at += piece)
		r = ws_walk(w, in + at, len - at < piece ? len - at : piece, out);
	return r;
}

static void test_frames(void **state)
{
	/* "Hello" in two frames with a ping between, masked (RFC 6455 5.7), then a close */
	static const char in[] = "\x01\x83\x37\xfa\x21\x3d\x7f\x9f\x4d"
				 "\x89\x81\x01\x02\x03\x04\x60"
				 "\x80\x82\x37\xfa\x21\x3d\x5b\x95"
				 "\x88\x82\x00\x00\x00\x00\x03\xe8";
	static const char want[] = "\x01\x03Hel\x89\x01"
				   "a\x80\x02lo\x88\x02\x03\xe8";
	uint32_t key = 0x3d21fa37;

	(void)state;
	for (size_t piece = 1; piece < sizeof(in); piece++) {
		struct ws_walk w = {.masked_in = true}, back = {.masked_out = true, .mask = mask};
		struct ws_walk again = {.masked_in = true};
		struct buf out, masked, third;

		buf_init(&out, 1000);
		buf_init(&masked, 1000);
		buf_init(&third, 1000);
		back.ctx = &key;
		assert_int_equal(walk(&w, in, sizeof(in) - 1, piece, &out), 0);
		assert_int_equal(out.len, sizeof(want) - 1);
		assert_memory_equal(out.data, want, out.len);
		assert_true(ws_whole(&w) && w.closed);
		assert_int_equal(w.frames, 4);
		assert_int_equal(w.bytes, 8);
		assert_int_equal(walk(&back, out.data, out.len, piece, &masked), 0);
		assert_memory_equal(masked.data, in, 9); /* the same key: the same bytes */
		assert_int_equal(walk(&again, masked.data, masked.len, piece, &third), 0);
		assert_memory_equal(third.data, want, sizeof(want) - 1);
		buf_fini(&out);
		buf_fini(&masked);
		buf_fini(&third);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		bool masked, deflate;
		int r;
	} cases[] = {
#define CASE(s, m, d, r) {s, sizeof(s) - 1, m, d, r}
		CASE("\x81\x01"
		     "a",
			false, false, 0),
		CASE("\x81\x01"
		     "a",
			true, false, -EPROTO), /* no mask */
		CASE("\x81\x81\0\0\0\0"
		     "a",
			false, false, -EPROTO), /* mask */
		CASE("\xc1\x01"
		     "a",
			false, true, 0),
		CASE("\xc1\x01"
		     "a",
			false, false, -EPROTO),
		CASE("\x41\x01"
		     "a\xc0\x01"
		     "b",
			false, true, -EPROTO), /* RSV1 on a continuation */
		CASE("\xa1\x00", false, true, -EPROTO),
		CASE("\x83\x00", false, false, -EPROTO), /* opcodes */
		CASE("\x8b\x00", false, false, -EPROTO),
		CASE("\x09\x00", false, false, -EPROTO), /* a ping in pieces */
		CASE("\x89\x7e\x00\x7e", false, false, -EPROTO),
		CASE("\x80\x00", false, false, -EPROTO), /* continues nothing */
		CASE("\x01\x00\x01\x00", false, false, -EPROTO), /* begins within */
		CASE("\x82\x7e\x00\x05", false, false, -EPROTO), /* lengths */
		CASE("\x82\x7f\0\0\0\0\0\0\xff\xff", false, false, -EPROTO),
		CASE("\x82\x7f\xff\0\0\0\0\0\0\0", false, false, -EPROTO),
		CASE("\x82\x7f\0\0\0\0\x40\0\0\1", false, false, -EPROTO),
		CASE("\x88\x01"
		     "a",
			false, false, -EPROTO), /* closes */
		CASE("\x88\x02\x03\xed", false, false, -EPROTO),
		CASE("\x88\x02\x00\x01", false, false, -EPROTO),
		CASE("\x88\x02\x0b\xb8", false, false, 0),
		CASE("\x88\x00\x81\x00", false, false, -EPROTO), /* after the close */
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t piece = 1; piece < 16; piece += 14) {
			struct ws_walk w = {
				.masked_in = cases[i].masked, .deflate = cases[i].deflate};
			struct buf out;
			int r;

			buf_init(&out, 1000);
			r = walk(&w, cases[i].in, cases[i].len, piece, &out);
			if (r != cases[i].r)
				print_error("case %zu\n", i);
			assert_int_equal(r, cases[i].r);
			assert_true((r == 0) == (w.why == NULL));
			if (r < 0)
				assert_int_equal(ws_walk(&w, "\x81\x00", 2, &out), -EPROTO);
			buf_fini(&out);
		}
}

static void test_unfinished(void **state)
{
	struct ws_walk w = {0};
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	assert_true(ws_whole(&w));
	assert_int_equal(ws_walk(&w,
				 "\x01\x02"
				 "a",
				 3, &out),
		0);
	assert_false(ws_whole(&w));
	assert_int_equal(ws_walk(&w, "b", 1, &out), 0);
	assert_false(ws_whole(&w)); /* the message goes on */
	assert_int_equal(ws_walk(&w, "\x80\x00", 2, &out), 0);
	assert_true(ws_whole(&w));
	buf_clear(&out);
	assert_int_equal(ws_put_close(&out, 1001), 0);
	assert_memory_equal(out.data, "\x88\x02\x03\xe9", 4);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_response),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unfinished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
