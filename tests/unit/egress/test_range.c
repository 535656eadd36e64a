/* Pieces of answers that hold a secret: every one is what stands at its place in the masked whole */
#include "rig.h"
#include "egress/range.h"

#define TOKEN "sbx-standin-aaaaaaaaaaaaaaaaaaaaaaaa"
#define REAL  "ghp_RealRealRealReal0123"
#define PAGE                                                                                       \
	"before " REAL                                                                             \
	" and Z2hwX1JlYWxSZWFsUmVhbFJlYWwwMTIz then 6768705F5265616C5265616C5265616C"              \
	"5265616C30313233, twice " REAL REAL " and some text that nobody has to hide, to the end"

static struct rig r;
static struct origin o;

/* ---- pure ---- */

static void test_what_is_asked_for(void **state)
{
	static const struct {
		const char *value, *widened; /* NULL: the whole instead */
	} t[] = {
		{"bytes=100-199", "bytes=90-209"},
		{"bytes=3-5", "bytes=0-15"},
		{"bytes=0-0", "bytes=0-10"},
		{"bytes=50-", "bytes=40-"},
		{"Bytes=0-", "bytes=0-"},
		{"bytes=-7", "bytes=-17"},
		{"bytes=-0", NULL},
		{"bytes=5-3", NULL},
		{"bytes=1-2,4-5", NULL},
		{"bytes=1-2 ", NULL},
		{"bytes= 1-2", NULL},
		{"bytes=", NULL},
		{"bytes=-", NULL},
		{"bytes=a-", NULL},
		{"bytes=+1-2", NULL},
		{"lines=1-2", NULL},
		{"bytes=1-18446744073709551615", NULL},
		{"bytes=99999999999999999999-", NULL},
		{"", NULL},
	};
	char text[RANGE_TEXT];
	struct range a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		bool ok = range_parse(t[i].value, 10, &a);

		if (ok != (t[i].widened != NULL))
			fail_msg("%s", t[i].value);
		if (!ok)
			continue;
		range_widen(&a, text);
		assert_string_equal(text, t[i].widened);
	}
}

static void test_what_comes(void **state)
{
	static const struct {
		const char *asked, *came;
		enum range_result result;
		uint64_t skip, take;
		const char *said;
	} t[] = {
		{"bytes=100-199", "bytes 90-209/1000", RANGE_FITS, 10, 100, "bytes 100-199/1000"},
		{"bytes=100-199", "bytes 90-209/*", RANGE_FITS, 10, 100, "bytes 100-199/*"},
		{"bytes=100-199", "bytes 90-149/150", RANGE_FITS, 10, 50, "bytes 100-149/150"},
		{"bytes=100-", "bytes 90-149/150", RANGE_FITS, 10, 50, "bytes 100-149/150"},
		{"bytes=100-", "bytes 0-149/150", RANGE_FITS, 100, 50, "bytes 100-149/150"},
		{"bytes=3-5", "bytes 0-15/100", RANGE_FITS, 3, 3, "bytes 3-5/100"},
		{"bytes=-7", "bytes 83-99/100", RANGE_FITS, 10, 7, "bytes 93-99/100"},
		{"bytes=-200", "bytes 0-99/100", RANGE_FITS, 0, 100, "bytes 0-99/100"},
		/* less than was asked for: less is given */
		{"bytes=100-199", "bytes 90-159/1000", RANGE_FITS, 10, 50, "bytes 100-149/1000"},
		{"bytes=100-", "bytes 90-159/1000", RANGE_FITS, 10, 50, "bytes 100-149/1000"},
		{"bytes=100-199", "bytes 90-105/1000", RANGE_BAD, 0, 0, NULL},
		{"bytes=100-199", "bytes 95-209/1000", RANGE_BAD, 0, 0, NULL},
		{"bytes=3-5", "bytes 3-5/100", RANGE_BAD, 0, 0, NULL},
		{"bytes=-7", "bytes 83-99/*", RANGE_BAD, 0, 0, NULL},
		/* of an end that lies behind the last byte */
		{"bytes=100-", "bytes 90-99/100", RANGE_BEYOND, UINT64_MAX, 0, "bytes */100"},
		{"bytes=105-110", "bytes 95-99/100", RANGE_BEYOND, UINT64_MAX, 0, "bytes */100"},
		{"bytes=100-199", "bytes 209-90/1000", RANGE_BAD, 0, 0, NULL},
		{"bytes=100-199", "bytes 90-209/209", RANGE_BAD, 0, 0, NULL},
		{"bytes=100-199", "bytes */1000", RANGE_BAD, 0, 0, NULL},
		{"bytes=100-199", "90-209/1000", RANGE_BAD, 0, 0, NULL},
		{"bytes=100-199", "bytes 90-209/1000x", RANGE_BAD, 0, 0, NULL},
		{"bytes=100-199", "", RANGE_BAD, 0, 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct range_piece p = {0};
		struct range a;

		assert_true(range_parse(t[i].asked, 10, &a));
		if (range_fit(&a, t[i].came, &p) != t[i].result)
			fail_msg("%s %s", t[i].asked, t[i].came);
		if (t[i].result == RANGE_BAD)
			continue;
		assert_int_equal(p.skip, t[i].skip);
		assert_int_equal(p.take, t[i].take);
		assert_string_equal(p.content_range, t[i].said);
	}
	assert_int_equal(range_fit(&(struct range){.kind = RANGE_NONE}, "bytes 0-1/2",
				 &(struct range_piece){0}),
		RANGE_BAD);
}

/* ---- through a vault ---- */

static bool ignore_range, far_piece;

/* serves PAGE, and pieces of it */
static void page_script(struct origin_conn *c)
{
	const unsigned long long total = strlen(PAGE);
	unsigned long long first, last;
	char head[300];
	const char *at;

	while (origin_head(c)) {
		at = strstr(c->head, "\r\nrange: bytes=");
		first = 0;
		last = total - 1;
		if (at && at[15] == '-') {
			last = strtoull(at + 16, NULL, 10);
			first = last < total ? total - last : 0;
			last = total - 1;
		} else if (at) {
			char *end;

			first = strtoull(at + 15, &end, 10);
			last = end[1] == '\r' ? total - 1 : strtoull(end + 1, NULL, 10);
			last = last < total ? last : total - 1;
		}
		if (far_piece)
			first = last = 9; /* not what was asked for */
		if (first >= total)
			(void)snprintf(head, sizeof(head),
				"HTTP/1.1 416 No\r\nContent-Range: bytes */%llu\r\n"
				"Content-Length: 0\r\n\r\n",
				total);
		else if ((!at && !far_piece) || ignore_range)
			(void)snprintf(head, sizeof(head),
				"HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n", total);
		else
			(void)snprintf(head, sizeof(head),
				"HTTP/1.1 206 Piece\r\nContent-Range: bytes %llu-%llu/%llu\r\n"
				"Content-Length: %llu\r\nContent-Digest: x\r\n\r\n",
				first, last, total, last - first + 1);
		if (!origin_say(c, head))
			return;
		if (strstr(head, "200 OK")) {
			first = 0;
			last = total - 1;
		}
		if (first < total && !origin_write(c, &PAGE[first], last - first + 1))
			return;
	}
}

static void ask(const char *range, struct answer *a)
{
	struct egress_request q = rig_get("api.test.example", "/page");

	if (range)
		rig_field(&q, "range", range);
	rig_field(&q, "accept-encoding", "gzip");
	rig_ask(&r, &q, NULL, a);
}

static int set_up(void **state)
{
	(void)state;
	rig_init(&r);
	origin_start(&o, r.ca, "http/1.1", page_script, NULL);
	rig_host(&r, "api.test.example", 443, &o);
	rig_rule(&r, POLICY_ALLOW, "**");
	rig_slot(&r, "token", TOKEN, EGRESS_SLOT_HEADER, "api.test.example", "authorization",
		"Bearer %s", "");
	rig_configure(&r);
	rig_secret(&r, "token", REAL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_fini(&r);
	origin_stop(&o);
	return 0;
}

static void is_piece(const struct answer *a, const char *whole, size_t first, size_t len)
{
	char want[80];

	assert_int_equal(a->status, 206);
	assert_int_equal(a->body.len, len);
	assert_memory_equal(a->body.data, whole + first, len);
	(void)snprintf(want, sizeof(want), "content-range: bytes %zu-%zu/%zu\n", first,
		first + len - 1, strlen(PAGE));
	assert_non_null(strstr(a->fields, want));
	(void)snprintf(want, sizeof(want), "content-length: %zu\n", len);
	assert_non_null(strstr(a->fields, want));
	assert_null(strstr(a->fields, "content-digest"));
}

static void test_pieces_of_a_secret(void **state)
{
	static const size_t lens[] = {1, 3, 17, 64};
	const size_t total = strlen(PAGE);
	char whole[sizeof(PAGE)], text[64];
	struct answer a;

	(void)state;
	ask(NULL, &a);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.body.len, total);
	memcpy(whole, a.body.data, total + 1);
	assert_null(strstr(whole, "Real"));
	assert_null(strstr(whole, "Z2hwX1"));
	buf_fini(&a.body);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++)
		for (size_t at = 0; at < total; at += lens[i]) {
			size_t n = total - at < lens[i] ? total - at : lens[i];

			(void)snprintf(text, sizeof(text), "bytes=%zu-%zu", at, at + lens[i] - 1);
			ask(text, &a);
			is_piece(&a, whole, at, n);
			buf_fini(&a.body);
			/* a client that goes on where it was, and one that wants the end */
			if (lens[i] != 17)
				continue;
			(void)snprintf(text, sizeof(text), "bytes=%zu-", at);
			ask(text, &a);
			is_piece(&a, whole, at, total - at);
			buf_fini(&a.body);
			(void)snprintf(text, sizeof(text), "bytes=-%zu", at + 1);
			ask(text, &a);
			is_piece(&a, whole, total - at - 1, at + 1);
			buf_fini(&a.body);
		}
}

static void test_other_answers(void **state)
{
	struct answer a;
	char text[64];

	(void)state;
	/* behind the end: as the server would have said */
	(void)snprintf(text, sizeof(text), "bytes=%zu-", strlen(PAGE));
	ask(text, &a);
	assert_int_equal(a.status, 416);
	assert_int_equal(a.body.len, 0);
	assert_true(a.done);
	(void)snprintf(text, sizeof(text), "content-range: bytes */%zu\n", strlen(PAGE));
	assert_non_null(strstr(a.fields, text));
	buf_fini(&a.body);
	ask("bytes=100000-", &a);
	assert_int_equal(a.status, 416);
	buf_fini(&a.body);
	/* several, or of another kind: the whole */
	ask("bytes=0-1,8-9", &a);
	assert_int_equal(a.status, 200);
	assert_null(strstr(a.body.data, "Real"));
	buf_fini(&a.body);
	ignore_range = true;
	ask("bytes=8-9", &a);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.body.len, strlen(PAGE));
	assert_null(strstr(a.body.data, "Real"));
	buf_fini(&a.body);
	ignore_range = false;
	/* pieces that were not asked for */
	far_piece = true;
	ask("bytes=9-9", &a);
	assert_int_equal(a.status, 502);
	assert_string_equal(a.code, "range");
	buf_fini(&a.body);
	ask(NULL, &a);
	assert_int_equal(a.status, 502);
	assert_string_equal(a.code, "range");
	buf_fini(&a.body);
	far_piece = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_asked_for),
		cmocka_unit_test(test_what_comes),
		cmocka_unit_test(test_pieces_of_a_secret),
		cmocka_unit_test(test_other_answers),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
