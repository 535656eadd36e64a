/* test_link.c - messages of a link: fixed form, one descriptor where it belongs, sockets in deep paths */
#include "check.h"
#include "base/clock.h"
#include "base/io.h"
#include "link/link.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int64_t soon(void)
{
	return clock_ms() + 2000;
}

static struct link_msg sample(enum link_op op)
{
	struct link_msg m = {.op = op,
		.seq = 7,
		.port = 1024,
		.result = -5,
		.n = {1, UINT64_MAX, 3, 4, 5},
		.text = "reason"};

	if (op == LINK_HELLO || op == LINK_STATE)
		m.state = LINK_RUNNING;
	return m;
}

static void test_there_and_back(void **state)
{
	(void)state;
	for (int op = LINK_HELLO; op <= LINK_EGRESS; op++) {
		struct link_msg m = sample((enum link_op)op), got;
		uint8_t bytes[LINK_BYTES];
		bool fd = link_op_takes_fd(m.op);

		link_encode(bytes, &m);
		assert_int_equal(link_decode(bytes, sizeof(bytes), fd, &got), LINK_OK);
		assert_memory_equal(&got, &m, sizeof(m));
		assert_int_equal(link_decode(bytes, sizeof(bytes), !fd, &got), LINK_MALFORMED);
		for (size_t n = 0; n < sizeof(bytes); n++)
			assert_int_equal(link_decode(bytes, n, fd, &got), LINK_MALFORMED);
	}
}

static void test_every_byte_changed(void **state)
{
	struct link_msg m = sample(LINK_STATE), got;
	uint8_t good[LINK_BYTES], bytes[LINK_BYTES];

	(void)state;
	link_encode(good, &m);
	for (size_t at = 0; at < LINK_BYTES; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(bytes, good, sizeof(bytes));
			bytes[at] ^= (uint8_t)(1u << bit);
			if (link_decode(bytes, sizeof(bytes), false, &got) == LINK_OK) {
				assert_in_range(got.op, LINK_HELLO, LINK_EGRESS);
				assert_in_range(got.state, 0, LINK_CRASHED);
				assert_true(got.result <= 0 && got.result >= -4095);
				assert_non_null(memchr(got.text, 0, sizeof(got.text)));
			} else {
				assert_int_equal(got.op, 0); /* nothing of it is given out */
			}
			if (at < 6)
				assert_int_equal(link_decode(bytes, sizeof(bytes), false, &got),
					LINK_MALFORMED); /* magic, version */
		}
	memcpy(bytes, good, sizeof(bytes));
	memset(bytes + 64, 'x', LINK_TEXT); /* text without an end */
	assert_int_equal(link_decode(bytes, sizeof(bytes), false, &got), LINK_MALFORMED);
}

static void pair(int fds[2])
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void test_send_and_receive(void **state)
{
	unsigned before = open_fds();
	struct link_msg m = sample(LINK_OPEN), got;
	int p[2], q[2], fd = -1;
	char c = 0;

	(void)state;
	pair(p);
	assert_int_equal(link_pair(q), 0);
	assert_int_equal(link_recv(p[1], &got, &fd, clock_ms() - 1), -ETIMEDOUT);
	assert_int_equal(link_send(p[0], &m, q[1], soon()), 0);
	assert_int_equal(link_recv(p[1], &got, &fd, soon()), 1);
	assert_memory_equal(&got, &m, sizeof(m));
	assert_int_equal(io_write_full(fd, "x", 1, soon()), 0);
	assert_int_equal(io_read_full(q[0], &c, 1, soon()), 0);
	assert_int_equal(c, 'x');
	close(fd);
	close(p[0]);
	assert_int_equal(link_recv(p[1], &got, &fd, soon()), 0);
	close(p[1]), close(q[0]), close(q[1]);
	assert_int_equal(open_fds(), before);
}

static void test_a_peer_that_breaks_the_rules(void **state)
{
	unsigned before = open_fds();
	uint8_t bytes[LINK_BYTES + 8] = {0};
	struct link_msg m = sample(LINK_PAUSE), got;
	int fd = -1;

	(void)state;
	for (int kind = 0; kind < 5; kind++) {
		int p[2], r;

		pair(p);
		link_encode(bytes, &m);
		if (kind == 0)
			r = io_send_fd(
				p[0], bytes, LINK_BYTES, 2, soon()); /* a surplus descriptor */
		else if (kind == 1)
			r = io_send_fd(p[0], bytes, LINK_BYTES + 8, -1, soon());
		else if (kind == 2)
			r = io_send_fd(p[0], bytes, LINK_BYTES - 1, 2, soon());
		else if (kind == 3)
			r = io_send_fd(p[0], bytes, LINK_BYTES + 8, 2, soon());
		else
			r = link_send(p[0], &(struct link_msg){.op = LINK_OPEN}, -1, soon());
		assert_int_equal(r, 0);
		assert_int_equal(link_recv(p[1], &got, &fd, soon()), -EBADMSG);
		assert_int_equal(fd, -1);
		close(p[0]), close(p[1]);
		assert_int_equal(open_fds(), before);
	}
}

static void test_listen_in_a_deep_directory(void **state)
{
	char top[] = "/tmp/sbx-test-link-XXXXXX", name[101];
	int dirs[4], peer;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(top));
	memset(name, 'd', 100);
	name[100] = '\0';
	dirs[0] = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 1; i < 4; i++) { /* longer than sun_path */
		assert_int_equal(mkdirat(dirs[i - 1], name, 0700), 0);
		dirs[i] = openat(dirs[i - 1], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(dirs[i] >= 0);
	}
	assert_int_equal(link_connect(dirs[3], LINK_SOCKET), -ENOENT);
	{
		AUTO_FD stale = link_listen(dirs[3], LINK_SOCKET);

		assert_true(stale >= 0);
	}
	assert_int_equal(link_connect(dirs[3], LINK_SOCKET), -ECONNREFUSED);
	{
		AUTO_FD listener = link_listen(dirs[3], LINK_SOCKET);
		AUTO_FD client = link_connect(dirs[3], LINK_SOCKET);

		assert_true(listener >= 0 && client >= 0);
		assert_int_equal(fstatat(dirs[3], LINK_SOCKET, &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_true(link_peer_is_us(peer));
		close(peer);
	}
	assert_int_equal(unlinkat(dirs[3], LINK_SOCKET, 0), 0);
	for (int i = 3; i > 0; i--) {
		close(dirs[i]);
		assert_int_equal(unlinkat(dirs[i - 1], name, AT_REMOVEDIR), 0);
	}
	close(dirs[0]);
	assert_int_equal(rmdir(top), 0);
}

static void test_another_user_is_not_us(void **state)
{
	char top[] = "/tmp/sbx-test-link-XXXXXX";
	int status;

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can act as another user");
	assert_non_null(mkdtemp(top));
	AUTO_FD dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD listener = link_listen(dir, LINK_SOCKET);
	assert_int_equal(fchmodat(dir, LINK_SOCKET, 0666, 0), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int s;

		if (fchmod(dir, 0711) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
			_exit(1);
		s = link_connect(dir, LINK_SOCKET);
		_exit(s < 0 ? 2 : io_wait(s, POLLIN, soon()) == 0 ? 0 : 3);
	}
	assert_int_equal(io_wait(listener, POLLIN, soon()), 0);
	int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer >= 0);
	assert_false(link_peer_is_us(peer));
	close(peer);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(unlinkat(dir, LINK_SOCKET, 0), 0);
	assert_int_equal(rmdir(top), 0);
	assert_false(link_peer_is_us(-1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_every_byte_changed),
		cmocka_unit_test(test_send_and_receive),
		cmocka_unit_test(test_a_peer_that_breaks_the_rules),
		cmocka_unit_test(test_listen_in_a_deep_directory),
		cmocka_unit_test(test_another_user_is_not_us),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
