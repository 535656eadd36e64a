/* test_forward.c - answers of the guest's own making, the header, and how streams end */
#include "check.h"
#include "base/io.h"
#include "guest/forward.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

static const uint8_t query[] = {0x12, 0x34, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1, 3, 'w', 'w', 'w', 7,
	'e', 'x', 'a', 'm', 'p', 'l', 'e', 3, 'c', 'o', 'm', 0, 0, 1, 0, 1,
	/* EDNS */ 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0};

static void test_refused(void **state)
{
	uint8_t reply[512];
	size_t len = dns_fail(query, sizeof(query), 5, reply);

	(void)state;
	assert_int_equal(len, 33); /* header and question, without EDNS */
	assert_int_equal(reply[0], 0x12);
	assert_int_equal(reply[1], 0x34);
	assert_int_equal(reply[2], 0x81); /* response, recursion desired */
	assert_int_equal(reply[3], 5); /* REFUSED */
	assert_memory_equal(reply + 4, "\0\1\0\0\0\0\0\0", 8);
	assert_memory_equal(reply + 12, query + 12, 21);
}

static void test_nonsense(void **state)
{
	uint8_t q[sizeof(query)], reply[512];

	(void)state;
	for (size_t len = 0; len < 12; len++)
		assert_int_equal(dns_fail(query, len, 5, reply), 0);
	memcpy(q, query, sizeof(q));
	q[2] |= 0x80; /* a response */
	assert_int_equal(dns_fail(q, sizeof(q), 5, reply), 0);
	memcpy(q, query, sizeof(q));
	q[12] = 0xc0; /* a pointer; then a label beyond the end; then a cut question */
	assert_int_equal(dns_fail(q, sizeof(q), 5, reply), 12);
	q[12] = 63;
	assert_int_equal(dns_fail(q, sizeof(q), 5, reply), 12);
	assert_int_equal(dns_fail(query, 31, 5, reply), 12);
	assert_int_equal(reply[5], 0); /* and no question is claimed */
	memcpy(q, query, sizeof(q));
	q[5] = 2;
	assert_int_equal(dns_fail(q, sizeof(q), 5, reply), 12);
}

/* ---- streams: both ends are ours ---- */

struct fix {
	struct loop *loop;
	struct tcp_forward *tcp;
	struct dns_forward *dns;
	struct forward_ops ops;
	int client, host; /* the far ends */
	bool refuse;
};

static int dial(void *ctx, uint32_t port)
{
	struct fix *f = ctx;
	int pair[2];

	assert_true(port == FRAME_PORT_TCP || port == FRAME_PORT_DNS);
	if (f->refuse)
		return -ECONNREFUSED;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	f->host = pair[0];
	return pair[1];
}

static int origin(void *ctx, int fd, struct forward_dest *ret)
{
	(void)ctx;
	(void)fd;
	*ret = (struct forward_dest){.family = 4, .addr = {192, 0, 2, 7}, .port = 0x1234};
	return 0;
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->ops = (struct forward_ops){.dial = dial, .origin = origin, .ctx = f};
	f->client = f->host = -1;
	f->loop = loop_new();
	f->tcp = tcp_forward_new(f->loop, &f->ops);
	f->dns = dns_forward_new(f->loop, &f->ops);
	assert_true(f->loop && f->tcp && f->dns);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	tcp_forward_free(f->tcp);
	dns_forward_free(f->dns);
	loop_free(f->loop);
	own_close_fd(&f->client);
	own_close_fd(&f->host);
	free(f);
	return 0;
}

static void turn(struct fix *f)
{
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(loop_once(f->loop, 0), 0);
}

/* tcp_pair() - two ends of a connection by loopback: resets can be seen */
static void tcp_pair(int ret[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	AUTO_FD l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ret[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(l >= 0 && ret[0] >= 0);
	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(connect(ret[0], (struct sockaddr *)&a, sizeof(a)), 0);
	ret[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(ret[1] >= 0);
}

static void begin(struct fix *f)
{
	int pair[2];
	uint8_t got[FORWARD_HEADER];
	static const uint8_t want[FORWARD_HEADER] = {
		'S', 'B', 'X', 'T', 1, 4, 0x34, 0x12, 192, 0, 2, 7};

	tcp_pair(pair);
	f->client = pair[0];
	tcp_forward_add(f->tcp, pair[1]);
	turn(f);
	assert_int_equal(read(f->host, got, sizeof(got)), sizeof(got));
	assert_memory_equal(got, want, sizeof(want));
}

static void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void hear(struct fix *f, int fd, const char *want)
{
	char got[64];

	turn(f);
	assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), strlen(want));
	assert_memory_equal(got, want, strlen(want));
}

static void test_both_ways_and_half_close(void **state)
{
	struct fix *f = *state;
	char c;

	begin(f);
	say(f->client, "question");
	hear(f, f->host, "question");
	assert_int_equal(shutdown(f->client, SHUT_WR), 0);
	turn(f);
	assert_int_equal(recv(f->host, &c, 1, MSG_DONTWAIT), 0);
	say(f->host, "late answer");
	hear(f, f->client, "late answer");
	assert_int_equal(tcp_forward_count(f->tcp), 1);
	own_close_fd(&f->host);
	turn(f);
	assert_int_equal(recv(f->client, &c, 1, MSG_DONTWAIT), 0);
	assert_int_equal(tcp_forward_count(f->tcp), 0);
}

static void test_resets(void **state)
{
	struct fix *f = *state;
	const struct linger now = {.l_onoff = 1};
	int pair[2];
	char c;

	/* the host refuses: no route to it, or it closes without a word */
	f->refuse = true;
	tcp_pair(pair);
	tcp_forward_add(f->tcp, pair[1]);
	assert_int_equal(recv(pair[0], &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(pair[0]);
	f->refuse = false;
	begin(f);
	own_close_fd(&f->host);
	turn(f);
	assert_int_equal(recv(f->client, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	own_close_fd(&f->client);
	/* the host breaks off in the middle: it closes with unread bytes */
	begin(f);
	say(f->client, "more");
	turn(f);
	say(f->host, "half");
	own_close_fd(&f->host);
	hear(f, f->client, "half");
	assert_int_equal(recv(f->client, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	own_close_fd(&f->client);
	/* the host is gone without having ended its direction: what it said is there, then a reset */
	begin(f);
	say(f->client, "more");
	hear(f, f->host, "more");
	say(f->host, "half");
	own_close_fd(&f->host);
	hear(f, f->client, "half");
	assert_int_equal(recv(f->client, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	own_close_fd(&f->client);
	/* the client breaks off: nobody is left for the host to talk to */
	begin(f);
	(void)setsockopt(f->client, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	own_close_fd(&f->client);
	turn(f);
	assert_int_equal(recv(f->host, &c, 1, MSG_DONTWAIT), 0);
	assert_int_equal(send(f->host, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(tcp_forward_count(f->tcp), 0);
}

/* The last words of a server that does not want to hear more reach a client that goes on talking. */
static void test_answer_to_one_who_goes_on(void **state)
{
	struct fix *f = *state;
	char c;

	begin(f);
	say(f->client, "body");
	hear(f, f->host, "body");
	say(f->host, "403");
	assert_int_equal(shutdown(f->host, SHUT_WR), 0); /* that is how the front ends */
	turn(f);
	own_close_fd(&f->host);
	turn(f);
	say(f->client, "body");
	hear(f, f->client, "403");
	say(f->client, "body");
	turn(f);
	assert_int_equal(recv(f->client, &c, 1, MSG_DONTWAIT), 0);
	own_close_fd(&f->client);
	turn(f);
	assert_int_equal(tcp_forward_count(f->tcp), 0);
}

/* What a client sends to a host that does not read is bounded, and arrives whole in the end. */
static void test_back_pressure(void **state)
{
	struct fix *f = *state;
	static uint8_t bytes[1 << 16];
	size_t sent = 0, got = 0, idle = 0;

	begin(f);
	assert_int_equal(io_set_nonblock(f->client, true), 0);
	while (idle < 50) {
		ssize_t n;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)((sent + i) * 7 >> 3);
		n = send(f->client, bytes, sizeof(bytes), MSG_NOSIGNAL);
		idle = n > 0 ? 0 : idle + 1;
		sent += n > 0 ? (size_t)n : 0;
		turn(f);
		assert_true(sent < 64u << 20); /* what sockets take, and one step */
	}
	assert_int_equal(shutdown(f->client, SHUT_WR), 0);
	for (idle = 0; got < sent && idle < 1000; idle++) {
		ssize_t n;

		turn(f);
		while ((n = recv(f->host, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
			for (ssize_t i = 0; i < n; i++)
				assert_int_equal(bytes[i], (uint8_t)((got + (size_t)i) * 7 >> 3));
			got += (size_t)n;
			idle = 0;
		}
	}
	assert_int_equal(got, sent);
}

static void test_as_many_as_there_may_be(void **state)
{
	struct fix *f = *state;
	unsigned before = open_fds();
	int(*pairs)[2] = calloc(FORWARD_CONNS + 1, sizeof(*pairs));
	int *hosts = calloc(FORWARD_CONNS + 1, sizeof(*hosts));
	struct rlimit l;
	char c;

	assert_true(pairs && hosts);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &l), 0);
	l.rlim_cur = l.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
	if (l.rlim_cur < 4 * FORWARD_CONNS + 100)
		SKIP("not enough descriptors allowed");
	for (unsigned i = 0; i <= FORWARD_CONNS; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]), 0);
		tcp_forward_add(f->tcp, pairs[i][1]);
		hosts[i] = f->host;
		f->host = -1;
	}
	assert_int_equal(tcp_forward_count(f->tcp), FORWARD_CONNS);
	assert_int_equal(recv(pairs[FORWARD_CONNS][0], &c, 1, MSG_DONTWAIT), 0); /* at once */
	for (unsigned i = 0; i <= FORWARD_CONNS; i++) {
		own_close_fd(&pairs[i][0]);
		own_close_fd(&hosts[i]);
	}
	for (unsigned i = 0; i < 400; i++)
		turn(f);
	assert_int_equal(tcp_forward_count(f->tcp), 0);
	assert_int_equal(open_fds(), before);
	free(pairs);
	free(hosts);
}

/* ---- names ---- */

static int udp_pair(struct fix *f)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int door = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	f->client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(setsockopt(door, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)), 0);
	assert_int_equal(bind(door, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(door, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(connect(f->client, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(dns_forward_udp(f->dns, door), 0);
	return door;
}

/* next_query() - as the host reads it; its number stands in [2], [3] */
static size_t next_query(struct fix *f, uint8_t q[600])
{
	size_t len;

	turn(f);
	assert_int_equal(recv(f->host, q, 2, MSG_DONTWAIT), 2);
	len = (size_t)q[0] << 8 | q[1];
	assert_int_equal(recv(f->host, q + 2, len, MSG_DONTWAIT), len);
	q[4] |= 0x80; /* serves as the answer */
	return 2 + len;
}

static void test_answers_in_any_order(void **state)
{
	struct fix *f = *state;
	AUTO_FD door = udp_pair(f);
	uint8_t q[sizeof(query)], one[600], two[600], got[600];
	size_t one_len, two_len;

	assert_true(door >= 0);
	memcpy(q, query, sizeof(q));
	say(f->client, "nonsense");
	assert_int_equal(send(f->client, q, sizeof(q), 0), sizeof(q));
	q[0] = 0x99;
	assert_int_equal(send(f->client, q, sizeof(q), 0), sizeof(q));
	one_len = next_query(f, one);
	two_len = next_query(f, two);
	assert_memory_not_equal(one + 2, two + 2, 2);
	assert_int_equal(send(f->host, two, two_len, 0), two_len);
	assert_int_equal(send(f->host, one, one_len, 0), one_len);
	assert_int_equal(send(f->host, one, one_len, 0), one_len); /* again: nobody waits for it */
	turn(f);
	assert_int_equal(recv(f->client, got, sizeof(got), 0), sizeof(q));
	assert_int_equal(got[0], 0x99);
	assert_int_equal(recv(f->client, got, sizeof(got), 0), sizeof(q));
	assert_int_equal(got[0], 0x12);
	assert_int_equal(recv(f->client, got, sizeof(got), 0), -1);
}

static void test_no_host(void **state)
{
	struct fix *f = *state;
	AUTO_FD door = udp_pair(f);
	uint8_t got[600];

	assert_true(door >= 0);
	f->refuse = true;
	assert_int_equal(send(f->client, query, sizeof(query), 0), sizeof(query));
	turn(f);
	assert_int_equal(recv(f->client, got, sizeof(got), 0), 33);
	assert_int_equal(got[3], 2); /* SERVFAIL, at once */
	f->refuse = false;
	assert_int_equal(send(f->client, query, sizeof(query), 0), sizeof(query));
	(void)next_query(f, got);
	own_close_fd(&f->host); /* it goes away with the question */
	turn(f);
	assert_int_equal(recv(f->client, got, sizeof(got), 0), 33);
	assert_int_equal(got[3], 2);
	assert_int_equal(send(f->client, query, sizeof(query), 0), sizeof(query));
	(void)next_query(f, got); /* and is dialled anew */
}

/* More than fits a datagram: "ask again by TCP", with the question and nothing else. */
static void test_truncated(void **state)
{
	struct fix *f = *state;
	AUTO_FD door = udp_pair(f);
	uint8_t q[600], big[2 + 2000] = {2000 >> 8, 2000 & 0xff}, got[3000];

	assert_true(door >= 0);
	assert_int_equal(dns_udp_max(query, sizeof(query)), 1232);
	assert_int_equal(dns_udp_max(query, 33), 512);
	assert_int_equal(send(f->client, query, sizeof(query), 0), sizeof(query));
	(void)next_query(f, q);
	memcpy(big + 2, q + 2, 12);
	assert_int_equal(send(f->host, big, sizeof(big), 0), sizeof(big));
	turn(f);
	assert_int_equal(recv(f->client, got, sizeof(got), 0), 33);
	assert_int_equal(got[2], 0x83);
}

#define STREAM_TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_nonsense),
		STREAM_TEST(test_both_ways_and_half_close),
		STREAM_TEST(test_resets),
		STREAM_TEST(test_answer_to_one_who_goes_on),
		STREAM_TEST(test_back_pressure),
		STREAM_TEST(test_as_many_as_there_may_be),
		STREAM_TEST(test_answers_in_any_order),
		STREAM_TEST(test_no_host),
		STREAM_TEST(test_truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
