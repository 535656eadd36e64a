/* test_frame.c - frames come out the same however their bytes are cut; a bad one ends the stream */
#include "check.h"
#include "proto/frame.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t stream[] = {
	5,
	0,
	0,
	0,
	FRAME_STDOUT,
	1,
	0,
	0,
	'h',
	'e',
	'l',
	'l',
	'o', /**/
	0,
	0,
	0,
	0,
	FRAME_END,
	1,
	0,
	0, /**/
	1,
	0,
	0,
	0,
	FRAME_SIGNAL,
	1,
	0,
	0,
	15,
};

/* take_all() - drain what is whole; returns how many frames came */
static unsigned take_all(struct frame_decoder *d, unsigned from)
{
	static const struct {
		enum frame_type type;
		const char *body;
		size_t len;
	} want[] = {{FRAME_STDOUT, "hello", 5}, {FRAME_END, "", 0}, {FRAME_SIGNAL, "\x0f", 1}};
	struct frame f;

	while (frame_next(d, &f) == FRAME_GOT) {
		assert_true(from < 3);
		assert_int_equal(f.type, want[from].type);
		assert_int_equal(f.len, want[from].len);
		assert_memory_equal(f.body, want[from].body, f.len);
		from++;
	}
	return from;
}

static void test_every_split(void **state)
{
	(void)state;
	for (size_t a = 0; a <= sizeof(stream); a++)
		for (size_t b = a; b <= sizeof(stream); b++) {
			struct frame_decoder d;
			unsigned n = 0;

			frame_decoder_init(&d);
			assert_int_equal(frame_feed(&d, stream, a), 0);
			n = take_all(&d, n);
			assert_int_equal(frame_feed(&d, stream + a, b - a), 0);
			n = take_all(&d, n);
			assert_int_equal(frame_feed(&d, stream + b, sizeof(stream) - b), 0);
			assert_int_equal(take_all(&d, n), 3);
			frame_decoder_fini(&d);
		}
}

static void test_byte_by_byte(void **state)
{
	struct frame_decoder d;
	unsigned n = 0;

	(void)state;
	frame_decoder_init(&d);
	for (size_t i = 0; i < sizeof(stream); i++) {
		assert_int_equal(frame_feed(&d, stream + i, 1), 0);
		n = take_all(&d, n);
	}
	assert_int_equal(n, 3);
	frame_decoder_fini(&d);
}

static enum frame_result judge(const void *bytes, size_t len)
{
	struct frame_decoder d;
	struct frame f;
	enum frame_result r;

	frame_decoder_init(&d);
	assert_int_equal(frame_feed(&d, bytes, len), 0);
	r = frame_next(&d, &f);
	if (r == FRAME_BAD) {
		assert_int_equal(frame_feed(&d, stream, sizeof(stream)), 0);
		assert_int_equal(frame_next(&d, &f), FRAME_BAD); /* it stays bad */
	}
	frame_decoder_fini(&d);
	return r;
}

static void test_headers_that_break_a_rule(void **state)
{
	static const struct {
		const char *bytes;
		enum frame_result want;
	} cases[] = {
		{"\0\0\0\0\x05\1\0\0", FRAME_GOT}, /* PING */
		{"\0\0\0\0\x05\0\0\0", FRAME_BAD}, /* version 0 */
		{"\0\0\0\0\x05\2\0\0", FRAME_BAD}, /* version 2 */
		{"\0\0\0\0\x05\1\1\0", FRAME_BAD}, /* reserved */
		{"\0\0\0\0\x05\1\0\x80", FRAME_BAD}, /* reserved */
		{"\0\0\0\0\0\1\0\0", FRAME_BAD}, /* no type */
		{"\0\0\0\0\x38\1\0\0", FRAME_BAD}, /* a hole in the types */
		{"\0\0\0\0\xff\1\0\0", FRAME_BAD}, /**/
		{"\1\0\1\0\x31\1\0\0", FRAME_BAD}, /* 65537 bytes of STDOUT */
		{"\0\0\1\0\x31\1\0\0", FRAME_MORE}, /* 65536 */
		{"\xff\xff\xff\xff\x31\1\0\0", FRAME_BAD}, /**/
		{"\0\0\x10\0\x01\1\0\0", FRAME_MORE}, /* EXEC of 1 MiB */
		{"\1\0\x10\0\x01\1\0\0", FRAME_BAD}, /* and a byte more */
		{"\xff\xff\xff\xff\x11\1\0\0", FRAME_BAD}, /* SETUP */
		{"\xff\xff\xff\x7f\x01\1\0\0", FRAME_BAD},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(judge(cases[i].bytes, 8), cases[i].want);
	assert_int_equal(judge("\0\0\0\0\xff\1\0", 7), FRAME_MORE); /* judged when whole */
}

static void test_a_peer_cannot_make_us_hoard(void **state)
{
	static uint8_t big[1 << 20];
	struct frame_decoder d;
	struct frame f;
	size_t fed = 0;

	(void)state;
	memcpy(big, "\0\0\x10\0\x01\1\0\0", 8);
	frame_decoder_init(&d);
	while (frame_feed(&d, big, sizeof(big)) == 0)
		fed += sizeof(big);
	assert_true(fed <= FRAME_HEADER + FRAME_BIG_MAX + FRAME_DATA_MAX);
	assert_int_equal(frame_feed(&d, big, 8), 0);
	assert_int_equal(frame_next(&d, &f), FRAME_GOT);
	assert_int_equal(f.len, FRAME_BIG_MAX);
	frame_decoder_fini(&d);
}

static void test_add(void **state)
{
	AUTO(buf) out;
	struct frame_decoder d;

	(void)state;
	buf_init(&out, 40);
	assert_int_equal(frame_add(&out, FRAME_STDOUT, "hello", 5), 0);
	assert_int_equal(frame_add(&out, FRAME_END, NULL, 0), 0);
	assert_int_equal(frame_add(&out, FRAME_STDOUT, "0123456789ab", 12), -ENOBUFS);
	assert_int_equal(frame_add(&out, FRAME_STDOUT, out.data, FRAME_DATA_MAX + 1), -EMSGSIZE);
	assert_int_equal(frame_add(&out, FRAME_SIGNAL, "\x0f", 1), 0);
	assert_int_equal(out.len, sizeof(stream));
	assert_memory_equal(out.data, stream, sizeof(stream));
	frame_decoder_init(&d);
	assert_int_equal(frame_feed(&d, out.data, out.len), 0);
	assert_int_equal(take_all(&d, 0), 3);
	frame_decoder_fini(&d);
}

static void test_any_bytes_end_in_bad_or_more(void **state)
{
	unsigned seed = 3;

	(void)state;
	for (int round = 0; round < 5000; round++) {
		struct frame_decoder d;
		struct frame f;
		enum frame_result r = FRAME_MORE;

		frame_decoder_init(&d);
		for (int i = 0; i < 20 && r != FRAME_BAD; i++) {
			uint8_t bytes[12] = {(uint8_t)(rand_r(&seed) % 9), 0, 0, 0,
				(uint8_t)(rand_r(&seed) % 0x3c), 1, 0, 0, 1, 2, 3, 4};

			assert_int_equal(frame_feed(&d, bytes, (unsigned)rand_r(&seed) % 13), 0);
			while ((r = frame_next(&d, &f)) == FRAME_GOT)
				assert_true(f.len <= (size_t)frame_max(f.type));
		}
		frame_decoder_fini(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_headers_that_break_a_rule),
		cmocka_unit_test(test_a_peer_cannot_make_us_hoard),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_any_bytes_end_in_bad_or_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
