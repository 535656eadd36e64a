/* test_dial.c - services inside that the host dials: found, not there, half-closed, reset, too many */
#include "check.h"
#include "base/io.h"
#include "guest/forward.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static const char *const inside[] = {"127.0.0.1", "127.0.0.9"};

struct fix {
	struct loop *loop;
	struct dial_forward *dial;
	unsigned fds;
	int host; /* the far end of the stream */
	int service; /* an accepted connection */
	int listener;
	uint16_t port;
};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds = open_fds();
	f->host = f->service = f->listener = -1;
	f->loop = loop_new();
	f->dial = dial_forward_new(f->loop, inside, ARRAY_LEN(inside));
	assert_true(f->loop && f->dial);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;
	unsigned before = f->fds;

	own_close_fd(&f->host);
	own_close_fd(&f->service);
	own_close_fd(&f->listener);
	dial_forward_free(f->dial);
	loop_free(f->loop);
	free(f);
	return open_fds() == before ? 0 : -1;
}

static void turn(struct fix *f)
{
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(loop_once(f->loop, 0), 0);
}

static void service_on(struct fix *f, const char *address)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);

	assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(f->listener, 8), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&a, &len), 0);
	f->port = ntohs(a.sin_port);
}

static int dial(struct fix *f, uint16_t port)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	dial_forward_add(f->dial, port, pair[1]);
	turn(f);
	return pair[0];
}

/* reach() - both ends of a connection to the service, OK read */
static void reach(struct fix *f)
{
	static const uint8_t ok[FRAME_HEADER] = {0, 0, 0, 0, FRAME_OK, 1};
	uint8_t got[64];

	f->host = dial(f, f->port);
	assert_int_equal(recv(f->host, got, sizeof(got), MSG_DONTWAIT), sizeof(ok));
	assert_memory_equal(got, ok, sizeof(ok));
	f->service = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(f->service >= 0);
}

static void pass(struct fix *f, int from, int to, const char *text)
{
	char got[64];

	assert_int_equal(write(from, text, strlen(text)), strlen(text));
	turn(f);
	assert_int_equal(recv(to, got, sizeof(got), MSG_DONTWAIT), strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static void test_both_ways(void **state)
{
	struct fix *f = *state;
	char c;

	service_on(f, inside[0]);
	reach(f);
	pass(f, f->host, f->service, "question");
	pass(f, f->service, f->host, "answer");
	/* the host has said everything, and still hears; then the service ends, too */
	assert_int_equal(shutdown(f->host, SHUT_WR), 0);
	turn(f);
	assert_int_equal(recv(f->service, &c, 1, MSG_DONTWAIT), 0);
	pass(f, f->service, f->host, "late");
	assert_int_equal(dial_forward_count(f->dial), 1);
	own_close_fd(&f->service);
	turn(f);
	assert_int_equal(recv(f->host, &c, 1, MSG_DONTWAIT), 0);
	assert_int_equal(dial_forward_count(f->dial), 0);
}

/* A service that speaks first and ends at once has not refused. */
static void test_service_that_only_ends(void **state)
{
	struct fix *f = *state;
	char c;

	service_on(f, inside[0]);
	reach(f);
	own_close_fd(&f->service);
	turn(f);
	assert_int_equal(recv(f->host, &c, 1, MSG_DONTWAIT), 0);
	assert_int_equal(send(f->host, "x", 1, MSG_NOSIGNAL), 1); /* it was an orderly end */
}

static void test_resets(void **state)
{
	struct fix *f = *state;
	const struct linger now = {.l_onoff = 1};
	char c;

	service_on(f, inside[0]);
	reach(f);
	(void)setsockopt(f->service, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	own_close_fd(&f->service);
	turn(f);
	assert_int_equal(recv(f->host, &c, 1, MSG_DONTWAIT), 0);
	assert_int_equal(send(f->host, "x", 1, MSG_NOSIGNAL), -1); /* gone both ways at once */
	own_close_fd(&f->host);
	reach(f);
	own_close_fd(&f->host);
	turn(f);
	assert_int_equal(recv(f->service, &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(dial_forward_count(f->dial), 0);
}

static void test_second_address(void **state)
{
	struct fix *f = *state;

	service_on(f, inside[1]);
	reach(f);
	pass(f, f->host, f->service, "question");
}

static void test_nobody_there(void **state)
{
	struct fix *f = *state;
	struct frame_decoder in;
	struct agent_error error;
	struct frame frame;
	char got[512];
	ssize_t n;

	service_on(f, inside[0]);
	own_close_fd(&f->listener); /* so that the port is free, and nobody's */
	f->host = dial(f, f->port);
	n = recv(f->host, got, sizeof(got), MSG_DONTWAIT);
	assert_true(n > 0);
	frame_decoder_init(&in);
	assert_int_equal(frame_feed(&in, got, (size_t)n), 0);
	assert_int_equal(frame_next(&in, &frame), FRAME_GOT);
	assert_int_equal(frame.type, FRAME_ERROR);
	assert_int_equal(agent_get_error(&frame, &error), PROTO_OK);
	assert_int_equal(error.num, ECONNREFUSED);
	assert_int_equal(recv(f->host, got, sizeof(got), MSG_DONTWAIT), 0);
	assert_int_equal(dial_forward_count(f->dial), 0);
	frame_decoder_fini(&in);
}

static void test_as_many_as_there_may_be(void **state)
{
	struct fix *f = *state;
	int hosts[FORWARD_DIALS];
	char c;

	service_on(f, inside[0]);
	for (unsigned i = 0; i < FORWARD_DIALS; i++) {
		hosts[i] = dial(f, f->port);
		own_close_fd(&f->service);
		f->service = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		own_close_fd(&f->service); /* the service ends, we do not */
	}
	assert_int_equal(dial_forward_count(f->dial), FORWARD_DIALS);
	f->host = dial(f, f->port);
	assert_int_equal(recv(f->host, &c, 1, MSG_DONTWAIT), 0); /* without a word */
	for (unsigned i = 0; i < FORWARD_DIALS; i++)
		own_close_fd(&hosts[i]);
	for (unsigned i = 0; i < 100 && dial_forward_count(f->dial) > 0; i++)
		turn(f);
	assert_int_equal(dial_forward_count(f->dial), 0);
}

/* As PID 1 hands them over: a port and a descriptor in one message; without one it is nothing. */
static void test_handed_over(void **state)
{
	struct fix *f = *state;
	uint16_t port;
	int pair[2], way[2];
	char got[64];

	service_on(f, inside[0]);
	port = f->port;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, way), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(dial_forward_listen(f->dial, way[0]), 0);
	assert_int_equal(io_send_fd(way[1], &port, sizeof(port), -1, 0), 0);
	assert_int_equal(io_send_fd(way[1], "x", 1, pair[1], 0), 0);
	turn(f);
	assert_int_equal(dial_forward_count(f->dial), 0);
	assert_int_equal(io_send_fd(way[1], &port, sizeof(port), pair[1], 0), 0);
	turn(f);
	assert_int_equal(dial_forward_count(f->dial), 1);
	assert_int_equal(recv(pair[0], got, sizeof(got), MSG_DONTWAIT), FRAME_HEADER);
	close(pair[0]);
	close(pair[1]);
	turn(f);
	dial_forward_free(f->dial); /* before its descriptor goes */
	f->dial = dial_forward_new(f->loop, inside, 1);
	close(way[0]);
	close(way[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_both_ways),
		T(test_service_that_only_ends),
		T(test_resets),
		T(test_second_address),
		T(test_nobody_there),
		T(test_as_many_as_there_may_be),
		T(test_handed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
