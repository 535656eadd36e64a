/* test_server.c - small requests, and hosts that break the rules (CC-01, CC-02) */
#include "rig.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

static void test_small_requests(void **state)
{
	struct agent_usage u;
	struct frame f;
	struct peer p;

	peer_open(*state, &p);
	assert_int_equal(agent_put_empty(&p.out, FRAME_PING), 0);
	peer_flush(&p);
	(void)peer_expect(&p, FRAME_OK);
	peer_expect_end(&p);
	peer_close(&p);

	peer_open(*state, &p);
	assert_int_equal(agent_put_u64(&p.out, FRAME_CLOCK, 1234567890123), 0);
	peer_flush(&p);
	(void)peer_expect(&p, FRAME_OK);
	assert_int_equal(rig_clock_ns, 1234567890123);
	peer_close(&p);

	peer_open(*state, &p);
	assert_int_equal(agent_put_empty(&p.out, FRAME_USAGE), 0);
	peer_flush(&p);
	f = peer_expect(&p, FRAME_USAGE_REPLY);
	assert_int_equal(agent_get_usage(&f, &u), PROTO_OK);
	assert_true(u.mem_total > u.mem_available && u.mem_available > 0);
	assert_true(u.cpu_ms > 0 && u.processes > 0);
	peer_close(&p);

	peer_open(*state, &p);
	assert_int_equal(agent_put_u32(&p.out, FRAME_SHUTDOWN, 4321), 0);
	peer_flush(&p);
	(void)peer_expect(&p, FRAME_OK);
	assert_int_equal(rig_offs, 1);
	assert_int_equal(rig_off_ms, 4321);
	peer_close(&p);
}

static int dialed_port, dialed_fd;

static int dial(uint16_t port, int stream)
{
	dialed_port = port;
	dialed_fd = dup(stream);
	return 0;
}

/* Whoever dials has the stream for itself: it is none of the requests that are counted. */
static void test_dial(void **state)
{
	struct rig *r = *state;
	struct peer p;
	char c[4];

	r->g.dial = dial;
	dialed_port = dialed_fd = -1;
	peer_open(r, &p);
	assert_int_equal(agent_put_u16(&p.out, FRAME_DIAL, 8080), 0);
	peer_flush(&p);
	for (int i = 0; i < 100 && dialed_fd < 0; i++)
		rig_turn(r, 10);
	assert_int_equal(dialed_port, 8080);
	assert_int_equal(server_streams(r->g.server), 0);
	assert_int_equal(write(dialed_fd, "yes", 3), 3);
	assert_int_equal(read(p.fd, c, sizeof(c)), 3);
	close(dialed_fd);
	peer_close(&p);
	/* bytes ahead of the answer break the rules: nobody dials */
	dialed_port = dialed_fd = -1;
	peer_open(r, &p);
	assert_int_equal(agent_put_u16(&p.out, FRAME_DIAL, 8080), 0);
	assert_int_equal(agent_put_empty(&p.out, FRAME_PING), 0);
	peer_flush(&p);
	peer_expect_end(&p);
	assert_int_equal(dialed_port, -1);
	peer_close(&p);
}

/* test_settle() - answered when nobody is left, and not before */
static void test_settle(void **state)
{
	struct rig *r = *state;
	struct agent_error e;
	struct frame f;
	struct peer p;

	rig_ends = 0;
	rig_end_looks = 3;
	peer_open(r, &p);
	assert_int_equal(agent_put_u32(&p.out, FRAME_SETTLE, AGENT_SETTLE_END), 0);
	peer_flush(&p);
	(void)peer_expect(&p, FRAME_OK);
	assert_int_equal(rig_ends, 4);
	peer_expect_end(&p);
	peer_close(&p);

	r->g.scratch_fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	peer_open(r, &p);
	assert_int_equal(agent_put_u32(&p.out, FRAME_SETTLE, AGENT_SETTLE_SYNC), 0);
	peer_flush(&p);
	(void)peer_expect(&p, FRAME_OK);
	assert_int_equal(rig_ends, 4); /* nobody was ended for it */
	peer_close(&p);
	close(r->g.scratch_fd);

	/* a descriptor that cannot be written is no success */
	r->g.scratch_fd = 1000000;
	peer_open(r, &p);
	assert_int_equal(agent_put_u32(&p.out, FRAME_SETTLE, AGENT_SETTLE_SYNC), 0);
	peer_flush(&p);
	f = peer_expect(&p, FRAME_ERROR);
	assert_int_equal(agent_get_error(&f, &e), PROTO_OK);
	assert_int_equal(e.num, EIO);
	peer_close(&p);
	r->g.scratch_fd = -1;

	/* the host goes before it is done: it is done nevertheless */
	rig_ends = 0;
	rig_end_looks = 5;
	peer_open(r, &p);
	assert_int_equal(agent_put_u32(&p.out, FRAME_SETTLE, AGENT_SETTLE_END), 0);
	peer_flush(&p);
	peer_close(&p);
	while (rig_ends < 6)
		rig_turn(r, 10);
}

/* refused() - these bytes get no answer but the end of the stream */
static void refused(struct rig *r, const void *bytes, size_t len)
{
	struct peer p;

	peer_open(r, &p);
	assert_int_equal(send(p.fd, bytes, len, MSG_NOSIGNAL), len);
	peer_expect_end(&p);
	peer_close(&p);
}

static void test_malformed(void **state)
{
	static const char *const bytes[] = {
		"\1\0\0\0\5\1\0\0x", /* PING with a body */
		"\0\0\0\0\5\2\0\0", /* another version */
		"\0\0\0\0\5\1\0\1", /* reserved bits */
		"\0\0\0\0\377\1\0\0", /* unknown type */
		"\377\377\377\377\5\1\0\0", /* 4 GiB */
		"\1\0\1\0\60\1\0\0", /* 65537 bytes of STDIN */
		"\0\0\0\0\60\1\0\0", /* STDIN is no request */
		"\0\0\0\0\40\1\0\0", /* OK is none, either */
		"\0\0\0\0\1\1\0\0", /* EXEC without a body */
		"\3\0\0\0\6\1\0\0abc", /* SHUTDOWN of three bytes */
		"\11\0\0\0\10\1\0\0abcdefghi",
		"\2\0\0\0\11\1\0\0\0", /* DIAL to port 0 (and its NUL) */
		"\1\0\0\0\11\1\0\0x", /* ... of one byte */
		"\4\0\0\0\12\1\0\0\4\0\0\0", /* SETTLE with a flag that there is not */
	};
	static const size_t lens[] = {9, 8, 8, 8, 8, 8, 8, 8, 8, 11, 17, 10, 9, 12};
	unsigned char put[] = "\25\0\0\0\3\1\0\0\0\0\0\0\5\0\0\0a/../\0\0\0\0\0\0\0\0";

	for (size_t i = 0; i < ARRAY_LEN(bytes); i++)
		refused(*state, bytes[i], lens[i]);
	refused(*state, put, sizeof(put) - 1); /* not an absolute path */
	assert_int_equal(rig_offs, 1);
}

/* test_noise() - any bytes end in silence, a reply, or a wait for more: never in harm */
static void test_noise(void **state)
{
	struct rig *r = *state;
	uint32_t seed = 1;

	for (int i = 0; i < 3000; i++) {
		unsigned char bytes[64];
		struct peer p;

		for (size_t k = 0; k < sizeof(bytes); k++) {
			seed = seed * 1103515245 + 12345;
			bytes[k] = (unsigned char)(seed >> 16);
		}
		if (i % 3) { /* a header that passes, with noise behind it; no SHUTDOWN, no PUT */
			static const unsigned char types[] = {1, 2, 5, 7};

			memset(bytes, 0, 8);
			bytes[0] = (unsigned char)(i % 57);
			bytes[4] = types[i % 4];
			bytes[5] = 1;
		}
		peer_open(r, &p);
		assert_int_equal(send(p.fd, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
		rig_turn(r, 0);
		peer_close(&p);
		rig_turn(r, 0);
	}
	while (server_streams(r->g.server) > 0)
		rig_turn(r, 10);
}

static void test_cap(void **state)
{
	struct peer *all = calloc(GUEST_STREAMS_MAX, sizeof(*all)), one;
	struct rig *r = *state;
	struct agent_error e;
	struct frame f;

	assert_non_null(all);
	for (unsigned i = 0; i < GUEST_STREAMS_MAX; i++)
		peer_open(r, &all[i]);
	assert_int_equal(server_streams(r->g.server), GUEST_STREAMS_MAX);
	peer_open(r, &one);
	f = peer_expect(&one, FRAME_ERROR);
	assert_int_equal(agent_get_error(&f, &e), PROTO_OK);
	assert_int_equal(e.num, EMFILE);
	peer_close(&one);
	peer_close(&all[0]);
	while (server_streams(r->g.server) == GUEST_STREAMS_MAX)
		rig_turn(r, 10);
	peer_open(r, &one);
	assert_int_equal(agent_put_empty(&one.out, FRAME_PING), 0);
	peer_flush(&one);
	(void)peer_expect(&one, FRAME_OK);
	peer_close(&one);
	for (unsigned i = 1; i < GUEST_STREAMS_MAX; i++)
		peer_close(&all[i]);
	free(all);
}

static void test_one_byte_at_a_time(void **state)
{
	struct rig *r = *state;
	struct peer p;

	peer_open(r, &p);
	assert_int_equal(agent_put_empty(&p.out, FRAME_PING), 0);
	for (size_t i = 0; i < p.out.len; i++) {
		assert_int_equal(send(p.fd, p.out.data + i, 1, MSG_NOSIGNAL), 1);
		rig_turn(r, 1);
	}
	(void)peer_expect(&p, FRAME_OK);
	peer_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)
		T(test_small_requests),
		T(test_dial),
		T(test_settle),
		T(test_malformed),
		T(test_noise),
		T(test_cap),
		T(test_one_byte_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
