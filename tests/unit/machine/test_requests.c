/* test_requests.c - the socket for streams of the way out: only one that keeps messages apart is taken */
#include "check.h"
#include "base/clock.h"
#include "machine/machine.h"
#include <errno.h>
#include <sys/socket.h>

static control_handler egress_handler(void)
{
	for (size_t i = 0; i < machine_n_requests; i++)
		if (machine_requests[i].op == LINK_EGRESS)
			return machine_requests[i].handler;
	return NULL;
}

/* give() - the machine's answer to a socket of @type, of which it gets one end */
static int give(struct machine *m, int daemon_end, int type, uint32_t seq)
{
	const struct link_msg q = {.op = LINK_EGRESS, .seq = seq};
	struct link_msg got = {0};
	int pair[2], fd = -1;

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
	egress_handler()(m, &q, pair[0]);
	close(pair[1]);
	assert_int_equal(link_recv(daemon_end, &got, &fd, clock_ms() + 1000), 1);
	assert_int_equal(got.op, LINK_REPLY);
	assert_int_equal(got.seq, seq);
	return got.result;
}

static void test_egress_socket(void **state)
{
	static struct machine m;
	unsigned before = open_fds();
	int pair[2];

	(void)state;
	assert_non_null(egress_handler());
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	m.control.peer_fd = pair[0];
	m.egress_fd = -1;
	assert_int_equal(give(&m, pair[1], SOCK_STREAM, 1), -ENOTSOCK);
	assert_int_equal(m.egress_fd, -1);
	assert_int_equal(give(&m, pair[1], SOCK_SEQPACKET, 2), 0);
	assert_true(m.egress_fd >= 0);
	assert_int_equal(give(&m, pair[1], SOCK_SEQPACKET, 3), 0); /* in the former's place */
	assert_int_equal(open_fds(), before + 3);
	own_close_fd(&m.egress_fd);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_egress_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
