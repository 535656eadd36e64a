/* test_front_http.c - plain HTTP/1 through the front: allowed, denied, refused, kept alive, streamed */
#include "check.h"
#include "front_rig.h"
#include <string.h>
#include <sys/socket.h>

static const struct rig_rule rules[] = {
	{POLICY_ALLOW, "a.test", NULL, 0, false},
	{POLICY_ALLOW, "b.test", "/open/**", POLICY_GET | POLICY_HEAD, false},
	{POLICY_ASK, "c.test", NULL, 0, false},
	{POLICY_DENY, "evil.test", NULL, 0, false},
};

#define A    "93.184.216.1"
#define B    "93.184.216.2"
#define EVIL "93.184.216.3"

static struct rig *make(void)
{
	struct rig *r = rig_new(rules, ARRAY_LEN(rules));

	rig_pin(r, "a.test", A);
	rig_pin(r, "b.test", B);
	rig_pin(r, "c.test", B);
	rig_pin(r, "evil.test", EVIL);
	return r;
}

static bool has(const char *text, const char *what)
{
	if (!strstr(text, what))
		print_error("no '%s' in: %s\n", what, text);
	return strstr(text, what) != NULL;
}

static void test_allow(void **state)
{
	struct rig *r = make();
	int fd = rig_open(r, A, 80);
	const char *got;

	(void)state;
	got = rig_talk(r, fd,
		"GET /hello?x=1 HTTP/1.1\r\nHost: A.test.\r\nX: y\r\n"
		"Connection: foo\r\nFoo: bar\r\n\r\n");
	assert_true(has(got, "HTTP/1.1 200 OK\r\n"));
	assert_true(has(got, "transfer-encoding: chunked\r\n"));
	assert_true(has(got, "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
	assert_string_equal(r->asked, "GET http://a.test:80/hello?x=1 x=y\n");
	got = rig_talk(r, fd, "GET /length HTTP/1.1\r\nHost: a.test:80\r\n\r\n");
	assert_true(has(got, "content-length: 5\r\n"));
	assert_true(has(got, "\r\n\r\nhello"));
	assert_int_equal(r->n_ch, 1); /* the channel was used again */
	got = rig_talk(r, fd, "HEAD /hello HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(got, "200 OK") && !strstr(got, "hello"));
	got = rig_talk(r, fd, "GET /nowhere HTTP/1.0\r\nHost: a.test\r\n\r\n");
	assert_true(has(got, "404 Not Found") && has(got, "connection: close"));
	assert_int_equal(r->n_records, 4);
	assert_true(has(r->records, "4 1 a.test:80 GET /hello rule=r0 rule 200\n"));
	close(fd);
	rig_free(r);
}

static void test_deny(void **state)
{
	struct rig *r = make();
	int fd = rig_open(r, EVIL, 80);
	const char *got;

	(void)state;
	got = rig_talk(r, fd, "GET /x HTTP/1.1\r\nHost: evil.test\r\n\r\n");
	assert_true(has(got, "HTTP/1.1 403 Forbidden\r\n"));
	assert_true(has(got, "x-sbx-decision: deny\r\n"));
	assert_true(has(got, "\"rule\":\"r3\""));
	got = rig_talk(r, fd, "GET /x HTTP/1.1\r\nHost: evil.test\r\nAccept: text/html\r\n\r\n");
	assert_true(has(got, "text/plain"));
	close(fd);
	fd = rig_open(r, B, 80);
	/* pipelined: allowed, denied by its method, denied by its path, allowed */
	got = rig_talk(r, fd,
		"GET /open/1 HTTP/1.1\r\nHost: b.test\r\n\r\n"
		"POST /open/2 HTTP/1.1\r\nHost: b.test\r\n\r\n"
		"GET /closed HTTP/1.1\r\nHost: b.test\r\n\r\n"
		"GET /open/4 HTTP/1.1\r\nHost: b.test\r\n\r\n");
	assert_true(has(got, "404 Not Found") && has(got, "403 Forbidden"));
	assert_string_equal(r->asked, "GET http://b.test:80/open/1\nGET http://b.test:80/open/4\n");
	assert_int_equal(r->n_records, 6);
	close(fd);
	rig_free(r);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *status;
	} cases[] = {
		{"GET / HTTP/1.1\r\n\r\n", "400"},
		{"GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n", "400"},
		{"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n", "421"}, /* not that address's name */
		{"GET / HTTP/1.1\r\nHost: a.test:8080\r\n\r\n", "421"},
		{"GET / HTTP/1.1\r\nHost: 93.184.216.9\r\n\r\n", "421"},
		{"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"},
		{"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n", "405"},
		{"TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n", "405"},
		{"GET /%zz HTTP/1.1\r\nHost: a.test\r\n\r\n", "400"},
		{"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"400"},
		{"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: authorization\r\n"
		 "Authorization: x\r\n\r\n",
			"400"},
		{"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: x-goog-api-key\r\n\r\n", "400"},
		{"GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: x\r\nauthorization: y\r\n\r\n",
			"400"},
	};
	struct rig *r = make();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		static char got[65536];
		int fd = rig_open(r, A, 80);
		char want[32];
		bool end;

		rig_send(r, fd, cases[i].text);
		rig_recv(r, fd, got, sizeof(got), &end);
		(void)snprintf(want, sizeof(want), "HTTP/1.1 %s ", cases[i].status);
		if (strncmp(got, want, strlen(want)) != 0)
			print_error("case %zu: %s\n", i, got);
		assert_memory_equal(got, want, strlen(want));
		close(fd);
		rig_run(r, 200);
		assert_int_equal(r->n_records, i + 1);
	}
	assert_int_equal(r->n_asked, 0);
	rig_free(r);
}

static void test_bodies(void **state)
{
	static char block[100001], got[RIG_TEXT];
	struct rig *r = make();
	int fd = rig_open(r, A, 80);
	const char *text;
	size_t n;

	(void)state;
	text = rig_talk(r, fd,
		"POST /echo HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n"
		"Content-Length: 5\r\n\r\n");
	assert_string_equal(text, "HTTP/1.1 100 Continue\r\n\r\n");
	text = rig_talk(r, fd, "abcde");
	assert_true(has(text, "200 OK") && has(text, "\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"));
	text = rig_talk(r, fd,
		"POST /echo HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n"
		"\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n");
	assert_true(has(text, "abc") && has(r->asked, "trailer x-sum=5\n"));
	memset(block, 'x', sizeof(block) - 1);
	rig_send(r, fd, "POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 500000\r\n\r\n");
	n = 0;
	for (unsigned i = 0; i < 5; i++) {
		rig_send(r, fd, block);
		n += rig_recv(r, fd, got, sizeof(got), NULL);
	}
	assert_true(n >= 500000);
	text = rig_talk(r, fd, "GET /fail HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(text, "502 ") && has(text, "the rig refuses"));
	text = rig_talk(r, fd, "GET /trailers HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(text, "7\r\nmessage\r\n0\r\ngrpc-status: 0\r\n\r\n"));
	close(fd);
	/* answers that are not what they say end the connection */
	fd = rig_open(r, A, 80);
	text = rig_talk(r, fd, "GET /lies HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(!strstr(text, "hello"));
	close(fd);
	fd = rig_open(r, A, 80);
	text = rig_talk(r, fd, "GET /split HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(!strstr(text, "b: c"));
	close(fd);
	rig_free(r);
}

/* A long frame of the vault's need not be whole for its bytes to go on, and the exchange ends as any does. */
static void test_half_a_frame(void **state)
{
	static char got[RIG_TEXT];
	struct rig *r = make();
	int fd = rig_open(r, A, 80);
	size_t n;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		rig_send(r, fd, "GET /half HTTP/1.1\r\nHost: a.test\r\n\r\n");
		n = rig_recv(r, fd, got, sizeof(got), NULL);
		assert_true(n > EGRESS_FRAME_MAX / 2 && n < EGRESS_FRAME_MAX);
		rig_other_half(r);
		n += rig_recv(r, fd, got, sizeof(got), NULL);
		assert_true(n > EGRESS_FRAME_MAX &&
			    strcmp(got + strlen(got) - 7, "\r\n0\r\n\r\n") == 0);
	}
	assert_int_equal(r->f.n_channels, 1); /* it was fit to be used again */
	/* given up within: the channel is not */
	rig_send(r, fd, "GET /half HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(rig_recv(r, fd, got, sizeof(got), NULL) > EGRESS_FRAME_MAX / 2);
	close(fd);
	rig_run(r, 200);
	assert_int_equal(r->f.n_streams + r->f.n_channels, 0);
	rig_free(r);
}

static void test_back_pressure(void **state)
{
	static char block[65536], got[RIG_TEXT];
	struct rig *r = make();
	int fd = rig_open(r, A, 80);
	size_t sent = 0, n;

	(void)state;
	/* up: the vault reads nothing */
	rig_send(r, fd, "POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n");
	rig_run(r, 100);
	r->stopped = true;
	for (unsigned quiet = 0; quiet < 3;) {
		ssize_t k = write(fd, block, sizeof(block));

		sent += k > 0 ? (size_t)k : 0;
		quiet = k > 0 ? 0 : quiet + 1;
		rig_run(r, 100);
	}
	assert_true(sent < (2U << 20)); /* sockets' buffers, and the front's */
	assert_true(r->f.memory < (1U << 20));
	close(fd);
	r->stopped = false;
	rig_run(r, 200);
	/* down: the guest reads nothing */
	fd = rig_open(r, A, 80);
	rig_send(r, fd, "GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
	rig_run(r, 500);
	assert_true(r->f.memory < (1U << 20));
	n = 0;
	for (unsigned i = 0; i < 20 && n < 64 * EGRESS_FRAME_MAX; i++)
		n += rig_recv(r, fd, got, sizeof(got), NULL);
	assert_true(n > 64 * EGRESS_FRAME_MAX);
	close(fd);
	rig_run(r, 200);
	assert_int_equal(r->f.n_streams, 0);
	rig_free(r);
}

static void test_ask(void **state)
{
	struct rig *r = make();
	int fd = rig_open(r, B, 80);
	const char *got;
	char line[100];

	(void)state;
	got = rig_talk(r, fd, "GET /hello HTTP/1.1\r\nHost: c.test\r\n\r\n");
	assert_string_equal(got, "");
	assert_int_equal(r->n_questions, 1);
	rig_verdict(r, r->last_question, true);
	got = rig_talk(r, fd, "");
	assert_true(has(got, "hello"));
	got = rig_talk(r, fd, "GET /hello HTTP/1.1\r\nHost: c.test\r\n\r\n");
	assert_string_equal(got, "");
	rig_verdict(r, r->last_question, false);
	got = rig_talk(r, fd, "");
	assert_true(has(got, "403 Forbidden"));
	/* a rule that comes while it waits decides it */
	got = rig_talk(r, fd, "GET /hello HTTP/1.1\r\nHost: c.test\r\n\r\n");
	assert_string_equal(got, "");
	rig_policy(r, (const struct rig_rule[]){{POLICY_ALLOW, "c.test", NULL, 0, false}}, 1);
	got = rig_talk(r, fd, "");
	assert_true(has(got, "hello"));
	assert_int_equal(r->f.n_asking, 0);
	close(fd);
	/* who leaves while it is asked was not allowed anything */
	fd = rig_open(r, B, 80);
	rig_policy(r, (const struct rig_rule[]){{POLICY_ASK, "c.test", NULL, 0, false}}, 1);
	rig_talk(r, fd, "GET /hello HTTP/1.1\r\nHost: c.test\r\n\r\n");
	assert_int_equal(r->f.n_asking, 1);
	close(fd);
	rig_run(r, 200);
	assert_int_equal(r->f.n_asking, 0);
	(void)snprintf(line, sizeof(line), "%d %d c.test:80 GET /hello rule=r0 aborted",
		(int)EGRESS_ON_HTTP, (int)EGRESS_DENY);
	assert_non_null(strstr(r->records, line));
	rig_free(r);
}

static void test_policy_cut(void **state)
{
	static const struct rig_rule none[] = {{POLICY_DENY, "a.test", NULL, 0, false}};
	static char got[65536];
	struct rig *r = make();
	int before = rig_open(r, A, 80), within = rig_open(r, A, 80);
	const char *text;
	bool end;

	(void)state;
	(void)rig_talk(r, before, "GET /wait HTTP/1.1\r\nHost: a.test\r\n\r\n");
	text = rig_talk(
		r, within, "POST /echo HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nab");
	assert_true(has(text, "200 OK"));
	rig_policy(r, none, ARRAY_LEN(none));
	text = rig_talk(r, before, "");
	assert_true(has(text, "403 Forbidden"));
	rig_recv(r, within, got, sizeof(got), &end);
	assert_true(end && !strstr(got, "0\r\n\r\n")); /* cut, and it does not look whole */
	text = rig_talk(r, before, "GET /hello HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(text, "403 Forbidden"));
	close(before);
	close(within);
	rig_free(r);
}

static void test_vault_dies(void **state)
{
	struct rig *r = make();
	int fd = rig_open(r, A, 80);
	const char *text;

	(void)state;
	(void)rig_talk(r, fd, "GET /wait HTTP/1.1\r\nHost: a.test\r\n\r\n");
	rig_kill_vault(r);
	text = rig_talk(r, fd, "");
	assert_true(has(text, "502 "));
	text = rig_talk(r, fd, "GET /hello HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(text, "503 "));
	rig_new_vault(r);
	text = rig_talk(r, fd, "GET /hello HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(text, "hello"));
	close(fd);
	rig_free(r);
}

static void test_websocket(void **state)
{
	static char got[65536];
	struct rig *r = make();
	int fd = rig_open(r, A, 80);
	const char *text;
	bool end;

	(void)state;
	text = rig_talk(r, fd,
		"GET /101 HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\n"
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	assert_true(has(text, "HTTP/1.1 101 ") &&
		    has(text, "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	assert_string_equal(r->asked, "GET http://a.test:80/101 websocket body\n");
	/* a masked "hi" goes up without mask, and comes back so */
	assert_int_equal(write(fd, "\x81\x82\1\2\3\4\x69\x6b", 8), 8);
	assert_int_equal(rig_recv(r, fd, got, sizeof(got), &end), 4);
	assert_memory_equal(got, "\x81\x02hi", 4);
	assert_int_equal(write(fd, "\x81\x02hi", 4), 4); /* without mask: refused */
	rig_recv(r, fd, got, sizeof(got), &end);
	assert_true(end);
	close(fd);
	fd = rig_open(r, A, 80);
	text = rig_talk(r, fd,
		"GET /101 HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\n"
		"Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	assert_true(has(text, "426 "));
	close(fd);
	/* an upgrade to something else is no upgrade */
	fd = rig_open(r, A, 80);
	text = rig_talk(r, fd,
		"GET /hello HTTP/1.1\r\nHost: a.test\r\n"
		"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
		"HTTP2-Settings: AAMAAABk\r\n\r\n");
	assert_true(has(text, "200 OK"));
	/* a 101 that nobody asked for */
	text = rig_talk(r, fd, "GET /101 HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_true(has(text, "502 "));
	close(fd);
	rig_free(r);
}

static void test_half_close(void **state)
{
	static char got[4096];
	struct rig *r = make();
	int fd = rig_open(r, A, 80);
	bool end;

	(void)state;
	rig_send(r, fd, "GET /hello HTTP/1.1\r\nHost: a.test\r\n\r\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	rig_recv(r, fd, got, sizeof(got), &end);
	assert_true(end && has(got, "hello"));
	close(fd);
	rig_run(r, 100);
	assert_int_equal(r->f.n_streams, 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allow),
		cmocka_unit_test(test_deny),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_half_a_frame),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_ask),
		cmocka_unit_test(test_policy_cut),
		cmocka_unit_test(test_vault_dies),
		cmocka_unit_test(test_websocket),
		cmocka_unit_test(test_half_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
