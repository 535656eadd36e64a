/* test_request.c - what a request may look like, and everything that is refused; whole and bytewise */
#include "check.h"
#include "drive.h"
#include <stdio.h>

struct good {
	const char *name, *text;
	const char *method, *target, *body;
	enum http_form form;
	bool keep_alive, upgrade;
};

#define H "Host: sbx\r\n"

static const struct good goods[] = {
	{"plain", "GET /v1 HTTP/1.1\r\n" H "\r\n", "GET", "/v1", "", HTTP_ORIGIN, true, false},
	{"length", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", "POST", "/", "abc",
		HTTP_ORIGIN, true, false},
	{"zero", "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "POST", "/", "", HTTP_ORIGIN,
		true, false},
	{"chunked",
		"POST / HTTP/1.1\r\n" H
		"Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
		"POST", "/", "abcd", HTTP_ORIGIN, true, false},
	{"trailer",
		"POST / HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nChecksum: 1 2\r\n\r\n",
		"POST", "/", "x", HTTP_ORIGIN, true, false},
	{"close", "GET / HTTP/1.1\r\n" H "Connection: foo, Close\r\n\r\n", "GET", "/", "",
		HTTP_ORIGIN, false, false},
	{"1.0", "GET / HTTP/1.0\r\n\r\n", "GET", "/", "", HTTP_ORIGIN, false, false},
	{"upgrade", "POST /s HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: sbx-agent/1\r\n\r\n",
		"POST", "/s", "", HTTP_ORIGIN, true, true},
	{"absolute", "GET http://a.test:81/x HTTP/1.1\r\nHost: A.test:81\r\n\r\n", "GET",
		"http://a.test:81/x", "", HTTP_ABSOLUTE, true, false},
	{"connect", "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", "CONNECT",
		"a.test:443", "", HTTP_AUTHORITY, true, true},
	{"ipv6", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET", "/", "", HTTP_ORIGIN, true,
		false},
	{"options", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS", "*", "", HTTP_ASTERISK, true,
		false},
	{"blanks", "GET / HTTP/1.1\r\nHost:\t sbx \t\r\nX:\r\n\r\n", "GET", "/", "", HTTP_ORIGIN,
		true, false},
};

static void test_good(void **state)
{
	static const size_t pieces[] = {1, 2, 7, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(goods); i++)
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			const struct good *g = &goods[i];
			struct http_parser *p = http_parser_new(HTTP_REQUEST);
			struct outcome o = drive(p, g->text, strlen(g->text), pieces[k]);
			const struct http_head *h = http_head(p);

			if (o.last != HTTP_END)
				print_error("%s: %s\n", g->name, http_why(p));
			assert_int_equal(o.last, HTTP_END);
			assert_int_equal(o.heads, 1);
			assert_int_equal(o.used, strlen(g->text));
			assert_string_equal(h->method, g->method);
			assert_string_equal(h->target, g->target);
			assert_string_equal(o.body, g->body);
			assert_int_equal(h->form, g->form);
			assert_int_equal(h->keep_alive, g->keep_alive);
			assert_int_equal(h->upgrade, g->upgrade);
			http_parser_free(p);
		}
}

struct bad {
	const char *name, *text;
	int status;
};

#define G "GET / HTTP/1.1\r\n"
#define P "POST / HTTP/1.1\r\n" H
#define C P "Transfer-Encoding: chunked\r\n\r\n"

static const struct bad bads[] = {
	{"empty line first", "\r\nGET / HTTP/1.1\r\n" H "\r\n", 400},
	{"bare LF after the request line", "GET / HTTP/1.1\n" H "\r\n", 400},
	{"bare LF after a field", G "Host: sbx\n\r\n", 400},
	{"bare LF at the end", G H "\n", 400},
	{"bare CR in a field", G H "A: b\rc\r\n\r\n", 400},
	{"CR CR LF", G H "A: b\r\r\n\r\n", 400},
	{"CR before the end", G H "\rX", 400},
	{"folded", G H "A: b\r\n c\r\n\r\n", 400},
	{"folded with a tab", G H "A: b\r\n\tc\r\n\r\n", 400},
	{"fold before any field", G " A: b\r\n" H "\r\n", 400},
	{"space before the colon", G H "A : b\r\n\r\n", 400},
	{"tab before the colon", G H "A\t: b\r\n\r\n", 400},
	{"no colon", G H "Abc\r\n\r\n", 400},
	{"no name", G H ": b\r\n\r\n", 400},
	{"control byte in a value", G H "A: b\x01\r\n\r\n", 400},
	{"delete in a value", G H "A: b\x7f\r\n\r\n", 400},
	{"odd byte in a name", G H "A(b): c\r\n\r\n", 400},
	{"UTF-8 in a name", G H "\xc3\xa9: c\r\n\r\n", 400},
	{"no Host", G "\r\n", 400},
	{"two Hosts", G H H "\r\n", 400},
	{"two Hosts, other case", G H "hOST: other\r\n\r\n", 400},
	{"Host list", G "Host: a, b\r\n\r\n", 400},
	{"Host empty", G "Host: \r\n\r\n", 400},
	{"Host with userinfo", G "Host: a@b\r\n\r\n", 400},
	{"Host with path", G "Host: a/b\r\n\r\n", 400},
	{"Host port 0443", G "Host: a:0443\r\n\r\n", 400},
	{"Host port 65536", G "Host: a:65536\r\n\r\n", 400},
	{"Host port empty", G "Host: a:\r\n\r\n", 400},
	{"Host two ports", G "Host: a:443:22\r\n\r\n", 400},
	{"Host with %", G "Host: a%2eb\r\n\r\n", 400},
	{"IPv6 not closed", G "Host: [::1\r\n\r\n", 400},
	{"length and chunked", P "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"two lengths", P "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
	{"length list", P "Content-Length: 3, 3\r\n\r\n", 400},
	{"length with a sign", P "Content-Length: +3\r\n\r\n", 400},
	{"length negative", P "Content-Length: -1\r\n\r\n", 400},
	{"length hex", P "Content-Length: 0x3\r\n\r\n", 400},
	{"length octal", P "Content-Length: 03\r\n\r\n", 400},
	{"length empty", P "Content-Length:\r\n\r\n", 400},
	{"length 2^64+1", P "Content-Length: 18446744073709551617\r\n\r\n", 400},
	{"length with a blank", P "Content-Length: 1 2\r\n\r\n", 400},
	{"TE twice", P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"TE list", P "Transfer-Encoding: chunked, chunked\r\n\r\n", 501},
	{"TE identity", P "Transfer-Encoding: identity\r\n\r\n", 501},
	{"TE xchunked", P "Transfer-Encoding: xchunked\r\n\r\n", 501},
	{"TE quoted", P "Transfer-Encoding: \"chunked\"\r\n\r\n", 501},
	{"TE empty", P "Transfer-Encoding:\r\n\r\n", 501},
	{"TE in 1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400},
	{"chunk extension", C "3;x=y\r\nabc\r\n0\r\n\r\n", 400},
	{"chunk size with 0x", C "0x3\r\nabc\r\n", 400},
	{"chunk size with +", C "+3\r\nabc\r\n", 400},
	{"chunk size with _", C "1_0\r\nabc\r\n", 400},
	{"chunk size with a blank", C "3 \r\nabc\r\n", 400},
	{"chunk size empty", C "\r\nabc\r\n", 400},
	{"chunk size 2^64+3", C "10000000000000003\r\nabc\r\n", 400},
	{"chunk size bare LF", C "3\nabc\r\n", 400},
	{"chunk longer", C "3\r\nabcd\r\n", 400},
	{"chunk end bare LF", C "3\r\nabc\n", 400},
	{"trailer Host", C "0\r\nHost: b\r\n\r\n", 400},
	{"trailer length", C "0\r\ncontent-length: 3\r\n\r\n", 400},
	{"trailer Authorization", C "0\r\nAuthorization: x\r\n\r\n", 400},
	{"trailer folded", C "0\r\nA: b\r\n c\r\n\r\n", 400},
	{"trailer bare LF", C "0\r\nA: b\n\r\n", 400},
	{"version 1.2", "GET / HTTP/1.2\r\n" H "\r\n", 505},
	{"version 2.0", "GET / HTTP/2.0\r\n" H "\r\n", 505},
	{"version small", "GET / http/1.1\r\n" H "\r\n", 400},
	{"no version", "GET /\r\n" H "\r\n", 400},
	{"two blanks", "GET  / HTTP/1.1\r\n" H "\r\n", 400},
	{"blank after the version", "GET / HTTP/1.1 \r\n" H "\r\n", 400},
	{"tab between", "GET\t/ HTTP/1.1\r\n" H "\r\n", 400},
	{"method with a colon", "GE:T / HTTP/1.1\r\n" H "\r\n", 400},
	{"target without slash", "GET v1 HTTP/1.1\r\n" H "\r\n", 400},
	{"target with fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", 400},
	{"target with backslash", "GET /a\\b HTTP/1.1\r\n" H "\r\n", 400},
	{"target with UTF-8", "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", 400},
	{"target with control byte", "GET /\x1b HTTP/1.1\r\n" H "\r\n", 400},
	{"absolute and another Host", "GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", 400},
	{"absolute with userinfo", "GET http://u@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400},
	{"absolute of another kind", "GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400},
	{"CONNECT without port", "CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", 400},
	{"CONNECT and another Host", "CONNECT a.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n",
		400},
	{"CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\nx",
		400},
	{"star for GET", "GET * HTTP/1.1\r\n" H "\r\n", 400},
	{"Upgrade alone", G H "Upgrade: x\r\n\r\n", 400},
	{"Connection: upgrade alone", G H "Connection: upgrade\r\n\r\n", 400},
	{"upgrade with a body", P "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\nx",
		400},
	{"upgrade in 1.0", "GET / HTTP/1.0\r\n" H "Connection: upgrade\r\nUpgrade: x\r\n\r\n", 400},
	{"Connection names Host", G H "Connection: host\r\n\r\n", 400},
	{"Connection names Authorization", G H "Connection: close, Authorization\r\n\r\n", 400},
	{"two Authorizations", G H "Authorization: a\r\nauthorization: b\r\n\r\n", 400},
	{"unknown expectation", G H "Expect: 200-ok\r\n\r\n", 417},
	{"TLS hello", "\x16\x03\x01\x02", 400},
};

static void test_bad(void **state)
{
	static const size_t pieces[] = {1, 3, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bads); i++)
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			struct http_parser *p = http_parser_new(HTTP_REQUEST);
			struct outcome o = drive(p, bads[i].text, strlen(bads[i].text), pieces[k]);
			size_t used;
			const char *data;
			size_t len;

			if (o.last != HTTP_BAD || http_bad_status(p) != bads[i].status)
				print_error("%s: %d %s\n", bads[i].name, http_bad_status(p),
					http_why(p));
			assert_int_equal(o.last, HTTP_BAD);
			assert_int_equal(http_bad_status(p), bads[i].status);
			assert_true(http_why(p)[0]);
			/* and it stays so */
			assert_int_equal(http_parse(p, "GET", 3, &used, &data, &len), HTTP_BAD);
			assert_int_equal(http_parse_eof(p), HTTP_BAD);
			http_parser_free(p);
		}
}

static void test_nul_is_refused_anywhere(void **state)
{
	static const char text[] = "GET /a HTTP/1.1\r\nHost: b\r\nC: d\r\n\r\n";

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		char copy[sizeof(text)];
		struct http_parser *p = http_parser_new(HTTP_REQUEST);

		memcpy(copy, text, sizeof(text));
		copy[i] = '\0';
		assert_int_equal(drive(p, copy, sizeof(text) - 1, 1000).last, HTTP_BAD);
		http_parser_free(p);
	}
}

static void test_limits(void **state)
{
	char text[HTTP_HEAD_MAX * 2];
	struct http_parser *p = http_parser_new(HTTP_REQUEST);
	size_t n = 0;

	(void)state;
	/* as many fields as there may be, and one more */
	for (unsigned extra = 0; extra < 2; extra++) {
		n = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" H);
		for (unsigned i = 0; i < HTTP_FIELDS_MAX - 1 + extra; i++)
			n += (size_t)sprintf(text + n, "X%u: y\r\n", i);
		n += (size_t)sprintf(text + n, "\r\n");
		assert_int_equal(drive(p, text, n, n).last, extra ? HTTP_BAD : HTTP_END);
		if (!extra)
			http_parser_next(p);
	}
	assert_int_equal(http_bad_status(p), 431);
	http_parser_free(p);
	/* a head of exactly the maximum, and one more byte */
	for (size_t extra = 0; extra < 2; extra++) {
		p = http_parser_new(HTTP_REQUEST);
		n = (size_t)sprintf(text, "GET / HTTP/1.1\r\n" H "A: ");
		memset(text + n, 'a', HTTP_HEAD_MAX);
		n = HTTP_HEAD_MAX - 4 + extra;
		memcpy(text + n, "\r\n\r\n", 4);
		assert_int_equal(drive(p, text, n + 4, 999).last, extra ? HTTP_BAD : HTTP_END);
		assert_int_equal(http_bad_status(p), extra ? 431 : 0);
		http_parser_free(p);
	}
	/* a target that is too long */
	p = http_parser_new(HTTP_REQUEST);
	n = (size_t)sprintf(text, "GET /");
	memset(text + n, 'a', HTTP_TARGET_MAX);
	assert_int_equal(drive(p, text, n + HTTP_TARGET_MAX, 4096).last, HTTP_BAD);
	assert_int_equal(http_bad_status(p), 414);
	http_parser_free(p);
}

static void test_pipelined(void **state)
{
	static const char text[] = "POST /1 HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nab"
				   "GET /2 HTTP/1.1\r\n" H "\r\n";
	struct http_parser *p = http_parser_new(HTTP_REQUEST);
	struct outcome o = drive(p, text, sizeof(text) - 1, 1000), second;

	(void)state;
	assert_int_equal(o.last, HTTP_END);
	assert_string_equal(o.body, "ab");
	http_parser_next(p);
	assert_false(http_started(p));
	second = drive(p, text + o.used, sizeof(text) - 1 - o.used, 1000);
	assert_int_equal(second.last, HTTP_END);
	assert_string_equal(http_head(p)->target, "/2");
	assert_string_equal(http_field(http_head(p), "HOST"), "sbx");
	assert_null(http_field(http_head(p), "Content-Length"));
	http_parser_free(p);
}

static void test_end_of_file(void **state)
{
	static const char text[] = "POST /1 HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nab";

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		struct http_parser *p = http_parser_new(HTTP_REQUEST);
		bool clean = n == 0 || n == sizeof(text) - 1;

		(void)drive(p, text, n, n ? n : 1);
		assert_int_equal(http_parse_eof(p), clean ? HTTP_END : HTTP_BAD);
		assert_int_equal(http_started(p), n > 0);
		http_parser_free(p);
	}
}

static void test_upgrade_leaves_the_rest(void **state)
{
	static const char text[] =
		"POST /s HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: x\r\n\r\nGET";
	struct http_parser *p = http_parser_new(HTTP_REQUEST);
	struct outcome o = drive(p, text, sizeof(text) - 1, 1000);

	(void)state;
	assert_int_equal(o.last, HTTP_END);
	assert_int_equal(o.used, sizeof(text) - 1 - 3);
	http_parser_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_nul_is_refused_anywhere),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_end_of_file),
		cmocka_unit_test(test_upgrade_leaves_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
