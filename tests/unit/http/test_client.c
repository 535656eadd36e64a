/* test_client.c - the client against a scripted server on a socket pair */
#include "check.h"
#include "base/clock.h"
#include "base/io.h"
#include "http/client.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

/* The answer lies ready before it is asked for: the client does not see a difference. */
static void pair(struct http_client *c, int *server)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(http_client_init(c, fds[0]), 0);
	*server = fds[1];
}

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static int64_t soon(void)
{
	return clock_ms() + 2000;
}

static void test_two_calls_on_one_connection(void **state)
{
	const struct http_ask ask = {.method = "POST", .target = "/x", .body = "{}", .body_len = 2};
	AUTO(http_client) c = {.fd = -1};
	struct err e = {0};
	AUTO_FD server = -1;
	char seen[512] = "";

	(void)state;
	pair(&c, &server);
	for (int i = 0; i < 2; i++) {
		AUTO(http_reply) r = {0};

		put(server, "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
			    "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
		assert_int_equal(http_call(&c, &ask, 100, soon(), &r, &e), 0);
		assert_int_equal(r.status, 201);
		assert_string_equal(r.type, "application/json");
		assert_string_equal(buf_str(&r.body), "hi");
	}
	assert_true(read(server, seen, sizeof(seen) - 1) > 0);
	assert_non_null(strstr(seen, "POST /x HTTP/1.1\r\nHost: sbx\r\n"));
	assert_non_null(strstr(seen, "Content-Length: 2\r\n\r\n{}"));
}

static void test_close_ends_the_connection(void **state)
{
	const struct http_ask ask = {.method = "GET", .target = "/"};
	AUTO(http_client) c = {.fd = -1};
	AUTO(http_reply) r = {0};
	struct err e = {0};
	AUTO_FD server = -1;

	(void)state;
	pair(&c, &server);
	put(server, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx");
	assert_int_equal(http_call(&c, &ask, 100, soon(), &r, &e), 0);
	assert_int_equal(c.fd, -1);
	assert_int_equal(http_call(&c, &ask, 100, soon(), &r, &e), -ENOTCONN);
}

static void test_faults(void **state)
{
	static const struct {
		const char *answer;
		int num;
	} faults[] = {
		{"", -ECONNRESET},
		{"HTTP/1.1 200", -EBADMSG},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", -EBADMSG},
		{"nonsense\r\n\r\n", -EBADMSG},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", -EBADMSG},
		{"HTTP/1.1 200 OK\r\n\r\n0123456789abcdef", -EFBIG},
	};
	const struct http_ask ask = {.method = "GET", .target = "/"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		AUTO(http_client) c = {.fd = -1};
		struct http_reply r;
		struct err e = {0};
		AUTO_FD server = -1;

		pair(&c, &server);
		put(server, faults[i].answer);
		assert_int_equal(shutdown(server, SHUT_WR), 0);
		assert_int_equal(http_call(&c, &ask, 8, soon(), &r, &e), faults[i].num);
		assert_true(e.msg[0]);
	}
}

static void test_deadline(void **state)
{
	const struct http_ask ask = {.method = "GET", .target = "/"};
	AUTO(http_client) c = {.fd = -1};
	struct http_reply r;
	struct err e = {0};
	AUTO_FD server = -1;

	(void)state;
	pair(&c, &server);
	assert_int_equal(http_call(&c, &ask, 8, clock_ms() + 30, &r, &e), -ETIMEDOUT);
	assert_int_equal(e.code, ERR_TIMEOUT);
}

static void test_lines(void **state)
{
	const struct http_ask ask = {
		.method = "POST", .target = "/", .accept = "application/x-ndjson"};
	AUTO(http_client) c = {.fd = -1};
	AUTO(http_reply) r = {0};
	struct err e = {0};
	AUTO_FD server = -1;
	AUTO(buf) line;

	(void)state;
	buf_init(&line, 16);
	pair(&c, &server);
	put(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		    "3\r\none\r\n5\r\n\ntwo\n\r\n2\r\n\nx\r\n0\r\n\r\n");
	assert_int_equal(http_open(&c, &ask, soon(), &r, &e), 0);
	assert_int_equal(http_line(&c, &line, soon(), &e), 1);
	assert_string_equal(buf_str(&line), "one");
	assert_int_equal(http_line(&c, &line, soon(), &e), 1);
	assert_string_equal(buf_str(&line), "two");
	assert_int_equal(http_line(&c, &line, soon(), &e), 1);
	assert_int_equal(line.len, 0);
	assert_int_equal(http_line(&c, &line, soon(), &e), 1);
	assert_string_equal(buf_str(&line), "x");
	assert_int_equal(http_line(&c, &line, soon(), &e), 0);
	assert_int_equal(http_line(&c, &line, soon(), &e), 0);
	assert_true(c.fd >= 0); /* and the connection can be used again */
}

static void test_line_too_long(void **state)
{
	const struct http_ask ask = {.method = "GET", .target = "/"};
	AUTO(http_client) c = {.fd = -1};
	AUTO(http_reply) r = {0};
	struct err e = {0};
	AUTO_FD server = -1;
	AUTO(buf) line;

	(void)state;
	buf_init(&line, 4);
	pair(&c, &server);
	put(server, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n012345\n");
	assert_int_equal(http_open(&c, &ask, soon(), &r, &e), 0);
	assert_int_equal(http_line(&c, &line, soon(), &e), -EFBIG);
}

#define SWITCH "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: p/1\r\n\r\n"

static void test_upgrade_keeps_the_connection(void **state)
{
	AUTO(http_client) c = {.fd = -1};
	AUTO(http_reply) r = {0};
	struct err e = {0};
	AUTO_FD server = -1;
	AUTO_FD fd = -1;
	char seen[512] = "";

	(void)state;
	pair(&c, &server);
	put(server, SWITCH);
	assert_int_equal(http_upgrade(&c, "/s", "p/1", false, soon(), &fd, &r, &e), 0);
	assert_int_equal(r.status, 101);
	assert_true(fd >= 0);
	assert_int_equal(c.fd, -1);
	put(server, "hi");
	assert_int_equal(read(fd, seen, 2), 2);
	assert_true(read(server, seen, sizeof(seen) - 1) > 0);
	assert_non_null(strstr(seen, "Connection: upgrade\r\nUpgrade: p/1\r\n"));
	assert_null(strstr(seen, "Sbx-Pass-Fd"));
}

static void test_upgrade_with_a_descriptor(void **state)
{
	AUTO(http_client) c = {.fd = -1};
	AUTO(http_reply) r = {0};
	struct err e = {0};
	AUTO_FD server = -1;
	AUTO_FD fd = -1;
	char byte = 0;
	int pipe_fds[2];

	(void)state;
	pair(&c, &server);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(io_send_fd(server, SWITCH, strlen(SWITCH), pipe_fds[1], soon()), 0);
	close(pipe_fds[1]);
	assert_int_equal(http_upgrade(&c, "/s", "p/1", true, soon(), &fd, &r, &e), 0);
	assert_int_equal(write(fd, "z", 1), 1);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	assert_int_equal(byte, 'z');
	assert_int_equal(c.fd, -1);
	close(pipe_fds[0]);
}

static void test_upgrade_refused(void **state)
{
	AUTO(http_client) c = {.fd = -1};
	AUTO(http_reply) r = {0};
	struct err e = {0};
	AUTO_FD server = -1;
	int fd = 7;

	(void)state;
	pair(&c, &server);
	put(server, "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno");
	assert_int_equal(http_upgrade(&c, "/s", "p/1", true, soon(), &fd, &r, &e), 0);
	assert_int_equal(r.status, 409);
	assert_int_equal(fd, -1);
	assert_string_equal(buf_str(&r.body), "no");
	assert_true(c.fd >= 0);
}

static void test_upgrade_with_early_bytes(void **state)
{
	AUTO(http_client) c = {.fd = -1};
	struct http_reply r;
	struct err e = {0};
	AUTO_FD server = -1;
	int fd = -1;

	(void)state;
	pair(&c, &server);
	put(server, SWITCH "x");
	assert_int_equal(http_upgrade(&c, "/s", "p/1", false, soon(), &fd, &r, &e), -EPROTO);
	assert_int_equal(fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_calls_on_one_connection),
		cmocka_unit_test(test_close_ends_the_connection),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_line_too_long),
		cmocka_unit_test(test_upgrade_keeps_the_connection),
		cmocka_unit_test(test_upgrade_with_a_descriptor),
		cmocka_unit_test(test_upgrade_refused),
		cmocka_unit_test(test_upgrade_with_early_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
