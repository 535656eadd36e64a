/* test_ports_serve.c - guests that answer, refuse, lie, say nothing, flood or never read */
#include "check.h"
#include "base/clock.h"
#include "base/io.h"
#include "daemon/ports_serve.h"
#include "proto/agent.h"
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#define WAIT_MS 20000

struct fix {
	struct ports_server *server;
	struct sockaddr_in at;
	unsigned fds;
	int way[2]; /* streams as the guest gets them */
	atomic_bool no_guest;
	atomic_uint dials;
};

/* dial() - on the server's thread: the guest's end goes to the test */
static int dial(void *ctx)
{
	struct fix *f = ctx;
	int pair[2];

	atomic_fetch_add(&f->dials, 1);
	if (atomic_load(&f->no_guest) ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -ENOTCONN;
	if (io_send_fd(f->way[1], "x", 1, pair[1], clock_ms() + WAIT_MS) < 0) {
		close(pair[0]);
		pair[0] = -EPIPE;
	}
	close(pair[1]);
	return pair[0];
}

static void door(struct fix *f, unsigned id, struct sockaddr_in *ret)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 256), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(ports_server_add(f->server, id, fd, 3000), 0);
	*ret = a;
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds = open_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->way), 0);
	assert_int_equal(ports_server_new(dial, f, PORTS_DIAL_MS, &f->server), 0);
	door(f, 1, &f->at);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;
	unsigned before = f->fds;

	ports_server_free(f->server);
	close(f->way[0]);
	close(f->way[1]);
	free(f);
	return open_fds() == before ? 0 : -1;
}

static int client(const struct sockaddr_in *at)
{
	const struct timeval t = {.tv_sec = WAIT_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	assert_int_equal(connect(fd, (const struct sockaddr *)at, sizeof(*at)), 0);
	return fd;
}

/* guest() - its end of the next stream, DIAL read */
static int guest(struct fix *f)
{
	static const uint8_t want[] = {2, 0, 0, 0, FRAME_DIAL, 1, 0, 0, 0xb8, 0x0b};
	uint8_t got[sizeof(want)];
	char c;
	int fd;

	assert_int_equal(io_recv_fd(f->way[0], &c, 1, &fd, clock_ms() + WAIT_MS), 1);
	assert_int_equal(io_read_full(fd, got, sizeof(got), clock_ms() + WAIT_MS), 0);
	assert_memory_equal(got, want, sizeof(want));
	return fd;
}

static void ok(int fd)
{
	static const uint8_t frame[FRAME_HEADER] = {0, 0, 0, 0, FRAME_OK, 1};

	assert_int_equal(write(fd, frame, sizeof(frame)), sizeof(frame));
}

static void expect_reset(int fd)
{
	char c;

	assert_int_equal(recv(fd, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
}

static void pass(int from, int to, const char *text)
{
	char got[64] = "";

	assert_int_equal(write(from, text, strlen(text)), strlen(text));
	assert_int_equal(io_read_full(to, got, strlen(text), clock_ms() + WAIT_MS), 0);
	assert_string_equal(got, text);
}

static void test_both_ways(void **state)
{
	struct fix *f = *state;
	AUTO_FD c = client(&f->at);
	AUTO_FD g = -1;
	char byte;

	pass(c, c >= 0 ? (g = guest(f), ok(g), g) : -1, "early"); /* sent before the answer */
	pass(g, c, "answer");
	assert_int_equal(shutdown(c, SHUT_WR), 0);
	assert_int_equal(recv(g, &byte, 1, 0), 0);
	pass(g, c, "late");
	own_close_fd(&g);
	assert_int_equal(recv(c, &byte, 1, 0), 0);
}

static void test_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} answers[] = {
		{"", 0}, /* the end without a word */
		{"\10\0\0\0\41\1\0\0\157\0\0\0\0\0\0\0", 16}, /* ERROR */
		{"\1\0\0\0\40\1\0\0", 8}, /* OK with a body */
		{"\0\0\0\0\40\2\0\0", 8}, /* of another version */
		{"HTTP/1.1 200 OK\r\n\r\n", 19},
		{"\0\0\0", 3}, /* cut */
		{"\377\377\377\377\377\377\377\377", 8},
	};
	struct fix *f = *state;

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		int c = client(&f->at), g = guest(f);

		assert_int_equal(send(g, answers[i].bytes, answers[i].len, 0), answers[i].len);
		close(g);
		expect_reset(c);
	}
	atomic_store(&f->no_guest, true);
	expect_reset(client(&f->at));
}

/* The answer in pieces, with the first bytes of the service behind it. */
static void test_answer_in_pieces(void **state)
{
	static const char bytes[] = "\0\0\0\0\40\1\0\0"
				    "220 hello";
	struct fix *f = *state;
	AUTO_FD c = client(&f->at);
	AUTO_FD g = guest(f);
	char got[16] = "";

	for (size_t i = 0; i < 5; i++)
		assert_int_equal(write(g, bytes + i, 1), 1);
	assert_int_equal(write(g, bytes + 5, sizeof(bytes) - 6), sizeof(bytes) - 6);
	assert_int_equal(io_read_full(c, got, 9, clock_ms() + WAIT_MS), 0);
	assert_string_equal(got, "220 hello");
}

/* A guest that breaks off in the middle is told as a reset. */
static void test_broken_off(void **state)
{
	struct fix *f = *state;
	int c = client(&f->at);
	AUTO_FD g = guest(f);
	char half[8] = "";

	ok(g);
	assert_int_equal(write(g, "half", 4), 4);
	assert_int_equal(io_read_full(c, half, 4, clock_ms() + WAIT_MS), 0);
	own_close_fd(&g);
	expect_reset(c);
}

/* Guests that say nothing take no more than their share, others wait, and none is lost. */
static void test_silent_guests(void **state)
{
	struct fix *f = *state;
	int clients[PORTS_DIALING + 8], guests[PORTS_DIALING + 8];
	size_t n = sizeof(clients) / sizeof(clients[0]);
	struct pollfd more = {.fd = f->way[0], .events = POLLIN};

	for (size_t i = 0; i < n; i++)
		clients[i] = client(&f->at);
	for (size_t i = 0; i < PORTS_DIALING; i++)
		guests[i] = guest(f);
	assert_int_equal(poll(&more, 1, 200), 0); /* nobody else was dialled */
	assert_int_equal(atomic_load(&f->dials), PORTS_DIALING);
	for (size_t i = 0; i < n; i++) {
		if (i >= PORTS_DIALING)
			guests[i] = guest(f);
		ok(guests[i]);
	}
	for (size_t i = 0; i < n; i++)
		pass(clients[i], guests[i], "x");
	for (size_t i = 0; i < n; i++) {
		close(clients[i]);
		close(guests[i]);
	}
}

/* One that floods and one that never reads are held up, not held in memory; a third is served. */
/* Without an answer there is an end, and room for the next. */
static void test_never_answered(void **state)
{
	struct fix *f = *state;
	AUTO_FD stuck = -1;
	AUTO_FD c = -1;
	AUTO_FD g = -1;
	int first;

	ports_server_free(f->server);
	assert_int_equal(ports_server_new(dial, f, 300, &f->server), 0);
	door(f, 1, &f->at);
	first = client(&f->at);
	stuck = guest(f);
	expect_reset(first);
	c = client(&f->at);
	g = guest(f);
	ok(g);
	pass(c, g, "next");
	pass(g, c, "answer");
}

static void test_flood(void **state)
{
	static char bytes[1 << 16];
	struct fix *f = *state;
	int c[2] = {client(&f->at), -1}, g[2] = {guest(f), -1};
	size_t sent = 0;

	ok(g[0]);
	c[1] = client(&f->at);
	g[1] = guest(f);
	ok(g[1]);
	for (unsigned i = 0; i < 4000; i++) {
		ssize_t n = send(g[0], bytes, sizeof(bytes), MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		n = send(c[1], bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
	}
	assert_true(sent < 64u << 20); /* 500 MB were offered; sockets hold some */
	{
		AUTO_FD c3 = client(&f->at);
		AUTO_FD g3 = guest(f);

		ok(g3);
		pass(c3, g3, "question");
		pass(g3, c3, "answer");
	}
	for (int i = 0; i < 2; i++) {
		close(c[i]);
		close(g[i]);
	}
}

static void test_removed(void **state)
{
	struct fix *f = *state;
	struct sockaddr_in other;
	int c = client(&f->at);
	AUTO_FD g = guest(f);
	AUTO_FD c2 = -1;
	AUTO_FD g2 = -1;
	int late;

	door(f, 2, &other);
	c2 = client(&other);
	g2 = guest(f);
	ok(g);
	ok(g2);
	pass(c, g, "a");
	pass(c2, g2, "b");
	late = client(&f->at);
	close(guest(f)); /* one that was never answered */
	expect_reset(late);
	ports_server_remove(f->server, 1);
	expect_reset(c);
	late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(late, (const struct sockaddr *)&f->at, sizeof(f->at)), -1);
	close(late);
	pass(c2, g2, "still there");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_both_ways),
		T(test_refused),
		T(test_answer_in_pieces),
		T(test_broken_off),
		T(test_silent_guests),
		T(test_never_answered),
		T(test_flood),
		T(test_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
