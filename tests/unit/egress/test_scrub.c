/* Every form of a secret, cut at every place, plain and compressed */
#include "check.h"
#include "base/buf.h"
#include "egress/scrub.h"
#include "egress/text.h"
#include <brotli/encode.h>
#include <string.h>
#include <zlib.h>

static const char secret[] = "sk-live_\"Zq/9+x\\Y7~pQ=end";
#define LEN (sizeof(secret) - 1)

static bool collect(void *ctx, const void *p, size_t len)
{
	assert_int_equal(buf_add(ctx, p, len), 0);
	return true;
}

static bool stop(void *ctx, const void *p, size_t len)
{
	(void)ctx;
	(void)p;
	(void)len;
	return false;
}

/* forms() - what a server could make of it, each in some text around it */
static size_t forms(char list[16][600])
{
	char plain[128], out[512];
	size_t n = 0;

	(void)snprintf(list[n++], 600, "x %s y", secret);
	for (size_t before = 0; before < 3; before++) {
		(void)snprintf(plain, sizeof(plain), "%.*s%s tail", (int)before, "user:", secret);
		text_base64(plain, strlen(plain), out);
		(void)snprintf(list[n++], 600, "b64 %s.", out);
		for (char *p = out; *p; p++)
			*p = (char)(*p == '+' ? '-' : *p == '/' ? '_' : *p);
		(void)snprintf(list[n++], 600, "url %s.", out);
	}
	for (unsigned upper = 0; upper < 2; upper++) {
		(void)text_percent(secret, LEN, upper, out);
		(void)snprintf(list[n++], 600, "pct %s.", out);
		text_hex(secret, LEN, upper, out);
		(void)snprintf(list[n++], 600, "hex %s.", out);
	}
	(void)snprintf(list[n++], 600, "json \"sk-live_\\\"Zq/9+x\\\\Y7~pQ=end\".");
	(void)snprintf(list[n++], 600, "json \"sk-live_\\\"Zq\\/9+x\\\\Y7~pQ=end\".");
	return n;
}

/* tells() - can the secret be had from what was let through? */
static bool tells(const char *p, size_t len)
{
	/* What is left of base64 after masking is at most what its neighbours share characters with. */
	return memmem(p, len, "live", 4) || memmem(p, len, "Zq", 2) || memmem(p, len, "bGl2Z", 5) ||
	       memmem(p, len, "xpdm", 4) || memmem(p, len, "saXZl", 5) ||
	       memmem(p, len, "6c697665", 8) || memmem(p, len, "WnEv", 4) ||
	       memmem(p, len, "5a71", 4) || memmem(p, len, "5A71", 4);
}

static void test_every_form_is_masked(void **state)
{
	static char list[16][600];
	struct scrub *s = scrub_new(secret, LEN);
	size_t n = forms(list);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(list[i]);

		assert_true(tells(list[i], len));
		assert_true(scrub_any(&s, 1, list[i], len));
		assert_true(scrub_mask(s, list[i], len));
		assert_false(tells(list[i], len));
		assert_int_equal(strlen(list[i]), len);
		assert_false(scrub_mask(s, list[i], len));
	}
	scrub_unref(s);
}

static void test_other_texts_stay(void **state)
{
	char text[] =
		"nothing of the kind: sk-live_ and Zq/9 alone are no secret, c2stbGl2ZQ neither";
	char before[sizeof(text)];
	struct scrub *s = scrub_new(secret, LEN);

	(void)state;
	memcpy(before, text, sizeof(text));
	assert_false(scrub_mask(s, text, sizeof(text) - 1));
	assert_memory_equal(text, before, sizeof(text));
	scrub_unref(s);
}

/* through() - @in, cut at @first and from there every @step, through a stream */
static enum scrub_result through(struct scrub *s, enum scrub_coding coding, const void *in,
	size_t len, size_t first, size_t step, struct buf *out)
{
	struct scrub_stream *t = scrub_stream_new(&s, 1, coding);
	enum scrub_result r = SCRUB_OK;
	const char *p = in;

	assert_non_null(t);
	buf_clear(out);
	for (size_t at = 0, n; at < len && r == SCRUB_OK; at += n) {
		n = at == 0 && first ? first : step;
		n = n < len - at ? n : len - at;
		r = scrub_feed(t, p + at, n, collect, out);
	}
	if (r == SCRUB_OK)
		r = scrub_end(t, collect, out);
	if (r == SCRUB_OK && len > 0)
		assert_true(scrub_stream_found(t));
	scrub_stream_free(t);
	return r;
}

static void test_every_cut(void **state)
{
	static char list[16][600];
	struct scrub *s = scrub_new(secret, LEN);
	size_t n = forms(list);
	AUTO(buf) out = {0};

	(void)state;
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(list[i]);
		char want[600];

		memcpy(want, list[i], len + 1);
		(void)scrub_mask(s, want, len);
		for (size_t cut = 0; cut < len; cut++) {
			assert_int_equal(
				through(s, SCRUB_IDENTITY, list[i], len, cut, len, &out), SCRUB_OK);
			assert_int_equal(out.len, len);
			assert_memory_equal(out.data, want, len);
		}
		for (size_t step = 1; step < 9; step++) {
			assert_int_equal(
				through(s, SCRUB_IDENTITY, list[i], len, 0, step, &out), SCRUB_OK);
			assert_memory_equal(out.data, want, len);
		}
	}
	scrub_unref(s);
}

static size_t gzip(const void *p, size_t len, void *out, size_t cap)
{
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)len;
	z.next_out = out;
	z.avail_out = (uInt)cap;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static void test_compressed(void **state)
{
	enum { TOTAL = 300000 };
	char *plain = malloc(TOTAL), *want = malloc(TOTAL);
	uint8_t *zip = malloc(2 * TOTAL), *br = malloc(2 * TOTAL);
	struct scrub *s = scrub_new(secret, LEN);
	size_t zip_len, half, br_len = 2 * TOTAL;
	AUTO(buf) out = {0};

	(void)state;
	buf_init(&out, 4 << 20);
	for (size_t i = 0; i < TOTAL; i++)
		plain[i] = (char)('a' + (i * 31 + i / 97) % 26);
	for (size_t at = 1000; at < TOTAL - 100; at += 65521)
		memcpy(plain + at, secret, LEN);
	memcpy(want, plain, TOTAL);
	assert_true(scrub_mask(s, want, TOTAL));
	zip_len = gzip(plain, TOTAL, zip, 2 * TOTAL);
	assert_int_equal(BrotliEncoderCompress(
				 5, 22, BROTLI_MODE_TEXT, TOTAL, (uint8_t *)plain, &br_len, br),
		1);
	for (size_t step = 1; step < 70000; step = step * 3 + 1) {
		assert_int_equal(through(s, SCRUB_GZIP, zip, zip_len, 0, step, &out), SCRUB_OK);
		assert_int_equal(out.len, TOTAL);
		assert_memory_equal(out.data, want, TOTAL);
		assert_int_equal(through(s, SCRUB_BROTLI, br, br_len, 0, step, &out), SCRUB_OK);
		assert_int_equal(out.len, TOTAL);
		assert_memory_equal(out.data, want, TOTAL);
	}
	/* two members after each other */
	half = gzip(plain, TOTAL / 2, zip, 2 * TOTAL);
	zip_len = half + gzip(plain + TOTAL / 2, TOTAL / 2, zip + half, 2 * TOTAL - half);
	assert_int_equal(through(s, SCRUB_GZIP, zip, zip_len, 0, 1000, &out), SCRUB_OK);
	assert_memory_equal(out.data, want, TOTAL);
	/* cut off, and rubbish */
	assert_int_equal(through(s, SCRUB_GZIP, zip, half - 9, 0, 1000, &out), SCRUB_BROKEN);
	assert_int_equal(through(s, SCRUB_GZIP, plain, 1000, 0, 1000, &out), SCRUB_BROKEN);
	assert_int_equal(through(s, SCRUB_BROTLI, br, br_len - 5, 0, 1000, &out), SCRUB_BROKEN);
	memset(br + br_len / 2, 0xff, 64);
	assert_int_equal(through(s, SCRUB_BROTLI, br, br_len, 0, 1000, &out), SCRUB_BROKEN);
	scrub_unref(s);
	free(plain);
	free(want);
	free(zip);
	free(br);
}

static bool count(void *ctx, const void *p, size_t len)
{
	(void)p;
	*(size_t *)ctx += len;
	return true;
}

static void test_a_bomb(void **state)
{
	enum { TOTAL = 64 << 20 };
	char *plain = calloc(1, TOTAL);
	uint8_t *zip = malloc(1 << 20);
	struct scrub *s = scrub_new(secret, LEN);
	struct scrub_stream *t = scrub_stream_new(&s, 1, SCRUB_GZIP);
	size_t len = gzip(plain, TOTAL, zip, 1 << 20), got = 0;

	(void)state;
	assert_int_equal(scrub_feed(t, zip, len, count, &got), SCRUB_BOMB);
	assert_true(got < 20 << 20);
	scrub_stream_free(t);
	t = scrub_stream_new(&s, 1, SCRUB_IDENTITY);
	assert_int_equal(scrub_feed(t, plain, 10, stop, NULL), SCRUB_STOPPED);
	scrub_stream_free(t);
	scrub_unref(s);
	free(plain);
	free(zip);
}

static void test_odd_secrets(void **state)
{
	char long_one[8193], text[20000];
	struct scrub *s;

	(void)state;
	for (size_t i = 0; i < 8192; i++)
		long_one[i] = (char)('!' + i * 7 % 90);
	long_one[8192] = 0;
	s = scrub_new(long_one, 8192);
	(void)snprintf(text, sizeof(text), "<%s>", long_one);
	assert_true(scrub_mask(s, text, strlen(text)));
	assert_string_not_equal(text + 1, long_one);
	assert_true(text[0] == '<' && text[1] == '*' && text[8192] == '*' && text[8193] == '>');
	scrub_unref(s);
	s = scrub_new("ab", 2);
	(void)snprintf(text, sizeof(text), "xabx YWI 6162");
	assert_true(scrub_mask(s, text, strlen(text)));
	assert_string_equal(text, "x**x YWI 6162"); /* its other forms would be found by chance */
	scrub_unref(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_form_is_masked),
		cmocka_unit_test(test_other_texts_stay),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_a_bomb),
		cmocka_unit_test(test_odd_secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
