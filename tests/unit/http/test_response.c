/* test_response.c - framing of answers, which hangs on what was asked; what an upstream may not do */
#include "check.h"
#include "drive.h"

struct answer {
	const char *name, *asked, *text, *body;
	enum http_event last; /* after the end of file */
	int status;
	bool keep_alive;
};

static const struct answer answers[] = {
	{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", "ab", HTTP_END, 200,
		true},
	{"chunked", "GET",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "ab",
		HTTP_END, 200, true},
	{"until close", "GET", "HTTP/1.1 200 OK\r\n\r\nabc", "abc", HTTP_END, 200, false},
	{"head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "", HTTP_END, 200, true},
	{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "", HTTP_END, 204, true},
	{"304", "GET", "HTTP/1.1 304 x\r\nContent-Length: 2\r\n\r\n", "", HTTP_END, 304, true},
	{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "", HTTP_END, 200, true},
	{"interim", "GET",
		"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
		"1\r\n\r\nx",
		"x", HTTP_END, 200, true},
	{"truncated", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "ab", HTTP_BAD, 200,
		true},
	{"truncated chunks", "GET",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "ab", HTTP_BAD,
		200, true},
	{"unsolicited 101", "GET", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: y\r\n\r\n",
		"", HTTP_BAD, 101, true},
	{"204 with a body", "GET", "HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\nx", "", HTTP_BAD,
		204, true},
	{"1xx with a body", "GET", "HTTP/1.1 100 x\r\nContent-Length: 1\r\n\r\nx", "", HTTP_BAD,
		100, true},
	{"length and chunked", "GET",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "",
		HTTP_BAD, 200, true},
	{"HTTP/0.9", "GET", "<html>", "", HTTP_BAD, 0, true},
	{"status 099", "GET", "HTTP/1.1 099 x\r\n\r\n", "", HTTP_BAD, 99, true},
	{"status 20", "GET", "HTTP/1.1 20 x\r\n\r\n", "", HTTP_BAD, 20, true},
	{"folded", "GET", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "", HTTP_BAD, 200, true},
	{"bare LF", "GET", "HTTP/1.1 200 OK\nA: b\n\n", "", HTTP_BAD, 200, true},
	{"control byte in the reason", "GET", "HTTP/1.1 200 O\x1b[2J\r\n\r\n", "", HTTP_BAD, 200,
		true},
};

static void test_answers(void **state)
{
	static const size_t pieces[] = {1, 5, 10000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			const struct answer *a = &answers[i];
			struct http_parser *p = http_parser_new(HTTP_RESPONSE);
			enum http_event last;
			struct outcome o;

			http_parser_expect(p, a->asked, false);
			o = drive(p, a->text, strlen(a->text), pieces[k]);
			last = o.last == HTTP_MORE ? http_parse_eof(p) : o.last;
			if (last != a->last)
				print_error("%s: %s\n", a->name, http_why(p));
			assert_int_equal(last, a->last);
			assert_string_equal(o.body, a->body);
			assert_int_equal(http_head(p)->status, a->status);
			if (last == HTTP_END)
				assert_int_equal(http_head(p)->keep_alive, a->keep_alive);
			http_parser_free(p);
		}
}

static void test_expected_101(void **state)
{
	static const char text[] =
		"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: y\r\n\r\nrest";
	struct http_parser *p = http_parser_new(HTTP_RESPONSE);
	struct outcome o;

	(void)state;
	http_parser_expect(p, "POST", true);
	o = drive(p, text, sizeof(text) - 1, 1000);
	assert_int_equal(o.last, HTTP_END);
	assert_true(http_head(p)->upgrade);
	assert_int_equal(o.used, sizeof(text) - 1 - 4);
	http_parser_free(p);
}

static void test_endless_interim(void **state)
{
	struct http_parser *p = http_parser_new(HTTP_RESPONSE);
	static const char one[] = "HTTP/1.1 102 x\r\n\r\n";
	struct outcome o = {0};
	unsigned n = 0;

	(void)state;
	http_parser_expect(p, "GET", false);
	do {
		o = drive(p, one, sizeof(one) - 1, 1000);
		n++;
	} while (o.last == HTTP_MORE && n < 100);
	assert_int_equal(o.last, HTTP_BAD);
	assert_int_equal(n, HTTP_INTERIM_MAX + 1);
	http_parser_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_expected_101),
		cmocka_unit_test(test_endless_interim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
