/* test_canon.c - what a request is for: names, paths, methods and fields as tables, HTTP/1 and HTTP/2 */
#include "check.h"
#include "canon_drive.h"

static struct policy_host host;
static const struct http_conn tls = {.scheme = EGRESS_HTTPS, .host = &host, .port = 443};
static const struct http_conn open_conn = {.scheme = EGRESS_HTTP, .port = 80};
static const struct http_conn proxy = {.scheme = EGRESS_HTTP, .proxy = true};

static void drive(struct canon_told *t, const struct http_conn *conn, const char *text)
{
	canon_drive(t, conn, text, strlen(text), SIZE_MAX);
}

/* How a client may write the one server that the connection is with, and how not. */
static void test_hosts(void **state)
{
	static const struct {
		const char *name;
		int status; /* 0: taken */
	} cases[] = {{"a.test", 0}, {"A.Test", 0}, {"a.test.", 0}, {"a.test:443", 0},
		{"A.TEST.:443", 0}, {"a.test:80", 421}, {"a.test:0443", 400}, {"a.test:", 400},
		{"a.test:0", 400}, {"a.test:65536", 400}, {"a.test:443:22", 400}, {"a.test..", 400},
		{".a.test", 400}, {"a..test", 400}, {"evil-a.test", 421}, {"a.test.evil.test", 421},
		{"aXtest", 421}, {"b.test", 421}, {"user@a.test", 400}, {"a.test@evil.test", 400},
		{"evil.test#@a.test", 400}, {"a.test/", 400}, {"a.test\\", 400}, {"a%2etest", 400},
		{"a.test,a.test", 400}, {"a.test a.test", 400}, {"xn--a.test", 421},
		{"\xd0\xb0.test", 400}, {"\xef\xbd\x81.test", 400}, {"a\xc2\xad.test", 400},
		{"[::1]", 421}, {"::1", 400}, {"127.0.0.1", 421}, {"2130706433", 400},
		{"0x7f.1", 400}, {"127.1", 400}, {"0177.0.0.1", 400}, {"[::ffff:127.0.0.1]", 421},
		{"[fe80::1%25eth0]", 400}, {"-a.test", 400}, {"*.test", 400}, {"", 400}};
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct canon_told t;

		(void)snprintf(
			text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].name);
		drive(&t, &tls, text);
		if (t.status != cases[i].status)
			print_error("'%s': %d %s\n", cases[i].name, t.status, t.why);
		assert_int_equal(t.status, cases[i].status);
		if (cases[i].status == 0)
			assert_string_equal(t.text, "GET a.test:443/\n");
	}
}

static void test_requests(void **state)
{
	static const struct {
		const struct http_conn *conn;
		const char *text;
		int status;
		const char *line;
	} cases[] = {
#define H "Host: a.test\r\n"
		{&tls, "GET /a/./b/../c?x=/../y HTTP/1.1\r\n" H "\r\n", 0,
			"GET a.test:443/a/c?x=/../y\n"},
		{&tls, "GET /%7euser/%2F HTTP/1.1\r\n" H "\r\n", 0, "GET a.test:443/~user/%2F\n"},
		{&tls, "get / HTTP/1.1\r\n" H "\r\n", 0,
			"get a.test:443/\n"}, /* the policy's matter */
		{&tls, "GET /%00 HTTP/1.1\r\n" H "\r\n", 400, ""},
		{&tls, "GET /%c0%ae HTTP/1.1\r\n" H "\r\n", 0, "GET a.test:443/%C0%AE\n"},
		{&tls, "GET a HTTP/1.1\r\n" H "\r\n", 400, ""},
		{&tls, "OPTIONS * HTTP/1.1\r\n" H "\r\n", 0, "OPTIONS a.test:443*\n"},
		{&tls, "GET * HTTP/1.1\r\n" H "\r\n", 400, ""},
		{&tls, "TRACE / HTTP/1.1\r\n" H "\r\n", 405, ""},
		{&tls, "TRACK / HTTP/1.1\r\n" H "\r\n", 405, ""},
		{&tls, "PRI * HTTP/1.1\r\n" H "\r\n", 400, ""},
		{&tls, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 405, ""},
		{&tls, "GET https://a.test/ HTTP/1.1\r\n" H "\r\n", 400, ""},
		{&tls, "GET https://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", 400, ""},
		{&tls, "GET / HTTP/1.0\r\n\r\n", 0, "GET a.test:443/\n"},
		{&open_conn, "GET / HTTP/1.0\r\n\r\n", 400, ""}, /* for whom? */
		{&open_conn, "GET / HTTP/1.1\r\nHost: [2001:DB8::1]\r\n\r\n", 0,
			"GET 2001:db8::1:80/\n"},
		{&open_conn, "GET / HTTP/1.1\r\nHost: [::ffff:10.0.0.1]\r\n\r\n", 0,
			"GET 10.0.0.1:80/\n"},
		{&proxy, "GET http://A.test?x HTTP/1.1\r\n" H "\r\n", 0, "GET a.test:80/?x\n"},
		{&proxy, "GET http://a.test:80/ HTTP/1.1\r\n" H "\r\n", 0, "GET a.test:80/\n"},
		{&proxy, "GET http://a.test:81/ HTTP/1.1\r\n" H "\r\n", 400, ""},
		{&proxy, "GET http://u@a.test/ HTTP/1.1\r\nHost: u@a.test\r\n\r\n", 400, ""},
		{&proxy, "GET / HTTP/1.1\r\n" H "\r\n", 400, ""},
		{&proxy, "GET ftp://a.test/ HTTP/1.1\r\n" H "\r\n", 400, ""},
		/* fields */
		{&tls, "GET / HTTP/1.1\r\n" H "X-A: 1\r\nx-a: 2\r\n\r\n", 0,
			"GET a.test:443/ x-a=1 x-a=2\n"},
		{&tls,
			"GET / HTTP/1.1\r\n" H "Connection: x-hop, close\r\nX-Hop: 1\r\n"
			"Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: x\r\n\r\n",
			0, "GET a.test:443/\n"},
		{&tls, "GET / HTTP/1.1\r\n" H "Proxy-Authorization: Basic eA==\r\n\r\n", 0,
			"GET a.test:443/\n"},
		{&tls, "GET / HTTP/1.1\r\n" H "Connection: Authorization\r\n\r\n", 400, ""},
		{&tls, "GET / HTTP/1.1\r\n" H "Connection: x-goog-api-key\r\n\r\n", 400, ""},
		{&tls, "GET / HTTP/1.1\r\n" H "Connection: private-token\r\n\r\n", 400, ""},
		{&tls, "GET / HTTP/1.1\r\n" H "Connection: x-forwarded-for\r\n\r\n", 400, ""},
		{&tls, "GET / HTTP/1.1\r\n" H "Connection: cookie\r\n\r\n", 400, ""},
		{&tls, "GET / HTTP/1.1\r\n" H "Cookie: a=1\r\nA: b\r\nCookie: c=2\r\n\r\n", 0,
			"GET a.test:443/ cookie=a=1; c=2 a=b\n"},
		{&tls, "GET / HTTP/1.1\r\n" H "X-Api-Key: 1\r\nX-API-KEY: 2\r\n\r\n", 400, ""},
		{&tls, "GET / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n", 417, ""},
		{&tls, "GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\nConnection: upgrade\r\n\r\n", 0,
			"GET a.test:443/\n"},
		{&tls, "GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
			400, ""},
#undef H
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct canon_told t;

		drive(&t, cases[i].conn, cases[i].text);
		if (t.status != cases[i].status || strcmp(t.text, cases[i].line) != 0)
			print_error("%s: %d %s\n%s\n", cases[i].text, t.status, t.why, t.text);
		assert_int_equal(t.status, cases[i].status);
		assert_string_equal(t.text, cases[i].line);
	}
}

static void test_overrides(void **state)
{
	static const struct {
		const char *target, *field;
		bool ok;
	} cases[] = {{"/", "X-HTTP-Method-Override: DELETE", true},
		{"/", "X-Method-Override: PUT", true}, {"/", "X-Original-URL: /admin", true},
		{"/?_method=DELETE", "A: b", false}, {"/?a=1&_METHOD=put", "A: b", false},
		{"/?%5fmeth%6Fd=put", "A: b", false}, {"/?_methods=x&x_method=y", "A: b", true},
		{"/?a=_method", "A: b", true}};
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_parser *p = http_parser_new(HTTP_REQUEST);
		struct http_canon c;
		const char *data;
		size_t used, n;

		http_canon_init(&c);
		(void)snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nHost: a.test\r\n%s\r\n\r\n",
			cases[i].target, cases[i].field);
		assert_int_equal(http_parse(p, text, strlen(text), &used, &data, &n), HTTP_HEAD);
		assert_true(http_canon_h1(&c, &tls, http_head(p)));
		assert_int_equal(http_canon_no_overrides(&c), cases[i].ok);
		for (uint16_t k = 0; cases[i].ok && k < c.q.fields.n; k++)
			assert_string_equal(c.q.fields.v[k].name, "a");
		http_canon_fini(&c);
		http_parser_free(p);
	}
}

/* ---- HTTP/2 ---- */

#define F(n, v)                                                                                    \
	{                                                                                          \
		(n), (v), sizeof(n) - 1, sizeof(v) - 1, false                                      \
	}

static void test_h2(void **state)
{
	static const struct {
		struct h2_head h;
		struct egress_fields f;
		bool end;
		int status;
		enum egress_kind kind;
	} cases[] = {
		{{"GET", "https", "a.test", "/"}, {.n = 0}, true, 0, EGRESS_PLAIN},
		{{"GET", "https", "a.test:443", "/"}, {.n = 1, .v = {F("host", "A.test")}}, true, 0,
			EGRESS_PLAIN},
		{{"GET", "https", "a.test", "/"}, {.n = 1, .v = {F("host", "b.test")}}, true, 400,
			0},
		{{"GET", "https", NULL, "/"}, {.n = 1, .v = {F("host", "b.test")}}, true, 421, 0},
		{{"GET", "https", "b.test", "/"}, {.n = 0}, true, 421, 0},
		{{"GET", "https", "a.test:80", "/"}, {.n = 0}, true, 421, 0},
		{{"GET", "http", "a.test", "/"}, {.n = 0}, true, 421, 0},
		{{"GET", "https", "u@a.test", "/"}, {.n = 0}, true, 400, 0},
		{{"GET", "https", "a.test", ""}, {.n = 0}, true, 400, 0},
		{{"GET", "https", "a.test", "x"}, {.n = 0}, true, 400, 0},
		{{"GET", "https", "a.test", "https://a.test/"}, {.n = 0}, true, 400, 0},
		{{"GET", "https", "a.test", "/ x"}, {.n = 0}, true, 400, 0},
		{{"GET", "https", "a.test", "/#x"}, {.n = 0}, true, 400, 0},
		{{"TRACE", "https", "a.test", "/"}, {.n = 0}, true, 405, 0},
		{{"CONNECT", NULL, "a.test:443", NULL}, {.n = 0}, true, 405, 0},
		{{"G T", "https", "a.test", "/"}, {.n = 0}, true, 400, 0},
		{{"POST", "https", "a.test", "/"}, {.n = 1, .v = {F("content-length", "+5")}},
			false, 400, 0},
		{{"POST", "https", "a.test", "/"},
			{.n = 2, .v = {F("authorization", "a"), F("authorization", "b")}}, false,
			400, 0},
		{{"POST", "https", "a.test", "/s.S/M"},
			{.n = 1, .v = {F("content-type", "application/grpc")}}, false, 0,
			EGRESS_GRPC},
		{{"POST", "https", "a.test", "/s.S/M"},
			{.n = 1, .v = {F("content-type", "application/grpc-web")}}, false, 0,
			EGRESS_PLAIN},
		{{"CONNECT", "https", "a.test", "/ws", "websocket"},
			{.n = 1, .v = {F("sec-websocket-version", "13")}}, false, 0,
			EGRESS_WEBSOCKET},
		{{"CONNECT", "https", "a.test", "/ws", "websocket"}, {.n = 0}, false, 400, 0},
		{{"CONNECT", "https", "a.test", "/ws", "connect-udp"}, {.n = 0}, false, 400, 0},
		{{"GET", "https", "a.test", "/", .why = "large", .bad_status = 431}, {.n = 0}, true,
			431, 0},
	};
	struct http_canon c;

	(void)state;
	http_canon_init(&c);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct h2_head h = cases[i].h;
		bool ok;

		h.fields = &cases[i].f;
		ok = http_canon_h2(&c, &tls, &h, cases[i].end);
		if (ok != (cases[i].status == 0) || (!ok && c.status != cases[i].status))
			print_error("case %zu: %d %s\n", i, c.status, c.why);
		assert_int_equal(ok, cases[i].status == 0);
		if (!ok) {
			assert_int_equal(c.status, cases[i].status);
			continue;
		}
		assert_int_equal(c.q.kind, cases[i].kind);
		assert_string_equal(c.q.host, "a.test");
		assert_null(egress_field(&c.q.fields, "host"));
		assert_int_equal(c.has_body, !cases[i].end && c.q.kind != EGRESS_WEBSOCKET);
	}
	http_canon_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_overrides),
		cmocka_unit_test(test_h2),
	};

	if (!policy_host_parse("a.test", 6, &host))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
