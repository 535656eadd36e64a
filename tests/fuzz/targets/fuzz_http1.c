/* fuzz_http1.c - the HTTP parser: whatever comes, whole and byte by byte it must tell the same
 *
 * First byte: bit 0 response, bits 1 and 2 what was asked, bit 3 an upgrade is welcome. What is
 * accepted is written again and must then be accepted again with the same meaning.
 */
#include "http/http1.h"
#include "http/target.h"
#include "http/write.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
	unsigned heads, ends;
	uint64_t body, sum; /* bytes of the body and a sum over them */
	enum http_event last;
	size_t used;
};

static struct http_parser *parser(uint8_t mode)
{
	static const char *const methods[] = {"GET", "HEAD", "CONNECT", "POST"};
	struct http_parser *p = http_parser_new(mode & 1 ? HTTP_RESPONSE : HTTP_REQUEST);

	assert(p);
	if (mode & 1)
		http_parser_expect(p, methods[(mode >> 1) & 3], mode & 8);
	return p;
}

/* check_head() - promises of the header file */
static void check_head(const struct http_parser *p)
{
	const struct http_head *h = http_head(p);
	struct http_target *t = malloc(sizeof(*t));

	assert(h->n_fields <= HTTP_FIELDS_MAX && h->minor <= 1);
	for (size_t i = 0; i < h->n_fields; i++) {
		assert(strlen(h->fields[i].name) == h->fields[i].name_len);
		assert(strlen(h->fields[i].value) == h->fields[i].value_len);
		assert(h->fields[i].name_len > 0);
		assert(!strpbrk(h->fields[i].value, "\r\n"));
	}
	if (h->method) {
		assert(h->target && h->method[0] && h->target[0]);
		assert(!(h->upgrade && h->body != HTTP_NO_BODY));
		(void)!http_target_split(t, h->target);
	} else
		assert(h->status >= 100 && h->status <= 599 && h->reason);
	free(t);
}

static struct told feed(uint8_t mode, const uint8_t *in, size_t len, size_t piece)
{
	struct http_parser *p = parser(mode);
	struct told t = {.last = HTTP_MORE};

	while (t.used < len && t.ends < 4) {
		size_t n = len - t.used < piece ? len - t.used : piece, used = 0, data_len = 0;
		const char *data = NULL;
		bool again;

		t.last = http_parse(p, in + t.used, n, &used, &data, &data_len);
		assert(used <= n);
		t.used += used;
		if (t.last == HTTP_HEAD) {
			t.heads++;
			check_head(p);
		} else if (t.last == HTTP_DATA) {
			t.body += data_len;
			for (size_t i = 0; i < data_len; i++)
				t.sum = t.sum * 31 + (uint8_t)data[i];
		} else if (t.last == HTTP_BAD) {
			assert(http_why(p)[0] && http_bad_status(p) >= 400);
			break;
		} else if (t.last == HTTP_END) {
			t.ends++;
			again = http_head(p)->keep_alive && !http_head(p)->upgrade;
			if (!again)
				break;
			http_parser_next(p);
			if (mode & 1)
				http_parser_expect(p, "GET", false);
		} else
			assert(used == n);
	}
	http_parser_free(p);
	return t;
}

/* rewrite() - a request that was taken, written again, is taken again and means the same */
static void rewrite(const uint8_t *in, size_t len)
{
	struct http_parser *p = parser(0), *q = parser(0);
	const char *data;
	size_t used, n;
	struct buf b;
	int bad = 0;

	buf_init(&b, 4 * HTTP_HEAD_MAX);
	if (http_parse(p, in, len, &used, &data, &n) == HTTP_HEAD) {
		const struct http_head *h = http_head(p), *g = http_head(q);

		bad |= http_put_request(&b, h->method, h->target);
		for (size_t i = 0; i < h->n_fields; i++)
			bad |= http_put_field(&b, h->fields[i].name, h->fields[i].value);
		bad |= http_put_end(&b);
		assert(!bad);
		/* HTTP/1.0 comes out as 1.1, which asks for more */
		if (h->minor == 1 && b.len <= HTTP_HEAD_MAX) {
			assert(http_parse(q, b.data, b.len, &used, &data, &n) == HTTP_HEAD);
			assert(g->n_fields == h->n_fields && g->body == h->body);
			assert(g->length == h->length && g->upgrade == h->upgrade);
			assert(strcmp(g->target, h->target) == 0);
		}
	}
	buf_fini(&b);
	http_parser_free(p);
	http_parser_free(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct told whole, bytes, odd;

	if (size < 1)
		return 0;
	whole = feed(data[0], data + 1, size - 1, SIZE_MAX);
	bytes = feed(data[0], data + 1, size - 1, 1);
	odd = feed(data[0], data + 1, size - 1, 7);
	assert(whole.heads == bytes.heads && whole.heads == odd.heads);
	assert(whole.ends == bytes.ends && whole.ends == odd.ends);
	assert(whole.body == bytes.body && whole.body == odd.body);
	assert(whole.sum == bytes.sum && whole.sum == odd.sum);
	assert((whole.last == HTTP_BAD) == (bytes.last == HTTP_BAD));
	if (!(data[0] & 1))
		rewrite(data + 1, size - 1);
	return 0;
}
