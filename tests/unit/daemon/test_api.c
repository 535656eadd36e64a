/* test_api.c - requests as bytes: what the daemon answers, what it refuses, and that it stays up */
#include "check.h"
#include "rig.h"
#include "base/clock.h"
#include "base/io.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct rig *rig;

static int setup(void **state)
{
	(void)state;
	rig = rig_new();
	if (rig)
		rig_up(rig);
	return 0;
}

static int teardown(void **state)
{
	int r = rig_free(rig);

	(void)state;
	rig = NULL;
	return r;
}

#define NEED_RIG()                                                                                 \
	do {                                                                                       \
		if (!rig)                                                                          \
			SKIP("no rig here");                                                       \
	} while (0)

/* talk() - send bytes, give the first answer's bytes that come until it is quiet or closed */
static void talk(const char *text, size_t len, char *dst, size_t cap)
{
	AUTO_FD fd = rig_connect(rig);
	size_t n = 0;

	assert_true(fd >= 0);
	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
	while (n < cap - 1 && io_wait(fd, POLLIN, clock_ms() + (n ? 200 : 5000)) == 0) {
		ssize_t got = recv(fd, dst + n, cap - 1 - n, 0);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	dst[n] = '\0';
}

static int status_of(const char *answer)
{
	int status = 0;

	(void)sscanf(answer, "HTTP/1.1 %d", &status);
	return status;
}

#define H "Host: sbx\r\n"

static const struct {
	const char *name, *request;
	int status;
} cases[] = {
	{"version", "GET /v1/version HTTP/1.1\r\n" H "\r\n", 200},
	{"old protocol", "GET /v1/version HTTP/1.0\r\n\r\n", 200},
	{"no such path", "GET /v2/version HTTP/1.1\r\n" H "\r\n", 404},
	{"deeper path", "GET /v1/version/x HTTP/1.1\r\n" H "\r\n", 404},
	{"wrong method", "DELETE /v1/version HTTP/1.1\r\n" H "\r\n", 400},
	{"dot segments", "GET /v1/sandboxes/../version HTTP/1.1\r\n" H "\r\n", 400},
	{"escaped slash", "GET /v1/sandboxes/..%2f..%2fetc HTTP/1.1\r\n" H "\r\n", 400},
	{"unknown parameter", "GET /v1/sandboxes?x=1 HTTP/1.1\r\n" H "\r\n", 400},
	{"absolute target", "GET http://sbx/v1/version HTTP/1.1\r\n" H "\r\n", 400},
	{"from a web page", "GET /v1/version HTTP/1.1\r\n" H "Origin: http://evil.test\r\n\r\n",
		403},
	{"body where none is taken",
		"GET /v1/version HTTP/1.1\r\n" H
		"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		400},
	{"no type", "POST /v1/sandboxes HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\n{}", 400},
	{"other type",
		"POST /v1/sandboxes HTTP/1.1\r\n" H
		"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
		400},
	{"form",
		"POST /v1/sandboxes HTTP/1.1\r\n" H
		"Content-Type: application/jsonx\r\nContent-Length: 2\r\n\r\n{}",
		400},
	{"empty object",
		"POST /v1/sandboxes HTTP/1.1\r\n" H
		"Content-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}",
		400},
	{"no body", "POST /v1/sandboxes HTTP/1.1\r\n" H "\r\n", 400},
	{"chunked body",
		"POST /v1/sandboxes HTTP/1.1\r\n" H
		"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
		"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
		400},
	{"too large",
		"POST /v1/sandboxes HTTP/1.1\r\n" H
		"Content-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n{",
		413},
	{"duplicate key",
		"POST /v1/sandboxes HTTP/1.1\r\n" H
		"Content-Type: application/json\r\nContent-Length: 29\r\n\r\n"
		"{\"agent\":\"box\",\"agent\":\"box\"}",
		400},
	{"upgrade to nothing",
		"GET /v1/version HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
		400},
	{"smuggled",
		"POST /v1/sandboxes HTTP/1.1\r\n" H
		"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		400},
	{"not HTTP", "\x16\x03\x01\x02\x00\x01\x00", 400},
	{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
};

static void test_answers(void **state)
{
	(void)state;
	NEED_RIG();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char answer[4096];
		const char *body;

		talk(cases[i].request, strlen(cases[i].request), answer, sizeof(answer));
		if (status_of(answer) != cases[i].status)
			print_error("%s: %s\n", cases[i].name, answer);
		assert_int_equal(status_of(answer), cases[i].status);
		body = strstr(answer, "\r\n\r\n");
		assert_non_null(body);
		if (cases[i].status >= 400)
			assert_int_equal(strncmp(body + 4, "{\"error\":{\"code\":\"", 18), 0);
	}
	assert_int_equal(rig_ask(rig, "GET", "/v1/version", NULL, NULL), 200);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
	static const char text[] = "GET /v1/sandboxes HTTP/1.1\r\n" H "\r\n"
				   "GET /v1/nothing HTTP/1.1\r\n" H "\r\n"
				   "GET /v1/version HTTP/1.1\r\n" H "Connection: close\r\n\r\n";
	char answer[4096];
	const char *one, *two, *three;

	(void)state;
	NEED_RIG();
	talk(text, sizeof(text) - 1, answer, sizeof(answer));
	one = strstr(answer, "{\"sandboxes\":[]}");
	two = strstr(answer, "\"not_found\"");
	three = strstr(answer, "{\"version\":");
	assert_true(one && two && three && one < two && two < three);
}

static void test_expect_continue(void **state)
{
	static const char text[] = "POST /v1/sandboxes HTTP/1.1\r\n" H
				   "Content-Type: application/json\r\nExpect: 100-continue\r\n"
				   "Content-Length: 2\r\n\r\n{}";
	char answer[4096];

	(void)state;
	NEED_RIG();
	talk(text, sizeof(text) - 1, answer, sizeof(answer));
	assert_int_equal(strncmp(answer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 ", 38), 0);
}

static void test_too_many_connections(void **state)
{
	int fds[140];
	unsigned refused = 0;

	(void)state;
	NEED_RIG();
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = rig_connect(rig);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		char answer[64] = "";

		if (i >= 128 && io_wait(fds[i], POLLIN, clock_ms() + 2000) == 0 &&
			recv(fds[i], answer, sizeof(answer) - 1, 0) > 0)
			refused += status_of(answer) == 503;
	}
	assert_int_equal(refused, ARRAY_LEN(fds) - 128);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	{
		/* and when they have gone there is room again */
		int64_t deadline = clock_ms() + 5000;
		char answer[4096] = "";

		while (status_of(answer) != 200 && clock_ms() < deadline)
			talk(cases[0].request, strlen(cases[0].request), answer, sizeof(answer));
		assert_int_equal(status_of(answer), 200);
	}
}

static void test_other_users_are_refused(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	NEED_RIG();
	if (geteuid() != 0)
		SKIP("needs root, to become another user");
	/* Modes alone would stop it: open them, so that the peer's uid is what decides. */
	assert_int_equal(chmod(rig->dir, 0755), 0);
	assert_int_equal(chmod(rig_path(rig, "state"), 0755), 0);
	assert_int_equal(chmod(rig_path(rig, "state/sbxd.sock"), 0666), 0);
	pid = fork();
	if (pid == 0) {
		char byte;
		int fd;

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(1);
		fd = rig_connect(rig);
		if (fd < 0)
			_exit(2);
		(void)!send(fd, cases[0].request, strlen(cases[0].request), MSG_NOSIGNAL);
		if (io_wait(fd, POLLIN, clock_ms() + 5000) < 0)
			_exit(3);
		_exit(recv(fd, &byte, 1, 0) <= 0 ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define API(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		API(test_answers),
		API(test_pipelined_requests_are_answered_in_order),
		API(test_expect_continue),
		API(test_too_many_connections),
		API(test_other_users_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
