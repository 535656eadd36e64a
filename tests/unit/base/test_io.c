/* test_io.c - whole reads and writes, deadlines, replacement of files, descriptors in messages */
#include "check.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int64_t soon(void)
{
	return clock_ms() + 2000;
}

static void pair(int type, int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void test_read_full(void **state)
{
	int p[2];
	char got[6] = "";

	(void)state;
	pair(SOCK_STREAM, p);
	assert_int_equal(io_write_full(p[1], "abcdef", 6, soon()), 0);
	assert_int_equal(io_read_full(p[0], got, 4, soon()), 0);
	assert_memory_equal(got, "abcd", 4);
	assert_int_equal(io_read_full(p[0], got, 4, clock_ms() + 30), -ETIMEDOUT);
	assert_int_equal(io_write_full(p[1], "x", 1, soon()), 0);
	close(p[1]);
	assert_int_equal(io_read_full(p[0], got, 4, soon()), -EPIPE);
	assert_int_equal(io_read_full(p[0], got, 4, soon()), -ENODATA);
	close(p[0]);
	assert_int_equal(io_read_full(-1, got, 1, soon()), -EBADF);
}

static void test_write_full_to_a_reader_that_does_not_read(void **state)
{
	static char big[1 << 20];
	int p[2];

	(void)state;
	pair(SOCK_STREAM, p);
	assert_int_equal(io_write_full(p[1], big, sizeof(big), clock_ms() + 30), -ETIMEDOUT);
	close(p[0]);
	close(p[1]);
}

static void test_wait(void **state)
{
	int p[2];

	(void)state;
	pair(SOCK_STREAM, p);
	assert_int_equal(io_wait(p[0], POLLIN, clock_ms()), -ETIMEDOUT);
	assert_int_equal(io_wait(p[0], POLLOUT, soon()), 0);
	assert_int_equal(io_wait(p[0], POLLOUT, IO_FOREVER), 0);
	close(p[1]);
	assert_int_equal(io_wait(p[0], POLLIN, soon()), 0);
	close(p[0]);
	assert_int_equal(io_wait(p[0], POLLIN, soon()), -EBADF);
}

static int scratch(char path[64])
{
	int fd;

	(void)snprintf(path, 64, "/tmp/sbx-test-io-XXXXXX");
	assert_non_null(mkdtemp(path));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void test_replace_and_read_file(void **state)
{
	unsigned before = open_fds();
	char path[64];
	struct stat st;

	(void)state;
	{
		AUTO_FD dir = scratch(path);
		AUTO(buf) b;

		buf_init(&b, 100);
		assert_int_equal(io_read_file(dir, "f", &b), -ENOENT);
		assert_int_equal(io_replace_file(dir, "f", "old", 3, 0600), 0);
		assert_int_equal(io_replace_file(dir, "f", "newer", 5, 0600), 0);
		assert_int_equal(io_read_file(dir, "f", &b), 0);
		assert_string_equal(buf_str(&b), "newer");
		assert_int_equal(fstatat(dir, "f", &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_int_equal(io_replace_file(dir, "none/f", "x", 1, 0600), -ENOENT);
		assert_int_equal(unlinkat(dir, "f", 0), 0);
	}
	assert_int_equal(rmdir(path), 0); /* so no temporary is left either */
	assert_int_equal(open_fds(), before);
}

static void test_replace_failing_leaves_the_old(void **state)
{
	char path[64];
	AUTO_FD dir = scratch(path);
	AUTO(buf) b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(mkdirat(dir, "d", 0700), 0);
	assert_true(io_replace_file(dir, "d", "x", 1, 0600) < 0); /* a directory is not replaced */
	assert_int_equal(unlinkat(dir, "d", AT_REMOVEDIR), 0);
	assert_int_equal(rmdir(path), 0);
}

static void test_replace_in_a_subdirectory(void **state)
{
	char path[64];
	AUTO_FD dir = scratch(path);
	AUTO(buf) b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(mkdirat(dir, "d", 0700), 0);
	assert_int_equal(io_replace_file(dir, "d/f", "x", 1, 0600), 0);
	assert_int_equal(io_read_file(dir, "d/f", &b), 0);
	assert_int_equal(unlinkat(dir, "d/f", 0), 0);
	assert_int_equal(unlinkat(dir, "d", AT_REMOVEDIR), 0);
	assert_int_equal(rmdir(path), 0);
}

static void test_read_file_that_does_not_fit(void **state)
{
	char path[64];
	AUTO_FD dir = scratch(path);
	AUTO(buf) fits;
	AUTO(buf) small;

	(void)state;
	buf_init(&fits, 5);
	buf_init(&small, 4);
	assert_int_equal(io_replace_file(dir, "f", "12345", 5, 0600), 0);
	assert_int_equal(io_read_file(dir, "f", &fits), 0);
	assert_int_equal(io_read_file(dir, "f", &small), -EFBIG);
	assert_int_equal(unlinkat(dir, "f", 0), 0);
	assert_int_equal(rmdir(path), 0);
}

static void test_flags(void **state)
{
	int p[2];

	(void)state;
	pair(SOCK_STREAM, p);
	assert_int_equal(io_set_nonblock(p[0], false), 0);
	assert_false(fcntl(p[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(io_set_nonblock(p[0], true), 0);
	assert_true(fcntl(p[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(io_set_cloexec(p[0], false), 0);
	assert_false(fcntl(p[0], F_GETFD) & FD_CLOEXEC);
	close(p[0]);
	close(p[1]);
	assert_int_equal(io_set_cloexec(p[0], true), -EBADF);
}

static void test_pass_a_descriptor(void **state)
{
	unsigned before = open_fds();
	int p[2], q[2], got = -1;
	char text[8] = "";

	(void)state;
	pair(SOCK_SEQPACKET, p);
	pair(SOCK_STREAM, q);
	assert_int_equal(io_send_fd(p[0], "hi", 2, q[1], soon()), 0);
	close(q[1]);
	assert_int_equal(io_recv_fd(p[1], text, sizeof(text), &got, soon()), 2);
	assert_true(got >= 0);
	assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(io_write_full(got, "x", 1, soon()), 0);
	assert_int_equal(io_read_full(q[0], text, 1, soon()), 0);
	close(got);
	assert_int_equal(io_send_fd(p[0], "no", 2, -1, soon()), 0);
	assert_int_equal(io_recv_fd(p[1], text, sizeof(text), &got, soon()), 2);
	assert_int_equal(got, -1);
	assert_int_equal(io_recv_fd(p[1], text, sizeof(text), &got, clock_ms() + 20), -ETIMEDOUT);
	close(p[0]);
	assert_int_equal(io_recv_fd(p[1], text, sizeof(text), &got, soon()), 0);
	assert_int_equal(got, -1);
	close(p[1]);
	close(q[0]);
	assert_int_equal(open_fds(), before);
}

/* send_many() - a peer that passes @n descriptors at once */
static void send_many(int sock, unsigned n, size_t bytes)
{
	static char text[4096];
	char control[CMSG_SPACE(64 * sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec iov = {.iov_base = text, .iov_len = bytes};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (unsigned i = 0; i < n; i++) {
		int fd = 2;

		memcpy((char *)CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &m, 0), (ssize_t)bytes);
}

static void test_surplus_descriptors_are_closed(void **state)
{
	static const unsigned many[] = {2, 3, 4, 5, 16, 60};
	unsigned before = open_fds();
	int p[2], got = 5;
	char text[8];

	(void)state;
	pair(SOCK_SEQPACKET, p);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		send_many(p[0], many[i], 4);
		assert_int_equal(io_recv_fd(p[1], text, sizeof(text), &got, soon()), -EBADMSG);
		assert_int_equal(got, -1);
		assert_int_equal(open_fds(), before + 2);
	}
	send_many(p[0], 1, 9); /* a message longer than there is room, with its descriptor */
	assert_int_equal(io_recv_fd(p[1], text, sizeof(text), &got, soon()), -EMSGSIZE);
	assert_int_equal(got, -1);
	assert_int_equal(open_fds(), before + 2);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_full),
		cmocka_unit_test(test_write_full_to_a_reader_that_does_not_read),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_replace_and_read_file),
		cmocka_unit_test(test_replace_failing_leaves_the_old),
		cmocka_unit_test(test_replace_in_a_subdirectory),
		cmocka_unit_test(test_read_file_that_does_not_fit),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_pass_a_descriptor),
		cmocka_unit_test(test_surplus_descriptors_are_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
