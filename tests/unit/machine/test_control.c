/* test_control.c - the machine's end of the link: permit table, replacement, peers that break the form */
#include "check.h"
#include "base/clock.h"
#include "machine/control.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

struct fixture {
	char dir[64];
	int dirfd, peer;
	struct loop *loop;
	struct control control;
	unsigned opened, paused;
	uint32_t last_port;
};

static void on_open(void *ctx, const struct link_msg *m, int fd)
{
	struct fixture *f = ctx;

	assert_true(fd >= 0);
	f->opened++;
	f->last_port = m->port;
	close(fd);
}

static void on_pause(void *ctx, const struct link_msg *m, int fd)
{
	struct fixture *f = ctx;

	assert_int_equal(fd, -1);
	f->paused++;
	control_reply(&f->control, m, 0, NULL, NULL);
}

static const struct control_request requests[] = {
	{LINK_OPEN, 1u << LINK_STARTING | 1u << LINK_RUNNING, on_open},
	{LINK_PAUSE, 1u << LINK_RUNNING, on_pause},
};

static void turn(struct fixture *f)
{
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(loop_once(f->loop, 0), 0);
}

static int join(struct fixture *f)
{
	int s = link_connect(f->dirfd, LINK_SOCKET);

	assert_true(s >= 0);
	turn(f);
	return s;
}

/* hear() - the next message; op 0 when the machine closed */
static struct link_msg hear(int s, int *ret_fd)
{
	struct link_msg m = {0};
	int fd = -1, r = link_recv(s, &m, &fd, clock_ms() + 200);

	assert_true(r >= 0 || r == -ETIMEDOUT);
	if (ret_fd)
		*ret_fd = fd;
	else if (fd >= 0)
		close(fd);
	if (r == 0)
		m.op = (enum link_op)0;
	return m;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct link_msg hello = {
		.op = LINK_HELLO, .state = LINK_STARTING, .n = {42}, .text = "box"};
	int s;

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/sbx-control-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->loop = loop_new();
	s = link_listen(f->dirfd, LINK_SOCKET);
	assert_true(f->dirfd >= 0 && f->loop && s >= 0);
	assert_int_equal(
		control_open(&f->control, f->loop, s, &hello, requests, ARRAY_LEN(requests), f), 0);
	f->peer = join(f);
	assert_int_equal(hear(f->peer, NULL).op, LINK_HELLO);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	control_close(&f->control);
	loop_free(f->loop);
	if (f->peer >= 0)
		close(f->peer);
	(void)unlinkat(f->dirfd, LINK_SOCKET, 0);
	close(f->dirfd);
	(void)rmdir(f->dir);
	free(f);
	return 0;
}

static void ask(struct fixture *f, enum link_op op, uint32_t seq, int fd)
{
	const struct link_msg m = {.op = op, .seq = seq, .port = 1024};

	assert_int_equal(link_send(f->peer, &m, fd, clock_ms() + 200), 0);
	turn(f);
}

static void test_permit_table(void **state)
{
	struct fixture *f = *state;
	struct link_msg m;
	int pair[2];

	ask(f, LINK_PAUSE, 5, -1);
	m = hear(f->peer, NULL);
	assert_int_equal(m.op, LINK_REPLY);
	assert_int_equal(m.seq, 5);
	assert_int_equal(m.result, -EBUSY);
	assert_int_equal(f->paused, 0);
	control_state(&f->control, LINK_RUNNING, "up");
	m = hear(f->peer, NULL);
	assert_int_equal(m.op, LINK_STATE);
	assert_int_equal(m.state, LINK_RUNNING);
	assert_string_equal(m.text, "up");
	ask(f, LINK_PAUSE, 6, -1);
	m = hear(f->peer, NULL);
	assert_int_equal(m.result, 0);
	assert_int_equal(f->paused, 1);
	assert_int_equal(link_pair(pair), 0);
	ask(f, LINK_OPEN, 7, pair[0]);
	assert_int_equal(f->opened, 1);
	assert_int_equal(f->last_port, 1024);
	close(pair[0]);
	close(pair[1]);
}

static void test_what_only_a_machine_may_say(void **state)
{
	struct fixture *f = *state;
	const struct link_msg m = {.op = LINK_STATE, .state = LINK_STOPPED};

	assert_int_equal(link_send(f->peer, &m, -1, clock_ms() + 200), 0);
	turn(f);
	assert_int_equal(hear(f->peer, NULL).op, 0);
	assert_int_equal(f->control.faults, 1);
}

static void test_broken_form(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[LINK_BYTES] = {0};

	assert_int_equal(send(f->peer, bytes, sizeof(bytes), 0), LINK_BYTES);
	turn(f);
	assert_int_equal(hear(f->peer, NULL).op, 0);
	assert_int_equal(f->control.faults, 1);
	/* and the machine goes on: a daemon connects again */
	close(f->peer);
	f->peer = join(f);
	assert_int_equal(hear(f->peer, NULL).op, LINK_HELLO);
}

static void test_a_surplus_descriptor(void **state)
{
	struct fixture *f = *state;
	unsigned before = open_fds();

	ask(f, LINK_PAUSE, 1, f->dirfd);
	assert_int_equal(hear(f->peer, NULL).op, 0);
	assert_true(open_fds() < before); /* the connection closed, nothing stayed */
}

static void test_newer_peer_replaces(void **state)
{
	struct fixture *f = *state;
	int newer = join(f);

	assert_int_equal(hear(newer, NULL).op, LINK_HELLO);
	assert_int_equal(hear(f->peer, NULL).op, 0);
	close(f->peer);
	f->peer = newer;
	control_state(&f->control, LINK_RUNNING, NULL);
	assert_int_equal(hear(newer, NULL).op, LINK_STATE);
}

static void test_streams_of_the_guest(void **state)
{
	struct fixture *f = *state;
	struct link_msg m;
	int pair[2], fd = -1;

	assert_int_equal(link_pair(pair), 0);
	assert_int_equal(control_stream(&f->control, 1, pair[0]), 0);
	m = hear(f->peer, &fd);
	assert_int_equal(m.op, LINK_STREAM);
	assert_int_equal(m.port, 1);
	assert_true(fd >= 0);
	close(fd);
	own_close_fd(&f->peer);
	turn(f);
	assert_int_equal(control_stream(&f->control, 1, pair[0]), -ENOTCONN);
	close(pair[0]);
	close(pair[1]);
}

static void test_more_streams_than_the_daemon_takes(void **state)
{
	struct fixture *f = *state;
	int pair[2], fd = -1, r = 0;

	assert_int_equal(link_pair(pair), 0);
	for (unsigned i = 0; i < 100000 && r == 0; i++)
		r = control_stream(&f->control, 1, pair[0]);
	assert_int_equal(r, -ETIMEDOUT);
	assert_true(f->control.peer_fd >= 0); /* the guest cannot make us drop the daemon */
	assert_int_equal(hear(f->peer, &fd).op, LINK_STREAM);
	close(fd);
	assert_int_equal(control_stream(&f->control, 1, pair[0]), 0);
	close(pair[0]);
	close(pair[1]);
}

static void test_a_peer_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	for (i = 0; i < 100000 && f->control.peer_fd >= 0; i++)
		control_state(&f->control, LINK_RUNNING, "again");
	assert_int_equal(f->control.peer_fd, -1); /* dropped, not waited for */
	close(f->peer);
	f->peer = join(f);
	assert_int_equal(hear(f->peer, NULL).state, LINK_RUNNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_permit_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_only_a_machine_may_say, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_form, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_surplus_descriptor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newer_peer_replaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_streams_of_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_more_streams_than_the_daemon_takes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_peer_that_does_not_read, setup, teardown),
	};

	return cmocka_run_group_tests_name("machine_control", tests, NULL, NULL);
}
